//! `[log]`: which log, and where.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::environment::Environment;
use super::error::ConfigError;
use super::kafka::KafkaSection;
use crate::log::embedded::EmbeddedLog;
#[cfg(feature = "kafka")]
use crate::log::kafka::{KafkaLog, KafkaSettings};
use crate::log::{LogError, SharedLog};

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

/// Which log, and where; checked.
#[derive(Clone, Debug)]
pub enum LogChoice {
    /// A folder on this machine.
    Embedded(PathBuf),
    /// A Kafka cluster.
    #[cfg(feature = "kafka")]
    Kafka(Arc<KafkaSettings>),
}

impl LogChoice {
    /// Whether processes share the log, so that another one may take over what this one does.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        !matches!(self, Self::Embedded(_))
    }

    /// Checks what opening the log would refuse before it reaches anything.
    ///
    /// # Errors
    /// If this build cannot do what is asked for, or a property of the client is unknown or reserved.
    pub fn check(&self) -> Result<(), LogError> {
        match self {
            Self::Embedded(_) => Ok(()),
            #[cfg(feature = "kafka")]
            Self::Kafka(settings) => settings.check(),
        }
    }

    /// Opens the log.
    ///
    /// # Errors
    /// If the folder is in use, or no broker answers.
    pub fn open(&self) -> Result<SharedLog, LogError> {
        Ok(match self {
            Self::Embedded(folder) => Arc::new(EmbeddedLog::open(folder)?),
            #[cfg(feature = "kafka")]
            Self::Kafka(settings) => Arc::new(KafkaLog::connect((**settings).clone())?),
        })
    }

    /// Opens the log as [`Self::open`] does, and creates no folder: for what only reads.
    ///
    /// # Errors
    /// If there is no log in the folder; those of [`Self::open`].
    pub fn open_existing(&self) -> Result<SharedLog, LogError> {
        match self {
            Self::Embedded(folder) => Ok(Arc::new(EmbeddedLog::open_existing(folder)?)),
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => self.open(),
        }
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
