//! `yahtzee retry`: writes the summaries that a shard could not take once it can, and shows the waiting ones.

mod inspect;
mod list;

use anyhow::Result;
use clap::{Args, Subcommand};
use yahtzee_storage::delivery::DeliveryTask;

use self::inspect::InspectOptions;
use self::list::RetryListOptions;
use crate::jobs::plans;
use crate::opening::open_log;
use crate::process::GlobalOptions;
use crate::stores;

/// Subcommands of `yahtzee retry`.
#[derive(Debug, Subcommand)]
pub(crate) enum RetryCommand {
    /// Write the summaries that wait in the RETRY topics to PostgreSQL, for as long as it takes
    ///
    /// Runs one thread per shard. A shard that is down is tried with one batch, at most a minute apart, and drained
    /// when it works again; of each summary only the newest revision is written. Safe to stop, kill and start at any
    /// time.
    Postgres(RetryOptions),
    List(RetryListOptions),
    Inspect(InspectOptions),
}

/// Options of `yahtzee retry postgres`.
#[derive(Debug, Args)]
pub(crate) struct RetryOptions {
    /// Only this shard, and those that share its partition of the RETRY topics
    #[arg(long, value_name = "NAME")]
    shard: Option<String>,
}

pub(crate) fn retry(global: &GlobalOptions, command: &RetryCommand) -> Result<()> {
    match command {
        RetryCommand::Postgres(options) => run(global, options),
        RetryCommand::List(options) => list::list(global, options),
        RetryCommand::Inspect(options) => inspect::inspect(global, options),
    }
}

fn run(global: &GlobalOptions, options: &RetryOptions) -> Result<()> {
    let config = global.load()?;
    let process = global.start(&config)?;
    let store = stores::postgres(&config)?;
    let shard = options.shard.as_deref().map(|name| stores::shard_named(&*store, name)).transpose()?;
    let plan = stores::retry_plan(&plans(global, &config, &[])?, &config, shard);
    let Some(log) = open_log(&config, &process, |_| Ok(()))? else { return Ok(()) };
    let retry = DeliveryTask::start(plan, &log, &store, &process.health, &process.stop)?;
    process.block_on(process.stop.stopped());
    retry.join()?;
    Ok(process.check_alive()?)
}
