//! The owners with the most late measurements, in bounded memory.

use std::collections::BTreeMap;

use yahtzee_core::owner::Owner;

/// Owners that are counted at a time.
const COUNTERS: usize = 64;

/// The Space-Saving sketch (Metwally, Agrawal, El Abbadi, 2005): exact while there are at most [`COUNTERS`] owners;
/// beyond, a count is too high by at most that of the owner it has replaced.
#[derive(Debug, Default)]
pub(super) struct LateOwners {
    counts: BTreeMap<Owner, u64>,
}

impl LateOwners {
    /// Adds `late` measurements of an owner.
    pub(super) fn add(&mut self, owner: Owner, late: u64) {
        if let Some(count) = self.counts.get_mut(&owner) {
            *count += late;
            return;
        }
        let mut start = 0;
        if self.counts.len() >= COUNTERS {
            let least = self.counts.iter().min_by_key(|&(_, &count)| count);
            let (&replaced, &count) = least.expect("there are counters");
            self.counts.remove(&replaced);
            start = count;
        }
        self.counts.insert(owner, start + late);
    }

    /// Returns the `most` owners with the greatest counts, greatest first, and forgets all.
    pub(super) fn take(&mut self, most: usize) -> Vec<(Owner, u64)> {
        let mut counts: Vec<(Owner, u64)> = std::mem::take(&mut self.counts).into_iter().collect();
        counts.sort_by_key(|&(owner, count)| (std::cmp::Reverse(count), owner));
        counts.truncate(most);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(number: u16) -> Owner {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        Owner(bytes)
    }

    #[test]
    fn heavy_owners_are_found_among_many() {
        let mut late = LateOwners::default();
        for round in 0..1_000 {
            late.add(owner(9_999), 5);
            late.add(owner(round), 1);
        }
        let found = late.take(3);
        assert_eq!(found[0].0, owner(9_999));
        assert_eq!(found[0].1, 5_000);
        assert_eq!(late.take(3), []);
    }

    /// Else an owner that comes when all counters are taken is told with less than it has, however heavy it is.
    #[test]
    fn no_count_is_too_low_where_owners_share_a_counter() {
        let mut late = LateOwners::default();
        for round in 0..3 {
            for number in 0..=COUNTERS as u16 {
                late.add(owner(number), 10);
            }
            let (least, sum) = (10 * (round + 1), 10 * (round + 1) * (COUNTERS as u64 + 1));
            let counts: Vec<u64> = late.counts.values().copied().collect();
            assert_eq!(counts.iter().sum::<u64>(), sum, "nothing that was added is forgotten");
            assert!(counts.iter().all(|&count| count >= least), "{counts:?}");
        }
    }
}
