//! From what was written to what it means.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::log::kafka::{KafkaSettings, KafkaTimeouts, Tls};
use crate::topics::TopicLayout;
use crate::worker::PoisonLimits;

use super::file::{FileConfig, JobSection, KafkaSection, LogKind, LogSection, TopicsSection, WorkerSection};
use super::{Config, ConfigError, Environment, IngressConfig, LogChoice, Secret, WorkerConfig, sink};

/// librdkafka's partitions are signed 32-bit; a topic with more than this is a typing error.
const PARTITIONS_MAX: u32 = 100_000;

const TRANSACTION_MARGIN: Duration = Duration::from_secs(5);

pub(super) fn check(file: FileConfig, environment: &Environment) -> Result<Config, ConfigError> {
    let layout = layout(&file.topics, file.sink.retention_days)?;
    if file.worker.slots == 0 || file.worker.slots > layout.partitions {
        return contradiction(format!(
            "worker.slots = {} must be at least 1 and at most topics.partitions = {}",
            file.worker.slots, layout.partitions
        ));
    }
    for (name, section) in &file.jobs {
        check_job(name, section)?;
    }
    let write_deadline = Duration::from_millis(file.worker.write_deadline_ms);
    Ok(Config {
        log: log(file.log, write_deadline)?,
        layout,
        worker: worker(&file.worker),
        jobs: file.jobs,
        ingress: IngressConfig {
            listen: address("ingress.listen", &file.ingress.listen)?,
            credentials: file.ingress.credentials.into_iter().map(Secret::new).collect(),
            tokens: file.ingress.tokens,
            body_bytes_max: file.ingress.body_bytes_max,
            ack_budget: Duration::from_millis(file.ingress.ack_budget_ms),
        },
        sink: sink::check(file.sink, environment)?,
        admin: match file.admin.listen.as_str() {
            "" => None,
            listen => Some(address("admin.listen", listen)?),
        },
        log_format: file.logging.format,
        log_filter: file.logging.filter,
    })
}

fn worker(section: &WorkerSection) -> WorkerConfig {
    WorkerConfig {
        slots: section.slots,
        guarantee: section.guarantee,
        write_deadline: Duration::from_millis(section.write_deadline_ms),
        poison: PoisonLimits { run_max: section.poison_run_max, percent_max: section.poison_percent_max },
        pause_max: Duration::from_millis(section.pause_max_ms),
        memory_max_bytes: (section.memory_max_mib > 0).then_some(section.memory_max_mib << 20),
    }
}

fn layout(topics: &TopicsSection, store_retention_days: u32) -> Result<TopicLayout, ConfigError> {
    if !(1..=PARTITIONS_MAX).contains(&topics.partitions) {
        return contradiction(format!(
            "topics.partitions = {} must be 1 to {PARTITIONS_MAX}",
            topics.partitions
        ));
    }
    if topics.replication == 0 {
        return contradiction("topics.replication = 0 must be at least 1".to_owned());
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if topics.version.is_empty() || !topics.version.bytes().all(is_name) {
        return contradiction(format!(
            "topics.version = {:?} must be letters, digits, - or _",
            topics.version
        ));
    }
    let milliseconds = |count: u32, unit_ms: i64| (count > 0).then(|| i64::from(count) * unit_ms);
    Ok(TopicLayout {
        version: topics.version.clone(),
        partitions: topics.partitions,
        replication: topics.replication,
        raw_retention_ms: milliseconds(topics.raw_retention_hours, 3_600_000),
        summary_retention_ms: milliseconds(topics.summary_retention_days, 86_400_000),
        store_retention_ms: milliseconds(store_retention_days, 86_400_000),
    })
}

fn check_job(name: &str, section: &JobSection) -> Result<(), ConfigError> {
    if section.window_length_ms == Some(0) {
        return contradiction(format!("jobs.{name}.window_length_ms must be above 0"));
    }
    if section.flush_interval_ms == Some(0) {
        return contradiction(format!("jobs.{name}.flush_interval_ms must be above 0"));
    }
    let windows = [section.lateness_windows, section.future_windows];
    if windows.into_iter().flatten().any(|count| count > 200) {
        return contradiction(format!(
            "jobs.{name} keeps more than 200 windows open: commit metadata could not name them all"
        ));
    }
    Ok(())
}

fn log(section: LogSection, write_deadline: Duration) -> Result<LogChoice, ConfigError> {
    Ok(match section.kind {
        LogKind::Embedded => LogChoice::Embedded(section.embedded.folder),
        LogKind::Kafka => LogChoice::Kafka(Arc::new(kafka(section.kafka, write_deadline)?)),
    })
}

fn kafka(section: KafkaSection, write_deadline: Duration) -> Result<KafkaSettings, ConfigError> {
    if section.brokers.trim().is_empty() {
        return contradiction("log.kafka.brokers is empty; write `host:port`, or set KAFKA_URL".to_owned());
    }
    let tls = match (section.ca_pem, section.client_cert_pem, section.client_key_pem) {
        (None, None, None) => None,
        (Some(ca_pem), Some(cert_pem), Some(key_pem)) => Some(Tls { ca_pem, cert_pem, key_pem }),
        _ => {
            return contradiction(
                "an encrypted Kafka needs all of log.kafka.ca_pem, client_cert_pem and client_key_pem"
                    .to_owned(),
            );
        }
    };
    Ok(KafkaSettings {
        brokers: section.brokers,
        prefix: section.prefix,
        tls,
        extra: section.properties,
        timeouts: KafkaTimeouts {
            delivery: write_deadline,
            // A transaction must outlive the records in it.
            transaction: write_deadline + TRANSACTION_MARGIN,
            ..KafkaTimeouts::default()
        },
    })
}

fn address(key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
    text.parse().map_err(|_| {
        ConfigError::Contradiction(format!("{key} = {text:?} is not an address, as in \"127.0.0.1:8080\""))
    })
}

fn contradiction<T>(text: String) -> Result<T, ConfigError> {
    Err(ConfigError::Contradiction(text))
}
