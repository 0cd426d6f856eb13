//! Reads: complete, in order, and nothing besides.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_storage::store::{OwnerCount, Row};

use super::Bench;
use super::support::{Entry, JOB, MINUTE_MS, TODAY, Writers, for_all, key, rows_of, step};

/// Windows of several owners and jobs around three midnights: a range gives those between its bounds, by key.
pub(crate) fn finds_what_is_in_a_range_in_order(bench: &dyn Bench) {
    let store = bench.store();
    let cases = AtomicU32::new(0);
    let bounds = prop::collection::vec((around_midnight(), around_midnight()), 1..8);
    for_all(&(prop::collection::btree_map(series(), 0..9_u64, 1..60), bounds), |(series, bounds)| {
        let case = cases.fetch_add(1, Ordering::Relaxed);
        let jobs = [format!("range-{case}"), format!("range-{case}-b")];
        let entry = |((job, key), steps): ((usize, SummaryKey), u64)| Entry {
            job: jobs[job].clone(),
            ..Entry::new(key, step(steps))
        };
        let mut entries: Vec<Entry> = series.into_iter().map(entry).collect();
        Writers::new(&*store).store(&entries);
        entries.sort_by(|left, right| left.key.cmp(&right.key));
        for (from_ms, to_ms) in bounds {
            let owners = [None, Some(0_u8), Some(1), Some(2)].map(|owner| owner.map(|it| Owner([it; 16])));
            for (job, owner) in jobs.iter().flat_map(|job| owners.map(|owner| (job, owner))) {
                let is_wanted = |entry: &&Entry| {
                    &entry.job == job
                        && owner.is_none_or(|owner| entry.key.owner == owner)
                        && (from_ms..to_ms).contains(&entry.key.window_start_ms)
                };
                let expected: Vec<Row> = entries.iter().filter(is_wanted).map(Entry::row).collect();
                let found = store.range(job, owner, from_ms, to_ms).expect("range");
                prop_assert_eq!(found.rows, expected, "{} {:?} {}..{}", job, owner, from_ms, to_ms);
            }
        }
        Ok(())
    });
}

/// Starts of windows: the minutes around three midnights, and the milliseconds around the minutes.
fn around_midnight() -> impl Strategy<Value = i64> {
    let near = -1..=1_i64;
    (0..3_i64, -3..4_i64, near)
        .prop_map(|(day, minute, ms)| TODAY.plus(day).start_ms() + minute * MINUTE_MS + ms)
}

/// Number of a job and a key, with and without dimensions in front of each other.
fn series() -> impl Strategy<Value = (usize, SummaryKey)> {
    let dimensions = prop::collection::vec("[ab]{0,2}", 0..3);
    let lengths = prop::sample::select(vec![60_000, 900_000]);
    (0..2_usize, 0..3_u8, dimensions, around_midnight(), lengths).prop_map(
        |(job, owner, dimensions, window_start_ms, window_length_ms)| {
            let owner = Owner([owner; 16]);
            (job, SummaryKey { owner, dimensions, window_start_ms, window_length_ms })
        },
    )
}

/// Ranges that hold nothing, up to the ends of time.
pub(crate) fn finds_nothing_outside_of_time(bench: &dyn Bench) {
    let store = bench.store();
    let entry = Entry::new(key(1, 0), step(1));
    Writers::new(&*store).store(std::slice::from_ref(&entry));
    let at = entry.key.window_start_ms;
    let check = |from_ms: i64, to_ms: i64, expected: usize| {
        let found = store.range(JOB, Some(Owner([1; 16])), from_ms, to_ms).expect("range").rows.len();
        assert_eq!(found, expected, "{from_ms}..{to_ms}");
    };
    check(at, at + 1, 1);
    check(i64::MIN, i64::MAX, 1);
    check(at, i64::MAX, 1);
    check(i64::MIN, at + 1, 1);
    check(i64::MIN, at, 0);
    check(at + 1, i64::MAX, 0);
    check(at, at, 0);
    check(at + 1, at, 0);
    check(i64::MAX, i64::MIN, 0);
    check(i64::MIN, i64::MIN, 0);
    for time_ms in [i64::MIN, at - 1, at + 1, i64::MAX] {
        assert_eq!(store.top_owners(JOB, time_ms, 5), Ok(vec![]), "{time_ms}");
    }
}

/// Where an owner has rows of a newer generation, those of the older one are neither shown nor counted.
pub(crate) fn shows_the_newest_generation(bench: &dyn Bench) {
    let store = bench.store();
    let series = |owner: u8, minute: i64, name: &str| {
        let dimensions = vec![name.to_owned()];
        SummaryKey { dimensions, ..key(owner, minute) }
    };
    let of = |key: SummaryKey, generation: u32| Entry::new(key, Provenance { generation, ..step(4) });
    let before = [of(series(1, 0, "a"), 1), of(series(1, 0, "(other)"), 1), of(series(2, 0, "a"), 1)];
    let kept = of(series(1, 1, "a"), 1);
    Writers::new(&*store).store(&[&before[..], std::slice::from_ref(&kept)].concat());
    let anew = [of(series(1, 0, "a"), 2), of(series(1, 0, "b"), 2)];
    Writers::new(&*store).store(&anew);
    let expected: Vec<Row> = [&anew[0], &anew[1], &kept].map(Entry::row).into();
    let mut found = rows_of(&*store, Owner([1; 16]));
    found.sort_by_key(|row| row.key.window_start_ms);
    assert_eq!(found, expected);
    let top = store.top_owners(JOB, TODAY.start_ms(), 9).expect("top owners");
    assert_eq!(top.iter().map(|top| top.count).collect::<Vec<_>>(), [10, 5]);
}

/// Owners by their measurements in one window, over all series; neighbours in time and other jobs do not count.
pub(crate) fn ranks_the_owners_of_a_window(bench: &dyn Bench) {
    let store = bench.store();
    let cases = AtomicU32::new(0);
    let inputs = (prop::collection::btree_map(series_of_many(), 0..4_u64, 1..80), 0..8_usize);
    for_all(&inputs, |(series, limit)| {
        let case = cases.fetch_add(1, Ordering::Relaxed);
        let jobs = [format!("top-{case}"), format!("top-{case}-b")];
        let entry = |((job, key), steps): ((usize, SummaryKey), u64)| Entry {
            job: jobs[job].clone(),
            ..Entry::new(key, step(steps))
        };
        let entries: Vec<Entry> = series.into_iter().map(entry).collect();
        Writers::new(&*store).store(&entries);
        for minute in 0..3 {
            let start_ms = TODAY.start_ms() + minute * MINUTE_MS;
            let is_counted = |entry: &&Entry| entry.job == jobs[0] && entry.key.window_start_ms == start_ms;
            let mut counts: BTreeMap<Owner, u64> = BTreeMap::new();
            for entry in entries.iter().filter(is_counted) {
                *counts.entry(entry.key.owner).or_default() += entry.provenance().count;
            }
            let mut expected: Vec<OwnerCount> =
                counts.into_iter().map(|(owner, count)| OwnerCount { owner, count }).collect();
            expected.sort_by_key(|top| (Reverse(top.count), top.owner));
            expected.truncate(limit);
            prop_assert_eq!(store.top_owners(&jobs[0], start_ms, limit).expect("top owners"), expected);
        }
        Ok(())
    });
}

fn series_of_many() -> impl Strategy<Value = (usize, SummaryKey)> {
    let dimensions = prop::collection::vec("[ab]{0,1}", 0..3);
    (0..2_usize, 0..6_u8, dimensions, 0..3_i64)
        .prop_map(|(job, owner, dimensions, minute)| (job, SummaryKey { dimensions, ..key(owner, minute) }))
}
