//! Shared parts of all subcommands: the options, the jobs, the configuration, and the process around long-running work.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use yahtzee_core::erased::AnyJob;
use yahtzee_core::job::Figures;
use yahtzee_core::partition::ResumeError;
use yahtzee_runtime::config::process_environment;
use yahtzee_runtime::metric_names;
use yahtzee_runtime::process::{Process, ProcessSettings};
use yahtzee_runtime::telemetry::logging::LogOutput;
use yahtzee_runtime::telemetry::metric::MetricDefinition;

use crate::config::Config;

/// Configuration file that is read by default, if it exists.
const DEFAULT_FILE: &str = "yahtzee.toml";

/// The metrics of every process.
const METRICS: &[&[MetricDefinition]] =
    &[yahtzee_ingress::metric_names::ALL, metric_names::ALL, yahtzee_storage::metric_names::ALL];

/// Options of every subcommand.
#[derive(Debug, Args)]
pub(crate) struct GlobalOptions {
    /// Configuration file; default: `yahtzee.toml` in the current folder, or the built-in defaults if there is none
    #[arg(long, global = true, value_name = "FILE", env = "YAHTZEE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The jobs that the command was built with.
    #[arg(skip)]
    pub(crate) jobs: Registry,
}

/// The jobs that the command was built with.
#[derive(Clone, Default)]
pub(crate) struct Registry(Vec<Arc<dyn AnyJob>>);

impl Registry {
    /// Returns every job, in the order of the list.
    pub(crate) fn all(&self) -> &[Arc<dyn AnyJob>] {
        &self.0
    }

    /// Refuses jobs that cannot be told apart, and one whose summaries could overwrite their provenance.
    pub(crate) fn check(&self) -> Result<()> {
        for (index, job) in self.0.iter().enumerate() {
            let (name, stem) = (job.name(), job.summary());
            for other in &self.0[..index] {
                let theirs = other.name();
                ensure!(name != theirs, "two jobs are called {name}; give one of them another `NAME`");
                ensure!(
                    stem != other.summary(),
                    "jobs {theirs} and {name} both have the stem {stem} and would overwrite each other's summaries; give \
                     one of them a `SUMMARY` of its own"
                );
            }
        }
        let refused = self.0.iter().find_map(|job| Some((job.name(), job.reserved_field()?)));
        refused.map_or(Ok(()), |(name, number)| Err(ResumeError::ReservedField { number }).context(name))
    }

    /// Returns the job of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<dyn AnyJob>> {
        self.0.iter().find(|job| job.name() == name)
    }

    /// Returns the figures of a summary value of the job of this name.
    pub(crate) fn figures(&self, name: &str, value: &[u8]) -> Result<Figures> {
        let job = self.find(name).ok_or_else(|| anyhow!("this command was built without job `{name}`"))?;
        Ok(job.figures(value)?)
    }
}

impl From<Vec<Arc<dyn AnyJob>>> for Registry {
    fn from(jobs: Vec<Arc<dyn AnyJob>>) -> Self {
        Self(jobs)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|job| job.name())).finish()
    }
}

impl GlobalOptions {
    /// Returns the checked configuration, with the environment applied.
    pub(crate) fn load(&self) -> Result<Config> {
        Ok(Config::load(self.file(), &process_environment())?)
    }

    /// Starts a process with a configuration. What else is asked of the process is checked before, so that a mistake in a
    /// flag is what its user reads.
    pub(crate) fn start(&self, config: &Config) -> Result<Process> {
        Ok(Process::start(ProcessSettings {
            log_format: config.log_format,
            log_filter: config.log_filter.clone(),
            log_output: LogOutput::StandardError,
            admin: config.admin,
            metrics: METRICS,
        })?)
    }

    /// Returns the file to read, if any.
    pub(crate) fn file(&self) -> Option<&Path> {
        let default = Path::new(DEFAULT_FILE);
        self.config.as_deref().or_else(|| default.exists().then_some(default))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::jobs::tests::Undecided;

    #[test]
    fn jobs_that_cannot_be_told_apart_are_refused() {
        fn check(further: &[Arc<dyn AnyJob>], expected: Option<&str>) {
            let registry: Registry = [yahtzee_jobs::all(), further.to_vec()].concat().into();
            let refused = registry.check().err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(refused, None),
                Some(part) => {
                    assert!(refused.as_ref().is_some_and(|text| text.contains(part)), "{refused:?}")
                }
            }
        }
        check(&[], None);
        check(&[yahtzee_jobs::find("errors").unwrap()], Some("two jobs are called errors"));
        check(&[Arc::new(Undecided)], Some("jobs log-loss and undecided both have the stem LOG_LOSS"));
    }

    #[test]
    fn metric_names_are_unique_over_all_crates_and_prefixed() {
        let all = || METRICS.iter().copied().flatten();
        let names: BTreeSet<&str> = all().map(|definition| definition.name).collect();
        assert_eq!(names.len(), all().count(), "two lists have the same name");
        for name in names {
            assert!(name.starts_with("yahtzee_"), "{name}");
            assert!(name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{name}");
        }
    }
}
