//! What a round of retention may delete.

use std::collections::HashMap;

use super::format::PartitionId;

/// Time that a partition's start moves in a round at most, in milliseconds: an hour of records in half a minute. A wall
/// clock that is ahead for a moment costs an hour of records, not all of them.
const STEP_MS: i64 = 3_600_000;

/// The times below which the records of partitions are too old, decided once in a round of many turns.
#[derive(Debug)]
pub(super) struct RetentionRound {
    now_ms: i64,
    step_ms: i64,
    oldest_ms: HashMap<PartitionId, i64>,
}

impl RetentionRound {
    /// Begins a round of the log's own. The clock that is ahead must not delete what was appended under a right one:
    /// time does not pass the newest stamp in the log, and no start moves by more than [`STEP_MS`].
    pub(super) fn own(wall_ms: i64, newest_ms: i64) -> Self {
        Self { now_ms: wall_ms.min(newest_ms), step_ms: STEP_MS, oldest_ms: HashMap::new() }
    }

    /// Begins a round that somebody asks for, as of `now_ms`.
    pub(super) fn asked(now_ms: i64) -> Self {
        Self { now_ms, step_ms: i64::MAX, oldest_ms: HashMap::new() }
    }

    /// Returns the time below which records of a partition are too old, whose first record has the stamp `first_ms`.
    pub(super) fn oldest_ms(&mut self, id: PartitionId, first_ms: i64, retention_ms: i64) -> i64 {
        let step_end_ms = first_ms.saturating_add(self.step_ms);
        let kept_from_ms = self.now_ms.saturating_sub(retention_ms);
        *self.oldest_ms.entry(id).or_insert_with(|| kept_from_ms.min(step_end_ms))
    }
}

#[cfg(test)]
mod tests {
    use yahtzee_core::owner::Partition;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    const NOON_MS: i64 = 1_700_000_000_000;
    const ID: PartitionId = PartitionId { topic: 0, partition: Partition(0) };

    #[test]
    fn a_clock_that_is_ahead_deletes_an_hour_in_a_round() {
        // Hours after noon; records are kept for two.
        fn check(wall: i64, newest: i64, first: i64, expected: i64) {
            let at = |hours: i64| NOON_MS + hours * HOUR_MS;
            let mut round = RetentionRound::own(at(wall), at(newest));
            assert_eq!(round.oldest_ms(ID, at(first), 2 * HOUR_MS), at(expected));
            // Later turns of the round find another first record.
            assert_eq!(round.oldest_ms(ID, at(first + 1), 2 * HOUR_MS), at(expected));
        }
        check(5, 5, 3, 3);
        check(240, 5, 3, 3);
        check(240, 240, 3, 4);
        check(3, 5, 0, 1);
        check(5, 5, -1_000_000, -999_999);
    }

    #[test]
    fn every_partition_goes_its_own_step() {
        let mut round = RetentionRound::own(NOON_MS, NOON_MS);
        let mut check = |topic, partition, first_ms, expected_ms| {
            let id = PartitionId { topic, partition: Partition(partition) };
            assert_eq!(round.oldest_ms(id, first_ms, HOUR_MS), expected_ms, "{id:?}");
        };
        check(0, 0, 0, HOUR_MS);
        check(0, 1, HOUR_MS, 2 * HOUR_MS);
        check(1, 0, NOON_MS, NOON_MS - HOUR_MS);
    }

    #[test]
    fn what_is_asked_for_is_done_at_once() {
        assert_eq!(RetentionRound::asked(NOON_MS).oldest_ms(ID, 0, HOUR_MS), NOON_MS - HOUR_MS);
    }
}
