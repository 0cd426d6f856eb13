//! `yahtzee sink`: writes summaries from their topics to a store.

use anyhow::Result;
use clap::{Args, Subcommand};
use yahtzee_runtime::worker::JobPlan;
use yahtzee_storage::delivery::{DeliveryPlan, DeliveryRole, DeliveryTask};
use yahtzee_storage::retention::{NewestWindow, RetentionPlan, RetentionTask};

use crate::config::Config;
use crate::jobs::plans;
use crate::opening::{open_embedded_store, open_log};
use crate::process::GlobalOptions;
use crate::stores;

/// The store to write to.
#[derive(Debug, Subcommand)]
pub(crate) enum SinkCommand {
    /// Write to a store in a folder (`sink.embedded.folder`): one machine, one process, no server
    ///
    /// While the disk is full or fails, the sink waits and tries again; the log keeps everything. One that is started on a full
    /// disk waits as well.
    Embedded(SinkOptions),
    /// Write to PostgreSQL (`[sink.postgres.shards]`): any number of databases, a schema per day
    ///
    /// A shard that is down does not delay the others: summaries that it cannot take go to RETRY topics, so run
    /// `yahtzee retry postgres` beside this. A row that it will never take goes to QUARANTINE: see `yahtzee quarantine
    /// list`. While a shard refuses everything because a right is missing or a password is wrong, its summaries stay in
    /// their topics, and /readyz reports the reason.
    ///
    /// With the embedded log, which only one process at a time can open, the retry process runs within this one.
    ///
    /// Days are created ahead of midnight, and dropped after `sink.retention_days`, see --force.
    Postgres(SinkOptions),
}

/// Options of a sink.
#[derive(Debug, Args)]
pub(crate) struct SinkOptions {
    /// Jobs to store the summaries of; default: all
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// Drop at once all days that are past `sink.retention_days` by this machine's clock
    ///
    /// Without it, days are dropped two at a time, once an hour, and never beyond the newest window that this sink has
    /// stored less the retention: a clock that is wrong drops nothing.
    #[arg(long)]
    force: bool,
}

pub(crate) fn sink(global: &GlobalOptions, command: &SinkCommand) -> Result<()> {
    let config = global.load()?;
    let (SinkCommand::Embedded(options) | SinkCommand::Postgres(options)) = command;
    let plans = plans(global, &config, &options.jobs)?;
    let process = global.start(&config)?;
    let store = match command {
        SinkCommand::Embedded(_) => open_embedded_store(&config, &process)?,
        SinkCommand::Postgres(_) => Some(stores::postgres(&config)?),
    };
    let Some(store) = store else { return Ok(()) };
    let Some(log) = open_log(&config, &process, |_| Ok(()))? else { return Ok(()) };
    let retention = RetentionPlan {
        jobs: plans.iter().map(|plan| plan.job.name().into()).collect(),
        retention_days: config.sink.retention_days,
        newest: NewestWindow::default(),
        is_forced: options.force,
    };
    // The one shard of the embedded store is in this process, so that nothing waits in RETRY.
    let has_retry = matches!(command, SinkCommand::Postgres(_));
    let retries_here = has_retry && !config.log.is_shared();
    let start = |plan| DeliveryTask::start(plan, &log, &store, &process.health, &process.stop);
    let retry = retries_here.then(|| start(stores::retry_plan(&plans, &config, None))).transpose()?;
    let sink = start(plan(&plans, &config, has_retry, &retention.newest))?;
    let retention = RetentionTask::start(retention, &store, &process.health, &process.stop);
    process.block_on(process.stop.stopped());
    let ended = sink.join();
    let retry_ended = retry.map_or(Ok(()), DeliveryTask::join);
    retention.join();
    ended?;
    retry_ended?;
    Ok(process.check_alive()?)
}

fn plan(plans: &[JobPlan], config: &Config, has_retry: bool, newest: &NewestWindow) -> DeliveryPlan {
    DeliveryPlan {
        jobs: stores::topics_of(plans, config),
        version: config.layout.version.clone(),
        role: DeliveryRole::Sink { has_retry },
        settings: config.sink.delivery,
        observer: Some(newest.observer()),
    }
}
