//! `[log]`: which log, and where.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::environment::Environment;
use super::error::ConfigError;
use super::kafka::KafkaSection;
use super::log_choice::LogChoice;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// One folder, one process.
    #[default]
    Embedded,
    /// A Kafka cluster.
    Kafka,
}

/// The embedded log.
#[derive(Clone, Debug, Deserialize, Serialize)]
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

/// The log that is not used is left out.
impl Serialize for LogSection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Used<'a> {
            kind: LogKind,
            #[serde(skip_serializing_if = "Option::is_none")]
            embedded: Option<&'a EmbeddedLogSection>,
            #[serde(skip_serializing_if = "Option::is_none")]
            kafka: Option<&'a KafkaSection>,
        }
        let Self { kind, embedded, kafka } = self;
        let (embedded, kafka) = match kind {
            LogKind::Embedded => (Some(embedded), None),
            LogKind::Kafka => (None, Some(kafka)),
        };
        Used { kind: *kind, embedded, kafka }.serialize(serializer)
    }
}

impl LogSection {
    /// Returns the section with what the platform's variables say.
    ///
    /// # Errors
    /// If a variable cannot be read.
    pub fn with_platform(mut self, environment: &Environment) -> Result<Self, ConfigError> {
        if self.kafka.apply_platform(environment)? {
            self.kind = LogKind::Kafka;
        }
        Ok(self)
    }

    /// Applies the platform's variables and checks the section.
    ///
    /// # Errors
    /// If the Kafka cluster cannot be reached with what is given, such as half of a client certificate.
    pub fn check(
        self,
        environment: &Environment,
        write_deadline: Duration,
    ) -> Result<LogChoice, ConfigError> {
        let Self { kind, embedded, kafka } = self.with_platform(environment)?;
        Ok(match kind {
            LogKind::Embedded => LogChoice::Embedded(embedded.folder),
            LogKind::Kafka => kafka.check(write_deadline)?,
        })
    }
}
