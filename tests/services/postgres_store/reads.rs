//! What is read: all of it, or an error.

use yahtzee_storage::postgres::shard_map::ShardKey;
use yahtzee_storage::store::Day;
use yahtzee_storage::store::{StoreError, SummaryStore};

use super::support::{DAY, Database, Entry, JOB, check_all, store_of};

#[test]
fn a_range_is_half_open_and_crosses_midnight() {
    let Some(database) = Database::create() else { return };
    let minutes = [1_438, 1_439, 1_440, 1_441];
    let entries: Vec<_> = minutes.iter().map(|&minute| Entry::of(1, minute, 1)).collect();
    check_all(&mut *database.writer(), &entries, "stored");
    check_all(&mut *database.writer(), &[Entry::of(2, 1_440, 1)], "stored");
    let store = database.store();
    let check = |from: i64, to: i64, expected: &[i64]| {
        let at = |minute: i64| DAY.start_ms() + minute * 60_000;
        let rows = store.range(JOB, Some(entries[0].parts.owner), at(from), at(to)).unwrap().rows;
        let starts: Vec<_> = rows.iter().map(|row| row.key.window_start_ms).collect();
        assert_eq!(starts, expected.iter().map(|&minute| at(minute)).collect::<Vec<_>>());
    };
    check(0, 10_000, &minutes);
    check(1_439, 1_441, &[1_439, 1_440]);
    check(1_440, 1_440, &[]);
    check(1_441, 1_439, &[]);
}

#[test]
fn a_store_without_rows_is_no_error() {
    let Some(database) = Database::create() else { return };
    let store = database.store();
    let owner = Entry::of(1, 0, 1).parts.owner;
    let check = |job: &str| {
        let rows = store.range(job, Some(owner), i64::MIN, i64::MAX).unwrap();
        assert_eq!((rows.rows.len(), rows.floor), (0, Day::MIN));
        assert!(store.top_owners(job, DAY.start_ms(), 3).unwrap().is_empty());
    };
    check(JOB);
    check_all(&mut *store.writer(yahtzee_storage::store::Shard(0)), &[Entry::of(2, 0, 1)], "stored");
    check(JOB.to_uppercase().as_str());
}

#[test]
fn the_owners_with_most_measurements_come_first() {
    let Some(database) = Database::create() else { return };
    let entry = |owner, dimension: &str, last| Entry::of(owner, 7, last).with_dimensions(&[dimension]);
    let entries = [
        entry(1, "web", 4),
        entry(1, "worker", 4),
        entry(2, "web", 8),
        entry(3, "web", 8),
        entry(4, "web", 0),
        Entry::of(4, 8, 1_000),
    ];
    check_all(&mut *database.writer(), &entries, "stored");
    let top = database.store().top_owners(JOB, entries[0].parts.window_start_ms, 3).unwrap();
    let expected = [(&entries[0], 10), (&entries[2], 9), (&entries[3], 9)];
    let found: Vec<_> = top.iter().map(|it| (it.owner, it.count)).collect();
    assert_eq!(found, expected.map(|(entry, count)| (entry.parts.owner, count)));
}

#[test]
fn a_part_of_an_answer_is_none() {
    let Some(database) = Database::create() else { return };
    let dead = "host=127.0.0.1 port=1 user=x dbname=x".to_owned();
    let store = store_of(&[("0", database.url(None, None)), ("1", dead)], ShardKey::OwnerAndFirstDimension);
    let owner = Entry::of(1, 0, 1).parts.owner;
    for error in [
        store.range(JOB, Some(owner), 0, i64::MAX).unwrap_err(),
        store.top_owners(JOB, 0, 1).unwrap_err(),
        store.drop_days_below(DAY, None).unwrap_err(),
        store.create_days(&[JOB], DAY, DAY).unwrap_err(),
    ] {
        assert!(matches!(&error, StoreError::Unavailable { place, .. } if place == "shard 1"), "{error}");
    }
    // The live shard did its part all the same.
    assert_eq!(database.run("SELECT count(*) FROM yahtzee.days"), ["1"]);
    assert_eq!(database.run("SELECT floor FROM yahtzee.shard"), [DAY.to_string()]);
}
