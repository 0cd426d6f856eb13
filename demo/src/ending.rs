//! Stops the demo in the direction of the flow, so that the report includes everything that was received.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, bail};
use yahtzee_core::owner::Owner;
use yahtzee_ingress::{FrameOutcome, IngressSnapshot};
use yahtzee_runtime::log::{Bounds, CommittedOffset, SharedLog};
use yahtzee_runtime::process::Process;
use yahtzee_runtime::topics::TopicLayout;
use yahtzee_runtime::worker::{JobPlan, Progress};
use yahtzee_storage::embedded::EmbeddedStore;
use yahtzee_storage::job_topics::sink_group;
use yahtzee_storage::store::Row;

use crate::pipeline::{AppNames, RunningPipeline, figures, job_topics};
use crate::poster::PosterCounts;
use crate::report::{DemoReport, OwnerReport, SummaryReport};
use crate::source::{Feeding, Recorded};

/// Maximum time for one part to finish its input.
const PATIENCE: Duration = Duration::from_secs(60);
const TURN: Duration = Duration::from_millis(20);

/// Stops source, ingress, worker and sinks, each when the one before it has passed on everything.
pub(crate) fn end(
    process: &Process,
    pipeline: RunningPipeline,
    feeding: Feeding,
    (started, all_apps): (Instant, bool),
) -> Result<DemoReport> {
    let (posting, recorded) = feeding.finish(pipeline.has_failed())?;
    pipeline.ingress_stop.stop();
    let ends = pipeline.raw_ends()?;
    wait_until("the worker to read everything", || {
        let jobs = pipeline.progress.jobs();
        let has_read = |(job, end): (&&str, &u64)| jobs.get(job).is_some_and(|job| job.positions >= *end);
        Ok(pipeline.worker_stop.is_stopped() || ends.iter().all(has_read))
    })?;
    pipeline.worker_stop.stop();
    let stopped = |(job, failure)| Error::new(failure).context(format!("job {job} stopped"));
    pipeline.worker.join().map_err(stopped)?;
    process.block_on(pipeline.serving)??;
    let RunningPipeline { log, store, layout, plans, names, progress, ingress, sink, sink_stop, .. } =
        pipeline;
    wait_until("the sinks to store everything", || {
        let waiting = plans.iter().map(|plan| unstored(&layout, &log, plan));
        let waiting: Result<Vec<u64>> = waiting.collect();
        Ok(sink_stop.is_stopped() || waiting?.iter().sum::<u64>() == 0)
    })?;
    sink_stop.stop();
    sink.join()?;
    let mut report = counted(&ingress.stats().snapshot(), &progress, &plans, posting, &recorded);
    add_stored(&plans, &store, &names, all_apps, &mut report)?;
    report.elapsed_s = started.elapsed().as_secs_f64();
    Ok(report)
}

fn wait_until(what: &str, mut is_reached: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !is_reached()? {
        if started.elapsed() > PATIENCE {
            bail!(
                "waited {PATIENCE:?} for {what}; nothing is lost, start again with the same --data to continue"
            );
        }
        std::thread::sleep(TURN);
    }
    Ok(())
}

/// Returns the number of summary records of a job that its sink has not committed.
fn unstored(layout: &TopicLayout, log: &SharedLog, plan: &JobPlan) -> Result<u64> {
    let topics = job_topics(plan, layout);
    let group = sink_group("embedded", &topics.job, &layout.version);
    let partitions = topics.all_partitions();
    let committed = log.committed(&group, &topics.summary, &partitions)?;
    let bounds = log.bounds(&topics.summary, &partitions)?;
    let lag = |(committed, bounds): (Option<CommittedOffset>, Bounds)| {
        bounds.end.0 - committed.map_or(bounds.start, |committed| committed.offset).0
    };
    Ok(committed.into_iter().zip(bounds).map(lag).sum())
}

/// Returns the report with the counts of the running pipeline.
fn counted(
    received: &IngressSnapshot,
    progress: &Progress,
    plans: &[JobPlan],
    posting: Option<PosterCounts>,
    recorded: &Recorded,
) -> DemoReport {
    let frames: u64 = FrameOutcome::ALL.iter().map(|&outcome| received.frames(outcome)).sum();
    let mut report = DemoReport {
        frames: frames + recorded.chunks,
        lines: received.counts.all_lines() + recorded.counts.all_lines() + recorded.bad_lines,
        unreadable_lines: recorded.bad_lines,
        unreadable_inputs: recorded.unreadable_inputs.clone(),
        input_ended_early: recorded.ended_early,
        duplicates: received.frames(FrameOutcome::Duplicate),
        posting,
        ..DemoReport::default()
    };
    let jobs = progress.jobs();
    for plan in plans {
        let Some(job) = jobs.get(plan.job.name()) else { continue };
        report.measurements.insert(plan.job.measurement().to_owned(), job.outcomes.accepted);
        report.late += job.outcomes.late();
        report.future += job.outcomes.future;
        report.duplicates += job.outcomes.duplicate;
        report.poison += job.poison;
        report.commits += job.commits;
    }
    report
}

/// Adds the part of the report that is read from the store.
fn add_stored(
    plans: &[JobPlan],
    store: &EmbeddedStore,
    names: &AppNames,
    all_apps: bool,
    report: &mut DemoReport,
) -> Result<()> {
    let mut measurements_of: HashMap<Owner, u64> = HashMap::new();
    store.scan(|row| {
        report.summaries += 1;
        *measurements_of.entry(row.key.owner).or_default() += row.provenance.count;
    })?;
    report.owners = measurements_of.len() as u64;
    let busiest = measurements_of.into_iter().max_by_key(|&(owner, count)| (count, owner));
    let Some((owner, _)) = busiest else { return Ok(()) };
    let mut rows: BTreeMap<Owner, Vec<Row>> = BTreeMap::new();
    store.scan(|row| {
        if all_apps || row.key.owner == owner {
            rows.entry(row.key.owner).or_default().push(row);
        }
    })?;
    for (of, rows) in rows {
        let name = names.by_owner.get(&of).cloned().unwrap_or_else(|| of.to_string());
        let summaries = rows.iter().filter_map(|row| summary(plans, row)).collect();
        let app = OwnerReport { owner: of.to_string(), name, summaries };
        match of == owner {
            true => report.busiest_owner = Some(app),
            false => report.other_owners.push(app),
        }
    }
    report.owners_left_out = report.owners - 1 - report.other_owners.len() as u64;
    Ok(())
}

/// Returns the report of a row; `None` if it cannot be shown, which is logged.
fn summary(plans: &[JobPlan], row: &Row) -> Option<SummaryReport> {
    let unshown = |error: &Error| {
        tracing::warn!(job = row.job, key = ?row.key, %error, "a stored summary is missing from the report");
    };
    let figures = figures(plans, &row.job, &row.value).inspect_err(unshown).ok()?;
    Some(SummaryReport::new(&row.job, &row.key, &row.provenance, figures))
}
