//! `[log]`: which log, and where.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

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
        if self.kafka.apply_platform(environment)? {
            self.kind = LogKind::Kafka;
        }
        Ok(match self.kind {
            LogKind::Embedded => LogChoice::Embedded(self.embedded.folder),
            LogKind::Kafka => self.kafka.check(write_deadline)?,
        })
    }
}
