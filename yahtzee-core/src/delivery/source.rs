//! The records of one source: which are open, what may be committed, and whether reading must begin again.

use std::collections::BTreeMap;

use super::rules::DeliveryRules;
use super::settled::KnownMark;
use super::tracker::OffsetTracker;
use crate::record::Offset;

/// A record that was read and is to be settled once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// Index of the source.
    pub source: usize,
    /// Which opening of the source it was read by. What an earlier one has read is read again.
    pub epoch: u64,
    /// Index of its partition among those of the source.
    pub stream: usize,
    /// Its offset there.
    pub offset: Offset,
}

/// Why a source must be read again from what is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The log has not taken a record of RETRY or QUARANTINE.
    AppendFailed,
    /// What was held can go on.
    Repaired,
    /// The database of a shard has less than it was known to have: it was restored to an earlier point.
    Restored,
}

/// What is known of a source while it is read.
#[derive(Clone, Debug)]
pub struct SourceState {
    rules: &'static dyn DeliveryRules,
    epoch: u64,
    writer: u64,
    /// By shard: who writes after a transaction without an answer.
    next_writers: BTreeMap<usize, u64>,
    /// By stream.
    trackers: Vec<OffsetTracker>,
    /// By stream: what was committed last.
    committed: Vec<Offset>,
    /// By stream and shard: what the database of the shard is known to have.
    marks: Vec<BTreeMap<usize, KnownMark>>,
    interruption: Option<Interruption>,
}

impl SourceState {
    /// Creates a source that is not open.
    #[must_use]
    pub fn new(rules: &'static dyn DeliveryRules) -> Self {
        let (trackers, committed, marks) = (Vec::new(), Vec::new(), Vec::new());
        let (writer, next_writers) = (0, BTreeMap::new());
        Self { rules, epoch: 0, writer, next_writers, trackers, committed, marks, interruption: None }
    }

    /// Begins anew at these positions, by stream, and returns the epoch of the opening. Whatever an earlier opening
    /// still does is without effect here. `writer` is an id that no opening of any process has had, and not 0: what this one
    /// knows of databases is not what an earlier one knew.
    pub fn open(&mut self, positions: &[Offset], writer: u64) -> u64 {
        self.epoch += 1;
        self.writer = writer;
        self.next_writers = BTreeMap::new();
        self.trackers = positions.iter().copied().map(OffsetTracker::new).collect();
        self.committed = positions.to_vec();
        self.marks = vec![BTreeMap::new(); positions.len()];
        self.interruption = None;
        self.epoch
    }

    /// Notes that a record was read.
    ///
    /// # Errors
    /// If the span of its partition would exceed `span_max`: the record that is waited for.
    pub fn take(&mut self, ticket: Ticket, span_max: u64) -> Result<(), Ticket> {
        let tracker = &mut self.trackers[ticket.stream];
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

    /// Notes that there is nothing more below `next`.
    pub fn reached(&mut self, stream: usize, next: Offset) {
        self.trackers[stream].reached(next);
    }

    /// Nothing is left to be done for the record. Returns whether it belongs to this opening.
    pub fn settle(&mut self, ticket: Ticket) -> bool {
        self.change(ticket, |tracker| tracker.settle(ticket.offset))
    }

    /// The record stays in the log until the source is read again. Returns whether it belongs to this opening.
    pub fn hold(&mut self, ticket: Ticket) -> bool {
        self.change(ticket, |tracker| tracker.hold(ticket.offset))
    }

    fn change(&mut self, ticket: Ticket, change: impl FnOnce(&mut OffsetTracker)) -> bool {
        let is_current = self.rules.is_current(ticket.epoch, self.epoch);
        if is_current {
            change(&mut self.trackers[ticket.stream]);
        }
        is_current
    }

    /// Reports what the log did with the RETRY or QUARANTINE record of `ticket`: it is settled, or the source must be
    /// read again, unless that belongs to an earlier opening. Returns whether anything has changed.
    pub fn appended(&mut self, ticket: Ticket, is_acknowledged: bool) -> bool {
        if self.rules.settles_handed_over(is_acknowledged) {
            return self.settle(ticket);
        }
        let is_current = ticket.epoch == self.epoch;
        if is_current {
            self.interruption = Some(Interruption::AppendFailed);
        }
        is_current
    }

    /// Makes reading begin again, so that what was held is read again.
    pub fn repaired(&mut self) {
        self.interruption.get_or_insert(Interruption::Repaired);
    }

    /// Makes reading begin again where the database of a shard ends now.
    pub fn restored(&mut self) {
        self.interruption.get_or_insert(Interruption::Restored);
    }

    /// Returns the id under which this opening writes to a shard: see [`super::WriteId::writer`].
    #[must_use]
    pub fn writer(&self, shard: usize) -> u64 {
        self.next_writers.get(&shard).copied().unwrap_or(self.writer)
    }

    /// Notes that a transaction has had no answer, so that the database of the shard may have it. The next one is written by `writer`,
    /// an id as that of an opening: others may know of the first and must miss it if the database loses it before the second,
    /// which this opening would not.
    pub fn unanswered(&mut self, shard: usize, writer: u64) {
        self.next_writers.insert(shard, writer);
    }

    /// Returns which opening this is.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Notes what the database of a shard has.
    pub fn know(&mut self, stream: usize, shard: usize, mark: KnownMark) {
        self.marks[stream].insert(shard, mark);
    }

    /// Returns what the databases of shards are known to have of a stream; nothing of shards that were never written to.
    #[must_use]
    pub fn marks(&self, stream: usize) -> &BTreeMap<usize, KnownMark> {
        &self.marks[stream]
    }

    /// Returns why reading must begin again, if it must.
    #[must_use]
    pub fn interruption(&self) -> Option<Interruption> {
        self.interruption
    }

    /// Returns where a successor must begin to read, by stream.
    #[must_use]
    pub fn committable(&self) -> Vec<Offset> {
        self.trackers.iter().map(|tracker| tracker.committable(self.rules)).collect()
    }

    /// Returns what is to be committed: streams with an offset beyond the one committed last.
    #[must_use]
    pub fn uncommitted(&self) -> Vec<(usize, Offset)> {
        let moved = self.committable().into_iter().zip(&self.committed).enumerate();
        moved.filter(|(_, (now, before))| now > before).map(|(stream, (now, _))| (stream, now)).collect()
    }

    /// Notes that the log has these commits.
    pub fn committed(&mut self, commits: &[(usize, Offset)]) {
        for &(stream, offset) in commits {
            self.committed[stream] = offset;
        }
    }

    /// Returns what was committed last, by stream.
    #[must_use]
    pub fn last_committed(&self) -> &[Offset] {
        &self.committed
    }

    /// Returns the read positions, by stream.
    #[must_use]
    pub fn positions(&self) -> Vec<Offset> {
        self.trackers.iter().map(OffsetTracker::position).collect()
    }

    /// Returns the greatest span of a stream: offsets between its lowest open record and its position.
    #[must_use]
    pub fn span(&self) -> u64 {
        self.trackers.iter().map(OffsetTracker::span).max().unwrap_or(0)
    }

    /// Returns the number of open records.
    #[must_use]
    pub fn open_records(&self) -> usize {
        self.trackers.iter().map(OffsetTracker::open_records).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rules::ProductionDelivery;
    use super::*;

    fn ticket(epoch: u64, offset: u64) -> Ticket {
        Ticket { source: 0, epoch, stream: 0, offset: Offset(offset) }
    }

    proptest! {
        /// In whatever order records are settled, and however long the lowest one takes.
        #[test]
        fn the_span_stays_within_its_bound(
            span_max in 1..20_u64,
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200),
        ) {
            let mut source = SourceState::new(&ProductionDelivery);
            let epoch = source.open(&[Offset(0)], 1);
            let (mut next, mut open) = (0, Vec::new());
            for (is_take, index) in steps {
                if is_take {
                    match source.take(ticket(epoch, next), span_max) {
                        Ok(()) => open.push(next),
                        Err(lowest) => {
                            prop_assert_eq!(Some(lowest.offset.0), open.iter().min().copied());
                            prop_assert_eq!(source.span(), span_max);
                            continue;
                        }
                    }
                    next += 1;
                } else if !open.is_empty() {
                    source.settle(ticket(epoch, open.swap_remove(index.index(open.len()))));
                }
                prop_assert!(source.span() <= span_max);
                prop_assert_eq!(source.open_records(), open.len());
                prop_assert_eq!(source.committable(), [Offset(open.iter().min().copied().unwrap_or(next))]);
            }
        }
    }

    #[test]
    fn what_an_earlier_opening_still_does_changes_nothing() {
        let mut source = SourceState::new(&ProductionDelivery);
        let before = source.open(&[Offset(0)], 1);
        assert_eq!(source.take(ticket(before, 0), 10), Ok(()));
        source.know(0, 0, KnownMark::Numbers { offset: Offset(1), writes: 1 });
        let after = source.open(&[Offset(0)], 1);
        assert_eq!(source.take(ticket(after, 0), 10), Ok(()));
        source.settle(ticket(before, 0));
        source.hold(ticket(before, 0));
        source.appended(ticket(before, 0), false);
        assert_eq!(source.marks(0), &BTreeMap::new());
        assert_eq!(source.committable(), [Offset(0)]);
        assert!(source.interruption().is_none());
        source.settle(ticket(after, 0));
        assert_eq!(source.committable(), [Offset(1)]);
        assert_eq!(source.uncommitted(), [(0, Offset(1))]);
        source.committed(&[(0, Offset(1))]);
        assert!(source.uncommitted().is_empty());
    }

    #[test]
    fn another_writer_goes_on_in_the_shard_that_has_not_answered() {
        fn check(source: &SourceState, expected: [u64; 2]) {
            assert_eq!([0, 1].map(|shard| source.writer(shard)), expected);
        }
        let mut source = SourceState::new(&ProductionDelivery);
        source.open(&[Offset(0)], 7);
        check(&source, [7, 7]);
        source.unanswered(1, 8);
        check(&source, [7, 8]);
        source.unanswered(1, 9);
        check(&source, [7, 9]);
        source.open(&[Offset(0)], 10);
        check(&source, [10, 10]);
    }

    #[test]
    fn what_the_log_did_not_take_is_read_again() {
        let mut source = SourceState::new(&ProductionDelivery);
        let epoch = source.open(&[Offset(0)], 1);
        assert_eq!(source.take(ticket(epoch, 0), 10), Ok(()));
        source.appended(ticket(epoch, 0), false);
        // A repair at the same time must not hide it: the failure is what is waited for.
        source.repaired();
        assert_eq!(source.interruption(), Some(Interruption::AppendFailed));
        assert_eq!(source.committable(), [Offset(0)]);
    }
}
