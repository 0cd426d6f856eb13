//! Writes rows that the store does not take to RETRY or QUARANTINE, and settles them when the log has acknowledged it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use yahtzee_core::delivery::Ticket;
use yahtzee_runtime::cause::Cause;
use yahtzee_runtime::log::{Appender, LogError, NewRecord};
use yahtzee_runtime::shutdown::StopSignal;

use super::metrics::{Ending, Endings};
use super::row::PendingRow;
use super::source::Source;
use super::{DeliveryRole, TaskContext};
use crate::dead_letter::headers::FailureHeaders;
use crate::dead_letter::records;
use crate::store::Shard;

/// Appends to RETRY and QUARANTINE for all threads of a task.
pub(super) struct DeadLetterWriter {
    appender: Arc<dyn Appender>,
    sources: Arc<[Source]>,
    endings: Arc<Endings>,
    stop: StopSignal,
    unacknowledged: Arc<Unacknowledged>,
}

/// Maximum number of unacknowledged records; the next item limits their bytes. Beyond either the task waits for the
/// log, on which everything depends. Well below the limit at which an appender of any log refuses records.
const RECORDS_MAX: usize = 16 * 1_024;
const BYTES_MAX: usize = 16 << 20;
/// Interval at which a waiting thread checks for a stop.
const GLANCE: Duration = Duration::from_millis(50);

/// Records to append to RETRY or QUARANTINE, with the tickets that they settle.
#[derive(Default)]
pub(super) struct DeadLetters {
    records: Vec<NewRecord>,
    tickets: Vec<(Ticket, Ending)>,
}

impl DeadLetters {
    pub(super) fn push(&mut self, ticket: Ticket, ending: Ending, record: NewRecord) {
        self.records.push(record);
        self.tickets.push((ticket, ending));
    }
}

impl DeadLetterWriter {
    pub(super) fn new(
        appender: Arc<dyn Appender>,
        sources: &Arc<[Source]>,
        endings: &Arc<Endings>,
        stop: &StopSignal,
    ) -> Self {
        let (sources, endings, stop) = (Arc::clone(sources), Arc::clone(endings), stop.clone());
        Self { appender, sources, endings, stop, unacknowledged: Arc::default() }
    }

    /// Appends without waiting for the acknowledgement. If an append fails, the sources restart at their commits.
    pub(super) fn send(&self, letters: DeadLetters) {
        let DeadLetters { records, tickets } = letters;
        let load = Load::of(&records);
        if records.is_empty() || !self.unacknowledged.enter(load, &self.stop) {
            return;
        }
        let (sources, unacknowledged) = (Arc::clone(&self.sources), Arc::clone(&self.unacknowledged));
        let endings = Arc::clone(&self.endings);
        let done = move |result: Result<(), LogError>| {
            for (ticket, ending) in tickets {
                if result.is_ok() {
                    endings.count(ending);
                }
                sources[ticket.source].appended(ticket, &result);
            }
            unacknowledged.leave(load);
        };
        self.appender.append(&records, Box::new(done));
    }

    /// Blocks until every append is acknowledged or has failed, at most for `time`.
    pub(super) fn wait_until_idle(&self, time: Duration) {
        let load = self.unacknowledged.lock();
        let is_busy = |load: &mut Load| load.records > 0;
        drop(self.unacknowledged.less.wait_timeout_while(load, time, is_busy));
    }
}

impl TaskContext {
    /// Appends rows to RETRY because their shard does not take them now.
    pub(super) fn hand_over(&self, rows: Vec<PendingRow>, shard: Shard, fault: &Cause) {
        let mut letters = DeadLetters::default();
        for row in rows {
            self.add_to_retry(&mut letters, &row, shard, fault);
        }
        self.dead_letters.send(letters);
    }

    /// Adds the RETRY record of a row.
    pub(super) fn add_to_retry(
        &self,
        letters: &mut DeadLetters,
        row: &PendingRow,
        shard: Shard,
        fault: &Cause,
    ) {
        let failures = self.failures_of(row, shard, fault);
        let failures = FailureHeaders { attempts: failures.attempts.saturating_add(1), ..failures };
        let (topics, summary) = (&self.jobs[row.job], &row.row.summary);
        let record = records::retry(topics, shard, &summary.key, &summary.value, &failures);
        letters.push(row.ticket, Ending::HandedOver, record);
    }

    /// Adds the QUARANTINE record of a row that no store takes as it is.
    pub(super) fn add_to_quarantine(
        &self,
        letters: &mut DeadLetters,
        row: &PendingRow,
        shard: Shard,
        fault: &Cause,
    ) {
        let (source, summary) = (self.sources[row.ticket.source].position(row.ticket), &row.row.summary);
        tracing::warn!(job = %summary.job, %source, key = ?summary.parts, %fault, "a summary cannot be stored: quarantined");
        let failures = self.failures_of(row, shard, fault);
        let topics = &self.jobs[row.job];
        let record = records::quarantine(topics, self.store.name(), &summary.key, &summary.value, &failures);
        letters.push(row.ticket, Ending::Quarantined, record);
    }

    /// Returns the failure headers of a row, the newest failure included: continues those of its RETRY record, or
    /// begins new ones.
    fn failures_of(&self, row: &PendingRow, shard: Shard, fault: &Cause) -> FailureHeaders {
        let summary = &row.row.summary;
        let before = row.row.failures.as_deref().cloned();
        let before = before.unwrap_or_else(|| FailureHeaders {
            shard: self.shard_names.get(shard.index()).cloned(),
            source: Some(self.sources[row.ticket.source].position(row.ticket)),
            ..FailureHeaders::default()
        });
        FailureHeaders { revision: Some(summary.revision()), ..self.failed_now(before, row.job, fault) }
    }

    /// Returns the failure headers after `before` for a record that need not be a summary.
    pub(super) fn failed_now(&self, before: FailureHeaders, job: usize, fault: &Cause) -> FailureHeaders {
        FailureHeaders {
            store: Some(self.store.name().to_owned()),
            job: Some(self.jobs[job].job.to_string()),
            first_failure_ms: before
                .first_failure_ms
                .or_else(|| Some(yahtzee_runtime::clock::wall_clock_ms())),
            code: Some(fault.code().to_owned()),
            error: Some(fault.to_string()),
            ..before
        }
    }

    /// Returns whether the task reads RETRY.
    pub(super) fn is_retry(&self) -> bool {
        matches!(self.role, DeliveryRole::Retry { .. })
    }
}

/// Load of the records that are not acknowledged yet.
#[derive(Default)]
struct Unacknowledged {
    load: Mutex<Load>,
    less: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Load {
    records: usize,
    bytes: usize,
}

impl Load {
    fn of(records: &[NewRecord]) -> Self {
        let bytes = records.iter().map(|record| record.key.len() + record.value.len()).sum();
        Self { records: records.len(), bytes }
    }

    fn is_full(self) -> bool {
        self.records >= RECORDS_MAX || self.bytes >= BYTES_MAX
    }
}

impl Unacknowledged {
    /// Blocks until there is room. Returns false if the process stops first: then the records stay open, and are read
    /// again.
    fn enter(&self, more: Load, stop: &StopSignal) -> bool {
        let mut load = self.lock();
        while load.is_full() {
            if stop.is_stopped() {
                return false;
            }
            load = self.less.wait_timeout(load, GLANCE).unwrap_or_else(PoisonError::into_inner).0;
        }
        load.records += more.records;
        load.bytes += more.bytes;
        true
    }

    fn leave(&self, less: Load) {
        let mut load = self.lock();
        load.records -= less.records;
        load.bytes -= less.bytes;
        drop(load);
        self.less.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use yahtzee_core::owner::Partition;
    use yahtzee_core::record::Offset;
    use yahtzee_runtime::log::AppendCallback;

    use super::super::source::SourceOpening;
    use super::*;

    /// Answers every append with one result.
    struct Answering(Result<(), LogError>);

    impl Appender for Answering {
        fn append(&self, _: &[NewRecord], done: AppendCallback) {
            done(self.0.clone());
        }
    }

    /// A source with one record that was read, and a letter for it.
    fn source_and_letter() -> (Source, DeadLetters) {
        let name = || "source".to_owned();
        let source = Source::new(name(), name(), name(), Vec::new(), None);
        let epoch = source.open(SourceOpening { positions: vec![Offset(0)], ..SourceOpening::default() });
        let ticket = Ticket { source: 0, epoch, stream: 0, offset: Offset(0) };
        assert_eq!(source.with(|state| state.take(ticket, 1)), Ok(()));
        let record = NewRecord {
            topic: "RETRY".into(),
            partition: Partition(0),
            timestamp_ms: 1,
            key: vec![1],
            value: vec![2],
            headers: Vec::new(),
        };
        let mut letters = DeadLetters::default();
        letters.push(ticket, Ending::HandedOver, record);
        (source, letters)
    }

    /// Or a log that refuses for a while would stop a task for good: its records count as on their way for ever.
    #[test]
    fn what_the_log_has_refused_is_neither_counted_nor_on_its_way() {
        fn check(result: Result<(), LogError>, expected: u64) {
            let (source, letters) = source_and_letter();
            let (sources, handed_over): (Arc<[Source]>, _) = ([source].into(), Arc::new(AtomicU64::new(0)));
            let endings = Arc::new(Endings::counting(Ending::HandedOver, &handed_over));
            let appender = Arc::new(Answering(result));
            let writer = DeadLetterWriter::new(appender, &sources, &endings, &StopSignal::new());
            writer.send(letters);
            let Load { records, bytes } = *writer.unacknowledged.lock();
            let counted = (handed_over.load(Ordering::Relaxed), sources[0].settled());
            assert_eq!((counted, records, bytes), ((expected, expected), 0, 0));
            assert_eq!(sources[0].interruption().is_some(), expected == 0, "it is read again");
        }
        check(Ok(()), 1);
        check(Err(LogError::unavailable("the log", Cause::new("down", "down"))), 0);
    }
}
