//! `yahtzee run`: a worker process.

use anyhow::{Error, Result, anyhow};
use clap::Args;
use yahtzee_core::assignment::{WorkerIndex, slots_of};
use yahtzee_runtime::clock::since_1970;
use yahtzee_runtime::config::{process_environment, worker_index_from};
use yahtzee_runtime::worker::{
    JobPlan, MemoryBound, ProcessContext, Worker, WorkerSettings, memory_of_machine,
};

use crate::config::Config;
use crate::jobs::{plans, too_late};
use crate::opening::open_log;
use crate::process::GlobalOptions;

/// Options of `yahtzee run`: the share of the work that this process does.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// This worker's index, from 0, and the number of workers, as in `0/2`; default: from YAHTZEE_WORKERS with DYNO or
    /// HOSTNAME, else the only worker
    #[arg(long, value_name = "INDEX/COUNT")]
    worker: Option<String>,
    /// Jobs to run; default: all
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
}

pub(crate) fn run(global: &GlobalOptions, options: &RunOptions) -> Result<()> {
    let config = global.load()?;
    let worker = worker_index_from(options.worker.as_deref(), &process_environment())
        .map_err(|error| anyhow!(error))?;
    let plans = plans(global, &config, &options.jobs)?;
    let process = global.start(&config)?;
    announce(&config, worker, &plans);
    check_memory(&config, worker, &plans)?;
    let Some(log) = open_log(&config, &process, |_| Ok(()))? else { return Ok(()) };
    let settings = settings(&config, worker);
    let context = ProcessContext {
        stop: process.stop.clone(),
        health: process.health.clone(),
        ..ProcessContext::default()
    };
    let threads = Worker::start(plans, &log, &settings, &context);
    process.block_on(process.stop.stopped());
    let stopped = |(job, failure)| Error::new(failure).context(format!("job {job} stopped"));
    threads.join().map_err(stopped)?;
    Ok(process.check_alive()?)
}

/// Returns the settings of a worker, from configuration.
pub(crate) fn settings(config: &Config, worker: WorkerIndex) -> WorkerSettings {
    WorkerSettings {
        worker,
        slots: config.worker.slots,
        layout: config.layout.clone(),
        guarantee: config.worker.guarantee,
        incarnation: incarnation(),
        write_deadline: config.worker.write_deadline,
        poison: config.worker.poison,
        memory_max_bytes: memory_max_bytes(config),
        // The folder of an embedded log belongs to this process: nobody can have taken over.
        pause_max: config.log.is_shared().then_some(config.worker.pause_max),
    }
}

/// Returns a number that distinguishes two processes with the same index: start time and process id, mixed.
fn incarnation() -> u32 {
    (since_1970().as_millis() as u32).wrapping_mul(0x9e37_79b9) ^ std::process::id()
}

/// Logs the values in force: every lateness, interval and limit.
fn announce(config: &Config, worker: WorkerIndex, plans: &[JobPlan]) {
    let slots: Vec<u32> = slots_of(worker, config.worker.slots).collect();
    tracing::info!(
        %worker, ?slots, of_slots = config.worker.slots, partitions = config.layout.partitions,
        guarantee = ?config.worker.guarantee, "worker"
    );
    for JobPlan { job, policy, generation } in plans {
        tracing::info!(
            job = job.name(),
            generation,
            raw = config.layout.raw(job.measurement()),
            summary = config.layout.summary(job.summary()),
            window_length_ms = policy.length_ms,
            lateness_windows = policy.lateness_windows,
            future_windows = policy.future_windows,
            flush_interval_ms = policy.flush_interval_ms,
            clock_skew_ms = policy.clock_skew_ms,
            series_max = policy.series_max,
            series_per_owner_max = policy.series_per_owner_max,
            too_late = too_late(policy, &config.layout, job.measurement()),
            "job"
        );
    }
}

/// Logs how much memory the windows can take, and fails if that exceeds the limit.
pub(crate) fn check_memory(config: &Config, worker: WorkerIndex, plans: &[JobPlan]) -> Result<()> {
    let bound = MemoryBound::of(plans, worker, config.worker.slots, config.layout.partitions);
    let mebibytes = |bytes: u64| bytes >> 20;
    tracing::info!(
        series = bound.series,
        usual_mib = mebibytes(bound.usual_bytes),
        greatest_mib = bound.greatest_bytes.map(mebibytes),
        memory_max_mib = memory_max_bytes(config).map(mebibytes),
        need = ?config.worker.memory_need,
        "memory bound of windows and of what waits to be written: at usual sizes, and at the greatest that tenants can make of \
         them; a worker that outgrows the maximum ends"
    );
    let limit_bytes = memory_max_bytes(config).unwrap_or(u64::MAX);
    bound.check(config.worker.memory_need, limit_bytes).map_err(|error| anyhow!(error))
}

/// Returns the limit in force; `None` if none is configured and the machine does not say what it has.
fn memory_max_bytes(config: &Config) -> Option<u64> {
    config.worker.memory_max_bytes.or_else(memory_of_machine)
}
