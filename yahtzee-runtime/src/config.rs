//! One strict file for all processes, with overrides from the environment.
//!
//! Two stages: [`file::FileConfig`] is what was written, key by key with its documentation; [`Config`] is what it
//! means, checked, with relations between settings asserted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use yahtzee_core::window::Policy;

use crate::log::SharedLog;
use crate::log::embedded::EmbeddedLog;
use crate::log::kafka::{KafkaLog, KafkaSettings};
use crate::telemetry::logging::LogFormat;
use crate::topics::TopicLayout;
use crate::worker::{Guarantee, PoisonLimits};

mod check;
mod environment;
pub mod file;
mod sink;

pub use environment::worker_index_from;
pub use sink::{MapSection, ShardKey, SinkConfig};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which log.
    pub log: LogChoice,
    /// Names and sizes of topics.
    pub layout: TopicLayout,
    /// Settings of the worker process.
    pub worker: WorkerConfig,
    /// Window policy per job name, where it differs from the job's own.
    pub jobs: BTreeMap<String, file::JobSection>,
    /// Settings of the ingress process.
    pub ingress: IngressConfig,
    /// Settings of the sink process.
    pub sink: SinkConfig,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; `None` for nowhere.
    pub admin: Option<SocketAddr>,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// Level or directives of log lines.
    pub log_filter: String,
}

/// Which log, and where.
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
    /// Where the folder is in use, or no broker answers.
    pub fn open(&self) -> Result<SharedLog, crate::log::LogError> {
        Ok(match self {
            Self::Embedded(folder) => Arc::new(EmbeddedLog::open(folder)?),
            Self::Kafka(settings) => Arc::new(KafkaLog::connect((**settings).clone())?),
        })
    }
}

/// Settings of the worker process.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Number of slots.
    pub slots: u32,
    /// How summaries and commits are written.
    pub guarantee: Guarantee,
    /// How long a summary may take to be acknowledged.
    pub write_deadline: Duration,
    /// When unusable input stops a job.
    pub poison: PoisonLimits,
    /// A worker that stood still for longer than this ends itself.
    pub pause_max: Duration,
    /// Memory that windows may come to need, in bytes; `None` for all of the machine's.
    pub memory_max_bytes: Option<u64>,
}

/// Settings of the ingress process.
#[derive(Clone, Debug)]
pub struct IngressConfig {
    /// Where drains are received.
    pub listen: SocketAddr,
    /// `user:password` pairs of Basic authentication, and bearer tokens.
    pub credentials: Vec<Secret>,
    /// Drain token -> app UUID, in text.
    pub tokens: BTreeMap<String, String>,
    /// Greatest body, in bytes, after decompression.
    pub body_bytes_max: usize,
    /// Time from the end of a body to its reply, after which the reply is 503.
    pub ack_budget: Duration,
}

/// A text that is not shown: no `Debug`, `Display` or `Serialize` of it tells the content.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {path}: {reason}; `yahtzee config example` prints one to start from")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The text is not TOML, has an unknown key or a value of the wrong kind.
    #[error("configuration {origin}: {reason}")]
    Malformed {
        /// A path, or the name of an environment variable.
        origin: String,
        /// Where and why, as the parser tells it.
        reason: String,
    },
    /// Two settings contradict each other, or one is out of range.
    #[error("configuration: {0}")]
    Contradiction(String),
}

impl Config {
    /// Reads `path` (or nothing, for defaults alone), applies the environment, and checks.
    ///
    /// # Errors
    /// [`ConfigError`] names the file, key or variable and what to write instead.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let text = match path {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|reason| ConfigError::Unreadable { path: path.to_owned(), reason })?,
            None => String::new(),
        };
        let origin = path.map_or_else(|| "(defaults)".to_owned(), |path| path.display().to_string());
        Self::parse(&text, &origin, environment)
    }

    /// Checks a configuration text; `origin` names it in errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, origin: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let mut file = file::FileConfig::parse(text, origin)?;
        let overridden = environment::overrides(environment);
        if !overridden.is_empty() {
            file = environment::merge(text, origin, &overridden)?;
        }
        environment::apply_platform(&mut file, environment)?;
        check::check(file, environment)
    }

    /// The policy in force for a job: its own, where configuration does not say otherwise.
    #[must_use]
    pub fn policy(&self, job: &str, own: Policy) -> Policy {
        let Some(section) = self.jobs.get(job) else { return own };
        Policy {
            length_ms: section.window_length_ms.unwrap_or(own.length_ms),
            lateness_windows: section.lateness_windows.unwrap_or(own.lateness_windows),
            future_windows: section.future_windows.unwrap_or(own.future_windows),
            flush_interval_ms: section.flush_interval_ms.unwrap_or(own.flush_interval_ms),
            clock_skew_ms: section.clock_skew_ms.unwrap_or(own.clock_skew_ms),
            series_max: section.series_max.unwrap_or(own.series_max),
            series_per_owner_max: section.series_per_owner_max.unwrap_or(own.series_per_owner_max),
            publishes_late: section.publish_late.unwrap_or(own.publishes_late),
        }
    }
}

/// The environment variables that are looked at: handed in, so that tests need not touch the process's own.
pub type Environment = BTreeMap<String, String>;

/// The process's own environment; variables that are not UTF-8 are left out.
#[must_use]
pub fn process_environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests;
