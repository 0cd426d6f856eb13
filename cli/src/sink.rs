//! `yahtzee sink`: summaries from their topics into a store.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};
use clap::Subcommand;
use yahtzee_runtime::config::Config;
use yahtzee_runtime::health::Health;
use yahtzee_runtime::log::SharedLog;
use yahtzee_runtime::shutdown::StopSignal;
use yahtzee_runtime::worker::JobPlan;
use yahtzee_storage::embedded::EmbeddedStore;
use yahtzee_storage::sink::{self, SinkFailure, SinkPlan, Tap};

use crate::jobs::plans;
use crate::process::{GlobalOptions, Process};

/// Which store.
#[derive(Debug, Subcommand)]
pub(crate) enum SinkCommand {
    /// The store in a folder (`sink.embedded.folder`)
    Embedded {
        /// Jobs whose summaries are stored; all if none is named
        #[arg(value_name = "JOB")]
        jobs: Vec<String>,
    },
}

pub(crate) fn sink(global: &GlobalOptions, command: &SinkCommand) -> Result<()> {
    let SinkCommand::Embedded { jobs } = command;
    let process = Process::start(global)?;
    let plans = plans(global, &process.config, jobs)?;
    let store = Arc::new(EmbeddedStore::open(&process.config.sink.embedded_folder)?);
    let log = process.config.log.open()?;
    let threads = Sinks::start(&plans, &process.config, &log, &store, None, &process.health, &process.stop);
    process.block_on(process.stop.stopped());
    threads.join()
}

/// The threads of a sink process: one per job.
pub(crate) struct Sinks(Vec<(&'static str, JoinHandle<Result<(), SinkFailure>>)>);

impl Sinks {
    /// Starts one thread per job. A thread that fails for good stops the process.
    #[expect(clippy::too_many_arguments, reason = "the ends of one wiring, named at one call each")]
    pub(crate) fn start(
        plans: &[JobPlan],
        config: &Config,
        log: &SharedLog,
        store: &Arc<EmbeddedStore>,
        tap: Option<Arc<Tap>>,
        health: &Health,
        stop: &StopSignal,
    ) -> Self {
        let start = |plan: &JobPlan| {
            let plan = sink_plan(plan, config, tap.clone());
            let (log, store) = (Arc::clone(log), Arc::clone(store));
            let (health, stop) = (health.clone(), stop.clone());
            let job = plan.job;
            let thread = std::thread::Builder::new()
                .name(format!("sink-{job}"))
                .spawn(move || sink::run(&plan, &log, &store, &health, &stop).inspect_err(|_| stop.stop()))
                .expect("the system can start a thread");
            (job, thread)
        };
        Self(plans.iter().map(start).collect())
    }

    /// Waits for all threads and returns the first failure.
    pub(crate) fn join(self) -> Result<()> {
        let mut first = Ok(());
        for (job, thread) in self.0 {
            let ended = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            if let (Err(failure), Ok(())) = (ended, &first) {
                first = Err(anyhow!("sink of {job} stopped: {failure}"));
            }
        }
        first
    }
}

/// What the sink of a job reads.
pub(crate) fn sink_plan(plan: &JobPlan, config: &Config, tap: Option<Arc<Tap>>) -> SinkPlan {
    let job = plan.job.name();
    SinkPlan {
        job,
        topic: config.layout.summary(plan.job.summary()),
        partitions: config.layout.partitions,
        group: format!("yahtzee.sink.embedded.{job}.{}", config.layout.version),
        tap,
    }
}
