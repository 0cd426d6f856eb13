//! Which rows a newer generation of their job has replaced.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use yahtzee_core::owner::Owner;
use yahtzee_core::summary::SummaryKey;

use super::OwnerCount;

/// The windows of each owner by generation.
///
/// A new generation folds anew, and need not have the series of the one before it: another cap, other dimensions or another
/// window length give other keys. So the newest revision of a key is not enough: where an owner has rows of a newer
/// generation, those of an older one count no more.
#[derive(Clone, Debug, Default)]
pub struct Generations {
    windows: BTreeSet<(Owner, u32, u32, i64)>,
    /// Generations and window lengths that occur.
    kinds: BTreeSet<(u32, u32)>,
}

impl Generations {
    /// Adds a summary.
    pub fn add(&mut self, key: &SummaryKey, generation: u32) {
        let SummaryKey { owner, window_start_ms, window_length_ms, .. } = key;
        self.kinds.insert((generation, *window_length_ms));
        self.windows.insert((*owner, generation, *window_length_ms, *window_start_ms));
    }

    /// Returns whether the owner of a summary has one of a newer generation in a window that overlaps.
    #[must_use]
    pub fn is_replaced(&self, key: &SummaryKey, generation: u32) -> bool {
        let SummaryKey { owner, window_start_ms: start_ms, window_length_ms, .. } = *key;
        let end_ms = start_ms.saturating_add(i64::from(window_length_ms).max(1));
        let newer = self.kinds.iter().filter(|&&(of, _)| of > generation);
        newer.copied().any(|(of, length_ms)| {
            let first_ms = start_ms.saturating_sub(i64::from(length_ms)).saturating_add(1).min(start_ms);
            let overlapping = (owner, of, length_ms, first_ms)..(owner, of, length_ms, end_ms);
            self.windows.range(overlapping).next().is_some()
        })
    }
}

/// Measurements per owner in one window, of the newest generation that the owner has there.
#[derive(Debug, Default)]
pub(crate) struct NewestCounts(BTreeMap<Owner, (u32, u64)>);

impl NewestCounts {
    pub(crate) fn add(&mut self, owner: Owner, generation: u32, count: u64) {
        let (newest, sum) = self.0.entry(owner).or_default();
        match generation.cmp(newest) {
            Ordering::Less => {}
            Ordering::Equal => *sum = sum.saturating_add(count),
            Ordering::Greater => (*newest, *sum) = (generation, count),
        }
    }

    /// Returns the owners with the greatest counts, greatest first, ties by owner; at most `limit` of them.
    pub(crate) fn top(self, limit: usize) -> Vec<OwnerCount> {
        let mut owners: Vec<OwnerCount> =
            self.0.into_iter().map(|(owner, (_, count))| OwnerCount { owner, count }).collect();
        owners.sort_unstable_by_key(|it| (Reverse(it.count), it.owner));
        owners.truncate(limit);
        owners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_the_newest_generation_are_added_up() {
        let of = |owner, count| OwnerCount { owner: Owner([owner; 16]), count };
        let counts = || {
            let mut counts = NewestCounts::default();
            for (owner, generation, count) in
                [(1, 2, 5), (2, 1, 9), (3, 1, 9), (1, 1, 70), (1, 2, 6), (4, 0, 1)]
            {
                counts.add(Owner([owner; 16]), generation, count);
            }
            counts
        };
        assert_eq!(counts().top(3), [of(1, 11), of(2, 9), of(3, 9)]);
        assert_eq!(counts().top(0), []);
    }

    fn key(owner: u8, series: &str, start_ms: i64, length_ms: u32) -> SummaryKey {
        SummaryKey {
            owner: Owner([owner; 16]),
            dimensions: vec![series.to_owned()],
            window_start_ms: start_ms,
            window_length_ms: length_ms,
        }
    }

    #[test]
    fn a_newer_generation_replaces_all_series_of_its_owner_in_its_windows() {
        let mut generations = Generations::default();
        generations.add(&key(1, "a", 100, 10), 1);
        generations.add(&key(1, "b", 100, 10), 2);
        generations.add(&key(1, "a", 120, 4), 3);
        let check = |key: &SummaryKey, generation: u32, expected: bool| {
            assert_eq!(generations.is_replaced(key, generation), expected, "{key:?} {generation}");
        };
        check(&key(1, "a", 100, 10), 1, true);
        check(&key(1, "b", 100, 10), 2, false);
        check(&key(1, "a", 90, 10), 1, false);
        check(&key(1, "a", 110, 10), 1, false);
        check(&key(2, "a", 100, 10), 1, false);
        // Windows of other lengths that overlap.
        check(&key(1, "z", 0, 101), 1, true);
        check(&key(1, "z", 0, 100), 1, false);
        check(&key(1, "z", 109, 1), 1, true);
        check(&key(1, "z", 123, 1), 2, true);
        check(&key(1, "z", 124, 1), 2, false);
        check(&key(1, "z", 124, 1), 9, false);
    }
}
