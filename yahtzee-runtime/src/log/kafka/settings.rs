//! Settings of the Kafka log, and the librdkafka properties that follow from them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use crate::cause::Cause;
use crate::log::{Isolation, LogError, SlotName};

/// Address of a cluster, credentials and timeouts.
#[derive(Clone)]
pub struct KafkaSettings {
    /// Bootstrap brokers: `host:port`, several separated by commas.
    pub brokers: String,
    /// Put before every topic, consumer group and transactional id (Heroku's `KAFKA_PREFIX`); may be empty.
    pub prefix: String,
    /// Certificates; `None` speaks plain text.
    pub tls: Option<KafkaTls>,
    /// Further librdkafka properties, such as `ssl.endpoint.identification.algorithm`. Those that carry a
    /// promise of Yahtzee are refused.
    pub extra: BTreeMap<String, String>,
    /// Timeouts.
    pub timeouts: KafkaTimeouts,
}

/// Certificates of a mutually authenticated connection, in PEM.
#[derive(Clone)]
pub struct KafkaTls {
    /// The authority that signed the brokers' certificates.
    pub ca_pem: String,
    /// This client's certificate.
    pub cert_pem: String,
    /// This client's private key.
    pub key_pem: String,
}

/// Timeouts of requests to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaTimeouts {
    /// Longest wait for the first answer of any broker.
    pub connect: Duration,
    /// Longest wait for the answer to one request, such as an end offset or a commit. After each quarter of it another
    /// client asks.
    pub request: Duration,
    /// Longest wait for the acknowledgement of a slot writer's records. Bounds how old a paused writer's records can
    /// be.
    pub delivery: Duration,
    /// Longest duration of a transaction. A dead writer holds back its committed readers for that long.
    pub transaction: Duration,
}

impl Default for KafkaTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(10),
            delivery: Duration::from_secs(10),
            transaction: Duration::from_secs(15),
        }
    }
}

/// Properties that carry promises, or that have a field of their own.
const DECIDED: &[&str] = &[
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "message.timeout.ms",
    "metadata.broker.list",
    "request.required.acks",
    "transaction.timeout.ms",
    "transactional.id",
];

impl KafkaSettings {
    /// Creates settings for plain text to `brokers` (`host:port`, several separated by commas), no prefix, default
    /// timeouts.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            prefix: String::new(),
            tls: None,
            extra: BTreeMap::new(),
            timeouts: KafkaTimeouts::default(),
        }
    }

    /// Refuses settings that cannot work, before any client exists.
    pub(crate) fn check(&self) -> Result<(), LogError> {
        let refused =
            |what: String, reason: &str| Err(LogError::refused(what, Cause::new("invalid-settings", reason)));
        if let Some(name) = self.extra.keys().find(|name| DECIDED.contains(&name.as_str())) {
            return refused(
                format!("Kafka property {name}"),
                "its value is part of what Yahtzee promises; remove it from the configuration",
            );
        }
        if self.timeouts.delivery > self.timeouts.transaction {
            return refused(
                format!("a delivery timeout of {:?}", self.timeouts.delivery),
                "it must not exceed the transaction timeout; lower it or raise that",
            );
        }
        if self.tls.is_some() && !cfg!(feature = "tls") {
            return refused(
                format!("TLS to {}", self.brokers),
                "this binary was built without it; build with `--features tls`",
            );
        }
        let clients =
            [self.admin_client(), self.reader(Isolation::Committed), self.appender(self.timeouts.delivery)];
        for client in clients {
            // The value stays out of the text: it may be a password.
            if let Err(KafkaError::ClientConfig(_, reason, name, _)) = client.create_native_config() {
                return refused(format!("Kafka property {name}"), &reason);
            }
        }
        Ok(())
    }

    /// Returns the name that the cluster knows a topic or group by.
    pub(super) fn prefixed(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Returns the properties of a client that asks but never reads: topics, bounds, times.
    pub(super) fn query_client(&self) -> ClientConfig {
        // Bounds are those of the log: open transactions count, whoever may read them.
        self.with(&[], &[("isolation.level", "read_uncommitted")])
    }

    /// Returns the properties of a client that creates and describes topics.
    pub(super) fn admin_client(&self) -> ClientConfig {
        self.with(&[], &[])
    }

    /// Returns the properties of a client that commits for a consumer group and never reads. `isolation` decides whether it
    /// is told offsets over which a transaction is open.
    pub(super) fn group_client(&self, group: &str, isolation: Isolation) -> ClientConfig {
        self.with(
            &[],
            &[
                ("group.id", &self.prefixed(group)),
                ("enable.auto.commit", "false"),
                ("isolation.level", isolation_level(isolation)),
            ],
        )
    }

    /// Returns the properties of a client that reads assigned partitions.
    pub(super) fn reader(&self, isolation: Isolation) -> ClientConfig {
        self.reading(READING, isolation)
    }

    /// Returns the properties of a client that reads assigned partitions for long, and mostly waits.
    pub(super) fn tail(&self, isolation: Isolation) -> ClientConfig {
        self.reading(&[READING, TAILING].concat(), isolation)
    }

    fn reading(&self, tuning: &[(&str, &str)], isolation: Isolation) -> ClientConfig {
        self.with(
            tuning,
            &[
                // Assigning needs a group, but this one is never joined and nothing is committed to it.
                ("group.id", &self.prefixed("yahtzee-reader")),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"),
                ("enable.partition.eof", "true"),
                ("check.crcs", "true"),
                ("isolation.level", isolation_level(isolation)),
            ],
        )
    }

    /// Returns the properties of a producer that fails records which are not durable after `deadline`.
    pub(super) fn appender(&self, deadline: Duration) -> ClientConfig {
        self.producer(deadline, &[])
    }

    /// Returns the properties of the transactional producer of a slot. It waits no longer for an answer than its transaction
    /// lasts, whatever is configured: librdkafka creates no other.
    pub(super) fn slot_writer(&self, slot: &SlotName) -> ClientConfig {
        let transaction = self.timeouts.transaction;
        let mut config = self.producer(
            self.timeouts.delivery,
            &[
                ("transactional.id", &self.prefixed(&slot.to_string())),
                ("transaction.timeout.ms", &millis(transaction)),
            ],
        );
        lower(&mut config, SOCKET_TIMEOUT, transaction);
        config
    }

    /// Returns the properties of a producer. A record lingers for less than its deadline, whatever is configured: librdkafka
    /// creates no other.
    fn producer(&self, deadline: Duration, decided: &[(&str, &str)]) -> ClientConfig {
        let deadline_ms = millis(deadline);
        let of_all = [("enable.idempotence", "true"), ("acks", "all"), ("message.timeout.ms", &deadline_ms)];
        let mut config = self.with(WRITING, &[&of_all, decided].concat());
        lower(&mut config, LINGER, deadline.saturating_sub(Duration::from_millis(1)));
        config
    }

    /// Joins tuning, configured and decided properties, each over the former.
    fn with(&self, tuning: &[(&str, &str)], decided: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for &(name, value) in CONNECTION.iter().chain(tuning) {
            config.set(name, value);
        }
        if let Some(tls) = &self.tls {
            config
                .set("security.protocol", "ssl")
                .set("ssl.ca.pem", &tls.ca_pem)
                .set("ssl.certificate.pem", &tls.cert_pem)
                .set("ssl.key.pem", &tls.key_pem);
        }
        config.set(SOCKET_TIMEOUT, millis(self.timeouts.request));
        for (name, value) in &self.extra {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        for &(name, value) in decided {
            config.set(name, value);
        }
        config
    }
}

/// Longest wait of a client for an answer to what it has sent, in milliseconds.
const SOCKET_TIMEOUT: &str = "socket.timeout.ms";

/// Longest wait of a record for others that are sent with it, in milliseconds.
const LINGER: &str = "linger.ms";

/// Properties in which no client uses librdkafka's defaults. [`KafkaSettings::extra`] overrides them.
const CONNECTION: &[(&str, &str)] = &[
    ("client.id", "yahtzee"),
    ("log.connection.close", "false"),
    ("socket.keepalive.enable", "true"),
    ("reconnect.backoff.max.ms", "1000"),
    // A broker that stands still takes no connections once its backlog is full. TCP then tries again after 1, 3, 7, 15, ...
    // seconds, and an attempt that began early sleeps long after the broker's return; the default lets it, for 30 s.
    ("socket.connection.setup.timeout.ms", "2000"),
    // How long metadata may be missing before the configured addresses are asked again. The default is five minutes.
    ("metadata.recovery.rebootstrap.trigger.ms", "1000"),
    // Topics are created long before they are used: a missing one is an error soon.
    ("topic.metadata.propagation.max.ms", "1000"),
];

const READING: &[(&str, &str)] = &[
    // The default of one second starves a reader whose queue was full once.
    ("fetch.queue.backoff.ms", "10"),
    // About 400 bytes of memory per queued small record: 40 MB, and one response more.
    ("queued.min.messages", "100000"),
    ("queued.max.messages.kbytes", "32768"),
    ("fetch.message.max.bytes", "262144"),
    // How long the broker waits for a first byte: the delay of an end-of-partition mark.
    ("fetch.wait.max.ms", "50"),
];

/// Each fetch without an answer costs the broker a look at every partition: at twenty a second, sinks and retry processes of nine
/// jobs keep half a core busy while nothing comes.
const TAILING: &[(&str, &str)] = &[("fetch.wait.max.ms", "500")];

const WRITING: &[(&str, &str)] =
    &[(LINGER, "5"), ("compression.type", "lz4"), ("queue.buffering.max.kbytes", "262144")];

fn isolation_level(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Uncommitted => "read_uncommitted",
        Isolation::Committed => "read_committed",
    }
}

/// Returns milliseconds, at least one: librdkafka takes 0 for "never".
fn millis(duration: Duration) -> String {
    duration.as_millis().max(1).to_string()
}

/// Lowers a time to `most` where it is longer. What is no number stays, and is refused by librdkafka.
fn lower(config: &mut ClientConfig, name: &str, most: Duration) {
    let ms = config.get(name).and_then(|value| value.parse::<f64>().ok());
    let time = ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1_000.0).ok());
    if time.is_some_and(|time| time > most) {
        config.set(name, most.as_millis().to_string());
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("prefix", &self.prefix)
            .field("tls", &self.tls)
            // Names only: a value may be a password.
            .field("extra", &self.extra.keys())
            .field("timeouts", &self.timeouts)
            .finish()
    }
}

impl fmt::Debug for KafkaTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KafkaTls").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::producer::BaseProducer;

    use super::*;

    fn settings() -> KafkaSettings {
        KafkaSettings::new("broker:9092")
    }

    #[test]
    fn decided_properties_cannot_be_overridden() {
        fn check(name: &str, value: &str, accepted: bool) {
            let mut settings = settings();
            settings.extra.insert(name.to_owned(), value.to_owned());
            assert_eq!(settings.check().is_ok(), accepted, "{name} = {value}");
        }
        check("acks", "all", false);
        check("isolation.level", "read_committed", false);
        check("transactional.id", "anything", false);
        check("linger.ms", "50", true);
        check("linger.ms", "anything", false);
        check("sasl.password", "anything", true);
    }

    #[test]
    fn configured_properties_go_over_the_defaults() {
        let mut settings = settings();
        settings.extra.insert("linger.ms".to_owned(), "50".to_owned());
        let config = settings.appender(Duration::from_secs(4));
        assert_eq!(config.get("linger.ms"), Some("50"));
        assert_eq!(config.get("message.timeout.ms"), Some("4000"));
        assert_eq!(config.get("acks"), Some("all"));
    }

    /// It is a reader that asks less often, and nothing else.
    #[test]
    fn a_tail_differs_from_a_reader_in_its_wait() {
        let mut settings = settings();
        let wait = |config: &ClientConfig| config.get("fetch.wait.max.ms").map(str::to_owned);
        let isolation = Isolation::Committed;
        assert_eq!(wait(&settings.tail(isolation)).as_deref(), Some("500"));
        let mut tail = settings.tail(isolation);
        tail.set("fetch.wait.max.ms", wait(&settings.reader(isolation)).expect("it has one"));
        assert_eq!(tail.config_map(), settings.reader(isolation).config_map());
        settings.extra.insert("fetch.wait.max.ms".to_owned(), "7".to_owned());
        assert_eq!(wait(&settings.tail(isolation)).as_deref(), Some("7"), "what is configured counts");
    }

    #[test]
    fn the_prefix_is_on_every_name() {
        let settings = KafkaSettings { prefix: "wabash-58799.".to_owned(), ..settings() };
        let slot = SlotName { group: "latency".to_owned(), slot: 3 };
        assert_eq!(settings.prefixed("RAW.v1"), "wabash-58799.RAW.v1");
        assert_eq!(
            settings.group_client("latency", Isolation::Committed).get("group.id"),
            Some("wabash-58799.latency")
        );
        let writer = settings.slot_writer(&slot);
        assert_eq!(writer.get("transactional.id"), Some("wabash-58799.latency.slot-3"));
    }

    #[test]
    fn a_record_must_fail_before_its_transaction_does() {
        let mut settings = settings();
        settings.timeouts.delivery = settings.timeouts.transaction + Duration::from_millis(1);
        assert!(matches!(settings.check(), Err(LogError::Refused { .. })));
    }

    /// librdkafka takes no producer that may wait longer for an answer than its transaction lasts.
    #[test]
    fn a_slot_writer_can_be_created_however_short_its_transactions_are() {
        fn check(transaction_ms: u64, configured_ms: Option<&str>, expected_ms: &str) {
            let mut settings = settings();
            settings.timeouts.transaction = Duration::from_millis(transaction_ms);
            settings.timeouts.delivery = settings.timeouts.transaction;
            let configured = configured_ms.map(|value| (SOCKET_TIMEOUT.to_owned(), value.to_owned()));
            settings.extra.extend(configured);
            settings.check().unwrap();
            let config = settings.slot_writer(&SlotName { group: "group".to_owned(), slot: 0 });
            assert_eq!(config.get(SOCKET_TIMEOUT), Some(expected_ms), "{transaction_ms}, {configured_ms:?}");
            let created = config.create::<BaseProducer>();
            assert!(created.is_ok(), "{transaction_ms}, {configured_ms:?}: {:?}", created.err());
        }
        check(5_001, None, "5001");
        check(10_000, None, "10000");
        check(600_000, None, "10000");
        check(5_001, Some("60000"), "5001");
        check(5_001, Some("3000"), "3000");
        check(600_000, Some("60000"), "60000");
    }

    /// Nor one whose records may linger until they have failed.
    #[test]
    fn a_producer_can_be_created_however_soon_its_records_must_be_durable() {
        fn check(deadline_ms: u64, configured_ms: Option<&str>, expected_ms: &str) {
            let mut settings = settings();
            settings.timeouts.delivery = Duration::from_millis(deadline_ms);
            settings.extra.extend(configured_ms.map(|value| (LINGER.to_owned(), value.to_owned())));
            settings.check().unwrap();
            let slot = SlotName { group: "group".to_owned(), slot: 0 };
            for config in [settings.slot_writer(&slot), settings.appender(settings.timeouts.delivery)] {
                assert_eq!(config.get(LINGER), Some(expected_ms), "{deadline_ms}, {configured_ms:?}");
                let created = config.create::<BaseProducer>();
                assert!(created.is_ok(), "{deadline_ms}, {configured_ms:?}: {:?}", created.err());
            }
        }
        check(10_000, None, "5");
        check(10_000, Some("50"), "50");
        check(10_000, Some("0.5"), "0.5");
        check(6, None, "5");
        check(5, None, "4");
        check(1, None, "0");
        check(20, Some("50"), "19");
    }

    #[test]
    fn debug_output_keeps_secrets() {
        let mut settings = settings();
        let secret = |name: &str| format!("secret {name}");
        settings.tls =
            Some(KafkaTls { ca_pem: secret("ca"), cert_pem: secret("certificate"), key_pem: secret("key") });
        settings.extra.insert("sasl.password".to_owned(), secret("password"));
        let text = format!("{settings:?}");
        assert!(text.contains("sasl.password") && text.contains("broker:9092"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_without_the_feature_says_how_to_get_it() {
        let pem = String::new;
        let tls = Some(KafkaTls { ca_pem: pem(), cert_pem: pem(), key_pem: pem() });
        let error = KafkaSettings { tls, ..settings() }.check().expect_err("not built in");
        assert!(error.to_string().contains("--features tls"), "{error}");
    }
}
