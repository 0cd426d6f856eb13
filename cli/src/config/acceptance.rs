//! Whether every process would start with a configuration, asked of the functions that the processes call.

use anyhow::{Result, anyhow};
use yahtzee_runtime::config::{Environment, is_other_dyno, process_environment, worker_index_from};

use super::Config;
use crate::process::GlobalOptions;
use crate::{jobs, run, stores};

/// Refuses what a process would refuse at its start, for the worker of this index as `run --worker` takes it.
pub(super) fn check(global: &GlobalOptions, config: &Config, worker: Option<&str>) -> Result<()> {
    let plans = jobs::plans(global, config, &[])?;
    let environment = process_environment();
    let first = first_worker(&environment).filter(|_| is_other_dyno(&environment));
    let worker =
        worker_index_from(worker.or(first.as_deref()), &environment).map_err(|error| anyhow!(error))?;
    config.log.check()?;
    run::check_memory(config, worker, &plans)?;
    config.ingress.settings().validate(config.ingress.listen)?;
    let postgres = &config.sink.postgres;
    if !postgres.shards.is_empty() || postgres.map.iter().any(|part| !part.shards.is_empty()) {
        stores::postgres(config)?;
    }
    Ok(())
}

/// Returns the first of the platform's workers, for which the configuration is checked where none of them runs.
fn first_worker(environment: &Environment) -> Option<String> {
    environment.get("YAHTZEE_WORKERS").map(|count| format!("0/{count}"))
}
