//! The whole worker: reads a filled topic from its beginning, folds, writes summaries, commits, and stops.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use yahtzee_core::assignment::WorkerIndex;
use yahtzee_core::job::Job;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_core::summary::Provenance;
use yahtzee_core::window::Policy;
use yahtzee_jobs::router_latency::RouterLatency;
use yahtzee_runtime::admin::install_metrics;
use yahtzee_runtime::log::{Isolation, SharedLog};
use yahtzee_runtime::topics::group;
use yahtzee_runtime::worker::{
    Guarantee, JobPlan, JobProgress, PoisonLimits, ProcessContext, Worker, WorkerSettings,
};

use crate::case::Run;
use crate::client::each_record;
use crate::measure::measured;
use crate::oracle::{Output, Totals};
use crate::site::{LogSite, ends, partitions};

/// Four partitions each, as by default.
const SLOTS: u32 = 2;
/// How often is looked whether all is read.
const LOOK: Duration = Duration::from_millis(10);
/// Looks until a worker is given up: ten minutes.
const LOOKS_MAX: u32 = 60_000;
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// Runs a worker from the first record to the last commit.
pub(crate) fn drain(site: &LogSite, guarantee: Guarantee, policy: Policy) -> Result<Run> {
    // A worker counts into the exporter's recorder; a second run in one process keeps the first one's.
    drop(install_metrics(&[]));
    let log = site.open()?;
    let summary_topic = site.layout().summary(RouterLatency::SUMMARY);
    let written_before = ends(&*log, &summary_topic)?;
    let raw_records = ends(&*log, &site.raw_topic())?.iter().map(|(_, end)| end.0).sum();
    let plan = JobPlan { policy, generation: site.generation, ..JobPlan::new(Arc::new(RouterLatency)) };
    let (progress, cost) = measured(|| run(plan, &log, &settings(site, guarantee), raw_records));
    let progress = progress?;
    require_commits(&log, site)?;
    let late = progress.outcomes.late();
    let totals = totals(&log, &summary_topic, &written_before, site.generation)?;
    let output = Output::Folded(Totals { late, ..totals });
    Ok(Run { cost, passes: 1, output, summaries: progress.summaries, commits: progress.commits })
}

/// Starts the worker, stops it when it has read everything, and waits until it has written everything.
fn run(plan: JobPlan, log: &SharedLog, settings: &WorkerSettings, records: u64) -> Result<JobProgress> {
    let context = ProcessContext::default();
    let name = plan.job.name();
    let worker = Worker::start(vec![plan], log, settings, &context);
    let progress = || context.progress.jobs().get(name).copied().unwrap_or_default();
    let mut looks = 0;
    while progress().records < records && looks < LOOKS_MAX && !context.stop.wait(LOOK) {
        looks += 1;
    }
    context.stop.stop();
    worker.join().map_err(|(job, failure)| anyhow!("job {job}: {failure}"))?;
    let progress = progress();
    ensure!(progress.records == records, "{} of {records} records were read", progress.records);
    Ok(progress)
}

fn settings(site: &LogSite, guarantee: Guarantee) -> WorkerSettings {
    WorkerSettings {
        worker: WorkerIndex::ALONE,
        slots: SLOTS,
        layout: site.layout(),
        guarantee,
        incarnation: site.generation,
        write_deadline: WRITE_DEADLINE,
        poison: PoisonLimits::default(),
        memory_max_bytes: None,
        pause_max: None,
    }
}

/// A worker that has ended without committing every partition has not done its work.
fn require_commits(log: &SharedLog, site: &LogSite) -> Result<()> {
    let group = group(RouterLatency::NAME, site.generation, &site.version);
    let committed = log.committed(&group, &site.raw_topic(), &partitions())?;
    ensure!(committed.iter().all(Option::is_some), "a partition was not committed: {committed:?}");
    Ok(())
}

/// Adds up the newest summaries of one generation in what was written since.
fn totals(log: &SharedLog, topic: &str, since: &[(Partition, Offset)], generation: u32) -> Result<Totals> {
    let mut newest = HashMap::new();
    each_record(log, topic, since, Isolation::Committed, |key, value| {
        let revision = Provenance::of_value(value)?.revision();
        let is_newer = newest.get(key).is_none_or(|(newest, _)| revision > *newest);
        if revision.generation == generation && is_newer {
            newest.insert(key.to_vec(), (revision, value.to_vec()));
        }
        Ok(())
    })?;
    let mut totals = Totals::default();
    for (_, value) in newest.values() {
        totals.add_summary(value).context("reading a summary")?;
    }
    Ok(totals)
}
