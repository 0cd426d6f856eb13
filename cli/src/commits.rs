//! `yahtzee commits`: the commit of every partition, and how far its worker and its sinks are.

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use yahtzee_core::commit::{AcceptanceSettings, Identity};
use yahtzee_core::owner::Partition;
use yahtzee_runtime::log::{Log, LogError};
use yahtzee_runtime::topics::group;
use yahtzee_runtime::worker::{JobPlan, committed};
use yahtzee_runtime::{out, outln};

use crate::config::Config;
use crate::jobs::plans;
use crate::process::GlobalOptions;
use crate::stores::job_topics;

mod flags;
mod report;
mod sinks;

use flags::Deadline;
use report::{Committed, CommittedPartition, JobCommits};

/// Show how far workers and sinks have committed, and anything wrong with it
///
/// A job, and each of its sinks, has one line; partitions that need a look follow in full: those with a fault, with windows
/// that have lost input, or with records that nobody has read for minutes. --all shows every partition.
///
/// A commit is an offset c to read again from, and in its metadata the position h that was reached and the watermark,
/// which is the partition's event time. Position lag is the number of records not read yet; replay lag is the number
/// that a restart reads again, so it is never 0 while windows are open. The command only reads: it fences no worker and
/// joins no consumer group.
///
/// Below the partitions of a job come those of its summaries, as far as the sink of each store has committed them.
///
/// A watermark that does not move while the log grows belongs to a partition without a worker: see `yahtzee assign`.
#[derive(Debug, Args)]
pub(crate) struct CommitsOptions {
    /// Jobs to show; default: all
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// Show every partition in full
    #[arg(long)]
    all: bool,
    /// Print one JSON document instead of text; it has every partition
    #[arg(long)]
    json: bool,
}

pub(crate) fn commits(global: &GlobalOptions, options: &CommitsOptions) -> Result<()> {
    let config = global.load()?;
    let plans = plans(global, &config, &options.jobs)?;
    let log = config.log.open_existing()?;
    let now_ms = Timestamp::now().as_millisecond();
    let jobs: Vec<JobCommits> =
        plans.iter().map(|plan| job(&config, &*log, plan, now_ms)).collect::<Result<_>>()?;
    match options.json {
        true => outln!("{}", serde_json::to_string_pretty(&jobs)?)?,
        false => jobs.iter().try_for_each(|job| out!("{}", job.text(options.all)))?,
    }
    Ok(())
}

/// Returns the commits of one job. The topic is shown with the partitions it has, whatever is configured.
fn job(config: &Config, log: &dyn Log, plan: &JobPlan, now_ms: i64) -> Result<JobCommits> {
    let raw = config.layout.raw(plan.job.measurement());
    let Some(topic) = log.describe_topic(&raw)? else {
        return Err(LogError::NoSuchTopic { topic: raw, partition: None }.into());
    };
    let group = group(plan.job.name(), plan.generation, &config.layout.version);
    let partitions: Vec<Partition> = (0..topic.partitions).map(Partition).collect();
    let running = Identity {
        generation: plan.generation,
        topic_id: topic.id,
        partition_count: config.layout.partitions,
        window_length_ms: plan.policy.length_ms,
        acceptance: Some(AcceptanceSettings::of(&plan.policy, config.worker.slots, plan.job.dimensions())),
        owner_tag: Default::default(),
    };
    let deadline = Deadline::of(topic.retention_ms, now_ms);
    let summary = config.layout.summary(plan.job.summary());
    let committed = committed(|topic| log.committed(&group, topic, &partitions), &raw, &summary)?;
    let bounds = log.bounds(&raw, &partitions)?;
    let mut report = JobCommits::of(plan, &topic, group, config.layout.partitions);
    for ((partition, committed), bounds) in partitions.into_iter().zip(committed).zip(bounds) {
        let at_deadline = deadline.offset(log, &raw, partition)?;
        let read = committed.map(|committed| Committed::read(&committed));
        let flags = flags::of(read.as_ref(), &bounds, &running, at_deadline);
        report.partitions.push(CommittedPartition::of(partition, &bounds, read, flags, now_ms));
    }
    report.sinks = sinks::of_job(log, &job_topics(plan, config), &config.layout.version)?;
    Ok(report)
}
