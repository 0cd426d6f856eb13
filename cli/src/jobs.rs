//! `yahtzee jobs`: the jobs, their topics, and the policies that are in force.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use serde::Serialize;
use yahtzee_core::erased::AnyJob;
use yahtzee_core::window::Policy;
use yahtzee_runtime::outln;
use yahtzee_runtime::topics::{TopicLayout, group};
use yahtzee_runtime::worker::JobPlan;

use crate::config::Config;
use crate::process::GlobalOptions;

/// Options of `yahtzee jobs`.
#[derive(Debug, Args)]
pub(crate) struct JobsOptions {
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct JobListing {
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
    clock_skew_ms: u32,
    series_max: usize,
    series_per_owner_max: usize,
    /// Destination of measurements outside the windows: the topic that receives their records, or `counted`.
    too_late: String,
}

pub(crate) fn jobs(global: &GlobalOptions, options: &JobsOptions) -> Result<()> {
    let config = global.load()?;
    let listed: Vec<JobListing> =
        plans(global, &config, &[])?.iter().map(|plan| list(&config, plan)).collect();
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&listed)?)?;
        return Ok(());
    }
    for job in listed {
        outln!("{} (generation {})", job.job, job.generation)?;
        outln!("  series      owner, {}", job.dimensions.join(", "))?;
        outln!("  topics      {} -> {}", job.raw_topic, job.summary_topic)?;
        outln!("  group       {}", job.consumer_group)?;
        outln!("  windows     {}", windows_text(&job))?;
        outln!("  caps        {}", caps_text(&job))?;
        outln!("  too late    {}", job.too_late)?;
    }
    Ok(())
}

fn windows_text(job: &JobListing) -> String {
    let JobListing {
        window_length_ms,
        lateness_windows,
        future_windows,
        flush_interval_ms,
        clock_skew_ms,
        ..
    } = job;
    format!(
        "{window_length_ms} ms, {lateness_windows} late, {future_windows} ahead, changes every \
         {flush_interval_ms} ms, clocks {clock_skew_ms} ms apart at most"
    )
}

fn caps_text(job: &JobListing) -> String {
    let JobListing { series_max, series_per_owner_max, .. } = job;
    format!("{series_max} series per window and partition, {series_per_owner_max} of them per owner")
}

/// Returns the destination of measurements that are too late or too early: the topic that receives their records, or
/// `counted`.
pub(crate) fn too_late(policy: &Policy, layout: &TopicLayout, measurement: &str) -> String {
    if policy.publishes_late { layout.late(measurement) } else { "counted".to_owned() }
}

fn list(config: &Config, plan: &JobPlan) -> JobListing {
    let (job, policy) = (&plan.job, plan.policy);
    JobListing {
        job: job.name(),
        generation: plan.generation,
        dimensions: job.dimensions(),
        raw_topic: config.layout.raw(job.measurement()),
        summary_topic: config.layout.summary(job.summary()),
        consumer_group: group(job.name(), plan.generation, &config.layout.version),
        window_length_ms: policy.length_ms,
        lateness_windows: policy.lateness_windows,
        future_windows: policy.future_windows,
        flush_interval_ms: policy.flush_interval_ms,
        clock_skew_ms: policy.clock_skew_ms,
        series_max: policy.series_max,
        series_per_owner_max: policy.series_per_owner_max,
        too_late: too_late(&policy, &config.layout, job.measurement()),
    }
}

/// Returns the jobs of these names (all if none is named) with the policies in force.
pub(crate) fn plans(global: &GlobalOptions, config: &Config, names: &[String]) -> Result<Vec<JobPlan>> {
    for name in names.iter().chain(config.jobs.keys()) {
        if global.jobs.find(name).is_none() {
            let known: Vec<&str> = global.jobs.all().iter().map(|job| job.name()).collect();
            bail!("there is no job `{name}`; the jobs are {}", known.join(", "));
        }
    }
    let is_named = |job: &&Arc<dyn AnyJob>| names.is_empty() || names.iter().any(|name| name == job.name());
    global.jobs.all().iter().filter(is_named).map(|job| plan(config, job)).collect()
}

/// Returns the plan of a job: its own values, except those that the configuration sets.
fn plan(config: &Config, job: &Arc<dyn AnyJob>) -> Result<JobPlan> {
    let (name, of_code) = (job.name(), job.generation());
    let section = config.jobs.get(name).copied().unwrap_or_default();
    let own = catch_unwind(AssertUnwindSafe(|| job.policy()));
    let own = own.map_err(|_| anyhow!("`policy` of job {name} panicked, see above; mend the job's code"))?;
    let (policy, generation) = (section.policy(own), section.generation.unwrap_or(of_code));
    policy.check().with_context(|| format!("policy of job {name}, its own and [jobs.{name}]"))?;
    ensure!(
        generation >= of_code,
        "jobs.{name}.generation = {generation} is below the generation {of_code} of the job's code; leave it out, or set a \
         greater one"
    );
    Ok(JobPlan { job: Arc::clone(job), policy, generation })
}

#[cfg(test)]
pub(crate) mod tests {
    use yahtzee_core::job::{Intake, Job};
    use yahtzee_pipeline_proto::{RecordOf, raw, summary};
    use yahtzee_runtime::config::Environment;

    use super::*;

    /// Reads what `log-loss` reads, and says neither where its summaries go nor what its policy is.
    pub(crate) struct Undecided;

    impl Job for Undecided {
        const NAME: &'static str = "undecided";
        const MEASUREMENT: &'static str = "LOG_LOSS";
        const GENERATION: u32 = 1;
        const DIMENSIONS: &'static [&'static str] = &[];
        type Record<'a> = RecordOf<raw::LogLoss>;
        type Accumulator = u64;
        type Summary = summary::LogLoss;

        fn fold(&self, _: &RecordOf<raw::LogLoss>, _: &mut Intake<'_, Self>) {}

        fn summarize(&self, _: &u64) -> summary::LogLoss {
            summary::LogLoss::default()
        }

        fn policy(&self) -> Policy {
            std::panic::resume_unwind(Box::new("as planned"))
        }
    }

    #[test]
    fn a_policy_that_panics_is_refused_with_the_name_of_its_job() {
        let job: Arc<dyn AnyJob> = Arc::new(Undecided);
        let config = Config::parse("", "test.toml", &Environment::default()).unwrap();
        let error = plan(&config, &job).err().unwrap();
        assert!(error.to_string().contains("job undecided"), "{error}");
    }
}
