//! Counters under a few keys.

use super::{Accumulator, make_room};
use crate::byte_reader::{ByteReader, DecodeError, put_varint};

/// Counters under small integer keys: status codes, error numbers, seats of an enum.
///
/// Made for one to five keys. The first needs no heap (24 bytes in all); from the second on they stand in a
/// sorted list, where adding a key costs a search and a shift. A counter that reaches `u64::MAX` stays there.
///
/// More than [`KEYS_MAX`](Self::KEYS_MAX) keys are not told apart: the smallest have counters of their own, and all others count
/// together under [`GREATER_KEYS`](Self::GREATER_KEYS). Which keys these are does not depend on the order: a key that is among the
/// smallest in the end was among them all the time.
///
/// Encoding: varints, number of keys, then per key in ascending order the distance from the key before (the first from 0)
/// and its counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    entries: Entries,
}

/// `One` holds exactly one key, `Several` any other number, so that equal counts have equal entries.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entries {
    One(u32, u64),
    /// Ascending by key, no counter is 0.
    Several(Vec<(u32, u64)>),
}

impl Default for Entries {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Counts {
    /// The most keys, [`GREATER_KEYS`](Self::GREATER_KEYS) included.
    pub const KEYS_MAX: usize = 1_024;

    /// The key of all that have none of their own, and the greatest one.
    pub const GREATER_KEYS: u32 = u32::MAX;

    /// Adds `occurrences` to the counter of `key`. Adding 0 changes nothing, in particular it makes no key.
    pub fn add(&mut self, key: u32, occurrences: u64) {
        if occurrences == 0 {
            return;
        }
        match &mut self.entries {
            Entries::One(only, count) if *only == key => *count = count.saturating_add(occurrences),
            Entries::One(only, count) => {
                let mut both = vec![(*only, *count), (key, occurrences)];
                both.sort_unstable();
                self.entries = Entries::Several(both);
            }
            Entries::Several(list) if list.is_empty() => self.entries = Entries::One(key, occurrences),
            Entries::Several(list) => add_sorted(list, key, occurrences),
        }
    }

    /// The counter of `key`, 0 if it never occurred.
    #[must_use]
    pub fn get(&self, key: u32) -> u64 {
        match &self.entries {
            Entries::One(only, count) if *only == key => *count,
            Entries::One(..) => 0,
            Entries::Several(list) => match list.binary_search_by_key(&key, |entry| entry.0) {
                Ok(at) => list[at].1,
                Err(_) => 0,
            },
        }
    }

    /// Keys and counters in ascending order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let (one, list) = match &self.entries {
            Entries::One(key, count) => (Some((*key, *count)), [].as_slice()),
            Entries::Several(list) => (None, list.as_slice()),
        };
        one.into_iter().chain(list.iter().copied())
    }

    /// Sum of all counters, or `u64::MAX` if that is exceeded.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.iter().fold(0, |total, (_, count)| total.saturating_add(count))
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.entries {
            Entries::One(..) => 1,
            Entries::Several(list) => list.len(),
        }
    }

    /// Whether nothing has been counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn add_sorted(list: &mut Vec<(u32, u64)>, key: u32, occurrences: u64) {
    match list.binary_search_by_key(&key, |entry| entry.0) {
        Ok(at) => list[at].1 = list[at].1.saturating_add(occurrences),
        Err(at) if list.len() < Counts::KEYS_MAX => {
            make_room(list, Counts::KEYS_MAX);
            list.insert(at, (key, occurrences));
        }
        Err(at) => add_to_full(list, at, (key, occurrences)),
    }
}

/// Adds a key to a list that has no room for it, so that the two greatest count together.
fn add_to_full(list: &mut Vec<(u32, u64)>, at: usize, added: (u32, u64)) {
    let greatest = match list.pop_if(|_| at < Counts::KEYS_MAX) {
        Some(greatest) => {
            list.insert(at, added);
            greatest
        }
        None => added,
    };
    if let Some(last) = list.last_mut() {
        *last = (Counts::GREATER_KEYS, last.1.saturating_add(greatest.1));
    }
}

impl Accumulator for Counts {
    const HEAP_BYTES_MAX: Option<usize> = Some(Self::KEYS_MAX * size_of::<(u32, u64)>());

    fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(key, count)| self.add(key, count));
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        let mut before = 0;
        for (key, count) in self.iter() {
            put_varint(out, u64::from(key - before));
            put_varint(out, count);
            before = key;
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = ByteReader::new(bytes);
        let mut counts = Self::default();
        let mut before = None;
        let keys = reader.varint()?;
        reader.ensure(keys <= Self::KEYS_MAX as u64, "more keys than are told apart")?;
        for _ in 0..keys {
            let key = read_key(&mut reader, before)?;
            let count = reader.varint()?;
            reader.ensure(count > 0, "a key without occurrences")?;
            counts.add(key, count);
            before = Some(key);
        }
        reader.finish()?;
        Ok(counts)
    }

    fn heap_bytes(&self) -> usize {
        match &self.entries {
            Entries::One(..) => 0,
            Entries::Several(list) => list.capacity() * size_of::<(u32, u64)>(),
        }
    }
}

/// The key at the given distance from the one `before`.
fn read_key(reader: &mut ByteReader<'_>, before: Option<u32>) -> Result<u32, DecodeError> {
    let distance = reader.varint()?;
    reader.ensure(distance > 0 || before.is_none(), "a key twice")?;
    let key = u64::from(before.unwrap_or(0)).checked_add(distance);
    key.and_then(|key| u32::try_from(key).ok()).ok_or_else(|| reader.invalid("a key beyond 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::super::laws;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn counts(additions: &[(u32, u64)]) -> Counts {
        let mut counts = Counts::default();
        additions.iter().for_each(|&(key, occurrences)| counts.add(key, occurrences));
        counts
    }

    #[test]
    fn keys_come_in_order_and_zero_makes_none() {
        fn check(additions: &[(u32, u64)], expected: &[(u32, u64)]) {
            let counts = counts(additions);
            assert_eq!(counts.iter().collect::<Vec<_>>(), expected, "{additions:?}");
            assert_eq!(counts.len(), expected.len(), "{additions:?}");
        }
        check(&[], &[]);
        check(&[(7, 0)], &[]);
        check(&[(200, 1), (200, 2)], &[(200, 3)]);
        check(&[(503, 1), (200, 2), (404, 4), (200, 8)], &[(200, 10), (404, 4), (503, 1)]);
        check(&[(1, u64::MAX), (1, 1)], &[(1, u64::MAX)]);
    }

    #[test]
    fn one_key_needs_no_heap() {
        assert_eq!(counts(&[(200, 1_000)]).heap_bytes(), 0);
        assert!(size_of::<Counts>() <= 24);
    }

    #[test]
    fn other_spellings_are_refused() {
        fn check(bytes: &[u8], accepted: bool) {
            assert_eq!(Counts::decode(bytes).is_ok(), accepted, "{bytes:x?}");
        }
        check(&[0], true);
        check(&[2, 0, 1, 3, 9], true);
        check(&[2, 5, 1, 0, 9], false); // a key twice
        check(&[1, 5, 0], false); // no occurrences
        check(&[1, 5], false);
        check(&[1, 5, 1, 1], false);
        check(&[1, 0xff, 0xff, 0xff, 0xff, 0x1f, 1], false); // 33 bits
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 5, 1], false); // claims 2^64 - 1 keys
        let of_keys = |keys: usize| {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, keys as u64);
            (0..keys).for_each(|_| bytes.extend([1, 1]));
            bytes
        };
        check(&of_keys(Counts::KEYS_MAX), true);
        check(&of_keys(Counts::KEYS_MAX + 1), false); // one more than are told apart
    }

    proptest! {
        #[test]
        fn laws_hold(a in additions(), b in additions(), c in additions()) {
            laws::check([counts(&a), counts(&b), counts(&c)]);
            let together = [a.as_slice(), &b].concat();
            laws::check_fold(&counts(&a), &counts(&b), &counts(&together));
        }

        #[test]
        fn agrees_with_a_map(additions in additions()) {
            let mut expected = BTreeMap::new();
            for &(key, occurrences) in additions.iter().filter(|addition| addition.1 > 0) {
                let count = expected.entry(key).or_insert(0_u64);
                *count = count.saturating_add(occurrences);
            }
            let counts = counts(&additions);
            prop_assert!(counts.iter().eq(expected.iter().map(|(&key, &count)| (key, count))));
            prop_assert!((0..10).all(|key| counts.get(key) == expected.get(&key).copied().unwrap_or(0)));
            let total = expected.values().map(|&count| u128::from(count)).sum::<u128>();
            prop_assert_eq!(u128::from(counts.total()), total.min(u64::MAX.into()));
        }

        #[test]
        fn decoding_never_panics(bytes in vec(any::<u8>(), 0..40)) {
            laws::check_decode::<Counts>(&bytes);
        }
    }

    /// All keys that have ever been added decide which are told apart, and in no order.
    fn told_apart(additions: &[(u32, u64)]) -> BTreeMap<u32, u64> {
        let mut all = BTreeMap::new();
        additions.iter().for_each(|&(key, count)| *all.entry(key).or_insert(0_u64) += count);
        if all.len() > Counts::KEYS_MAX {
            let first_of_rest = *all.keys().nth(Counts::KEYS_MAX - 1).unwrap();
            let rest = all.split_off(&first_of_rest);
            all.insert(u32::MAX, rest.values().sum());
        }
        all
    }

    fn many_keys() -> impl Strategy<Value = Vec<(u32, u64)>> {
        let key = prop_oneof![20 => 0..1_400_u32, 1 => (u32::MAX - 1)..=u32::MAX];
        vec((key, 1_u64..5), 0..3_000)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn of_too_many_keys_the_smallest_are_told_apart(a in many_keys(), b in many_keys()) {
            let together = [a.as_slice(), &b].concat();
            let all = counts(&together);
            prop_assert!(all.iter().eq(told_apart(&together)));
            prop_assert!(Some(all.heap_bytes()) <= Counts::HEAP_BYTES_MAX);
            laws::check_fold(&counts(&a), &counts(&b), &all);
            laws::check([counts(&a), counts(&b), all]);
        }
    }

    #[test]
    fn counters_that_count_together_stay_at_the_greatest_value() {
        let told_apart = (0..1_023).map(|key| (key, 1));
        let counts = counts(&told_apart.chain([(5_000, u64::MAX), (6_000, 2)]).collect::<Vec<_>>());
        assert_eq!((counts.len(), counts.get(Counts::GREATER_KEYS)), (1_024, u64::MAX));
    }

    /// A clone has no spare room, and grows from there.
    #[test]
    fn however_many_keys_a_clone_begins_with_it_stays_within_the_bound() {
        let check = |keys: u32, further: u32| {
            let all: Vec<_> = (0..keys).map(|key| (key, 1)).collect();
            let mut copy = counts(&all).clone();
            (keys..keys + further).for_each(|key| copy.add(key, 1));
            assert!(Some(copy.heap_bytes()) <= Counts::HEAP_BYTES_MAX, "{keys} and {further} keys");
        };
        [1, 2, 3, 600, 1_000, 1_023, 1_024].into_iter().for_each(|keys| check(keys, 1));
        [0, 3, 600, 1_023].into_iter().for_each(|keys| check(keys, 2_000));
    }

    #[test]
    fn as_many_keys_as_are_told_apart_have_counters_of_their_own() {
        let check = |keys: &[u32], expected: &[(u32, u64)]| {
            let counts = counts(&keys.iter().map(|&key| (key, 1)).collect::<Vec<_>>());
            let last: Vec<_> = counts.iter().skip(Counts::KEYS_MAX - 2).collect();
            assert_eq!((counts.len(), &*last, counts.total()), (1_024, expected, keys.len() as u64));
        };
        let all: Vec<u32> = (0..1_024).collect();
        check(&all, &[(1_022, 1), (1_023, 1)]);
        check(&[&all[..], &[1_024]].concat(), &[(1_022, 1), (u32::MAX, 2)]);
        check(&[&[u32::MAX], &all[..]].concat(), &[(1_022, 1), (u32::MAX, 2)]);
        check(&[&[7_000], &all[1..], &[0]].concat(), &[(1_022, 1), (u32::MAX, 2)]);
    }

    fn additions() -> impl Strategy<Value = Vec<(u32, u64)>> {
        let key = prop_oneof![4 => 0_u32..10, 1 => any::<u32>()];
        let occurrences = prop_oneof![4 => 0_u64..5, 1 => any::<u64>()];
        vec((key, occurrences), 0..12)
    }
}
