//! One session of a source: reads its topics into the queues of the shards, and commits settled records.

use std::sync::Arc;
use std::time::Duration;

use yahtzee_core::delivery::{Interruption, Offer, Ticket};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_core::summary::key_of_record;
use yahtzee_runtime::back_off::{self, BackOff};
use yahtzee_runtime::cause::Cause;
use yahtzee_runtime::clock::wall_clock_ms;
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::{CommittedOffset, Headers, Isolation, Item, LogError, LogReader, OffsetCommit};
use yahtzee_runtime::threads;

use super::dead_letter_writer::DeadLetters;
use super::generation_watch::GenerationSeen;
use super::metrics::{Ending, SourceMetrics};
use super::queue::SharedQueue;
use super::row::{DeliveryRow, PendingRow};
use super::source::{Source, SourceOpening, Stream, TopicStreams};
use super::{DeliveryFailure, TaskContext};
use crate::dead_letter::headers::FailureHeaders;
use crate::dead_letter::records;
use crate::metric_names;
use crate::store::{Day, OwnedSummary, Shard};

/// Time that one poll waits, over all topics; also the interval at which a stop is noticed.
const POLL: Duration = Duration::from_millis(50);
/// First and longest pause before the log is tried again.
const LOG_BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Reads until the stop. Returns `None` if the log was unavailable at the end, so that there is nothing to commit.
///
/// # Errors
/// If the log fails for good.
pub(super) fn run(shared: &Arc<TaskContext>, index: usize) -> Result<Option<Session>, DeliveryFailure> {
    let Source { part, task, .. } = &shared.sources[index];
    let back_off = BackOff::new(LOG_BACK_OFF.0, LOG_BACK_OFF.1, back_off::seed());
    threads::supervise(part, &shared.health, &shared.stop, back_off, |back_off| {
        loop {
            let opened = {
                let _wait = shared.health.wait(part);
                Session::open(shared, index)
            };
            let ended = opened.and_then(|session| session.run(back_off));
            match ended.map_err(|error| DeliveryFailure { task: task.clone(), error })? {
                Ended::Stopped(session) => return Ok(*session),
                Ended::Interrupted(why) => tracing::info!(task, ?why, "begins anew from its commits"),
            }
        }
    })
}

/// Way in which a session ended without an error.
enum Ended {
    Stopped(Box<Session>),
    Interrupted(Interruption),
}

/// A reader of one topic.
struct TopicReader {
    reader: Box<dyn LogReader>,
    /// Index of the stream of its first partition, and its partitions in the order of streams.
    first: usize,
    partitions: Vec<Partition>,
}

/// One session of a source.
pub(super) struct Session {
    shared: Arc<TaskContext>,
    index: usize,
    epoch: u64,
    next_commit: Duration,
    next_report: Duration,
    letters: DeadLetters,
    metrics: SourceMetrics,
    settled_at_report: u64,
    lag: u64,
    readers: Vec<TopicReader>,
}

impl Session {
    fn open(shared: &Arc<TaskContext>, index: usize) -> Result<Self, LogError> {
        let source = &shared.sources[index];
        let opening = SourceOpening::of(shared, source)?;
        let mut readers = Vec::new();
        for TopicStreams { topic, first, partitions, .. } in source.by_topic() {
            let assigned: Vec<(Partition, Offset)> =
                partitions.iter().copied().zip(opening.positions[first..].iter().copied()).collect();
            let reader = shared.log.tail(topic, &assigned, Isolation::Committed)?;
            readers.push(TopicReader { reader, first, partitions });
        }
        let epoch = source.open(opening);
        shared.queues.iter().for_each(|queue| queue.reopened(index, epoch));
        let metrics = match &source.shards {
            Some((names, _)) => SourceMetrics::of_retry(shared.store.name(), names),
            None => SourceMetrics::of_sink(&source.streams[0].topic),
        };
        let now = shared.now();
        Ok(Self {
            index,
            epoch,
            readers,
            next_commit: now,
            next_report: now,
            letters: DeadLetters::default(),
            metrics,
            settled_at_report: source.settled(),
            lag: 0,
            shared: Arc::clone(shared),
        })
    }

    fn run(mut self, back_off: &mut BackOff) -> Result<Ended, LogError> {
        self.report_health();
        let mut readers = std::mem::take(&mut self.readers);
        while !self.shared.stop.is_stopped() {
            if let Some(interruption) = self.source().interruption() {
                return interruption.map(Ended::Interrupted);
            }
            self.read(&mut readers)?;
            if self.keep_up()? {
                back_off.reset();
            }
        }
        Ok(Ended::Stopped(Box::new(self)))
    }

    /// Commits the records settled since the last commit. The process ends, so a failure only means that more is read
    /// again.
    pub(super) fn close(mut self) {
        if let Err(error) = self.commit() {
            let task = &self.source().task;
            tracing::warn!(task, %error, "the last commit failed: some summaries come again");
        }
    }

    /// Reads one batch of each topic and offers it to the shards.
    fn read(&mut self, readers: &mut [TopicReader]) -> Result<(), LogError> {
        let (today, wait) = (Day::today(), POLL / u32::try_from(readers.len().max(1)).unwrap_or(u32::MAX));
        for TopicReader { reader, first, partitions } in &mut *readers {
            let stream_of = |partition| Some(*first + partitions.iter().position(|&it| it == partition)?);
            for item in reader.poll(wait)? {
                match item {
                    Item::End(partition, next) => {
                        if let Some(stream) = stream_of(partition) {
                            self.source().with(|state| state.reached(stream, next));
                        }
                    }
                    Item::Record(partition, record, headers) => {
                        let Some(stream) = stream_of(partition) else { continue };
                        let ticket =
                            Ticket { source: self.index, epoch: self.epoch, stream, offset: record.offset };
                        if !self.take(ticket) {
                            return Ok(());
                        }
                        let today = today.max(Day::of_ms(record.timestamp_ms));
                        self.route(ticket, record, headers, today)?;
                    }
                }
            }
            self.send_letters();
        }
        self.lag = readers.iter().map(|reader| self.lag_of(reader)).sum();
        Ok(())
    }

    fn lag_of(&self, TopicReader { reader, first, partitions }: &TopicReader) -> u64 {
        let positions = self.source().with(|state| state.positions());
        let lag = |(partition, position): (&Partition, &Offset)| {
            Some(reader.known_end(*partition)?.0.saturating_sub(position.0))
        };
        partitions.iter().zip(&positions[*first..]).filter_map(lag).sum()
    }

    /// Opens the ticket as soon as its partition is not too far ahead. Returns false if the session must end first.
    fn take(&mut self, ticket: Ticket) -> bool {
        let span_max = self.shared.settings.span_max;
        while let Err(lowest) = self.source().with(|state| state.take(ticket, span_max)) {
            self.send_letters();
            self.shared.release(lowest);
            if self.must_end() {
                return false;
            }
            self.source().wait(POLL);
        }
        true
    }

    /// Decides where a record goes: to a shard, or elsewhere at once.
    fn route(
        &mut self,
        ticket: Ticket,
        record: LogRecord<'_>,
        headers: Headers<'_>,
        today: Day,
    ) -> Result<(), LogError> {
        let shared = Arc::clone(&self.shared);
        let Stream { job, .. } = self.source().streams[ticket.stream];
        let topics = &shared.jobs[job];
        let failures = shared.is_retry().then(|| FailureHeaders::read(headers.iter()));
        let store = failures.as_ref().and_then(|failures| failures.store.as_deref());
        if store.is_some_and(|store| store != shared.store.name()) {
            self.settle(ticket, Ending::Foreign);
            return Ok(());
        }
        let read = if shared.is_retry() { OwnedSummary::read } else { OwnedSummary::read_record };
        let summary = match read(&topics.job, record.key, record.value, today) {
            Ok(summary) => summary,
            Err(unusable) => {
                let key =
                    if shared.is_retry() { record.key } else { key_of_record(record.key, record.value) };
                let source = self.source().position(ticket);
                tracing::warn!(%source, %unusable, "a record is no summary: quarantined");
                let fault = Cause::new("unusable-summary", unusable.to_string());
                let new = || FailureHeaders { source: Some(source), ..FailureHeaders::default() };
                let failures = shared.failed_now(failures.unwrap_or_else(new), job, &fault);
                let letter = records::quarantine(topics, shared.store.name(), key, record.value, &failures);
                self.letters.push(ticket, Ending::Quarantined, letter);
                return Ok(());
            }
        };
        if !shared.is_retry() {
            self.check_generation(ticket, summary.revision().generation, record.timestamp_ms);
        }
        let shard = shared.store.shard_of(&summary.parts);
        if let Some(failures) = failures.as_ref().filter(|_| !self.source().feeds(shard)) {
            let name = shared.shard_names.get(shard.index()).cloned();
            let failures = FailureHeaders { shard: name, ..failures.clone() };
            let letter = records::retry(topics, shard, &summary.key, record.value, &failures);
            self.letters.push(ticket, Ending::Moved, letter);
            return Ok(());
        }
        let row = DeliveryRow { summary, failures: failures.map(Box::new) };
        self.offer(shard, PendingRow::new(ticket, job, row))
    }

    /// Counts a summary of a generation that was taken back, and says so once.
    fn check_generation(&mut self, ticket: Ticket, generation: u32, stamp_ms: i64) {
        let seen = GenerationSeen { generation, offset: ticket.offset, stamp_ms };
        let Some(newest) = self.source().see_generation(ticket.stream, seen) else { return };
        let source = self.source();
        let job = &self.shared.jobs[source.streams[ticket.stream].job].job;
        metric_names::SINK_OLDER_GENERATIONS.with(&[job]).increment(1);
        if source.note_older() {
            let at = source.position(ticket);
            tracing::warn!(%job, generation, newest, %at, "summaries of an older generation keep coming behind a newer one");
            self.report_health();
        }
    }

    /// Waits for room while the shard makes progress. If the session ends meanwhile, the row stays open and is read
    /// again.
    fn offer(&mut self, shard: Shard, mut row: PendingRow) -> Result<(), LogError> {
        let shared = Arc::clone(&self.shared);
        let queue = &shared.queues[shard.index()];
        loop {
            match queue.offer(row, shared.now()) {
                Offer::Queued { superseded, .. } => {
                    if let Some(superseded) = superseded {
                        self.settle(superseded, Ending::Superseded);
                    }
                    return Ok(());
                }
                Offer::Held(ticket) => {
                    shared.hold(ticket);
                    return Ok(());
                }
                Offer::Diverted(row) => {
                    shared.add_to_retry(&mut self.letters, &row, shard, &queue.reason());
                    return Ok(());
                }
                Offer::Full(refused) => {
                    self.send_letters();
                    if self.must_end() {
                        return Ok(());
                    }
                    row = *refused;
                    self.keep_up()?;
                    queue.wait_for_room(POLL);
                }
            }
        }
    }

    fn settle(&self, ticket: Ticket, ending: Ending) {
        self.shared.endings.count(ending);
        self.source().settle(ticket);
    }

    fn send_letters(&mut self) {
        self.shared.dead_letters.send(std::mem::take(&mut self.letters));
    }

    fn must_end(&self) -> bool {
        self.shared.stop.is_stopped() || self.source().interruption().is_some()
    }

    /// Commits and reports if that is due. Returns whether anything was committed.
    fn keep_up(&mut self) -> Result<bool, LogError> {
        let now = self.shared.now();
        if self.next_commit > now {
            return Ok(false);
        }
        self.next_commit = now + self.shared.settings.commit_interval;
        let has_committed = self.commit()?;
        self.report(now)?;
        if self.source().has_caught_up() {
            tracing::info!(task = self.source().task, "has read again what restored databases had lost");
            self.report_health();
        }
        Ok(has_committed)
    }

    /// Reports that the source works, or what it reads again, and what it has lost.
    fn report_health(&self) {
        let source = self.source();
        let condition = match source.again() {
            0 => Condition::Ready,
            summaries => Condition::Starting(format!(
                "reads {summaries} summaries again: the database of a shard was restored to an earlier point"
            )),
        };
        self.shared.health.set(&source.part, condition);
        let lost = |count| {
            format!(
                "{count} summaries were lost to retention before they were stored, since the start; see the log"
            )
        };
        let vanished = |count| {
            format!(
                "{count} summaries are stored and not in the log any more: it was put back to an earlier state; rows of \
                 that time may stay as they are, see the log"
            )
        };
        let older = "summaries of an older generation keep coming behind those of a newer: a worker runs with an older configuration, and its rows \
                     stand beside the newer ones; raise `generation` again";
        let texts: [(u64, &dyn Fn(u64) -> String); 2] =
            [(source.lost(), &lost), (source.vanished(), &vanished)];
        let counted = texts.iter().filter(|(count, _)| *count > 0).map(|(count, text)| text(*count));
        let remarks: Vec<String> = counted.chain(source.has_older().then(|| older.to_owned())).collect();
        if !remarks.is_empty() {
            self.shared.health.remark(&source.part, remarks.join("; "));
        }
    }

    /// Commits the records settled since the last commit. Returns whether there were any.
    fn commit(&mut self) -> Result<bool, LogError> {
        let source = self.source();
        let _wait = self.shared.health.wait(&source.part);
        let moved = source.uncommitted(&self.shared);
        if moved.is_empty() {
            return Ok(false);
        }
        let commit = |(stream, committed): &(usize, CommittedOffset)| {
            let Stream { topic, partition, .. } = &source.streams[*stream];
            OffsetCommit { topic, partition: *partition, committed: committed.clone() }
        };
        self.shared.log.commit(&source.group, &moved.iter().map(commit).collect::<Vec<_>>())?;
        let moved: Vec<(usize, Offset)> = moved.iter().map(|(stream, it)| (*stream, it.offset)).collect();
        source.with(|state| state.committed(&moved));
        Ok(true)
    }

    fn report(&mut self, now: Duration) -> Result<(), LogError> {
        match &self.metrics {
            SourceMetrics::OfSink { lag, span, open_records } => {
                lag.set(self.lag as f64);
                let (now_span, now_open) = self.source().with(|state| (state.span(), state.open_records()));
                span.set(now_span as f64);
                open_records.set(now_open as f64);
                // The thread of a shard cannot report while it is in a write.
                self.shared.queues.iter().for_each(|queue| queue.report(now));
            }
            SourceMetrics::OfRetry { waiting, oldest_age_s } if self.next_report <= now => {
                let in_retry = {
                    let _wait = self.shared.health.wait(&self.source().part);
                    self.waiting()?
                };
                let oldest_ms = self.shared.queues.iter().filter_map(SharedQueue::first_failure_ms).min();
                let age_s = oldest_ms.map_or(0, |oldest_ms| (wall_clock_ms() - oldest_ms).max(0) / 1_000);
                waiting.set(in_retry as f64);
                oldest_age_s.set(age_s as f64);
                let Source { task, .. } = self.source();
                let settled = self.source().settled();
                if settled > self.settled_at_report {
                    let settled = settled - self.settled_at_report;
                    tracing::info!(task, settled, waiting = in_retry, oldest_age_s = age_s, "retry goes on");
                }
                self.settled_at_report = settled;
                self.next_report = now + self.shared.settings.report_interval;
            }
            SourceMetrics::OfRetry { .. } => {}
        }
        Ok(())
    }

    /// Returns the number of records of RETRY that are not committed.
    fn waiting(&self) -> Result<u64, LogError> {
        let source = self.source();
        let committed = source.with(|state| state.last_committed().to_vec());
        let mut waiting = 0;
        for TopicStreams { topic, first, partitions, .. } in source.by_topic() {
            let bounds = self.shared.log.bounds(topic, &partitions)?;
            let ends = bounds.iter().zip(&committed[first..]);
            waiting += ends.map(|(bounds, committed)| bounds.end.0.saturating_sub(committed.0)).sum::<u64>();
        }
        Ok(waiting)
    }

    fn source(&self) -> &Source {
        &self.shared.sources[self.index]
    }
}

impl TaskContext {
    /// Leaves a record in the log until the configuration is repaired.
    pub(super) fn hold(&self, ticket: Ticket) {
        self.endings.count(Ending::Held);
        self.sources[ticket.source].hold(ticket);
    }

    /// Moves all rows of one shard to RETRY if `ticket` is one of them: too much waits for it.
    fn release(&self, ticket: Ticket) {
        for (number, queue) in (0..).zip(&self.queues) {
            if let Some(rows) = queue.release(ticket) {
                self.hand_over(rows, Shard(number), &queue.reason());
            }
        }
    }
}

#[cfg(test)]
mod tests;
