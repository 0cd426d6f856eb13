//! `[log.kafka]`: the Kafka cluster, also as Heroku's variables name it.

use std::collections::BTreeMap;
#[cfg(feature = "kafka")]
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::environment::{Environment, platform_variable};
use super::error::ConfigError;
use super::log_choice::LogChoice;
use super::secret::{hide_some, hide_values};
#[cfg(feature = "kafka")]
use crate::log::kafka::{KafkaSettings, KafkaTimeouts, KafkaTls};

#[cfg(feature = "kafka")]
/// Time by which a transaction outlives the deadline of the records in it.
const TRANSACTION_MARGIN: Duration = Duration::from_secs(5);

#[cfg(feature = "kafka")]
/// Longest prefix, so that every topic keeps within the 249 bytes that Kafka allows.
const PREFIX_BYTES_MAX: usize = 100;

/// The Kafka cluster. Certificates and values of properties, which may be passwords, are not written.
#[derive(Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSection {
    /// `host:port`, several separated by commas. Heroku: from `KAFKA_URL`.
    pub brokers: String,
    /// Put before every topic, group and transactional id. Heroku: from `KAFKA_PREFIX`.
    pub prefix: String,
    /// Certificate of the authority, PEM text. Heroku: from `KAFKA_TRUSTED_CERT`. Needs a build with feature `tls`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "hide_some")]
    pub ca_pem: Option<String>,
    /// Certificate of this client, PEM text. Heroku: from `KAFKA_CLIENT_CERT`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "hide_some")]
    pub client_cert_pem: Option<String>,
    /// Private key of this client, PEM text. Heroku: from `KAFKA_CLIENT_CERT_KEY`. Better kept out of files.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "hide_some")]
    pub client_key_pem: Option<String>,
    /// Further librdkafka properties; those that carry a promise are refused.
    #[serde(serialize_with = "hide_values")]
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

impl KafkaSection {
    /// Applies the variables of Heroku's add-on; `true` if they name a cluster.
    pub(super) fn apply_platform(&mut self, environment: &Environment) -> Result<bool, ConfigError> {
        let get =
            |variable: &str, key: &str| platform_variable(environment, variable, &format!("log.kafka.{key}"));
        let url = get("KAFKA_URL", "brokers");
        let is_named = url.is_some();
        if let Some(url) = url {
            let (brokers, is_encrypted) = brokers(&url)?;
            self.brokers = brokers;
            if is_encrypted {
                self.ca_pem = get("KAFKA_TRUSTED_CERT", "ca_pem").or_else(|| self.ca_pem.take());
                self.client_cert_pem =
                    get("KAFKA_CLIENT_CERT", "client_cert_pem").or_else(|| self.client_cert_pem.take());
                self.client_key_pem =
                    get("KAFKA_CLIENT_CERT_KEY", "client_key_pem").or_else(|| self.client_key_pem.take());
                if self.ca_pem.is_none() {
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
            self.prefix = prefix;
        }
        Ok(is_named)
    }

    /// Refuses Kafka: this build has no client for it.
    #[cfg(not(feature = "kafka"))]
    pub(super) fn check(self, _write_deadline: Duration) -> Result<LogChoice, ConfigError> {
        Err(ConfigError::Contradiction(
            "the log is a Kafka cluster, and this program was built without Kafka; build it with \
             `cargo build --profile dist --features kafka`, or set `log.kind` to `embedded`"
                .to_owned(),
        ))
    }

    #[cfg(feature = "kafka")]
    pub(super) fn check(self, write_deadline: Duration) -> Result<LogChoice, ConfigError> {
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
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if self.prefix.len() > PREFIX_BYTES_MAX || !self.prefix.bytes().all(is_name) {
            return Err(ConfigError::Contradiction(format!(
                "log.kafka.prefix = {:?} must be at most {PREFIX_BYTES_MAX} letters, digits, ., - or _, as in names of topics",
                self.prefix
            )));
        }
        Ok(LogChoice::Kafka(Arc::new(KafkaSettings {
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
        })))
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
