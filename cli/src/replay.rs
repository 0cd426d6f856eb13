//! `yahtzee replay`: reads a range of the raw topics again, beside the running workers.

use std::time::{Duration, Instant};
use yahtzee_runtime::{out, outln};

use anyhow::{Context, Result, ensure};
use clap::Args;
use yahtzee_core::assignment::WorkerIndex;
use yahtzee_runtime::log::SharedLog;
use yahtzee_runtime::replay::{
    Begun, Journal, PartitionReplay, Publisher, Recomputed, ReplaySpan, ReplayTally, Subject,
};
use yahtzee_runtime::worker::JobPlan;

use crate::config::Config;
use crate::process::GlobalOptions;
use crate::run;

mod meter;
mod range;
mod report;
mod target;
mod time;

pub(crate) use meter::ReplayMeter;
pub(crate) use range::{RangeOptions, Scope};
pub(crate) use report::ReplayedPartition;

use report::{JobReplay, ReplayReport};
use target::{ReplayTarget, TargetOptions};

/// Maximum number of summaries that wait in memory for one write.
const BATCH_MAX: usize = 10_000;
/// Interval at which progress is saved.
const NOTE_INTERVAL: Duration = Duration::from_secs(2);

/// Recompute a range of the raw topics and publish it again, or only count it
///
/// Running workers are not disturbed: a replay has a consumer group and a writer of its own, `yahtzee.replay.ID.JOB`.
/// It publishes the same bytes as a worker, and only windows that it has seen whole, from their first record until they
/// were closed. With --from and --to it also reads the records around the range that these windows need: the future
/// bound and the clock skew before the first, the allowed lateness after the last. With --from-offset and --to-offset
/// it reads exactly these records; windows at both ends that may be incomplete are left out and listed.
///
/// An interrupted replay continues where it stopped when the same command is given again.
///
/// To look: `yahtzee replay --dry-run --from -2h`
///
/// To compare: `yahtzee replay --into SHADOW.v1 --job errors --from -2h --to -1h`
///
/// To repair: `yahtzee replay --as-generation 2 --job errors --from 2026-03-04T05:00:00Z`
#[derive(Debug, Args)]
pub(crate) struct ReplayOptions {
    #[command(flatten)]
    target: TargetOptions,
    /// Id of the replay, under which it can be continued; default: the shadow topic's name, or `gG`
    #[arg(long, value_name = "ID", conflicts_with = "dry_run")]
    id: Option<String>,
    /// Start from the beginning, even if an earlier attempt got further
    #[arg(long, conflicts_with = "dry_run")]
    fresh: bool,
    /// Maximum number of records to read per second
    #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Print one JSON document at the end instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    range: RangeOptions,
}

pub(crate) fn replay(global: &GlobalOptions, options: &ReplayOptions) -> Result<()> {
    let config = global.load()?;
    let scope = options.range.scope(global, &config)?;
    let target = options.target.target(global, &config, &scope.plans)?;
    let id = options.id.clone().unwrap_or_else(|| target.id());
    check_id(&id)?;
    let log = config.log.open_existing()?;
    target.create(&config, &scope.plans, &*log)?;
    let replay = Replay { config: &config, log, options, scope, target, id };
    let report = replay.run()?;
    match options.json {
        true => outln!("{}", serde_json::to_string_pretty(&report)?)?,
        false => out!("{}", report.text())?,
    }
    Ok(())
}

fn check_id(id: &str) -> Result<()> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    ensure!(
        (1..=200).contains(&id.len()) && id.bytes().all(is_legal),
        "--id {id:?} names a consumer group: write 1 to 200 of the characters a-z A-Z 0-9 . _ -"
    );
    Ok(())
}

struct Replay<'a> {
    config: &'a Config,
    log: SharedLog,
    options: &'a ReplayOptions,
    scope: Scope,
    target: ReplayTarget,
    id: String,
}

impl Replay<'_> {
    fn run(&self) -> Result<ReplayReport> {
        let begun: Vec<Begun> =
            self.scope.plans.iter().map(|plan| self.begin(plan)).collect::<Result<_>>()?;
        let records = begun.iter().flat_map(|begun| &begun.parts).map(|(span, _)| span.len()).sum();
        let mut meter = ReplayMeter::start(records, self.options.rate);
        let mut report = ReplayReport::of(&self.target, self.target.publishes().then_some(&*self.id));
        for begun in begun {
            let job = begun.subject.plan.job.name();
            let done = self.job(begun, &mut meter);
            report.jobs.push(done.with_context(|| self.interrupted(job))?);
        }
        meter.finish();
        Ok(report)
    }

    fn interrupted(&self, job: &str) -> String {
        match self.target.publishes() {
            true => {
                format!("replay {} of {job} was interrupted; give the same command again to go on", self.id)
            }
            false => format!("counting {job} was interrupted"),
        }
    }

    /// Determines the records to read. A dry run keeps no journal.
    fn begin(&self, plan: &JobPlan) -> Result<Begun> {
        let generation = self.target.generation(plan);
        let token = run::settings(self.config, WorkerIndex::ALONE).incarnation;
        let subject = Subject::open(&*self.log, plan, &self.config.layout, generation, token)?;
        let Scope { partitions, range, .. } = &self.scope;
        if !self.target.publishes() {
            let spans = range.resolve(&*self.log, &subject, partitions)?;
            let parts = spans.into_iter().map(|span| (span, None)).collect();
            return Ok(Begun { subject, parts, is_continued: false });
        }
        Ok(self.journal(&subject).begin(subject, partitions, range, self.options.fresh)?)
    }

    fn journal(&self, subject: &Subject) -> Journal<'_> {
        let generation = subject.identity.generation;
        let asked =
            format!("{} {} (generation {generation})", self.target.asked(), self.options.range.asked());
        Journal::new(&*self.log, &self.id, subject.plan.job.name(), &asked)
    }

    fn job(&self, begun: Begun, meter: &mut ReplayMeter) -> Result<JobReplay> {
        let Begun { subject, parts, is_continued } = begun;
        let topic = self.target.topic(&self.config.layout, &subject.plan);
        let mut output = match &topic {
            Some(topic) => {
                Output::Topic(Publisher::open(&*self.log, &self.journal(&subject).group(), &subject, topic)?)
            }
            None => Output::Nowhere,
        };
        let mut report = JobReplay::of(&subject, topic, is_continued);
        let mut reader = subject.reader();
        for (span, progress) in parts {
            let length_ms = subject.plan.policy.length_ms;
            meter.begin(subject.plan.job.name(), span.partition);
            let owner = self.scope.owner;
            let mut part =
                PartitionReplay::open(&*self.log, &mut reader, &subject, span.clone(), owner, progress)?;
            self.part(&mut part, &mut output, meter)?;
            let tally: ReplayTally = part.finish();
            report.partitions.push(ReplayedPartition::of(&span, &tally, length_ms));
        }
        Ok(report)
    }

    fn part(
        &self,
        part: &mut PartitionReplay<'_>,
        output: &mut Output,
        meter: &mut ReplayMeter,
    ) -> Result<()> {
        let ReplaySpan { start, .. } = *part.span();
        // What an earlier attempt has read counts as done.
        meter.advance(part.position().0.saturating_sub(start.0));
        let (mut waiting, mut noted) = (Vec::new(), Instant::now());
        while !part.is_done() {
            let before = part.position();
            waiting.extend(part.turn()?);
            let is_due = waiting.len() >= BATCH_MAX || noted.elapsed() >= NOTE_INTERVAL;
            if is_due || part.is_done() {
                output.write(std::mem::take(&mut waiting), part)?;
                noted = Instant::now();
            }
            meter.advance(part.position().0.saturating_sub(before.0));
        }
        Ok(())
    }
}

/// Destination of summaries.
enum Output {
    Nowhere,
    Topic(Publisher),
}

impl Output {
    fn write(&mut self, summaries: Vec<Recomputed>, part: &mut PartitionReplay<'_>) -> Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Topic(publisher) => Ok(publisher.write(summaries, part)?),
        }
    }
}
