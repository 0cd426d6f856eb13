//! Every decision that the delivery of summaries rests on, each as one small function with its reason.
//!
//! Whoever doubts one finds it here, and the simulator replaces one at a time to see that it is needed.

use std::time::Duration;

use super::outcome::{Disposal, OutcomeKind};
use super::policy::QueuePolicy;
use crate::record::Offset;
use crate::summary::Revision;

/// Writes in which a summary may fail while others of its batch do not, before it goes to RETRY.
pub const TRIES_MAX: u32 = 3;

/// A summary's part in a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenRow {
    /// What the store said.
    pub kind: OutcomeKind,
    /// Writes before this one in which it failed while others of its batch did not.
    pub tries: u32,
}

/// The decisions. The default of every function is the right one; only the simulator replaces one.
#[doc(hidden)]
pub trait DeliveryRules: Sync {
    /// What a successor begins to read at: nothing below may be unsettled. A held record counts like an open one.
    fn committable(
        &self,
        position: Offset,
        lowest_open: Option<Offset>,
        lowest_held: Option<Offset>,
    ) -> Offset {
        [lowest_open, lowest_held].into_iter().flatten().fold(position, Offset::min)
    }

    /// Whether a report about a record counts: one of an earlier opening does not, because the record is read again
    /// and its number may have been taken by the new reading already.
    fn is_current(&self, epoch_of_ticket: u64, epoch: u64) -> bool {
        epoch_of_ticket == epoch
    }

    /// Whether a new row takes the place of the one that waits under its key. The older one is superseded.
    fn takes_the_place_of(&self, new: Revision, waiting: Revision) -> bool {
        new > waiting
    }

    /// Whether a superseded row is settled: what is newer is in memory, and its own record open.
    fn settles_superseded(&self) -> bool {
        true
    }

    /// Whether rows that an earlier opening has left in the queue are dropped: their records are read again, and a
    /// row that nobody will settle must not supersede one that somebody waits for.
    fn forgets_earlier_openings(&self) -> bool {
        true
    }

    /// Whether a write shows that the shard is down: it took nothing, and not only rows that fail by themselves.
    /// Without RETRY every failure is waited for in place.
    fn is_down(&self, batch: &[WrittenRow], policy: &QueuePolicy) -> bool {
        let failed = batch.iter().filter(|row| row.kind == OutcomeKind::Retryable).count();
        let says_something = batch.iter().any(|row| row.tries == 0);
        failed > 0 && (!policy.has_retry || failed == batch.len() && says_something)
    }

    /// What is done with each row of a batch.
    fn dispose(&self, batch: &[WrittenRow], is_down: bool) -> Vec<Disposal> {
        batch.iter().map(|&row| disposal(row, is_down)).collect()
    }

    /// Whether a shard has been down for so long that RETRY takes over.
    fn gives_up(&self, down_for: Option<Duration>, hand_over_after: Option<Duration>) -> bool {
        down_for.zip(hand_over_after).is_some_and(|(down_for, after)| down_for >= after)
    }

    /// Whether a queue has room for one more row.
    fn has_room(&self, waiting: usize, bytes: usize, policy: &QueuePolicy) -> bool {
        waiting < policy.queue_max && bytes < policy.queue_bytes_max
    }

    /// Whether a held job is tried again after a while: nobody says when a configuration was repaired.
    fn probes_held(&self) -> bool {
        true
    }

    /// Whether a job is read again from its commit once a probe has worked: what was held is in no memory.
    fn reads_again_after_probe(&self) -> bool {
        true
    }

    /// Whether a record that was to go to RETRY or QUARANTINE is settled. Only what the log has acknowledged is.
    fn settles_handed_over(&self, is_acknowledged: bool) -> bool {
        is_acknowledged
    }
}

fn disposal(row: WrittenRow, is_down: bool) -> Disposal {
    match row.kind {
        OutcomeKind::Stored | OutcomeKind::Stale | OutcomeKind::Expired => Disposal::Settle,
        OutcomeKind::Retryable if is_down => Disposal::Again { is_own_failure: false },
        OutcomeKind::Retryable if row.tries + 1 < TRIES_MAX => Disposal::Again { is_own_failure: true },
        OutcomeKind::Retryable => Disposal::HandOver,
        OutcomeKind::Poison => Disposal::Quarantine,
        OutcomeKind::Misconfigured => Disposal::Hold,
    }
}

/// The decisions as they are.
#[derive(Debug)]
pub struct ProductionDelivery;

impl DeliveryRules for ProductionDelivery {}

impl std::fmt::Debug for dyn DeliveryRules {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("DeliveryRules")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_fails_beside_others_is_tried_three_times() {
        fn check(tries: u32, is_down: bool, expected: Disposal) {
            let row = WrittenRow { kind: OutcomeKind::Retryable, tries };
            assert_eq!(ProductionDelivery.dispose(&[row], is_down), [expected]);
        }
        check(0, false, Disposal::Again { is_own_failure: true });
        check(1, false, Disposal::Again { is_own_failure: true });
        check(2, false, Disposal::HandOver);
        check(7, true, Disposal::Again { is_own_failure: false });
    }
}
