//! `[log]`: which log, and where.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::environment::{Environment, platform_variable};
use super::error::ConfigError;
use crate::log::embedded::EmbeddedLog;
use crate::log::kafka::KafkaLog;
use crate::log::kafka::{KafkaSettings, KafkaTimeouts, KafkaTls};
use crate::log::{LogError, SharedLog};

/// Time by which a transaction outlives the deadline of the records in it.
const TRANSACTION_MARGIN: Duration = Duration::from_secs(5);

/// Which log. Exactly one of `embedded` and `kafka` is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// `embedded` (default) or `kafka`.
    pub kind: LogKind,
    /// The embedded log.
    pub embedded: EmbeddedLogSection,
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
pub struct EmbeddedLogSection {
    /// Folder of the log; created if missing. One process at a time.
    pub folder: PathBuf,
}

impl Default for EmbeddedLogSection {
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

/// Which log, and where; checked.
#[derive(Clone, Debug)]
pub enum LogChoice {
    /// A folder on this machine.
    Embedded(PathBuf),
    /// A Kafka cluster.
    Kafka(Arc<KafkaSettings>),
}

impl LogChoice {
    /// Opens the log.
    ///
    /// # Errors
    /// If the folder is in use, or no broker answers.
    pub fn open(&self) -> Result<SharedLog, LogError> {
        Ok(match self {
            Self::Embedded(folder) => Arc::new(EmbeddedLog::open(folder)?),
            Self::Kafka(settings) => Arc::new(KafkaLog::connect((**settings).clone())?),
        })
    }
}

impl LogSection {
    /// Applies the platform's variables and checks the section.
    ///
    /// # Errors
    /// If the Kafka cluster cannot be reached with what is given, such as half of a client certificate.
    pub fn check(
        mut self,
        environment: &Environment,
        write_deadline: Duration,
    ) -> Result<LogChoice, ConfigError> {
        self.apply_platform(environment)?;
        Ok(match self.kind {
            LogKind::Embedded => LogChoice::Embedded(self.embedded.folder),
            LogKind::Kafka => LogChoice::Kafka(Arc::new(self.kafka.check(write_deadline)?)),
        })
    }

    fn apply_platform(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        let get =
            |variable: &str, key: &str| platform_variable(environment, variable, &format!("log.kafka.{key}"));
        let kafka = &mut self.kafka;
        if let Some(url) = get("KAFKA_URL", "brokers") {
            self.kind = LogKind::Kafka;
            let (brokers, is_encrypted) = brokers(&url)?;
            kafka.brokers = brokers;
            if is_encrypted {
                kafka.ca_pem = get("KAFKA_TRUSTED_CERT", "ca_pem").or_else(|| kafka.ca_pem.take());
                kafka.client_cert_pem =
                    get("KAFKA_CLIENT_CERT", "client_cert_pem").or_else(|| kafka.client_cert_pem.take());
                kafka.client_key_pem =
                    get("KAFKA_CLIENT_CERT_KEY", "client_key_pem").or_else(|| kafka.client_key_pem.take());
                if kafka.ca_pem.is_none() {
                    return Err(ConfigError::Malformed {
                        origin: "KAFKA_URL".to_owned(),
                        reason: "asks for encryption; set KAFKA_TRUSTED_CERT, KAFKA_CLIENT_CERT and \
                                 KAFKA_CLIENT_CERT_KEY"
                            .to_owned(),
                    });
                }
            }
        }
        if let Some(prefix) = get("KAFKA_PREFIX", "prefix") {
            kafka.prefix = prefix;
        }
        Ok(())
    }
}

impl KafkaSection {
    fn check(self, write_deadline: Duration) -> Result<KafkaSettings, ConfigError> {
        if self.brokers.trim().is_empty() {
            return Err(ConfigError::Contradiction(
                "log.kafka.brokers is empty; write `host:port`, or set KAFKA_URL".to_owned(),
            ));
        }
        let tls = match (self.ca_pem, self.client_cert_pem, self.client_key_pem) {
            (None, None, None) => None,
            (Some(ca_pem), Some(cert_pem), Some(key_pem)) => Some(KafkaTls { ca_pem, cert_pem, key_pem }),
            _ => {
                return Err(ConfigError::Contradiction(
                    "an encrypted Kafka needs all of log.kafka.ca_pem, client_cert_pem and client_key_pem"
                        .to_owned(),
                ));
            }
        };
        Ok(KafkaSettings {
            brokers: self.brokers,
            prefix: self.prefix,
            tls,
            extra: self.properties,
            timeouts: KafkaTimeouts {
                delivery: write_deadline,
                // A transaction must outlive the records in it.
                transaction: write_deadline + TRANSACTION_MARGIN,
                ..KafkaTimeouts::default()
            },
        })
    }
}

/// Returns `kafka+ssl://a:9096,kafka+ssl://b:9096` as `a:9096,b:9096`, and whether it is encrypted.
fn brokers(url: &str) -> Result<(String, bool), ConfigError> {
    let mut hosts = Vec::new();
    let mut encrypted = Vec::new();
    for part in url.split(',').map(str::trim) {
        let (scheme, host) = part.split_once("://").unwrap_or(("kafka", part));
        match scheme {
            "kafka" => encrypted.push(false),
            "kafka+ssl" => encrypted.push(true),
            other => {
                return Err(ConfigError::Malformed {
                    origin: "KAFKA_URL".to_owned(),
                    reason: format!("scheme `{other}` is not known; `kafka://` and `kafka+ssl://` are"),
                });
            }
        }
        hosts.push(host.trim_end_matches('/'));
    }
    let is_encrypted = encrypted.contains(&true);
    if is_encrypted && encrypted.contains(&false) {
        return Err(ConfigError::Malformed {
            origin: "KAFKA_URL".to_owned(),
            reason: "names both encrypted and plain brokers".to_owned(),
        });
    }
    Ok((hosts.join(","), is_encrypted))
}
