//! One opening of a thread's partitions: read ahead, write what may be tried, settle, commit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_runtime::back_off::BackOff;
use yahtzee_runtime::clock::wall_clock_ms;
use yahtzee_runtime::log::{
    CommittedOffset, Headers, Isolation, Item, LogError, NewRecord, OffsetCommit, Reader,
};
use yahtzee_runtime::telemetry::names;

use super::Shared;
use super::lane::Lane;
use super::pending::{Ticket, Waiting};
use super::shard::{Left, ShardLane};
use crate::dead_letter::headers::FailureHeaders;
use crate::dead_letter::records;
use crate::store::Day;
use crate::store::Shard;
use crate::store::{OwnedSummary, UnusableSummary};
use crate::tracker::Tracker;

/// How long a poll waits, over all topics.
const POLL: Duration = Duration::from_millis(50);

/// The state of one opening.
pub(super) struct Session<'a> {
    lane: &'a Lane,
    /// By index of the job.
    readers: Vec<Box<dyn Reader>>,
    partitions: BTreeMap<(usize, Partition), Progress>,
    shards: Vec<ShardLane>,
    next_report: Instant,
    settled: u64,
    settled_at_report: u64,
}

/// What is known of one partition.
struct Progress {
    tracker: Tracker,
    committed: Offset,
}

impl<'a> Session<'a> {
    pub(super) fn open(lane: &'a Lane) -> Result<Self, LogError> {
        let (shared, wanted) = (&*lane.shared, &lane.place.partitions);
        let (mut readers, mut partitions) = (Vec::new(), BTreeMap::new());
        for (job, topics) in shared.jobs.iter().enumerate() {
            let committed = shared.log.committed(&shared.group, &topics.retry, wanted)?;
            let bounds = shared.log.bounds(&topics.retry, wanted)?;
            let mut from = Vec::new();
            for ((&partition, committed), bounds) in wanted.iter().zip(committed).zip(bounds) {
                let committed = committed.map_or(bounds.start, |committed| committed.offset);
                tell_lost(shared, &topics.retry, partition, bounds.start.0.saturating_sub(committed.0));
                let position = committed.max(bounds.start);
                from.push((partition, position));
                let progress = Progress { tracker: Tracker::new(position), committed: position };
                partitions.insert((job, partition), progress);
            }
            readers.push(shared.log.reader(&topics.retry, &from, Isolation::Committed)?);
        }
        let shards = lane.place.shards.iter().map(|&shard| ShardLane::new(&lane.shared, shard)).collect();
        let next_report = Instant::now();
        Ok(Self { lane, readers, partitions, shards, next_report, settled: 0, settled_at_report: 0 })
    }

    /// Works until the stop.
    pub(super) fn run(&mut self, log_back_off: &mut BackOff) -> Result<(), LogError> {
        while !self.shared().stop.is_stopped() {
            if self.has_room() {
                self.read()?;
            } else {
                self.wait();
            }
            for index in 0..self.shards.len() {
                let left = self.shards[index].turn(&self.lane.shared, Instant::now());
                self.settle(left)?;
            }
            self.commit()?;
            if self.next_report <= Instant::now() {
                self.next_report = Instant::now() + self.shared().settings.report_interval;
                self.report()?;
                log_back_off.reset();
            }
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        let settings = &self.shared().settings;
        let records: usize = self.shards.iter().map(|shard| shard.pending.len()).sum();
        let bytes: usize = self.shards.iter().map(|shard| shard.pending.bytes()).sum();
        records < settings.ahead_max && bytes < settings.ahead_bytes_max
    }

    /// Until a shard may be tried again.
    fn wait(&self) {
        let now = Instant::now();
        let next = self.shards.iter().filter_map(ShardLane::next_try).min().unwrap_or(now);
        self.shared().stop.wait(next.min(self.next_report).saturating_duration_since(now));
    }

    /// One poll of each topic.
    fn read(&mut self) -> Result<(), LogError> {
        let today = Day::today();
        let now = Instant::now();
        let is_due = self.shards.iter().any(|shard| shard.next_try().is_some_and(|at| at <= now));
        let topics = u32::try_from(self.readers.len().max(1)).unwrap_or(u32::MAX);
        let wait = if is_due { Duration::ZERO } else { POLL / topics };
        let mut left = Left::default();
        for (job, reader) in self.readers.iter_mut().enumerate() {
            for item in reader.poll(wait)? {
                match item {
                    Item::End(partition, next) => {
                        if let Some(progress) = self.partitions.get_mut(&(job, partition)) {
                            progress.tracker.reached(next);
                        }
                    }
                    Item::Record(partition, record, headers) => {
                        let ticket = Ticket { job, partition, offset: record.offset };
                        if let Some(progress) = self.partitions.get_mut(&(job, partition)) {
                            progress.tracker.take(record.offset);
                        }
                        sort(self.lane, &mut self.shards, ticket, (record, headers), today, &mut left);
                    }
                }
            }
        }
        self.settle(left)
    }

    /// Makes durable what goes elsewhere; then all that has left is settled.
    fn settle(&mut self, left: Left) -> Result<(), LogError> {
        let Left { tickets, records } = left;
        self.shared().appender.append_and_wait(&records)?;
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        self.settled += tickets.len() as u64;
        for (ticket, outcome) in tickets {
            if let Some(progress) = self.partitions.get_mut(&(ticket.job, ticket.partition)) {
                progress.tracker.settle(ticket.offset);
            }
            *counts.entry(outcome).or_default() += 1;
        }
        for (outcome, count) in counts {
            names::RETRY_SUMMARIES.with(&[self.shared().store.name(), outcome]).increment(count);
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LogError> {
        let shared = &self.lane.shared;
        let moved = self.partitions.iter_mut();
        let moved: Vec<_> =
            moved.filter(|(_, progress)| progress.committed < progress.tracker.committable()).collect();
        let offset = |((job, partition), progress): &(&(usize, Partition), &mut Progress)| OffsetCommit {
            topic: &shared.jobs[*job].retry,
            partition: *partition,
            committed: CommittedOffset { offset: progress.tracker.committable(), metadata: String::new() },
        };
        let offsets: Vec<OffsetCommit<'_>> = moved.iter().map(offset).collect();
        if !offsets.is_empty() {
            shared.log.commit(&shared.group, &offsets)?;
            for (_, progress) in moved {
                progress.committed = progress.tracker.committable();
            }
        }
        Ok(())
    }

    /// Tells operators how far it is: gauges always, a line where something has moved.
    fn report(&mut self) -> Result<(), LogError> {
        let shared = self.shared();
        let mut waiting = 0;
        for (job, topics) in shared.jobs.iter().enumerate() {
            let bounds = shared.log.bounds(&topics.retry, &self.lane.place.partitions)?;
            for (partition, bounds) in self.lane.place.partitions.iter().zip(bounds) {
                let committed = self.partitions.get(&(job, *partition)).map_or(bounds.end, |it| it.committed);
                waiting += bounds.end.0.saturating_sub(committed.0);
            }
        }
        let labels = &[shared.store.name(), self.lane.name.as_str()];
        let oldest_ms = self.shards.iter().filter_map(|shard| shard.pending.first_failure_ms()).min();
        let age_s = oldest_ms.map_or(0, |oldest_ms| (wall_clock_ms() - oldest_ms).max(0) / 1_000);
        names::RETRY_WAITING.with(labels).set(waiting as f64);
        names::RETRY_OLDEST_AGE_SECONDS.with(labels).set(age_s as f64);
        if self.settled > self.settled_at_report {
            let settled = self.settled - self.settled_at_report;
            tracing::info!(shard = self.lane.name, settled, waiting, oldest_age_s = age_s, "retry goes on");
            self.settled_at_report = self.settled;
        }
        Ok(())
    }

    fn shared(&self) -> &'a Shared {
        &self.lane.shared
    }
}

/// What retention deletes from RETRY is missing in the store until somebody replays it.
fn tell_lost(shared: &Shared, topic: &str, partition: Partition, lost: u64) {
    if lost > 0 {
        names::RETRY_LOST.with(&[shared.store.name()]).increment(lost);
        tracing::error!(topic, %partition, lost, "retention has deleted summaries that were not stored yet: replay them \
            with `yahtzee replay`, or read the summary topic again");
    }
}

/// Decides whose a record is: pending with a shard of this thread, or on its way elsewhere.
fn sort(
    lane: &Lane,
    shards: &mut [ShardLane],
    ticket: Ticket,
    (record, headers): (LogRecord<'_>, Headers<'_>),
    today: Day,
    left: &mut Left,
) {
    let trail = FailureHeaders::read(headers.iter());
    let shared = &*lane.shared;
    let topics = &shared.jobs[ticket.job];
    if trail.store.as_deref().is_some_and(|store| store != shared.store.name()) {
        return left.settled(ticket, "foreign");
    }
    match OwnedSummary::read(&topics.job, record.key, record.value, today) {
        Err(unusable) => {
            left.goes_on(ticket, "quarantined", unusable_record(shared, ticket, record, trail, unusable))
        }
        Ok(summary) => {
            let shard = shared.store.shard_of(&summary.parts);
            match shards.iter_mut().find(|of_thread| of_thread.shard == shard) {
                None => left.goes_on(ticket, "moved", moved_record(shared, ticket, record, trail, shard)),
                Some(of_thread) => {
                    let superseded = of_thread.pending.insert(Waiting { ticket, summary, trail, tries: 0 });
                    if let Some(superseded) = superseded {
                        left.settled(superseded, "superseded");
                    }
                }
            }
        }
    }
}

fn unusable_record(
    shared: &Shared,
    ticket: Ticket,
    record: LogRecord<'_>,
    trail: FailureHeaders,
    unusable: UnusableSummary,
) -> NewRecord {
    let trail = FailureHeaders { error: Some(unusable.to_string()), ..trail };
    records::quarantine(&shared.jobs[ticket.job], shared.store.name(), record.key, record.value, &trail)
}

fn moved_record(
    shared: &Shared,
    ticket: Ticket,
    record: LogRecord<'_>,
    trail: FailureHeaders,
    shard: Shard,
) -> NewRecord {
    let trail = FailureHeaders { shard: shared.shard_names.get(shard.index()).cloned(), ..trail };
    records::retry(&shared.jobs[ticket.job], shard, record.key, record.value, &trail)
}
