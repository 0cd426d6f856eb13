//! What of a partition may be committed: everything below the lowest record that is not settled.

use std::collections::BTreeSet;

use yahtzee_core::record::Offset;

/// The records of one partition between the committed offset and the read position.
///
/// Memory is one entry per record that is open. A record that is held takes none: it is read again.
#[derive(Clone, Debug)]
pub(crate) struct Tracker {
    /// Offset of the next record to be read.
    position: Offset,
    open: BTreeSet<Offset>,
    /// Lowest record that waits in the log for somebody to mend the configuration.
    held: Option<Offset>,
}

impl Tracker {
    /// Nothing was read; the next record has this offset or a greater one.
    pub(crate) fn new(position: Offset) -> Self {
        Self { position, open: BTreeSet::new(), held: None }
    }

    /// A record was read and is open until it is settled or held.
    pub(crate) fn take(&mut self, offset: Offset) {
        self.reached(offset.next());
        self.open.insert(offset);
    }

    /// There is nothing more below `next`.
    pub(crate) fn reached(&mut self, next: Offset) {
        self.position = self.position.max(next);
    }

    /// Nothing is left to be done for the record.
    pub(crate) fn settle(&mut self, offset: Offset) {
        self.open.remove(&offset);
    }

    /// The record stays in the log and is forgotten here: no commit goes past it until the partition is read again.
    pub(crate) fn hold(&mut self, offset: Offset) {
        self.open.remove(&offset);
        self.held = Some(self.held.map_or(offset, |held| held.min(offset)));
    }

    /// Where a successor must begin to read.
    pub(crate) fn committable(&self) -> Offset {
        let lowest = [Some(self.position), self.open.first().copied(), self.held];
        lowest.into_iter().flatten().min().unwrap_or(self.position)
    }

    /// Offsets between the lowest open record and the position. Held records are not counted: they wait for people.
    pub(crate) fn span(&self) -> u64 {
        self.open.first().map_or(0, |lowest| self.position.0 - lowest.0)
    }

    /// Lowest record that is open.
    pub(crate) fn lowest_open(&self) -> Option<Offset> {
        self.open.first().copied()
    }

    /// Records that are open.
    pub(crate) fn open_records(&self) -> usize {
        self.open.len()
    }

    /// Offset of the next record to be read.
    pub(crate) fn position(&self) -> Offset {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

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
            let mut tracker = Tracker::new(Offset(start));
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
                    tracker.committable(),
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
