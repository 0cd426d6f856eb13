//! Caps on series and on remembered frames: who finds room, and what becomes of the rest.

use proptest::prelude::*;

use super::*;
use crate::record::FrameKey;

#[test]
fn series_beyond_the_caps_are_folded_into_the_owners_other_series() {
    let policy = Policy { series_max: 8, series_per_owner_max: 3, ..Policy::default() };
    let mut core =
        PartitionCore::<Ids>::open(Arc::new(Ids), policy, identity(), history(None, 0, 0)).unwrap().core;
    let named = |dimension: &str, id| Id { minute: 10, id, dimension: dimension.to_owned() };
    let ids: Vec<Id> =
        ["a", "b", "c", "d", "e", "a"].into_iter().zip(0..).map(|(name, id)| named(name, id)).collect();
    let mut out = Vec::new();
    feed(&mut core, 0, 10, b"", &ids, &mut out);
    core.tick(0, &mut out);
    let series: Vec<(String, u64)> = out
        .iter()
        .map(|effect| {
            let Effect::Emit(emit) = effect else { panic!("{effect:?}") };
            let key = SummaryKey::decode(&emit.key).unwrap();
            (key.dimensions[0].clone(), IdSummary::decode(&*emit.value).unwrap().ids)
        })
        .collect();
    let expected = [("a", 0b10_0001), ("b", 0b10), ("c", 0b100), ("(other)", 0b1_1000)];
    assert_eq!(series, expected.map(|(name, ids)| (name.to_owned(), ids)));

    // Eight series, then two `other` ones beyond: what comes after that has no room at all.
    let owner = |byte| Owner([byte; 16]);
    let mut capped = 0;
    for byte in 2..40 {
        let value = IdRecord { frame_id: vec![], ids: vec![named("a", 1), named("b", 2)] }.encode_to_vec();
        let key = owner(byte).0;
        let record =
            LogRecord { offset: Offset(byte.into()), timestamp_ms: 630_000, key: &key, value: &value };
        let RecordOutcome::Folded(outcomes) = core.ingest(record, &mut out) else { panic!() };
        assert_eq!(outcomes.total(), 2);
        capped += outcomes.capped;
    }
    assert_eq!(core.status().series, 10);
    assert!(capped > 0);
}

proptest! {
    /// Owners that open series without end, and owners that keep within their shares, in any order.
    #[test]
    fn an_owner_within_its_share_has_its_series_whatever_others_open(
        opened in prop::collection::vec((0..8_u8, 0..40_u8), 0..400),
    ) {
        // A share of 2, and room for the shares and the `other` series of 8 owners in half of it.
        let policy = Policy { series_max: 48, series_per_owner_max: 64, ..Policy::default() };
        let mut core =
            PartitionCore::<Ids>::open(Arc::new(Ids), policy, identity(), history(None, 0, 0)).unwrap().core;
        let mut out = Vec::new();
        for (offset, (owner, series)) in (0..).zip(opened) {
            let series = if owner < 3 { series } else { series % 2 };
            let ids = vec![Id { minute: 10, id: 1, dimension: series.to_string() }];
            let (key, value) = ([owner; 16], IdRecord { frame_id: vec![], ids }.encode_to_vec());
            core.ingest(
                LogRecord { offset: Offset(offset), timestamp_ms: 630_000, key: &key, value: &value },
                &mut out,
            );
        }
        core.flush(&mut out);
        prop_assert!(core.status().series <= policy.series_per_window());
        for effect in out {
            let Effect::Emit(emit) = effect else { panic!("{effect:?}") };
            let key = SummaryKey::decode(&emit.key).unwrap();
            prop_assert!(key.owner.0[0] < 3 || key.dimensions != ["(other)"], "{key:?}");
        }
    }
}

/// A sender chooses its frame ids, and could fill memory with them.
#[test]
fn a_window_remembers_so_many_frames_and_counts_what_it_forgets() {
    let policy = Policy { series_max: 8, ..Policy::default() };
    let mut core =
        PartitionCore::<Ids>::open(Arc::new(Ids), policy, identity(), history(None, 0, 0)).unwrap().core;
    let ids = [
        Id { minute: 10, id: 1, dimension: String::new() },
        Id { minute: 10, id: 2, dimension: String::new() },
    ];
    let mut out = Vec::new();
    let mut send = |offset: u64, frame: u64| {
        let frame_id = [[0; 8], frame.to_be_bytes()].concat();
        let value = IdRecord { frame_id, ids: ids.to_vec() }.encode_to_vec();
        let record =
            LogRecord { offset: Offset(offset), timestamp_ms: 630_000, key: &OWNER.0, value: &value };
        let RecordOutcome::Folded(counts) = core.ingest(record, &mut out) else { panic!() };
        (counts.accepted, counts.duplicate, counts.frames_forgotten)
    };
    let frames_max = policy.frames_max() as u64;
    for frame in 0..frames_max {
        assert_eq!(send(frame, frame), (2, 0, 0));
    }
    // What is remembered is known on; of the others every delivery counts, and that is said.
    assert_eq!(send(frames_max, 0), (0, 2, 0));
    for repetition in 1..=3 {
        assert_eq!(send(frames_max + repetition, frames_max), (2, 0, 1));
    }
    assert!(core.state_bytes().frames <= frames_max as usize * 2 * (FrameKey::BYTES + 1));
}
