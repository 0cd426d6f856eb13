//! What comes out of a summary topic, and what is not let through.

use proptest::prelude::*;
use prost::Message;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::key_of_record;

use super::*;

const TODAY: Day = Day(20_000);

#[derive(Clone, Copy, PartialEq, Message)]
struct Value {
    #[prost(message, optional, tag = "1")]
    provenance: Option<Provenance>,
}

fn key(window_start_ms: i64, dimensions: Vec<String>) -> Vec<u8> {
    SummaryKey { owner: Owner([7; 16]), dimensions, window_start_ms, window_length_ms: 60_000 }.encode()
}

fn value(last_offset: u64) -> Vec<u8> {
    let provenance =
        Provenance { generation: 1, first_offset: 0, last_offset, count: last_offset + 1, is_final: false };
    Value { provenance: Some(provenance) }.encode_to_vec()
}

#[test]
fn what_no_store_would_take_is_told_by_its_reason() {
    fn check(key: &[u8], value: &[u8], expected: Result<Day, UnusableSummary>) {
        assert_eq!(
            OwnedSummary::read(&"job".into(), key, value, TODAY).map(|summary| summary.lend().day()),
            expected
        );
    }
    let today = key(TODAY.start_ms(), vec!["web".to_owned()]);
    check(&today, &value(3), Ok(TODAY));
    check(b"", &value(3), Err(UnreadableSummary::Key.into()));
    check(&today, b"\xff", Err(UnreadableSummary::Value.into()));
    check(&today, b"", Err(UnreadableSummary::Value.into()));
    check(&today, &vec![0; 400 << 10], Err(UnusableSummary::Value { bytes: 400 << 10 }));
    let wide = key(TODAY.start_ms(), vec!["x".repeat(255); 10]);
    check(&wide, &value(3), Err(UnusableSummary::Key { bytes: wide.len() }));
    let (last, ahead) = (TODAY.plus(DAYS_AHEAD_MAX), TODAY.plus(20 * 365));
    check(&key(last.start_ms(), vec![]), &value(3), Ok(last));
    check(
        &key(ahead.start_ms(), vec![]),
        &value(3),
        Err(UnusableSummary::Ahead { day: ahead, today: TODAY }),
    );
    check(&key(0, vec![]), &value(3), Ok(Day(0)));
}

proptest! {
    /// The key of a record names the generation, or does not, or another; the value may be none.
    #[test]
    fn a_record_is_read_as_its_key_and_value_are(
        has_key: bool, suffix in prop::option::of(0..3_u32), bytes in prop::collection::vec(any::<u8>(), 0..9),
        has_value: bool, last_offset: u64,
    ) {
        let mut record_key = if has_key { key(TODAY.start_ms(), vec!["web".to_owned()]) } else { bytes.clone() };
        record_key.extend(suffix.iter().flat_map(|generation| generation.to_be_bytes()));
        let value = if has_value { value(last_offset >> 1) } else { bytes };
        let job = "job".into();
        let expected = OwnedSummary::read(&job, key_of_record(&record_key, &value), &value, TODAY);
        prop_assert_eq!(OwnedSummary::read_record(&job, &record_key, &value, TODAY), expected);
    }

    #[test]
    fn of_each_key_the_newest_is_kept_in_the_order_of_keys(
        offsets in prop::collection::vec((0..4_u8, 0..4_u64), 0..20),
    ) {
        let records: Vec<(Vec<u8>, Vec<u8>)> =
            offsets.iter().map(|&(series, offset)| (key(0, vec![series.to_string()]), value(offset))).collect();
        let read = |(key, value): &(Vec<u8>, Vec<u8>)| OwnedSummary::read(&"job".into(), key, value, TODAY).unwrap();
        let summaries: Vec<OwnedSummary> = records.iter().map(read).collect();
        let batch: Vec<Summary<'_>> = summaries.iter().map(OwnedSummary::lend).collect();
        let kept = newest_by_key(&batch, &mut vec![Outcome::Stale; batch.len()]);
        let kept: Vec<(u8, u64)> = kept.into_iter().map(|index| offsets[index]).collect();
        let mut expected = std::collections::BTreeMap::new();
        for &(series, offset) in &offsets {
            let newest = expected.entry(series).or_insert(offset);
            *newest = offset.max(*newest);
        }
        prop_assert_eq!(kept, expected.into_iter().collect::<Vec<_>>());
    }
}
