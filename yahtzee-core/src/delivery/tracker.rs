//! What of a partition may be committed: everything below the lowest record that is not settled.

use std::collections::BTreeSet;

use super::rules::DeliveryRules;
use crate::record::Offset;

/// The records of one partition between the committed offset and the read position.
///
/// Memory is one entry per record that is open. A record that is held takes none: it is read again.
#[derive(Clone, Debug)]
pub(super) struct OffsetTracker {
    /// Offset of the next record to be read.
    position: Offset,
    open: BTreeSet<Offset>,
    /// Lowest record that waits in the log for somebody to repair the configuration.
    held: Option<Offset>,
}

impl OffsetTracker {
    /// Creates the tracker of a partition of which nothing was read; the next record has this offset or a greater one.
    pub(super) fn new(position: Offset) -> Self {
        Self { position, open: BTreeSet::new(), held: None }
    }

    /// Notes that a record was read: it is open until it is settled or held.
    pub(super) fn take(&mut self, offset: Offset) {
        self.reached(offset.next());
        self.open.insert(offset);
    }

    /// Notes that there is nothing more below `next`.
    pub(super) fn reached(&mut self, next: Offset) {
        self.position = self.position.max(next);
    }

    /// Nothing is left to be done for the record.
    pub(super) fn settle(&mut self, offset: Offset) {
        self.open.remove(&offset);
    }

    /// The record stays in the log and is forgotten here: no commit goes past it until the partition is read again.
    pub(super) fn hold(&mut self, offset: Offset) {
        self.open.remove(&offset);
        self.held = Some(self.held.map_or(offset, |held| held.min(offset)));
    }

    /// Returns where a successor must begin to read.
    pub(super) fn committable(&self, rules: &dyn DeliveryRules) -> Offset {
        rules.committable(self.position, self.lowest_open(), self.held)
    }

    /// Returns the offsets between the lowest open record and the position. Held records do not count: they wait for people.
    pub(super) fn span(&self) -> u64 {
        self.open.first().map_or(0, |lowest| self.position.0 - lowest.0)
    }

    /// Returns the lowest record that is open.
    pub(super) fn lowest_open(&self) -> Option<Offset> {
        self.open.first().copied()
    }

    /// Returns the number of open records.
    pub(super) fn open_records(&self) -> usize {
        self.open.len()
    }

    /// Returns the offset of the next record to be read.
    pub(super) fn position(&self) -> Offset {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::rules::ProductionDelivery;
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum State {
        Open,
        Settled,
        Held,
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Reads a record this far behind the last one: offsets have gaps.
        Take(u64),
        /// Settles the n-th record that was read, again and again if it comes so.
        Settle(prop::sample::Index),
        Hold(prop::sample::Index),
        End(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1..4_u64).prop_map(Step::Take),
            4 => any::<prop::sample::Index>().prop_map(Step::Settle),
            1 => any::<prop::sample::Index>().prop_map(Step::Hold),
            1 => (0..4_u64).prop_map(Step::End),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        /// The model keeps every record for ever and searches them all.
        #[test]
        fn the_commit_is_the_lowest_record_not_settled(start in 0..100_u64, steps in steps()) {
            let mut tracker = OffsetTracker::new(Offset(start));
            let (mut records, mut position) = (BTreeMap::new(), start);
            for step in steps {
                let of = |index: prop::sample::Index| {
                    (!records.is_empty()).then(|| *records.keys().nth(index.index(records.len())).unwrap())
                };
                match step {
                    Step::Take(gap) => {
                        let offset = position + gap - 1;
                        tracker.take(Offset(offset));
                        records.insert(offset, State::Open);
                        position = offset + 1;
                    }
                    Step::Settle(index) => if let Some(offset) = of(index) {
                        tracker.settle(Offset(offset));
                        records.entry(offset).and_modify(|it| if *it == State::Open { *it = State::Settled });
                    }
                    Step::Hold(index) => if let Some(offset) = of(index).filter(|it| records[it] == State::Open) {
                        tracker.hold(Offset(offset));
                        records.insert(offset, State::Held);
                    }
                    Step::End(gap) => {
                        position += gap;
                        tracker.reached(Offset(position));
                    }
                }
                let lowest = |wanted: &[State]| {
                    records.iter().find(|(_, state)| wanted.contains(state)).map(|(&offset, _)| offset)
                };
                prop_assert_eq!(
                    tracker.committable(&ProductionDelivery),
                    Offset(lowest(&[State::Open, State::Held]).unwrap_or(position))
                );
                let open = lowest(&[State::Open]);
                prop_assert_eq!(tracker.lowest_open(), open.map(Offset));
                prop_assert_eq!(tracker.span(), open.map_or(0, |open| position - open));
                let count = records.values().filter(|state| **state == State::Open).count();
                prop_assert_eq!(tracker.open_records(), count);
                prop_assert_eq!(tracker.position(), Offset(position));
            }
        }
    }
}
