//! The configuration file as written. `yahtzee.example.toml` shows every key with its default.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::telemetry::logging::LogFormat;
use crate::worker::Guarantee;

use super::ConfigError;
use super::sink::SinkSection;

/// All sections. Unknown sections and keys are refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// Which log.
    pub log: LogSection,
    /// Names and sizes of topics.
    pub topics: TopicsSection,
    /// The worker process.
    pub worker: WorkerSection,
    /// Window policy per job name.
    pub jobs: BTreeMap<String, JobSection>,
    /// The ingress process.
    pub ingress: IngressSection,
    /// The sink process.
    pub sink: SinkSection,
    /// The admin address.
    pub admin: AdminSection,
    /// Log lines.
    pub logging: LoggingSection,
}

/// Which log. Exactly one of `embedded` and `kafka` is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// `embedded` (default) or `kafka`.
    pub kind: LogKind,
    /// The embedded log.
    pub embedded: EmbeddedSection,
    /// The Kafka cluster.
    pub kafka: KafkaSection,
}

/// Kind of log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// One folder, one process.
    #[default]
    Embedded,
    /// A Kafka cluster.
    Kafka,
}

/// The embedded log.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedSection {
    /// Folder of the log; created if missing. One process at a time.
    pub folder: PathBuf,
}

impl Default for EmbeddedSection {
    fn default() -> Self {
        Self { folder: "yahtzee-data/log".into() }
    }
}

/// The Kafka cluster.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSection {
    /// `host:port`, several separated by commas. Heroku: from `KAFKA_URL`.
    pub brokers: String,
    /// Put before every topic, group and transactional id. Heroku: from `KAFKA_PREFIX`.
    pub prefix: String,
    /// Certificate of the authority, PEM text. Heroku: from `KAFKA_TRUSTED_CERT`. Needs a build with feature `tls`.
    pub ca_pem: Option<String>,
    /// Certificate of this client, PEM text. Heroku: from `KAFKA_CLIENT_CERT`.
    pub client_cert_pem: Option<String>,
    /// Private key of this client, PEM text. Heroku: from `KAFKA_CLIENT_CERT_KEY`. Better kept out of files.
    pub client_key_pem: Option<String>,
    /// Further librdkafka properties; those that carry a promise are refused.
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaSection {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            prefix: String::new(),
            ca_pem: None,
            client_cert_pem: None,
            client_key_pem: None,
            properties: BTreeMap::new(),
        }
    }
}

/// The private key is not shown.
impl std::fmt::Debug for KafkaSection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { brokers, prefix, .. } = self;
        formatter
            .debug_struct("KafkaSection")
            .field("brokers", brokers)
            .field("prefix", prefix)
            .finish_non_exhaustive()
    }
}

/// Names and sizes of topics.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicsSection {
    /// Last part of topic names. A new version replaces topics whose partition count must change.
    pub version: String,
    /// Partitions of every topic. Never changes while a version lives.
    pub partitions: u32,
    /// Copies of every partition: 3 in production, 1 on one broker.
    pub replication: u32,
    /// Hours raw records are kept; 0 keeps for ever (recorded input). At least 48 in production.
    pub raw_retention_hours: u32,
    /// Days summaries are kept in their topic, and records in RETRY and DLQ topics; 0 keeps for ever.
    pub summary_retention_days: u32,
}

impl Default for TopicsSection {
    fn default() -> Self {
        Self {
            version: "v1".to_owned(),
            partitions: 32,
            replication: 1,
            raw_retention_hours: 48,
            summary_retention_days: 7,
        }
    }
}

/// The worker process.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSection {
    /// Groups of partitions that are fenced as one. Independent of the number of workers, at least as many as you
    /// will ever run; must not change while workers run.
    pub slots: u32,
    /// `fenced` (default) or `at-least-once`.
    pub guarantee: Guarantee,
    /// Milliseconds a summary may take to be acknowledged, before the job starts again from its last commit.
    pub write_deadline_ms: u64,
    /// Unusable records in a row that stop a job (1,000), before a bad deploy drains a topic into the DLQ.
    pub poison_run_max: u64,
    /// Unusable records per hundred that stop a job (50), over 10,000 records.
    pub poison_percent_max: u64,
    /// Milliseconds that a worker may stand still before it ends itself, because another may have taken over.
    pub pause_max_ms: u64,
    /// Memory that windows may come to need by the caps of the jobs, in MiB; a worker that could need more does not
    /// start. 0 (default) for all of the machine's or the control group's.
    pub memory_max_mib: u64,
}

impl Default for WorkerSection {
    fn default() -> Self {
        Self {
            slots: 8,
            guarantee: Guarantee::Fenced,
            write_deadline_ms: 10_000,
            poison_run_max: 1_000,
            poison_percent_max: 50,
            pause_max_ms: 30_000,
            memory_max_mib: 0,
        }
    }
}

/// Window policy of one job. Absent keys leave the job's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobSection {
    /// Length of a window in milliseconds (60,000). A change needs a new generation of the job.
    pub window_length_ms: Option<u32>,
    /// Windows behind the watermark that are still accepted (5).
    pub lateness_windows: Option<u32>,
    /// Windows ahead of a record's own stamp that are accepted (1).
    pub future_windows: Option<u32>,
    /// A changed summary goes out at most once per this time, in milliseconds (10,000).
    pub flush_interval_ms: Option<u64>,
    /// Greatest difference between the clocks of two ingress processes, in milliseconds (60,000).
    pub clock_skew_ms: Option<u32>,
    /// Series of one window of one partition at most (20,000); further ones go to `(other)`.
    pub series_max: Option<usize>,
    /// Series of one owner in one window at most (1,000); further ones go to `(other)`.
    pub series_per_owner_max: Option<usize>,
    /// Whether what comes outside its windows is written to the LATE topic (no).
    pub publish_late: Option<bool>,
}

/// The ingress process.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngressSection {
    /// Address to receive drains on. Heroku: `PORT` gives `0.0.0.0:PORT`.
    pub listen: String,
    /// `user:password` (Basic) or a bearer token, any of which lets a drain in. Several, for rotation. Required
    /// unless `listen` is a loopback address.
    pub credentials: Vec<String>,
    /// Drain token (`d.<uuid>`) to app UUID. An unknown token gets a UUID derived from it, and is counted.
    pub tokens: BTreeMap<String, String>,
    /// Greatest body in bytes, after decompression. A drain request aims at 102,400.
    pub body_bytes_max: usize,
    /// Milliseconds from the end of a body to a 503. A drain gives up after 5,000.
    pub ack_budget_ms: u64,
}

impl Default for IngressSection {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            credentials: Vec::new(),
            tokens: BTreeMap::new(),
            body_bytes_max: 4 << 20,
            ack_budget_ms: 2_000,
        }
    }
}

/// Credentials are not shown.
impl std::fmt::Debug for IngressSection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("IngressSection").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// The admin address.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSection {
    /// Address of `/metrics`, `/healthz` and `/readyz`; empty for nowhere. Port 0 takes any free one.
    pub listen: String,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9100".to_owned() }
    }
}

/// Log lines, on standard error.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoggingSection {
    /// `text` (default) or `json`.
    pub format: LogFormat,
    /// A level, or directives such as `info,yahtzee_runtime=debug`.
    pub filter: String,
}

impl Default for LoggingSection {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info,fjall=warn,lsm_tree=warn".to_owned() }
    }
}

impl FileConfig {
    /// Reads a configuration text; `origin` names it in errors.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`] with line, column and the keys that would be known.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| malformed(origin, &error))
    }
}

pub(super) fn malformed(origin: &str, error: &toml::de::Error) -> ConfigError {
    ConfigError::Malformed { origin: origin.to_owned(), reason: error.to_string().trim_end().to_owned() }
}
