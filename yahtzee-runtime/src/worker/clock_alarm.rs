//! Stamps that clocks within the clock skew of each other cannot have given.

use yahtzee_core::owner::Partition;

/// Records whose stamps trail the watermark by more than the clock skew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TrailingStamps {
    pub(super) records: u64,
    /// The greatest distance, and its partition.
    pub(super) worst_ms: i64,
    pub(super) worst_partition: Partition,
}

/// Compares the stamps of a job's records with the watermarks of their partitions.
#[derive(Debug)]
pub(super) struct ClockAlarm {
    skew_ms: i64,
    /// The greatest stamp read, by partition.
    newest_ms: Vec<i64>,
    trailing: Option<TrailingStamps>,
}

impl ClockAlarm {
    /// Creates an alarm for partitions below `partition_count` and clocks that differ by `skew_ms` at most.
    pub(super) fn new(skew_ms: u32, partition_count: u32) -> Self {
        let newest_ms = vec![i64::MIN; partition_count as usize];
        Self { skew_ms: i64::from(skew_ms), newest_ms, trailing: None }
    }

    /// Notes the stamp of a record; returns whether it trails.
    pub(super) fn note(&mut self, partition: Partition, timestamp_ms: i64) -> bool {
        let newest_ms = &mut self.newest_ms[partition.0 as usize];
        *newest_ms = timestamp_ms.max(*newest_ms);
        let behind_ms = *newest_ms - timestamp_ms;
        if behind_ms <= self.skew_ms {
            return false;
        }
        let none = TrailingStamps { records: 0, worst_ms: 0, worst_partition: partition };
        let trailing = self.trailing.get_or_insert(none);
        trailing.records += 1;
        if behind_ms > trailing.worst_ms {
            (trailing.worst_ms, trailing.worst_partition) = (behind_ms, partition);
        }
        true
    }

    /// Returns what was noted since the last call, and forgets it.
    pub(super) fn take(&mut self) -> Option<TrailingStamps> {
        self.trailing.take()
    }

    /// Returns whether a watermark is ahead of the wall clock by more than the skew: the clock of an ingress is wrong, or
    /// this one.
    pub(super) fn is_ahead(&self, watermark_ms: i64, wall_clock_ms: i64) -> bool {
        watermark_ms.saturating_sub(wall_clock_ms) > self.skew_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_that_trail_by_more_than_the_skew_are_counted_by_partition() {
        let mut alarm = ClockAlarm::new(100, 2);
        let check = |alarm: &mut ClockAlarm, stamps: &[(u32, i64)], expected: Option<(u64, i64, u32)>| {
            stamps.iter().for_each(|&(partition, stamp_ms)| {
                alarm.note(Partition(partition), stamp_ms);
            });
            let found = alarm.take().map(|it| (it.records, it.worst_ms, it.worst_partition.0));
            assert_eq!(found, expected, "{stamps:?}");
        };
        check(&mut alarm, &[(0, 1_000), (1, 50), (0, 900)], None);
        check(&mut alarm, &[(0, 899), (0, 700), (0, 898)], Some((3, 300, 0)));
        check(&mut alarm, &[(1, 500), (0, 899), (1, 10), (1, 600)], Some((2, 490, 1)));
        check(&mut alarm, &[], None);
    }

    #[test]
    fn a_watermark_may_be_ahead_by_the_skew() {
        let alarm = ClockAlarm::new(100, 1);
        let found = [0, 1_100, 1_101, i64::MAX].map(|watermark_ms| alarm.is_ahead(watermark_ms, 1_000));
        assert_eq!(found, [false, false, true, true]);
    }
}
