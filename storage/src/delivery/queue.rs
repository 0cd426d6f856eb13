//! The queue of one shard, shared by its threads: sources offer rows, one shard thread takes them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use yahtzee_core::delivery::rules::DeliveryRules;
use yahtzee_core::delivery::{Finished, InFlight, Offer, OutcomeKind, QueuePolicy, ShardQueue, Step, Ticket};
use yahtzee_runtime::cause::Cause;

use super::metrics::ShardMetrics;
use super::row::{DeliveryRow, PendingRow};

/// A [`ShardQueue`] behind a lock.
pub(super) struct SharedQueue {
    patience: Duration,
    pub(super) metrics: ShardMetrics,
    state: Mutex<QueueState>,
    /// Wakes the shard thread when there is work.
    work: Condvar,
    /// Wakes sources when there is room.
    room: Condvar,
}

struct QueueState {
    queue: ShardQueue<DeliveryRow>,
    /// Reason why the last write failed.
    fault: Option<Cause>,
}

impl SharedQueue {
    pub(super) fn new(policy: QueuePolicy, rules: &'static dyn DeliveryRules, metrics: ShardMetrics) -> Self {
        let state = QueueState { queue: ShardQueue::new(policy, rules), fault: None };
        let (work, room) = <(Condvar, Condvar)>::default();
        Self { patience: policy.patience, metrics, state: Mutex::new(state), work, room }
    }

    /// Offers a row.
    pub(super) fn offer(&self, write: PendingRow, now: Duration) -> Offer<DeliveryRow> {
        let offer = self.lock().queue.offer(write, now);
        if let Offer::Queued { is_worth_a_look: true, .. } = offer {
            self.work.notify_one();
        }
        offer
    }

    /// Returns the reason why a row is not written now, for its headers.
    pub(super) fn reason(&self) -> Cause {
        let text = || format!("a write has not come back for more than {:?}", self.patience);
        let slow = || Cause::new("slow-write", text());
        self.lock().fault.clone().unwrap_or_else(slow)
    }

    /// Blocks until there may be room, at most for `time`.
    pub(super) fn wait_for_room(&self, time: Duration) {
        drop(self.room.wait_timeout(self.lock(), time));
    }

    /// Blocks until there is a next step, and returns it.
    pub(super) fn next(&self, now: impl Fn() -> Duration) -> Step<DeliveryRow> {
        let mut state = self.lock();
        loop {
            let at = now();
            let due = match state.queue.next(at) {
                Ok(step) => {
                    drop(state);
                    self.room.notify_all();
                    return step;
                }
                Err(due) => due,
            };
            state = match due {
                Some(until) => {
                    let waited = self.work.wait_timeout(state, until.saturating_sub(at));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Ends the write of a batch; `fault` is the reason if any part of it failed.
    pub(super) fn finish(
        &self,
        batch: InFlight<DeliveryRow>,
        outcomes: &[OutcomeKind],
        fault: Option<&Cause>,
        now: Duration,
    ) -> Finished<DeliveryRow> {
        let mut state = self.lock();
        let finished = state.queue.finish(batch, outcomes, now, fastrand::u64(..));
        state.fault = fault.filter(|_| finished.is_failing).cloned();
        drop(state);
        self.room.notify_all();
        finished
    }

    /// Ends a probe; returns the sources that must begin again.
    pub(super) fn probed(
        &self,
        samples: &[PendingRow],
        outcomes: &[OutcomeKind],
        now: Duration,
    ) -> Vec<usize> {
        self.lock().queue.probed(samples, outcomes, now, fastrand::u64(..))
    }

    /// Takes all rows out if `ticket` is one of them, because it has waited too long.
    pub(super) fn release(&self, ticket: Ticket) -> Option<Vec<PendingRow>> {
        self.lock().queue.release(ticket)
    }

    /// Drops the waiting rows of a source that restarts.
    pub(super) fn reopened(&self, source: usize, epoch: u64) {
        self.lock().queue.reopened(source, epoch);
        self.room.notify_all();
    }

    /// Returns whether rows are held because of a wrong configuration.
    pub(super) fn is_holding(&self) -> bool {
        self.lock().queue.is_holding()
    }

    /// Closes the queue to new rows. Waiting rows are written until `until`, as far as the shard takes them without
    /// delay.
    pub(super) fn close(&self, until: Duration) {
        self.lock().queue.close(until);
        self.work.notify_all();
    }

    /// Returns the time of the first failure of the row that has waited longest, in milliseconds since 1970.
    pub(super) fn first_failure_ms(&self) -> Option<i64> {
        let state = self.lock();
        let failures = state.queue.rows().filter_map(|write| write.row.failures.as_ref());
        failures.filter_map(|failures| failures.first_failure_ms).min()
    }

    /// Sets the gauges.
    pub(super) fn report(&self, now: Duration) {
        let (waiting, mode) = {
            let state = self.lock();
            (state.queue.len(), state.queue.mode(now))
        };
        self.metrics.set(waiting, mode);
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
