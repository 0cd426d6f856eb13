//! Keys and values are bytes: none is changed, none is taken for another.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_storage::store::Row;
use yahtzee_storage::store::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

use super::Bench;
use super::support::{Entry, JOB, TODAY, Writers, for_all, key, rows_of, step, value};

/// Bytes of a dimension at most.
const DIMENSION_BYTES_MAX: usize = 255;

/// Any texts as dimensions, any fields of a job after the provenance.
pub(crate) fn gives_back_any_key_and_value(bench: &dyn Bench) {
    let store = bench.store();
    let cases = AtomicU32::new(0);
    let texts = prop::collection::btree_set(prop::collection::vec(any_dimension(), 0..4), 1..12);
    for_all(&(texts, prop::collection::vec(any::<u8>(), 0..300)), |(texts, bytes)| {
        let case = cases.fetch_add(1, Ordering::Relaxed);
        let owner = Owner(u128::from(case).to_be_bytes());
        let entry = |dimensions: Vec<String>| Entry {
            value: with_bytes(step(1), &bytes),
            ..Entry::new(SummaryKey { owner, dimensions, ..key(0, 0) }, step(1))
        };
        let entries: Vec<Entry> = texts.into_iter().map(entry).collect();
        Writers::new(&*store).store(&entries);
        let expected: Vec<Row> = entries.iter().map(Entry::row).collect();
        prop_assert_eq!(rows_of(&*store, owner), expected);
        Ok(())
    });
}

fn any_dimension() -> impl Strategy<Value = String> {
    let cut = |text: String| text[..text.floor_char_boundary(DIMENSION_BYTES_MAX)].to_owned();
    prop::collection::vec(any::<char>(), 0..100).prop_map(move |text| cut(text.into_iter().collect()))
}

/// A value whose message has these bytes in a field of its own (number 99, length-delimited).
fn with_bytes(provenance: Provenance, bytes: &[u8]) -> Vec<u8> {
    let mut value = value(provenance);
    prost::encoding::bytes::encode(99, &bytes.to_vec(), &mut value);
    value
}

/// Dimensions that separators, escapes, C strings, normalisation or collations take for each other.
pub(crate) fn keeps_odd_dimensions_apart(bench: &dyn Bench) {
    let longest = "x".repeat(DIMENSION_BYTES_MAX);
    let cut = &longest[1..];
    // "é" as one character and as two; the ligature and its letters.
    let (composed, decomposed, ligature) = ("\u{e9}", "e\u{301}", "\u{fb01}");
    let odd: [&[&str]; 34] = [
        &[],
        &[""],
        &["", ""],
        &["", "", ""],
        &["a", "b"],
        &["ab"],
        &["a", "", "b"],
        &["a/b"],
        &["a", "/b"],
        &["a/", "b"],
        &["/"],
        &["\\"],
        &["\\\\"],
        &["\\/"],
        &["\\0"],
        &["\0"],
        &["\0\0"],
        &["\0", ""],
        &["", "\0"],
        &["NULL"],
        &["null"],
        &["\"", "'"],
        &["{a,b}"],
        &["a,b"],
        &["%00"],
        &[composed],
        &[decomposed],
        &["E\u{301}"],
        &[ligature],
        &["fi"],
        &["a "],
        &["a"],
        &[&longest],
        &[cut],
    ];
    let store = bench.store();
    let entry = |dimensions: &&[&str]| {
        let dimensions = dimensions.iter().map(|&text| text.to_owned()).collect();
        Entry::new(SummaryKey { dimensions, ..key(1, 0) }, step(1))
    };
    let entries: Vec<Entry> = odd.iter().map(entry).collect();
    Writers::new(&*store).store(&entries);
    let found: BTreeSet<Vec<String>> =
        rows_of(&*store, Owner([1; 16])).into_iter().map(|row| row.key.dimensions).collect();
    assert_eq!(found, entries.into_iter().map(|entry| entry.key.dimensions).collect());
}

/// Keys that differ in one part are two rows.
pub(crate) fn keeps_the_parts_of_a_key_apart(bench: &dyn Bench) {
    let store = bench.store();
    let first = Entry::new(key(1, 0), step(1));
    let others = [
        Entry { job: "errors-2".to_owned(), ..first.clone() },
        Entry::new(SummaryKey { owner: Owner([2; 16]), ..key(1, 0) }, step(1)),
        Entry::new(SummaryKey { window_start_ms: TODAY.start_ms() + 1, ..key(1, 0) }, step(1)),
        Entry::new(SummaryKey { window_length_ms: 900_000, ..key(1, 0) }, step(1)),
    ];
    let mut writers = Writers::new(&*store);
    writers.store(std::slice::from_ref(&first));
    writers.store(&others);
    let [other_job, other_owner, other_start, other_length] = others.map(|entry| entry.row());
    assert_eq!(rows_of(&*store, Owner([1; 16])), [first.row(), other_length, other_start]);
    assert_eq!(rows_of(&*store, Owner([2; 16])), [other_owner]);
    let of_other_job = store.range(&other_job.job, Some(Owner([1; 16])), i64::MIN, i64::MAX).expect("range");
    assert_eq!(of_other_job.rows, [other_job]);
    assert_eq!(store.range("no-such-job", Some(Owner([1; 16])), i64::MIN, i64::MAX).expect("range").rows, []);
}

/// Key, value and numbers of the greatest sizes that a sink lets through.
pub(crate) fn takes_the_greatest_that_is_read(bench: &dyn Bench) {
    let store = bench.store();
    // Owner 16, window 12, eight dimensions with a byte of length each: as near to the limit as these come.
    let dimension = "z".repeat((KEY_BYTES_MAX - 16 - 12) / 8 - 1);
    let large_key = SummaryKey { dimensions: vec![dimension; 8], ..key(1, 0) };
    assert!(KEY_BYTES_MAX - large_key.encode().len() < 8);
    let offset_max = i64::MAX.unsigned_abs();
    let greatest = Provenance {
        generation: u32::MAX,
        first_offset: offset_max,
        last_offset: offset_max,
        count: offset_max,
        is_final: true,
    };
    let noise: Vec<u8> = (0..VALUE_BYTES_MAX - 100).map(|index| (index * index / 7) as u8).collect();
    let entry = Entry { value: with_bytes(greatest, &noise), ..Entry::new(large_key, greatest) };
    Writers::new(&*store).store(std::slice::from_ref(&entry));
    assert_eq!(rows_of(&*store, Owner([1; 16])), [entry.row()]);
    let top = store.top_owners(JOB, TODAY.start_ms(), 9).expect("top owners");
    assert_eq!(top.iter().map(|top| top.count).collect::<Vec<_>>(), [offset_max]);
}
