//! What is known of a job while it is read: which records are open, and whether the reader must begin again.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::log::LogError;

use crate::dead_letter::headers::RecordPosition;
use crate::job_topics::JobTopics;
use crate::tracker::Tracker;

/// A record that was read and is to be settled once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Index of the job.
    pub(super) job: usize,
    /// Which opening of the reader it was read by. What an earlier one has read counts no more: it is read again.
    pub(super) epoch: u64,
    pub(super) partition: Partition,
    pub(super) offset: Offset,
}

/// A job and the state of its partitions.
pub(super) struct Job {
    pub(super) topics: JobTopics,
    /// Consumer group.
    pub(super) group: String,
    state: Mutex<State>,
    /// Something was settled, or the reader is to begin again.
    changed: Condvar,
}

struct State {
    epoch: u64,
    /// By partition.
    trackers: Vec<Tracker>,
    interruption: Option<Interruption>,
}

/// Why the reader must begin again at the committed offsets.
#[derive(Clone, Debug)]
pub(super) enum Interruption {
    /// The log has not taken a record of RETRY or QUARANTINE.
    Failed(LogError),
    /// What was held can go on.
    Mended,
}

/// What of a job can be told to operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Greatest span of a partition: see [`Tracker::span`].
    pub(super) span: u64,
    pub(super) open_records: usize,
}

impl Job {
    pub(super) fn new(topics: JobTopics, group: String) -> Self {
        let state = State { epoch: 0, trackers: Vec::new(), interruption: None };
        Self { topics, group, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Begins anew at these positions. Whatever an earlier epoch still does is without effect here.
    pub(super) fn open(&self, positions: &[Offset]) -> u64 {
        let mut state = self.lock();
        state.epoch += 1;
        state.trackers = positions.iter().copied().map(Tracker::new).collect();
        state.interruption = None;
        state.epoch
    }

    /// Notes that a record was read, unless too much of its partition is not settled: then the record that is
    /// waited for.
    pub(super) fn take(&self, ticket: Ticket, span_max: u64) -> Result<(), Ticket> {
        let mut state = self.lock();
        let tracker = &mut state.trackers[ticket.partition.0 as usize];
        match tracker.lowest_open() {
            Some(lowest) if ticket.offset.0 - lowest.0 >= span_max => {
                Err(Ticket { offset: lowest, ..ticket })
            }
            _ => {
                tracker.take(ticket.offset);
                Ok(())
            }
        }
    }

    /// There is nothing more below `next`.
    pub(super) fn reached(&self, partition: Partition, next: Offset) {
        self.lock().trackers[partition.0 as usize].reached(next);
    }

    /// Nothing is left to be done for the record.
    pub(super) fn settle(&self, ticket: Ticket) {
        self.change(ticket, |tracker| tracker.settle(ticket.offset));
    }

    /// The record stays in the log until the reader begins again.
    pub(super) fn hold(&self, ticket: Ticket) {
        self.change(ticket, |tracker| tracker.hold(ticket.offset));
    }

    fn change(&self, ticket: Ticket, change: impl FnOnce(&mut Tracker)) {
        let mut state = self.lock();
        if state.epoch == ticket.epoch {
            change(&mut state.trackers[ticket.partition.0 as usize]);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Makes the reader begin again. A failure of an earlier epoch is over.
    pub(super) fn fail(&self, epoch: u64, error: &LogError) {
        let mut state = self.lock();
        if state.epoch == epoch {
            state.interruption = Some(Interruption::Failed(error.clone()));
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Makes the reader begin again, so that what was held is read once more.
    pub(super) fn mended(&self) {
        self.lock().interruption.get_or_insert(Interruption::Mended);
        self.changed.notify_all();
    }

    /// Why the reader must begin again, if it must.
    pub(super) fn interruption(&self) -> Option<Interruption> {
        self.lock().interruption.clone()
    }

    /// Where a successor must begin to read, by partition.
    pub(super) fn committable(&self) -> Vec<Offset> {
        self.lock().trackers.iter().map(Tracker::committable).collect()
    }

    /// Read positions, by partition.
    pub(super) fn positions(&self) -> Vec<Offset> {
        self.lock().trackers.iter().map(Tracker::position).collect()
    }

    pub(super) fn standing(&self) -> Standing {
        let state = self.lock();
        Standing {
            span: state.trackers.iter().map(Tracker::span).max().unwrap_or(0),
            open_records: state.trackers.iter().map(Tracker::open_records).sum(),
        }
    }

    /// Waits until something changes, `time` at most.
    pub(super) fn wait(&self, time: Duration) {
        drop(self.changed.wait_timeout(self.lock(), time));
    }

    /// Where a record lies.
    pub(super) fn source(&self, ticket: Ticket) -> RecordPosition {
        RecordPosition {
            topic: self.topics.summary.to_string(),
            partition: ticket.partition,
            offset: ticket.offset,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use yahtzee_runtime::topics::TopicLayout;

    use super::*;

    fn job() -> Job {
        let layout = TopicLayout { partitions: 1, ..TopicLayout::default() };
        Job::new(JobTopics::new("job", "JOB", &layout), "group".to_owned())
    }

    fn ticket(epoch: u64, offset: u64) -> Ticket {
        Ticket { job: 0, epoch, partition: Partition(0), offset: Offset(offset) }
    }

    proptest! {
        /// In whatever order records are settled, and however long the lowest one takes.
        #[test]
        fn the_span_stays_within_its_bound(
            span_max in 1..20_u64,
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200),
        ) {
            let job = job();
            let epoch = job.open(&[Offset(0)]);
            let (mut next, mut open) = (0, Vec::new());
            for (is_take, index) in steps {
                if is_take {
                    match job.take(ticket(epoch, next), span_max) {
                        Ok(()) => open.push(next),
                        Err(lowest) => {
                            prop_assert_eq!(Some(lowest.offset.0), open.iter().min().copied());
                            prop_assert_eq!(job.standing().span, span_max);
                            continue;
                        }
                    }
                    next += 1;
                } else if !open.is_empty() {
                    job.settle(ticket(epoch, open.swap_remove(index.index(open.len()))));
                }
                prop_assert!(job.standing().span <= span_max);
                prop_assert_eq!(job.standing().open_records, open.len());
                prop_assert_eq!(job.committable(), [Offset(open.iter().min().copied().unwrap_or(next))]);
            }
        }
    }

    #[test]
    fn what_an_earlier_opening_still_does_changes_nothing() {
        let job = job();
        let before = job.open(&[Offset(0)]);
        assert_eq!(job.take(ticket(before, 0), 10), Ok(()));
        let after = job.open(&[Offset(0)]);
        assert_eq!(job.take(ticket(after, 0), 10), Ok(()));
        job.settle(ticket(before, 0));
        job.hold(ticket(before, 0));
        job.fail(before, &LogError::TopicExists("late".to_owned()));
        assert_eq!(job.committable(), [Offset(0)]);
        assert!(job.interruption().is_none());
        job.settle(ticket(after, 0));
        assert_eq!(job.committable(), [Offset(1)]);
    }
}
