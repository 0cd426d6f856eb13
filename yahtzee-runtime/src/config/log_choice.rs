//! The log of a process, chosen and not yet opened.

use std::path::PathBuf;
use std::sync::Arc;

use crate::log::embedded::EmbeddedLog;
#[cfg(feature = "kafka")]
use crate::log::kafka::{KafkaLog, KafkaSettings};
use crate::log::{LogError, SharedLog};

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
