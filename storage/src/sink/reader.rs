//! The reader of one job: from its topic into the queues of the shards, and back the commits of what is settled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_runtime::back_off::{self, BackOff};
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::{CommittedOffset, Isolation, Item, LogError, OffsetCommit, Reader};

use super::counting::JobGauges;
use super::handover::Refused;
use super::job::{Interruption, Job, Ticket};
use super::queue::{Offer, Parcel, Queue};
use super::{Shared, SinkFailure};
use crate::store::Day;
use crate::store::OwnedSummary;
use crate::store::Shard;

/// How long one poll waits; also how soon a stop is seen.
const POLL: Duration = Duration::from_millis(50);
/// First and greatest wait before the log is tried again.
const LOG_BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Reads until the stop. `None` where the log was not there at the end, so that there is nothing to commit.
///
/// # Errors
/// Where the log fails for good.
pub(super) fn run(shared: &Arc<Shared>, index: usize) -> Result<Option<Session>, SinkFailure> {
    let job = &shared.jobs[index];
    let part = format!("sink-{}", job.topics.job);
    let mut back_off = BackOff::new(LOG_BACK_OFF.0, LOG_BACK_OFF.1, back_off::seed());
    while !shared.stop.is_stopped() {
        match Session::open(shared, index).and_then(|session| session.run(&part, &mut back_off)) {
            Ok(Ended::Stopped(session)) => return Ok(Some(*session)),
            Ok(Ended::Mended) => tracing::info!(job = %job.topics.job, "what was held is read again"),
            Err(error) if may_pass(&error) => {
                tracing::warn!(job = %job.topics.job, %error, "sink begins again at its last commit");
                shared.health.set(&part, Condition::Troubled(error.to_string()));
                shared.stop.wait(back_off.next_wait());
            }
            Err(error) => {
                let failure = SinkFailure { job: job.topics.job.to_string(), error };
                tracing::error!(%failure, "sink stopped");
                shared.health.set(&part, Condition::Failed(failure.to_string()));
                shared.stop.stop();
                return Err(failure);
            }
        }
    }
    Ok(None)
}

/// Retention may overtake a reader: summaries that it has deleted are superseded or expired.
fn may_pass(error: &LogError) -> bool {
    error.is_transient() || matches!(error, LogError::OffsetOutOfRange { .. })
}

/// How a session has ended without an error.
enum Ended {
    Stopped(Box<Session>),
    Mended,
}

/// One opening of the reader.
pub(super) struct Session {
    shared: Arc<Shared>,
    index: usize,
    epoch: u64,
    reader: Option<Box<dyn Reader>>,
    /// By partition; what was committed last.
    committed: Vec<Offset>,
    next_commit: Instant,
    diverted: Vec<Refused>,
    gauges: JobGauges,
}

impl Session {
    fn open(shared: &Arc<Shared>, index: usize) -> Result<Self, LogError> {
        let Job { topics, group, .. } = &shared.jobs[index];
        let partitions = topics.all_partitions();
        shared.check_topics(topics)?;
        let committed = shared.log.committed(group, &topics.summary, &partitions)?;
        let bounds = shared.log.bounds(&topics.summary, &partitions)?;
        // Summaries that retention has deleted are superseded or expired: reading on at the start loses nothing.
        let positions = committed.iter().zip(&bounds).map(|(committed, bounds)| {
            committed.as_ref().map_or(bounds.start, |at| at.offset.max(bounds.start))
        });
        let positions: Vec<Offset> = positions.collect();
        let assigned: Vec<(Partition, Offset)> =
            partitions.into_iter().zip(positions.iter().copied()).collect();
        let reader = shared.log.reader(&topics.summary, &assigned, Isolation::Committed)?;
        Ok(Self {
            index,
            epoch: shared.jobs[index].open(&positions),
            reader: Some(reader),
            committed: positions,
            next_commit: Instant::now(),
            diverted: Vec::new(),
            gauges: JobGauges::new(&topics.summary),
            shared: Arc::clone(shared),
        })
    }

    fn run(mut self, part: &str, back_off: &mut BackOff) -> Result<Ended, LogError> {
        self.shared.health.set(part, Condition::Ready);
        let mut reader = self.reader.take().expect("a session runs once");
        while !self.shared.stop.is_stopped() {
            match self.job().interruption() {
                Some(Interruption::Failed(error)) => return Err(error),
                Some(Interruption::Mended) => return Ok(Ended::Mended),
                None => {}
            }
            self.read(&mut *reader)?;
            if self.next_commit <= Instant::now() {
                self.next_commit = Instant::now() + self.shared.settings.commit_interval;
                self.commit()?;
                self.set_gauges(&*reader);
                back_off.reset();
            }
        }
        Ok(Ended::Stopped(Box::new(self)))
    }

    /// Commits what was settled since. The process ends, so a failure only means that more is read again.
    pub(super) fn close(mut self) {
        if let Err(error) = self.commit() {
            tracing::warn!(job = %self.job().topics.job, %error, "the last commit failed: some summaries come again");
        }
    }

    /// Hands one batch to the shards.
    fn read(&mut self, reader: &mut dyn Reader) -> Result<(), LogError> {
        let today = Day::today();
        for item in reader.poll(POLL)? {
            match item {
                Item::End(partition, next) => self.job().reached(partition, next),
                Item::Record(partition, record, _) => {
                    let ticket =
                        Ticket { job: self.index, epoch: self.epoch, partition, offset: record.offset };
                    if !self.take(ticket) {
                        break;
                    }
                    self.route(ticket, record, today);
                }
            }
        }
        self.divert();
        Ok(())
    }

    /// Opens the ticket as soon as its partition is not too far ahead. False where the session is to end instead.
    fn take(&mut self, ticket: Ticket) -> bool {
        while let Err(lowest) = self.job().take(ticket, self.shared.settings.span_max) {
            self.divert();
            self.shared.release(lowest);
            if self.must_end() {
                return false;
            }
            self.job().wait(POLL);
        }
        true
    }

    fn route(&mut self, ticket: Ticket, record: LogRecord<'_>, today: Day) {
        let job = &self.job().topics.job;
        match OwnedSummary::read(job, record.key, record.value, today) {
            Ok(summary) => {
                let shard = self.shared.store.shard_of(&summary.parts);
                let parcel = Parcel { ticket, summary, tries: 0 };
                self.offer(shard, parcel);
            }
            Err(unusable) => {
                tracing::warn!(source = %self.job().source(ticket), %unusable, "a record is no summary: quarantined");
                let reason = unusable.to_string();
                self.shared.handover.quarantine_unusable(ticket, record.key, record.value, reason);
            }
        }
    }

    /// Waits for room while the shard makes progress. Where the session ends meanwhile, the parcel stays open and
    /// comes again.
    fn offer(&mut self, shard: Shard, mut parcel: Parcel) {
        let shared = Arc::clone(&self.shared);
        let queue = &shared.queues[shard.index()];
        loop {
            match queue.offer(parcel) {
                Offer::Taken => return,
                Offer::Held(ticket) => return shared.hold(ticket),
                Offer::Diverted(parcel, fault) => {
                    return self.diverted.push(Refused { parcel: *parcel, shard, fault });
                }
                Offer::Full(refused) => {
                    self.divert();
                    if self.must_end() {
                        return;
                    }
                    parcel = *refused;
                    queue.wait_for_room(POLL);
                }
            }
        }
    }

    fn divert(&mut self) {
        self.shared.handover.retry(std::mem::take(&mut self.diverted));
    }

    fn must_end(&self) -> bool {
        self.shared.stop.is_stopped() || self.job().interruption().is_some()
    }

    fn commit(&mut self) -> Result<(), LogError> {
        let committable = self.job().committable();
        let moved = (0..).map(Partition).zip(self.committed.iter().zip(&committable));
        let moved = moved.filter(|(_, (committed, committable))| committed < committable);
        let job = self.job();
        let offset = |(partition, (_, &offset))| OffsetCommit {
            topic: &job.topics.summary,
            partition,
            committed: CommittedOffset { offset, metadata: String::new() },
        };
        let offsets: Vec<OffsetCommit<'_>> = moved.map(offset).collect();
        if !offsets.is_empty() {
            self.shared.log.commit(&job.group, &offsets)?;
            self.committed = committable;
        }
        Ok(())
    }

    fn set_gauges(&self, reader: &dyn Reader) {
        let positions = (0..).map(Partition).zip(self.job().positions());
        let lags = positions.filter_map(|(partition, position)| {
            Some(reader.known_end(partition)?.0.saturating_sub(position.0))
        });
        self.gauges.lag.set(lags.sum::<u64>() as f64);
        let standing = self.job().standing();
        self.gauges.span.set(standing.span as f64);
        self.gauges.open_records.set(standing.open_records as f64);
        // The thread of a shard cannot tell while it is in a write.
        self.shared.queues.iter().for_each(Queue::tell);
    }

    fn job(&self) -> &Job {
        &self.shared.jobs[self.index]
    }
}

impl Shared {
    /// Says at the start what would otherwise show in the first outage.
    fn check_topics(&self, topics: &crate::job_topics::JobTopics) -> Result<(), LogError> {
        let needed = [Some(&topics.quarantine), self.has_retry.then_some(&topics.retry)];
        for topic in needed.into_iter().flatten() {
            if self.log.describe_topic(topic)?.is_none() {
                return Err(LogError::NoSuchTopic { topic: topic.to_string(), partition: None });
            }
        }
        Ok(())
    }

    /// Leaves a record in the log until somebody has mended the configuration.
    pub(super) fn hold(&self, ticket: Ticket) {
        self.handover.ends.held.increment(1);
        self.jobs[ticket.job].hold(ticket);
    }

    /// Gives everything that one shard has to RETRY if `ticket` is part of it: too much waits for it.
    fn release(&self, ticket: Ticket) {
        for (number, queue) in (0..).zip(&self.queues) {
            if let Some((parcels, fault)) = queue.release(ticket) {
                let shard = Shard(number);
                let refused = |parcel| Refused { parcel, shard, fault: fault.clone() };
                self.handover.retry(parcels.into_iter().map(refused).collect());
            }
        }
    }
}
