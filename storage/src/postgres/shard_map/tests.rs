//! The shard map as properties: pinned, balanced, and moving nothing.

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 9] = ["0", "1", "2", "3", "4", "5", "6", "7", "8"];

fn names(count: usize) -> Vec<String> {
    NAMES[..count].iter().map(|&name| name.to_owned()).collect()
}

fn key(owner: Owner, first: &str, day: Day) -> SummaryKey {
    let dimensions = vec![first.to_owned(), "H12".to_owned()];
    SummaryKey { owner, dimensions, window_start_ms: day.start_ms(), window_length_ms: 60_000 }
}

/// From the Go implementation's tests (`lithammer/go-jump-consistent-hash`).
#[test]
fn jump_agrees_with_published_vectors() {
    fn check(key: u64, buckets: usize, expected: usize) {
        assert_eq!(jump(key, buckets), expected, "{key} of {buckets}");
    }
    check(1, 1, 0);
    check(42, 57, 43);
    check(0xDEAD_10CC, 1, 0);
    check(0xDEAD_10CC, 666, 361);
    check(256, 1_024, 520);
}

/// Computed with the Python binding of the reference implementation of XXH3 (64 bits, seed 0) and a Python `jump`.
#[test]
fn the_shard_of_an_owner_is_pinned() {
    fn check(owner: &str, first: &str, shard_key: ShardKey, of_7: &str, of_9: &str) {
        let key = key(Owner::parse(owner).unwrap(), first, Day(0));
        let shard = |count| ShardMap::constant(names(count), shard_key).unwrap().shard_of(&key).to_owned();
        assert_eq!((&*shard(7), &*shard(9)), (of_7, of_9), "{owner} {first}");
    }
    let plain = "01234567-89ab-cdef-0123-456789abcdef";
    check("00000000-0000-0000-0000-000000000000", "web", ShardKey::Owner, "2", "2");
    check(plain, "web", ShardKey::Owner, "4", "4");
    check(plain, "web", ShardKey::OwnerAndFirstDimension, "0", "0");
    check(plain, "worker", ShardKey::OwnerAndFirstDimension, "1", "1");
}

#[test]
fn shards_are_balanced() {
    const OWNERS: u32 = 70_000;
    let epoch = Epoch { from: Day::MIN, shards: names(7), key: ShardKey::Owner };
    let mut counts = std::collections::BTreeMap::new();
    for number in 0..OWNERS {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        *counts.entry(epoch.shard_of(Owner(bytes), None)).or_insert(0_u32) += 1;
    }
    assert_eq!(counts.len(), 7);
    assert!(counts.values().all(|count| count.abs_diff(OWNERS / 7) < OWNERS / 7 / 20), "{counts:?}");
}

fn two_epochs(from: Day) -> ShardMap {
    ShardMap::new(vec![
        Epoch { from: Day::MIN, shards: names(7), key: ShardKey::Owner },
        Epoch { from, shards: names(9), key: ShardKey::OwnerAndFirstDimension },
    ])
    .unwrap()
}

proptest! {
    #[test]
    fn a_new_map_moves_nothing_before_its_day(owner: [u8; 16], first in "[a-z]{0,8}", day in -100_i64..100) {
        let key = key(Owner(owner), &first, Day(day));
        let old = ShardMap::constant(names(7), ShardKey::Owner).unwrap();
        let new = ShardMap::constant(names(9), ShardKey::OwnerAndFirstDimension).unwrap();
        let expected = if day < 10 { old.shard_of(&key) } else { new.shard_of(&key) };
        let map = two_epochs(Day(10));
        prop_assert_eq!(map.shard_of(&key), expected);
    }

    #[test]
    fn another_shard_takes_keys_from_the_others_only(key: u64, buckets in 1_usize..200) {
        let (before, after) = (jump(key, buckets), jump(key, buckets + 1));
        prop_assert!(after == before || after == buckets);
    }

    #[test]
    fn a_reader_asks_the_shard_that_was_written_to(owner: [u8; 16], first in "[a-z]{0,8}", day in 0_i64..20) {
        let map = two_epochs(Day(10));
        let key = key(Owner(owner), &first, Day(day));
        let asked: Vec<_> = map.epochs_of(Day(day - 1), Day(day + 1)).iter()
            .flat_map(|epoch| epoch.shards_of_owner(Owner(owner))).collect();
        prop_assert!(asked.contains(&map.shard_of(&key)));
    }
}

#[test]
fn a_range_touches_the_epochs_of_its_days() {
    let map = two_epochs(Day(10));
    let check = |first, last, expected| assert_eq!(map.epochs_of(Day(first), Day(last)).len(), expected);
    check(0, 9, 1);
    check(9, 10, 2);
    check(10, 30, 1);
    check(30, 10, 0);
    assert_eq!(map.epochs_of(Day::MIN, Day(i64::MAX)).len(), 2);
}

#[test]
fn maps_that_cannot_be_right_are_refused() {
    fn check(epochs: &[(i64, &[&str])], expected: SettingsError) {
        let epoch = |&(from, shards): &(i64, &[&str])| Epoch {
            from: if from == i64::MIN { Day::MIN } else { Day(from) },
            shards: shards.iter().map(|&shard| shard.to_owned()).collect(),
            key: ShardKey::Owner,
        };
        assert_eq!(ShardMap::new(epochs.iter().map(epoch).collect()), Err(expected));
    }
    const START: i64 = i64::MIN;
    check(&[], SettingsError::NoMap);
    check(&[(5, &["a"])], SettingsError::NoBeginning { first: Day(5) });
    check(&[(START, &[])], SettingsError::EmptyMap { from: Day::MIN });
    check(&[(START, &["a", "a"])], SettingsError::TwiceInMap { shard: "a".into(), from: Day::MIN });
    check(
        &[(START, &["a"]), (9, &["b"]), (9, &["c"])],
        SettingsError::OutOfOrder { from: Day(9), after: Day(9) },
    );
}
