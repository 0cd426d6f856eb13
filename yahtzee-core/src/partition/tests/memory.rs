//! What a partition can come to hold is known from its policy: [`StateBytes::most`], and the greatest size of a summary.

use proptest::prelude::*;

use super::*;
use crate::accumulate::{Accumulator, DecodeError, Distribution};
use crate::effect::RECORD_BYTES_MAX;
use crate::erased::AnyJob;

/// A job whose every measurement makes its accumulator as large as it can be, if it is told so.
#[derive(Debug)]
struct Largest;

#[derive(Clone, PartialEq, Message)]
struct LargeSummary {
    #[prost(bytes = "vec", tag = "16")]
    state: Vec<u8>,
}

impl Job for Largest {
    const NAME: &'static str = "largest";
    const MEASUREMENT: &'static str = "IDS";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["name", "beside"];
    type Record<'a> = IdRecord;
    type Accumulator = (Distribution, u64);
    type Summary = LargeSummary;

    fn fold(&self, record: &IdRecord, intake: &mut Intake<'_, Self>) {
        let beside = "y".repeat(255);
        for id in &record.ids {
            intake.add(id.minute * MINUTE_MS * 1_000, [&id.dimension, &beside], |(values, count)| {
                let occurrences = 1 << id.id;
                values.record_n(0, occurrences);
                values.record_n(Distribution::HIGHEST_TRACKABLE, occurrences);
                *count += 1;
            });
        }
    }

    fn summarize(&self, (values, _): &(Distribution, u64)) -> LargeSummary {
        let mut state = Vec::new();
        values.encode(&mut state);
        LargeSummary { state }
    }
}

fn open(policy: Policy) -> PartitionCore<Largest> {
    PartitionCore::<Largest>::open(Arc::new(Largest), policy, identity(), history(None, 0, 0)).unwrap().core
}

fn most(policy: &Policy) -> StateBytes {
    StateBytes::most::<<Largest as Job>::Accumulator>(policy, Largest::DIMENSIONS.len()).unwrap()
}

/// Hands the core a record received in `now`, with series `names` of the window of `minute`, each of its own owner.
fn fill(core: &mut PartitionCore<Largest>, offset: &mut u64, now: i64, minute: i64, names: &[u32]) {
    for &name in names {
        let ids = vec![Id { minute, id: 40, dimension: format!("{name:0>255}") }];
        let frame_id = [&[0; 8][..], &offset.to_be_bytes()].concat();
        let value = IdRecord { frame_id, ids }.encode_to_vec();
        let key = [&[0; 12][..], &name.to_be_bytes()].concat();
        let timestamp_ms = now * MINUTE_MS;
        core.ingest(
            LogRecord { offset: Offset(*offset), timestamp_ms, key: &key, value: &value },
            &mut Vec::new(),
        );
        *offset += 1;
    }
}

/// Whether nothing in `bytes` is above `most`.
fn is_within(bytes: StateBytes, most: StateBytes) -> bool {
    bytes.states <= most.states
        && bytes.accumulators_heap <= most.accumulators_heap
        && bytes.tables <= most.tables
        && bytes.frames <= most.frames
}

proptest! {
    /// Windows that open and close, with the series of the ones before or with others.
    #[test]
    fn a_partition_never_holds_more_than_its_policy_says(
        (series_max, lateness_windows, future_windows) in (0..40_usize, 0..4_u32, 0..3_u32),
        steps in prop::collection::vec((0..3_i64, -4..3_i64, 0..60_u32, 0..200_u32), 0..60),
    ) {
        let policy = Policy {
            series_max, lateness_windows, future_windows, series_per_owner_max: 1_000, ..Policy::default()
        };
        let (mut core, most) = (open(policy), most(&policy));
        let (mut now, mut offset) = (100, 0);
        for (later, window, count, from) in steps {
            now += later;
            let names: Vec<u32> = (from..from + count).collect();
            fill(&mut core, &mut offset, now, now + window, &names);
            let bytes = core.state_bytes();
            prop_assert!(is_within(bytes, most), "{bytes:?} {most:?}");
        }
    }
}

/// The bound is one that is reached: where every window is full, with series of its own.
#[test]
fn full_windows_hold_nearly_as_much_as_the_policy_says() {
    let policy =
        Policy { series_max: 120, lateness_windows: 2, series_per_owner_max: 1_000, ..Policy::default() };
    let (mut core, most) = (open(policy), most(&policy));
    let mut offset = 0;
    for now in 100..120_i64 {
        for minute in now - 2..=now + 1 {
            let first = u32::try_from(minute).unwrap() * 1_000;
            fill(&mut core, &mut offset, now, minute, &(first..first + 200).collect::<Vec<_>>());
        }
        let bytes = core.state_bytes();
        assert!(is_within(bytes, most), "{bytes:?} {most:?}");
        if now > 103 {
            assert_eq!(bytes.accumulators_heap, most.accumulators_heap);
            assert!(bytes.states * 3 > most.states * 2, "{bytes:?} {most:?}");
            assert!(bytes.tables * 3 > most.tables * 2, "{bytes:?} {most:?}");
        }
    }
}

/// It is kept for the window that opens next.
#[test]
fn what_a_closed_window_leaves_is_counted() {
    let policy = Policy { lateness_windows: 1, series_per_owner_max: 1_000, ..Policy::default() };
    let (mut core, mut offset) = (open(policy), 0);
    fill(&mut core, &mut offset, 100, 99, &(0..100).collect::<Vec<_>>());
    fill(&mut core, &mut offset, 100, 100, &[0]);
    let before = core.state_bytes();
    fill(&mut core, &mut offset, 101, 100, &[0]);
    let after = core.state_bytes();
    assert_eq!(core.status().open_windows, 1);
    assert_eq!((after.states, after.frames), (before.states, before.frames));
}

/// However few series it has, a window remembers many frames.
#[test]
fn a_window_that_remembers_all_frames_it_may_is_within_the_bound() {
    let policy = Policy { series_max: 1, lateness_windows: 0, future_windows: 0, ..Policy::default() };
    let (mut core, most) = (open(policy), most(&policy));
    let mut offset = 0;
    (0..policy.frames_max() + 10).for_each(|_| fill(&mut core, &mut offset, 100, 100, &[0]));
    let bytes = core.state_bytes();
    assert!(is_within(bytes, most) && bytes.frames * 2 > most.frames, "{bytes:?} {most:?}");
}

/// An accumulator of which nobody says how large it can be.
#[derive(Clone, Default)]
struct Unbounded(Vec<u8>);

impl Accumulator for Unbounded {
    fn merge(&mut self, other: &Self) {
        self.0.extend(&other.0);
        self.0.sort_unstable();
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(&self.0);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(bytes.to_vec()))
    }

    fn heap_bytes(&self) -> usize {
        self.0.capacity()
    }
}

#[test]
fn an_accumulator_without_a_bound_gives_a_partition_none() {
    assert_eq!(StateBytes::most::<(u64, Unbounded)>(&Policy::default(), 0), None);
}

/// Every policy that is not refused has a bound that is a number, and a partition of it one that is no smaller than that of less.
#[test]
fn the_bound_of_the_largest_policies_is_a_number() {
    let check = |policy: Policy| {
        policy.check().unwrap();
        let bound = StateBytes::most::<(Distribution, u64)>(&policy, 64).unwrap();
        let series = usize::try_from(policy.series_bound()).unwrap();
        let least =
            series * (Distribution::HEAP_BYTES_MAX.unwrap() + size_of::<(Distribution, u64)>() + 64 * 256);
        assert!(bound.total() > least && bound.total() / 2 < least, "{policy:?} {bound:?}");
    };
    let largest = Policy { series_max: Policy::SERIES_MAX, ..Policy::default() };
    check(largest);
    check(Policy { lateness_windows: 199, future_windows: 0, ..largest });
    check(Policy { lateness_windows: 0, future_windows: 199, series_per_owner_max: usize::MAX, ..largest });
}

/// What waits to be written is bounded as what is held.
#[test]
fn a_summary_may_be_a_fourth_larger_than_its_accumulator_beside_key_and_4_kib() {
    fn check<A: Accumulator>(dimensions: usize, expected: usize) {
        assert_eq!(summary_bytes_max::<A>(dimensions), expected);
    }
    let key = |dimensions: usize| 16 + 256 * dimensions + 12;
    check::<u64>(0, 8 + 2 + 4_096 + key(0));
    check::<u64>(8, 8 + 2 + 4_096 + key(8));
    check::<Unbounded>(0, RECORD_BYTES_MAX);
    check::<(u64, Unbounded)>(3, RECORD_BYTES_MAX);
    check::<Endless>(0, RECORD_BYTES_MAX);
    let distribution = 24 + Distribution::HEAP_BYTES_MAX.unwrap();
    check::<Distribution>(1, distribution / 4 * 5 + 4_096 + key(1));
}

/// An accumulator of which somebody says that it may take any memory.
#[derive(Clone, Default)]
struct Endless;

impl Accumulator for Endless {
    const HEAP_BYTES_MAX: Option<usize> = Some(usize::MAX);

    fn merge(&mut self, _other: &Self) {}

    fn encode(&self, _out: &mut Vec<u8>) {}

    fn decode(_bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self)
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

/// A job with so many dimensions, and a summary of as many bytes as it has counted.
#[derive(Debug)]
struct Padded<const DIMENSIONS: usize>;

impl<const DIMENSIONS: usize> Job for Padded<DIMENSIONS> {
    const NAME: &'static str = "padded";
    const MEASUREMENT: &'static str = "IDS";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["dimension"; DIMENSIONS];
    type Record<'a> = IdRecord;
    type Accumulator = u64;
    type Summary = LargeSummary;

    fn fold(&self, record: &IdRecord, intake: &mut Intake<'_, Self>) {
        for Id { minute, id, dimension } in &record.ids {
            let dimensions = [dimension.as_str(); DIMENSIONS];
            intake.add(minute * MINUTE_MS * 1_000, dimensions, |bytes| *bytes += u64::from(*id));
        }
    }

    fn summarize(&self, bytes: &u64) -> LargeSummary {
        LargeSummary { state: vec![7; *bytes as usize] }
    }
}

/// The summary of one series with the longest dimensions.
fn padded_summary<const DIMENSIONS: usize>(bytes: usize) -> Effect {
    let (job, history) = (Arc::new(Padded::<DIMENSIONS>), history(None, 0, 0));
    let opened = PartitionCore::<Padded<DIMENSIONS>>::open(job, Policy::default(), identity(), history);
    let (mut core, mut out) = (opened.unwrap().core, Vec::new());
    let id = u32::try_from(bytes).unwrap();
    let ids = vec![Id { minute: 10, id, dimension: "y".repeat(300) }];
    let value = IdRecord { frame_id: Vec::new(), ids }.encode_to_vec();
    let record = LogRecord { offset: Offset(0), timestamp_ms: 600_000, key: &OWNER.0, value: &value };
    core.ingest(record, &mut out);
    core.flush(&mut out);
    out.pop().unwrap()
}

#[test]
fn a_summary_that_outgrows_its_accumulator_is_no_summary() {
    fn check<const DIMENSIONS: usize>() {
        let bytes_max = summary_bytes_max::<u64>(DIMENSIONS);
        let Effect::Emit(empty) = padded_summary::<DIMENSIONS>(0) else { panic!("{DIMENSIONS}") };
        // A field of more than 127 bytes has a tag of 2 bytes and a length of 2.
        let largest = bytes_max - empty.key.len() - empty.value.len() - 4;
        let Effect::Emit(emit) = padded_summary::<DIMENSIONS>(largest) else { panic!("{largest}") };
        assert_eq!(emit.key.len() + emit.value.len(), bytes_max);
        let Effect::Failed(failed) = padded_summary::<DIMENSIONS>(largest + 1) else {
            panic!("{DIMENSIONS}")
        };
        assert_eq!((&failed.key, failed.provenance.count), (&emit.key, 1));
        let SummaryFailure::TooLarge { value, value_bytes } = failed.reason else { panic!() };
        assert_eq!(value_bytes, emit.value.len() + 1);
        assert_eq!((value.len(), &value[..8]), (value_bytes.min(DEAD_LETTER_BYTES), &emit.value[..8]));
        let failed = padded_summary::<DIMENSIONS>(largest + 1);
        assert_eq!(failed.bytes(), size_of::<Effect>() + emit.key.len() + value.len());
    }
    check::<0>();
    check::<1>();
    check::<8>();
    // Their keys alone are larger than what a summary may have beside its accumulator.
    check::<16>();
    check::<40>();
}

/// Whether it is published or not.
#[test]
fn no_summary_takes_more_than_is_told_while_it_waits() {
    fn check<const DIMENSIONS: usize>(bytes: usize) {
        let effect = padded_summary::<DIMENSIONS>(bytes);
        // The list that it waits in has as much room again.
        let waiting = effect.bytes() + size_of::<Effect>();
        let most = AnyJob::summary_effect_bytes_max(&Padded::<DIMENSIONS>) as usize;
        assert!(waiting <= most, "{DIMENSIONS} dimensions, {bytes} bytes: {waiting} > {most}");
    }
    for bytes in [0, 2_000, 4_000, 4_096, 5_000, 900_000, 2_000_000] {
        check::<0>(bytes);
        check::<1>(bytes);
        check::<8>(bytes);
        check::<40>(bytes);
    }
}
