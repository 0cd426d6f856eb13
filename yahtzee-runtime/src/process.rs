//! A long-running process: everything around its work.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::runtime::Runtime;

use crate::admin;
use crate::health::{Condition, Health};
use crate::shutdown::{StopSignal, stop_on_signals};
use crate::telemetry::logging::{LogFormat, LogOutput, start_logging};
use crate::telemetry::metric::MetricDefinition;
use crate::threads;

/// The platform kills 30 s after SIGTERM; this leaves a margin.
const STOP_DEADLINE: Duration = Duration::from_secs(25);

/// Log output and admin address of a process.
#[derive(Debug)]
pub struct ProcessSettings {
    /// Form of log lines.
    pub log_format: LogFormat,
    /// Level or directives of log lines.
    pub log_filter: String,
    /// Destination of log lines.
    pub log_output: LogOutput,
    /// Address of `/metrics`, `/healthz` and `/readyz`; `None` for nowhere.
    pub admin: Option<SocketAddr>,
    /// The lists of metrics that are described there.
    pub metrics: &'static [&'static [MetricDefinition]],
}

/// Reasons why a process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Logging or metrics were set up before, or the log filter cannot be read.
    #[error("{0}")]
    Telemetry(String),
    /// The system refuses what every process needs.
    #[error("cannot {what}: {source}")]
    System {
        /// The failed operation.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A part has given up.
    #[error("{part}: {reason}")]
    Failed {
        /// Name of the part.
        part: String,
        /// Why.
        reason: String,
    },
    /// The admin address cannot be listened on.
    #[error(transparent)]
    Admin(std::io::Error),
}

/// A running process: its stop signal, its health and its I/O threads.
#[derive(Debug)]
pub struct Process {
    /// Given on SIGTERM and SIGINT, and by parts that cannot go on.
    pub stop: StopSignal,
    /// States that the parts report.
    pub health: Health,
    /// The admin address as bound, with the port that the system chose for port 0.
    pub admin: Option<SocketAddr>,
    runtime: Runtime,
}

impl Process {
    /// Starts logging, metrics, the I/O threads and the admin address, and listens to signals.
    ///
    /// # Errors
    /// If a part cannot be set up; see [`ProcessError`].
    pub fn start(settings: ProcessSettings) -> Result<Self, ProcessError> {
        start_logging(settings.log_format, &settings.log_filter, settings.log_output)
            .map_err(ProcessError::Telemetry)?;
        let metrics = admin::install_metrics(settings.metrics).map_err(ProcessError::Telemetry)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("io")
            .build()
            .map_err(|source| ProcessError::System { what: "start the I/O threads", source })?;
        let (stop, health) = (StopSignal::new(), Health::default());
        {
            let _inside = runtime.enter();
            stop_on_signals(&stop, STOP_DEADLINE)
                .map_err(|source| ProcessError::System { what: "listen to signals", source })?;
        }
        let mut process = Self { stop, health, admin: None, runtime };
        if let Some(address) = settings.admin {
            process.admin = Some(process.serve_admin(address, metrics).map_err(ProcessError::Admin)?);
        }
        Ok(process)
    }

    fn serve_admin(&self, address: SocketAddr, metrics: PrometheusHandle) -> std::io::Result<SocketAddr> {
        let listener = self.runtime.block_on(admin::listen(address))?;
        let address = listener.local_addr()?;
        let (health, stop) = (self.health.clone(), self.stop.clone());
        let served = admin::serve(listener, metrics, health.clone(), stop.clone());
        self.runtime.spawn(async move {
            threads::watch("admin", &health, &stop, async {
                if let Err(error) = served.await {
                    tracing::error!(%error, "the admin address cannot be served any more");
                }
            })
            .await;
        });
        Ok(address)
    }

    /// Fails if a part has given up: the exit code then says so, although all else has ended in order.
    ///
    /// # Errors
    /// The part, and why.
    pub fn check_alive(&self) -> Result<(), ProcessError> {
        let failed = self.health.parts().into_iter().find_map(|(part, condition)| match condition {
            Condition::Failed(reason) => Some(ProcessError::Failed { part, reason }),
            _ => None,
        });
        failed.map_or(Ok(()), Err)
    }

    /// Runs a future to its end on this thread and the I/O threads.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Starts a future on the I/O threads.
    pub fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.spawn(future)
    }
}

/// The end of a process stops its parts, whatever it ends for: a start that fails halfway drops the I/O threads, and what
/// they serve would otherwise report an end that nobody has asked for.
impl Drop for Process {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ends_has_stopped_its_parts() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (stop, health) = (StopSignal::new(), Health::default());
        let process = Process { stop: stop.clone(), health, admin: None, runtime };
        assert!(!stop.is_stopped());
        drop(process);
        assert!(stop.is_stopped());
    }
}
