//! What all long-running subcommands share: configuration, logging, metrics, health, signals.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::runtime::Runtime;
use yahtzee_core::erased::AnyJob;
use yahtzee_core::job::Figures;
use yahtzee_runtime::admin;
use yahtzee_runtime::config::{Config, Environment, process_environment};
use yahtzee_runtime::health::Health;
use yahtzee_runtime::shutdown::{StopSignal, stop_on_signals};
use yahtzee_runtime::telemetry::logging::{LogOutput, start_logging};
use yahtzee_runtime::telemetry::metric::MetricDefinition;
use yahtzee_runtime::telemetry::names;

/// The file that is read where none is named, if it is there.
const DEFAULT_FILE: &str = "yahtzee.toml";

/// The metrics of every process.
const METRICS: &[&[MetricDefinition]] =
    &[yahtzee_ingress::metric_names::ALL, names::ALL, yahtzee_storage::metric_names::ALL];

/// The platform kills 30 s after SIGTERM; this leaves a margin.
const STOP_DEADLINE: Duration = Duration::from_secs(25);

/// Options of every subcommand.
#[derive(Debug, Args)]
pub(crate) struct GlobalOptions {
    /// Configuration file; without it `yahtzee.toml` in this folder, if there is one, else defaults
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
    /// Every job, in the order of the list.
    pub(crate) fn all(&self) -> &[Arc<dyn AnyJob>] {
        &self.0
    }

    /// The job of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<dyn AnyJob>> {
        self.0.iter().find(|job| job.name() == name)
    }

    /// The figures of a summary value of the job of this name.
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
    /// The checked configuration, with the environment applied.
    pub(crate) fn load(&self) -> Result<Config> {
        Ok(Config::load(self.file(), &process_environment())?)
    }

    /// The file that is read, if any.
    pub(crate) fn file(&self) -> Option<&Path> {
        let default = Path::new(DEFAULT_FILE);
        self.config.as_deref().or_else(|| default.exists().then_some(default))
    }
}

/// A long-running process: everything around its work.
pub(crate) struct Process {
    pub(crate) config: Config,
    pub(crate) environment: Environment,
    pub(crate) stop: StopSignal,
    pub(crate) health: Health,
    /// Where the admin address is really listened on.
    pub(crate) admin: Option<SocketAddr>,
    metrics: PrometheusHandle,
    runtime: Runtime,
}

impl Process {
    /// Loads the configuration, starts logging and the admin address, and listens to signals.
    pub(crate) fn start(global: &GlobalOptions) -> Result<Self> {
        Self::start_with(global.load()?, LogOutput::StandardError)
    }

    /// As [`Self::start`], with a configuration that is already there.
    pub(crate) fn start_with(config: Config, log_output: LogOutput) -> Result<Self> {
        start_logging(config.log_format, &config.log_filter, log_output).map_err(|error| anyhow!(error))?;
        let metrics = admin::install_metrics(METRICS).map_err(|error| anyhow!(error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("io")
            .build()
            .context("cannot start the I/O threads")?;
        let (stop, health) = (StopSignal::new(), Health::default());
        {
            let _inside = runtime.enter();
            stop_on_signals(&stop, STOP_DEADLINE).context("cannot listen to signals")?;
        }
        let environment = process_environment();
        let mut process = Self { config, environment, stop, health, admin: None, metrics, runtime };
        process.admin = process.serve_admin()?;
        Ok(process)
    }

    fn serve_admin(&self) -> Result<Option<SocketAddr>> {
        let Some(address) = self.config.admin else { return Ok(None) };
        let listener = self.runtime.block_on(admin::listen(address))?;
        let address = listener.local_addr()?;
        let served = admin::serve(listener, self.metrics.clone(), self.health.clone(), self.stop.clone());
        self.runtime.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "admin address ended");
            }
        });
        Ok(Some(address))
    }

    /// Runs a future on this thread and the I/O threads.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Runs a future on the I/O threads.
    pub(crate) fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.spawn(future)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

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
