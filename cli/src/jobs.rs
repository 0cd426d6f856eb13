//! `yahtzee jobs`: the jobs, their topics, and the policies that are in force.

use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use yahtzee_core::job::AnyJob;
use yahtzee_runtime::config::Config;
use yahtzee_runtime::topics::group;
use yahtzee_runtime::worker::JobPlan;

use crate::process::GlobalOptions;

/// How to list the jobs.
#[derive(Debug, Args)]
pub(crate) struct JobsOptions {
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listed {
    job: &'static str,
    generation: u32,
    dimensions: &'static [&'static str],
    raw_topic: String,
    summary_topic: String,
    consumer_group: String,
    window_length_ms: u32,
    lateness_windows: u32,
    future_windows: u32,
    flush_interval_ms: u64,
}

pub(crate) fn jobs(global: &GlobalOptions, options: &JobsOptions) -> Result<()> {
    let config = global.load()?;
    let listed: Vec<Listed> = plans(global, &config, &[])?.iter().map(|plan| list(&config, plan)).collect();
    if options.json {
        println!("{}", serde_json::to_string_pretty(&listed)?);
        return Ok(());
    }
    for job in listed {
        println!("{} (generation {})", job.job, job.generation);
        println!("  series      owner, {}", job.dimensions.join(", "));
        println!("  topics      {} -> {}", job.raw_topic, job.summary_topic);
        println!("  group       {}", job.consumer_group);
        println!("  {}", policy_text(&job));
    }
    Ok(())
}

fn policy_text(job: &Listed) -> String {
    let Listed { window_length_ms, lateness_windows, future_windows, flush_interval_ms, .. } = job;
    format!(
        "windows     {window_length_ms} ms, {lateness_windows} late, {future_windows} ahead, \
         changes every {flush_interval_ms} ms"
    )
}

fn list(config: &Config, plan: &JobPlan) -> Listed {
    let (job, policy) = (&plan.job, plan.policy);
    Listed {
        job: job.name(),
        generation: job.generation(),
        dimensions: job.dimensions(),
        raw_topic: config.layout.raw(job.measurement()),
        summary_topic: config.layout.summary(job.summary()),
        consumer_group: group(job.name(), job.generation(), &config.layout.version),
        window_length_ms: policy.length_ms,
        lateness_windows: policy.lateness,
        future_windows: policy.future,
        flush_interval_ms: policy.flush_interval_ms,
    }
}

/// The jobs of these names (all if none is named) with the policies that are in force.
pub(crate) fn plans(global: &GlobalOptions, config: &Config, names: &[String]) -> Result<Vec<JobPlan>> {
    for name in names.iter().chain(config.jobs.keys()) {
        if global.jobs.find(name).is_none() {
            let known: Vec<&str> = global.jobs.all().iter().map(|job| job.name()).collect();
            bail!("there is no job `{name}`; the jobs are {}", known.join(", "));
        }
    }
    let is_named = |job: &&Arc<dyn AnyJob>| names.is_empty() || names.iter().any(|name| name == job.name());
    let plan = |job: &Arc<dyn AnyJob>| JobPlan {
        job: Arc::clone(job),
        policy: config.policy(job.name(), job.policy()),
    };
    Ok(global.jobs.all().iter().filter(is_named).map(plan).collect())
}
