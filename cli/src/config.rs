//! The configuration file of all processes, composed of the sections of the crates.
//!
//! | variable                                      | sets                                                      |
//! |-----------------------------------------------|-----------------------------------------------------------|
//! | `YAHTZEE_WORKER__SLOTS=4`                     | `worker.slots`; sections nest with further `__`           |
//! | `KAFKA_URL`                                   | `log.kind = "kafka"` and the brokers (`kafka+ssl://..`)   |
//! | `KAFKA_TRUSTED_CERT`, `KAFKA_CLIENT_CERT`, `KAFKA_CLIENT_CERT_KEY` | certificates, for `kafka+ssl`        |
//! | `KAFKA_PREFIX`                                | `log.kafka.prefix`                                        |
//! | `PORT`                                        | `ingress.listen = "0.0.0.0:PORT"`                         |
//! | `DYNO=worker.3` with `YAHTZEE_WORKERS=8`      | worker index 2 of 8 (dynos count from 1); a dyno of another process type is no worker |
//!
//! A `YAHTZEE_` variable takes precedence over a platform variable that sets the same key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use yahtzee_ingress::config::{IngressConfig, IngressSection};
use yahtzee_runtime::config::{
    AdminSection, ConfigError, Environment, JobSection, LogChoice, LogSection, LoggingSection, TopicsSection,
    WorkerConfig, WorkerSection, parse_file, read_text,
};
use yahtzee_runtime::telemetry::logging::LogFormat;
use yahtzee_runtime::topics::TopicLayout;
use yahtzee_storage::config::{SinkConfig, SinkSection};

mod acceptance;
mod command;

pub(crate) use command::{ConfigCommand, config};

/// The file as written. Unknown sections and keys are refused; `yahtzee.example.toml` shows every key with its
/// default.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct ConfigFile {
    log: LogSection,
    topics: TopicsSection,
    worker: WorkerSection,
    jobs: BTreeMap<String, JobSection>,
    ingress: IngressSection,
    sink: SinkSection,
    admin: AdminSection,
    logging: LoggingSection,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The log to use.
    pub(crate) log: LogChoice,
    /// Names and sizes of topics.
    pub(crate) layout: TopicLayout,
    /// Settings of the worker process.
    pub(crate) worker: WorkerConfig,
    /// Window policy per job name, where it differs from the job's own.
    pub(crate) jobs: BTreeMap<String, JobSection>,
    /// Settings of the ingress process.
    pub(crate) ingress: IngressConfig,
    /// Settings of the sink process.
    pub(crate) sink: SinkConfig,
    /// Address of `/metrics`, `/healthz` and `/readyz`; `None` for nowhere.
    pub(crate) admin: Option<SocketAddr>,
    /// Form of log lines.
    pub(crate) log_format: LogFormat,
    /// Level or directives of log lines.
    pub(crate) log_filter: String,
    /// The sections with what the environment says, as [`command`] prints them.
    sections: ConfigFile,
}

impl Config {
    /// Reads `path` (or nothing, for defaults alone), applies the environment, and checks.
    ///
    /// # Errors
    /// If the configuration is invalid: [`ConfigError`] names the file, key or variable and what to write instead.
    pub(crate) fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let (text, origin) = read_text(path)?;
        Self::parse(&text, &origin, environment)
    }

    /// Checks a configuration text; `origin` names it in errors.
    ///
    /// # Errors
    /// If [`Self::load`] would fail.
    pub(crate) fn parse(text: &str, origin: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let mut file: ConfigFile = parse_file(text, origin, environment)?;
        file.log = file.log.with_platform(environment)?;
        file.ingress = file.ingress.with_platform(environment);
        let sections = file.clone();
        let layout = file.topics.check(file.sink.retention_days, file.worker.guarantee)?;
        file.jobs.iter().try_for_each(|(name, section)| section.check(name))?;
        file.logging.check()?;
        let config = Self {
            sections,
            log: file.log.check(environment, file.worker.write_deadline())?,
            worker: file.worker.check(&layout)?,
            layout,
            jobs: file.jobs,
            ingress: file.ingress.check(environment)?,
            sink: file.sink.check(environment)?,
            admin: file.admin.check()?,
            log_format: file.logging.format,
            log_filter: file.logging.filter,
        };
        config.check_together()?;
        Ok(config)
    }

    /// Refuses values of two sections that one process cannot have at a time.
    fn check_together(&self) -> Result<(), ConfigError> {
        let (drains, admin) = (self.ingress.listen, self.admin);
        let overlap = |admin: &SocketAddr| {
            let is_any = drains.ip().is_unspecified() || admin.ip().is_unspecified();
            admin.port() != 0 && admin.port() == drains.port() && (is_any || admin.ip() == drains.ip())
        };
        if let Some(admin) = admin.filter(overlap) {
            return Err(ConfigError::Contradiction(format!(
                "ingress.listen = \"{drains}\" and admin.listen = \"{admin}\" are one address; give each a port of its own"
            )));
        }
        match &self.log {
            LogChoice::Embedded(folder) if *folder == self.sink.embedded_folder => {
                Err(ConfigError::Contradiction(format!(
                    "log.embedded.folder and sink.embedded.folder are both {}; give each a folder of its own",
                    folder.display()
                )))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
