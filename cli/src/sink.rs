//! `yahtzee sink`: summaries from their topics into a store.

use std::sync::Arc;

use anyhow::Result;
use clap::Subcommand;
use yahtzee_runtime::config::Config;
use yahtzee_runtime::worker::JobPlan;
use yahtzee_storage::embedded::EmbeddedStore;
use yahtzee_storage::job_topics::JobTopics;
use yahtzee_storage::sink::{Sink, SinkPlan, SinkSettings, Tap};
use yahtzee_storage::store::SummaryStore;

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
    let store: Arc<dyn SummaryStore> = Arc::new(EmbeddedStore::open(&process.config.sink.embedded_folder)?);
    let log = process.config.log.open()?;
    let plan = embedded_plan(&plans, &process.config, None);
    let sink = Sink::start(plan, &log, &store, &process.health, &process.stop)?;
    process.block_on(process.stop.stopped());
    Ok(sink.join()?)
}

/// What a sink into the embedded store carries: its one shard is in this process, so that nothing waits in RETRY.
pub(crate) fn embedded_plan(plans: &[JobPlan], config: &Config, tap: Option<Arc<Tap>>) -> SinkPlan {
    SinkPlan {
        jobs: plans.iter().map(|plan| job_topics(plan, config)).collect(),
        version: config.layout.version.clone(),
        has_retry: false,
        settings: SinkSettings::default(),
        tap,
    }
}

/// The topics around the summaries of a job.
pub(crate) fn job_topics(plan: &JobPlan, config: &Config) -> JobTopics {
    JobTopics::new(plan.job.name(), plan.job.summary(), &config.layout)
}
