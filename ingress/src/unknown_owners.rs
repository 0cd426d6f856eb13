//! A bound on the owners that no configuration names, so that made-up tokens cannot make owners without end.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use yahtzee_core::owner::Owner;

/// Time for which an owner that writes nothing keeps its place.
const IDLE: Duration = Duration::from_secs(3_600);

/// Admits the owners that the configuration names, and so many others in any hour.
#[derive(Debug)]
pub struct UnknownOwners {
    named: HashSet<Owner>,
    max: usize,
    last_write: Mutex<HashMap<Owner, Instant>>,
}

impl UnknownOwners {
    /// Creates a bound of `max` owners that are not in `named`.
    #[must_use]
    pub fn new(named: HashSet<Owner>, max: usize) -> Self {
        Self { named, max, last_write: Mutex::default() }
    }

    /// Returns whether all of `owners` may write at time `now`. Owners that write keep their places; newcomers get what is free.
    #[must_use]
    pub fn admit(&self, owners: impl IntoIterator<Item = Owner>, now: Instant) -> bool {
        let unknown: BTreeSet<Owner> =
            owners.into_iter().filter(|owner| !self.named.contains(owner)).collect();
        if unknown.is_empty() {
            return true;
        }
        let mut last_write = self.last_write.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = |places: &HashMap<Owner, Instant>| {
            let newcomers = unknown.iter().filter(|owner| !places.contains_key(owner)).count();
            places.len() + newcomers <= self.max
        };
        if !has_room(&last_write) {
            last_write.retain(|_, last| now.saturating_duration_since(*last) < IDLE);
        }
        let is_admitted = has_room(&last_write);
        if is_admitted {
            last_write.extend(unknown.into_iter().map(|owner| (owner, now)));
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owners(ids: &[u8]) -> Vec<Owner> {
        ids.iter().map(|&id| Owner([id; 16])).collect()
    }

    #[test]
    fn newcomers_get_the_places_that_are_free_and_no_writer_loses_its_own() {
        let (bound, start) = (UnknownOwners::new(owners(&[9]).into_iter().collect(), 2), Instant::now());
        let check = |ids: &[u8], minutes: u64, expected: bool| {
            let now = start + Duration::from_secs(60 * minutes);
            assert_eq!(bound.admit(owners(ids), now), expected, "{ids:?} after {minutes} minutes");
        };
        check(&[1, 9], 0, true);
        check(&[2, 3], 0, false);
        check(&[2, 2], 0, true);
        check(&[3], 1, false);
        check(&[9], 1, true);
        check(&[1, 2], 30, true);
        check(&[3], 60, false);
        check(&[1], 61, true);
        check(&[3], 90, true);
        check(&[2], 91, false);
        check(&[1, 3], 92, true);
    }

    proptest! {
        #[test]
        fn no_hour_has_more_owners_than_the_bound(
            writes in proptest::collection::vec((0_u8..12, 0_u64..20), 1..200),
            max in 0_usize..6,
        ) {
            let (bound, mut now) = (UnknownOwners::new(HashSet::new(), max), Instant::now());
            let mut admitted = Vec::new();
            for (id, minutes) in writes {
                now += Duration::from_secs(60 * minutes);
                if bound.admit(owners(&[id]), now) {
                    admitted.push((id, now));
                }
                let of_hour = admitted.iter().filter(|(_, at)| now - *at < IDLE).map(|&(id, _)| id);
                prop_assert!(of_hour.collect::<BTreeSet<_>>().len() <= max);
            }
        }
    }
}
