//! `yahtzee verify`: compares what was published with the raw log.

use std::num::NonZeroU64;
use yahtzee_runtime::{out, outln};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use yahtzee_core::commit::Commit;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::log::{Isolation, MovingReader, SharedLog};
use yahtzee_runtime::replay::{PartitionReplay, ReplaySpan, Subject};
use yahtzee_runtime::topics::group;
use yahtzee_runtime::worker::JobPlan;

use crate::config::Config;
use crate::process::GlobalOptions;
use crate::replay::{RangeOptions, ReplayMeter, ReplayedPartition, Scope};
use crate::stores::{self, StoreName};

mod compare;
mod found;
mod report;

use compare::{Comparable, ComparedSummaries, compare};
use found::{StoredRows, topic_rows};
use report::{ComparedPlace, JobVerification, VerifyReport};

/// Recompute a range of the raw topics and compare it with what was published, byte for byte
///
/// Nothing is written, and workers are not disturbed. Each partition is read up to its worker's commit: everything
/// final up to there must have been published. The newest summary of every key counts, as it does for readers; windows
/// that the raw log does not hold whole, or that are not closed, are listed and not compared.
/// Exit code 0 if everything is equal, 1 if something differs, 2 if the command line is wrong.
///
/// The store is PostgreSQL where `[sink.postgres.shards]` names a shard, else the embedded one; --store chooses. Its rows of
/// the range are held in memory: for a long range of many apps choose --job, --owner or --from and --to. The embedded
/// store belongs to one process: stop the sink, or compare with --against topic.
///
/// After a repair with `yahtzee replay --as-generation G`, verify the same range with --generation G.
#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    /// Published summaries to compare with: the summary topic, the store, or both
    #[arg(long, value_enum, default_value_t = Against::Both)]
    against: Against,
    /// Store to compare with; default: postgres if the configuration has a shard, else embedded
    #[arg(long, value_enum, value_name = "STORE")]
    store: Option<StoreName>,
    /// Compare windows that are still open as well; they are equal only if the worker was shut down cleanly
    #[arg(long, conflicts_with_all = ["to", "to_offset"])]
    open: bool,
    /// Expected generation; default: the job's
    #[arg(long, value_name = "G")]
    generation: Option<u32>,
    /// Maximum number of differences to print per job; all are counted
    #[arg(long, value_name = "N", default_value_t = 20)]
    show: usize,
    /// Maximum number of records to read per second
    #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    range: RangeOptions,
}

/// Published summaries to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Against {
    /// The summary topic
    Topic,
    /// The store
    Store,
    /// Both
    Both,
}

pub(crate) fn verify(global: &GlobalOptions, options: &VerifyOptions) -> Result<()> {
    let config = global.load()?;
    let scope = options.range.scope(global, &config)?;
    let stored = match options.against {
        Against::Topic => None,
        Against::Store | Against::Both => {
            let store = stores::existing(&config, options.store)?;
            Some(StoredRows::read(&*store, &scope, config.layout.partitions)?)
        }
    };
    let log = config.log.open_existing()?;
    let report = Verification { config: &config, log, options, scope, stored }.run()?;
    match options.json {
        true => outln!("{}", serde_json::to_string_pretty(&report)?)?,
        false => out!("{}", report.text())?,
    }
    match NonZeroU64::new(report.differences()) {
        Some(differences) => bail!("{differences} differences"),
        None => Ok(()),
    }
}

struct Verification<'a> {
    config: &'a Config,
    log: SharedLog,
    options: &'a VerifyOptions,
    scope: Scope,
    stored: Option<StoredRows>,
}

impl Verification<'_> {
    fn run(mut self) -> Result<VerifyReport> {
        let plans = self.scope.plans.clone();
        let jobs: Vec<(Subject, Vec<Part>)> =
            plans.iter().map(|plan| self.parts(plan)).collect::<Result<_>>()?;
        let records = jobs.iter().flat_map(|(_, parts)| parts).map(|part| part.span.len()).sum();
        let mut meter = ReplayMeter::start(records, self.options.rate);
        let mut report = VerifyReport::default();
        for (subject, parts) in jobs {
            let job = subject.plan.job.name();
            report
                .jobs
                .push(self.job(&subject, parts, &mut meter).with_context(|| format!("verifying {job}"))?);
        }
        meter.finish();
        Ok(report)
    }

    /// Returns the topic of a job and the parts of it to read.
    fn parts(&self, plan: &JobPlan) -> Result<(Subject, Vec<Part>)> {
        let generation = self.options.generation.unwrap_or(plan.generation);
        let subject = Subject::open(&*self.log, plan, &self.config.layout, generation, 0)?;
        let spans = self.scope.range.resolve(&*self.log, &subject, &self.scope.partitions)?;
        let promised = self.promised(&subject)?;
        let parts = spans.into_iter().zip(promised).map(|(span, promised)| Part::of(span, promised));
        Ok((subject, parts.collect()))
    }

    /// Returns the offsets up to which the worker has committed, and so published everything final.
    fn promised(&self, subject: &Subject) -> Result<Vec<Option<Offset>>> {
        let JobPlan { job, generation, .. } = &subject.plan;
        let group = group(job.name(), *generation, &self.config.layout.version);
        let committed = self.log.committed(&group, &subject.raw, &self.scope.partitions)?;
        let position = |committed: Option<_>| {
            let committed: yahtzee_runtime::log::CommittedOffset = committed?;
            let (commit, identity) = Commit::read(committed.offset, &committed.metadata).ok()?;
            (identity.topic_id == subject.identity.topic_id).then_some(commit.position())
        };
        Ok(committed.into_iter().map(position).collect())
    }

    fn job(
        &mut self,
        subject: &Subject,
        parts: Vec<Part>,
        meter: &mut ReplayMeter,
    ) -> Result<JobVerification> {
        let plan = &subject.plan;
        let summary_topic = self.config.layout.summary(plan.job.summary());
        let mut report = JobVerification::of(subject, self.options.show);
        let (mut raw, mut summaries) =
            (subject.reader(), MovingReader::new(&summary_topic, Isolation::Committed));
        for part in parts {
            meter.begin(plan.job.name(), part.span.partition);
            let (mut expected, comparable) = self.recompute(subject, &mut raw, &part, &mut report, meter)?;
            if self.options.against != Against::Store {
                let found = topic_rows(&*self.log, &mut summaries, part.span.partition, &comparable)?;
                report.add(ComparedPlace::Topic, part.span.partition, compare(&expected, &found));
            }
            if let Some(stored) = &mut self.stored {
                let recomputed = expected.len();
                expected.retain(|key, _| !stored.has_dropped(plan.job.name(), key));
                report.leave_out_expired((recomputed - expected.len()) as u64);
                let found = stored.take(plan.job.name(), part.span.partition, &comparable);
                report.add(ComparedPlace::Store, part.span.partition, compare(&expected, &found));
            }
        }
        Ok(report)
    }

    /// Recomputes the expected summaries, and the windows for which they are complete.
    fn recompute(
        &self,
        subject: &Subject,
        reader: &mut MovingReader,
        part: &Part,
        report: &mut JobVerification,
        meter: &mut ReplayMeter,
    ) -> Result<(ComparedSummaries, Comparable)> {
        let span = &part.span;
        let owner = self.scope.owner;
        let mut replay = PartitionReplay::open(&*self.log, reader, subject, span.clone(), owner, None)?;
        let mut expected = ComparedSummaries::new();
        while !replay.is_done() {
            let before = replay.position();
            let summaries = replay.turn()?;
            expected.extend(summaries.into_iter().map(|summary| (summary.emit.key, summary.emit.value)));
            meter.advance(replay.position().0.saturating_sub(before.0));
        }
        let open_from = if self.options.open {
            let open = replay.take_open().into_iter();
            expected.extend(open.map(|summary| (summary.emit.key, summary.emit.value)));
            None
        } else {
            Some(replay.open_from())
        };
        let mut tally = replay.finish();
        if self.options.open {
            // These are compared, not left out.
            tally.still_open.clear();
        }
        let length_ms = subject.plan.policy.length_ms;
        report.read(ReplayedPartition::of(span, &tally, length_ms), expected.len() as u64, part.unpromised);
        let comparable = Comparable { span: span.clone(), owner, length_ms, open_from, tally };
        Ok((expected, comparable))
    }
}

/// Range to read of one partition.
struct Part {
    span: ReplaySpan,
    /// Records of the range that the worker has not committed; they are not read.
    unpromised: u64,
}

impl Part {
    /// Creates the range. Without a commit the whole span is read: what should have been published and was not is a
    /// difference.
    fn of(mut span: ReplaySpan, promised: Option<Offset>) -> Self {
        let end = span.end;
        span.end = promised.unwrap_or(end).clamp(span.start, end);
        Self { unpromised: end.0 - span.end.0, span }
    }
}

/// Returns whether the range selects the partition.
fn is_chosen(scope: &Scope, partition: Partition) -> bool {
    scope.partitions.binary_search(&partition).is_ok()
}
