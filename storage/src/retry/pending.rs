//! What was read ahead for one shard: of each key the newest revision, oldest first.

use std::collections::{BTreeMap, HashMap};

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use crate::dead_letter::headers::FailureHeaders;
use crate::store::OwnedSummary;

/// Place of a record in RETRY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    /// Index of the job.
    pub(super) job: usize,
    pub(super) partition: Partition,
    pub(super) offset: Offset,
}

/// A summary that waits for its shard.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) ticket: Ticket,
    pub(super) summary: OwnedSummary,
    pub(super) trail: FailureHeaders,
    /// Writes in which it failed while others of its batch did not.
    pub(super) tries: u32,
}

/// The summaries that wait for one shard.
#[derive(Debug, Default)]
pub(super) struct Pending {
    by_age: BTreeMap<u64, Waiting>,
    ages: HashMap<(usize, Vec<u8>), u64>,
    next_age: u64,
    bytes: usize,
}

impl Pending {
    /// Takes a summary in, unless its key is there with the same or a newer revision. Returns the record that the
    /// other one supersedes.
    pub(super) fn insert(&mut self, waiting: Waiting) -> Option<Ticket> {
        let key = (waiting.ticket.job, waiting.summary.key.clone());
        let age = *self.ages.entry(key).or_insert(self.next_age);
        let bytes = waiting.summary.bytes();
        match self.by_age.get_mut(&age) {
            Some(there) if there.summary.revision() >= waiting.summary.revision() => Some(waiting.ticket),
            Some(there) => {
                self.bytes = self.bytes - there.summary.bytes() + bytes;
                Some(std::mem::replace(there, waiting).ticket)
            }
            None => {
                self.next_age += 1;
                self.bytes += bytes;
                self.by_age.insert(age, waiting);
                None
            }
        }
    }

    /// The oldest ones with their ages, `count` at most.
    pub(super) fn oldest(&self, count: usize) -> impl Iterator<Item = (u64, &Waiting)> {
        self.by_age.iter().take(count).map(|(&age, waiting)| (age, waiting))
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, age: u64) -> Option<Waiting> {
        let waiting = self.by_age.remove(&age)?;
        self.bytes -= waiting.summary.bytes();
        self.ages.remove(&(waiting.ticket.job, waiting.summary.key.clone()));
        Some(waiting)
    }

    /// Notes a failure that others of the batch did not have; how many it has had.
    pub(super) fn failed_alone(&mut self, age: u64) -> u32 {
        self.by_age.get_mut(&age).map_or(0, |waiting| {
            waiting.tries += 1;
            waiting.tries
        })
    }

    pub(super) fn len(&self) -> usize {
        self.by_age.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }

    /// Keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the one that failed first did so, milliseconds since 1970.
    pub(super) fn first_failure_ms(&self) -> Option<i64> {
        self.by_age.values().filter_map(|waiting| waiting.trail.first_failure_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use yahtzee_core::record::Offset;

    use super::*;
    use crate::test_world::summaries::{carried, key};

    proptest! {
        /// The model keeps every record and looks for the newest of each key.
        #[test]
        fn of_each_key_the_newest_stays_and_all_others_are_told(
            records in prop::collection::vec((0..3_usize, 0..4_u8, 0..5_u64), 0..60),
        ) {
            let mut pending = Pending::default();
            let mut superseded = Vec::new();
            for (offset, &(job, series, revision)) in (0..).zip(&records) {
                let ticket = Ticket { job, partition: Partition(0), offset: Offset(offset) };
                let summary = carried(&job.to_string(), &key(series), revision);
                superseded.extend(pending.insert(Waiting { ticket, summary, trail: FailureHeaders::default(), tries: 0 }));
            }
            let kept: Vec<(u64, Ticket)> =
                pending.oldest(usize::MAX).map(|(age, waiting)| (age, waiting.ticket)).collect();
            for &(_, ticket) in &kept {
                let (job, series, revision) = records[ticket.offset.0 as usize];
                let newest = records.iter().filter(|it| (it.0, it.1) == (job, series)).map(|it| it.2).max();
                prop_assert_eq!(Some(revision), newest);
            }
            let mut all: Vec<u64> = kept.iter().map(|(_, it)| it.offset.0).collect();
            all.extend(superseded.iter().map(|it| it.offset.0));
            all.sort_unstable();
            prop_assert_eq!(all, (0..records.len() as u64).collect::<Vec<_>>());
            prop_assert_eq!(pending.len(), kept.len());
            for (age, _) in kept {
                prop_assert!(pending.remove(age).is_some() && pending.remove(age).is_none());
            }
            prop_assert_eq!((pending.len(), pending.bytes(), pending.ages.len()), (0, 0, 0));
        }
    }
}
