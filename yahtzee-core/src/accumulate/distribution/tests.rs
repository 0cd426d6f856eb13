//! The distribution against its laws, against HdrHistogram, and against sorted samples.

use super::super::{Moments, laws};
use super::*;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use proptest::collection::vec;
use proptest::prelude::*;

const HIGHEST: u64 = Distribution::HIGHEST_TRACKABLE;

fn distribution(values: &[u64]) -> Distribution {
    let mut distribution = Distribution::default();
    values.iter().for_each(|&value| distribution.record(value));
    distribution
}

fn distribution_of(values: &[(u64, u64)]) -> Distribution {
    let mut distribution = Distribution::default();
    values.iter().for_each(|&(value, occurrences)| distribution.record_n(value, occurrences));
    distribution
}

fn encoded(distribution: &Distribution) -> Vec<u8> {
    let mut bytes = Vec::new();
    distribution.encode(&mut bytes);
    bytes
}

fn is_list(distribution: &Distribution) -> bool {
    matches!(distribution.state, State::List(_))
}

/// The same values in the reference implementation.
fn oracle(values: &[(u64, u64)]) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, HIGHEST, 2).unwrap();
    for &(value, occurrences) in values {
        histogram.record_n(value.min(HIGHEST), occurrences).unwrap();
    }
    histogram
}

fn oracle_v2(histogram: &Histogram<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes).unwrap();
    bytes
}

fn once(values: &[u64]) -> Vec<(u64, u64)> {
    values.iter().map(|&value| (value, 1)).collect()
}

/// Milliseconds as a router sees them, rarely beyond every bound, from no sample to several promotions.
fn values() -> impl Strategy<Value = Vec<u64>> {
    let value = prop_oneof![
        10 => 0_u64..300,
        10 => 0_u64..60_000,
        2 => 0..=HIGHEST,
        1 => HIGHEST - 2..HIGHEST + 3,
        1 => any::<u64>(),
    ];
    prop_oneof![vec(value.clone(), 0..6), vec(value.clone(), 0..40), vec(value, 0..400)]
}

/// A few values, each so often that counters of every width occur and some saturate.
fn repeated() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let value = prop_oneof![0_u64..1_000, HIGHEST - 2..HIGHEST + 3, any::<u64>()];
    let occurrences =
        prop_oneof![0_u64..40, 65_530_u64..65_540, any::<u32>().prop_map(u64::from), any::<u64>()];
    vec((value, occurrences), 0..8)
}

#[test]
fn the_list_ends_at_32_samples() {
    fn check(count: u64, expected_list: bool) {
        let mut distribution = Distribution::default();
        distribution.record_n(1_001, count);
        assert_eq!((distribution.count(), is_list(&distribution)), (count, expected_list));
        // In buckets too: 1,001 is the only value, and minimum and maximum are exact.
        assert_eq!(distribution.quantile(0.5), (count > 0).then_some(1_001));
    }
    check(0, true);
    check(1, true);
    check(32, true);
    check(33, false);
}

#[test]
fn small_values_have_few_bytes() {
    fn check(values: &[u64], expected: &[u8]) {
        assert_eq!(encoded(&distribution(values)), expected, "{values:?}");
    }
    check(&[], &[0x80]);
    check(&[0], &[0x81, 0]);
    check(&[300], &[0x81, 0xac, 0x02]);
    check(&[7, 5, 5], &[0x83, 5, 0, 2]);
    assert_eq!(encoded(&distribution(&[60_000])).len(), 4);
}

#[test]
fn memory_stays_within_the_goal_for_zipf_traffic() {
    assert!(size_of::<Distribution>() <= 24);
    // 50,000 series share 300,000 records a minute, the series of rank r in proportion to 1 / r.
    let (series, records) = (50_000_u64, 300_000.0);
    let harmonic: f64 = (1..=series).map(|rank| 1.0 / rank as f64).sum();
    let (mut active, mut bytes, mut wire_bytes) = (0, 0, Vec::new());
    for rank in 1..=series {
        let count = (records / harmonic / rank as f64).round() as u64;
        if count > 0 {
            let values: Vec<_> = (0..count).map(|at| response_time_ms(rank + 7 * at)).collect();
            let distribution = distribution(&values);
            active += 1;
            bytes += size_of::<Distribution>() + size_of::<Moments>() + distribution.heap_bytes();
            wire_bytes.push(encoded(&distribution).len());
        }
    }
    wire_bytes.sort_unstable();
    assert!(bytes / active <= 160, "{} bytes per series and window", bytes / active);
    assert!(wire_bytes[active / 2] <= 60, "{} bytes on the wire", wire_bytes[active / 2]);
}

/// Spread evenly over the logarithm from 4 ms to 32 s: wider than real traffic, so more buckets in use.
fn response_time_ms(seed: u64) -> u64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (mixed % 997 + 997) * (4 << (mixed % 13)) / 997
}

#[test]
fn an_odd_quantile_has_a_defined_answer() {
    fn check(values: &[u64], quantile: f64, expected: Option<u64>) {
        assert_eq!(distribution(values).quantile(quantile), expected, "{quantile}");
        assert_eq!(distribution(values).quantiles(&[quantile]), [expected], "{quantile}");
    }
    check(&[], 0.5, None);
    check(&[3, 9], f64::NAN, None);
    check(&[3, 9], -1.0, Some(3));
    check(&[3, 9], 0.0, Some(3));
    check(&[3, 9], 0.5, Some(3));
    check(&[3, 9], 0.51, Some(9));
    check(&[3, 9], f64::INFINITY, Some(9));
}

#[test]
fn counts_saturate_at_what_the_wire_can_carry() {
    let mut distribution = Distribution::default();
    distribution.record_n(5, u64::MAX);
    distribution.record_n(9, u64::MAX);
    distribution.record_n(u64::MAX, u64::MAX);
    assert!(distribution.is_saturated());
    assert_eq!((distribution.count(), distribution.clamped()), (i64::MAX as u64, i64::MAX as u64));
    assert_eq!((distribution.min(), distribution.max()), (Some(5), Some(u64::MAX)));
    assert_eq!(distribution.quantiles(&[0.0, 0.5, 1.0]), [Some(5), Some(5), Some(u64::MAX)]);
    laws::check([distribution.clone(), distribution, self::distribution(&[1])]);
}

#[test]
fn values_beyond_the_last_bucket_are_clamped_and_counted() {
    let mut distribution = distribution(&[HIGHEST + 1, u64::MAX]);
    assert_eq!((distribution.clamped(), distribution.quantile(0.5)), (0, Some(HIGHEST + 1)));
    distribution.record_n(1, 40);
    assert_eq!((distribution.clamped(), distribution.max()), (2, Some(u64::MAX)));
    assert_eq!(distribution.quantile(1.0), Some(u64::MAX));
}

#[test]
fn contradictions_are_refused() {
    fn check(change: impl Fn(&mut Vec<u8>), accepted: bool) {
        let mut distribution = Distribution::default();
        distribution.record_n(3, 20);
        distribution.record_n(6, 20);
        let mut bytes = encoded(&distribution);
        // Header, then run of 3, counter 20, run of 2, counter 20, all in ZigZag, and minimum, maximum, clamped.
        assert_eq!(bytes[40..], [5, 40, 3, 40, 3, 6, 0]);
        change(&mut bytes);
        assert_eq!(Distribution::decode(&bytes).is_ok(), accepted, "{bytes:?}");
    }
    check(|_| {}, true);
    check(|bytes| bytes[0] = 0x1d, false);
    check(|bytes| bytes[15] = 3, false); // three significant digits
    check(|bytes| bytes[7] = 3, false); // a shorter payload
    check(|bytes| bytes[41] = 26, true); // 13 and 20
    check(|bytes| bytes[41] = 24, false); // 12 and 20 are a list
    check(|bytes| bytes[43] = 0, false); // the last bucket empty
    check(|bytes| bytes[40] = 1, false); // a run of one is written as 0
    check(|bytes| bytes[44] = 4, false); // minimum in another bucket
    check(|bytes| bytes[45] = 7, false); // maximum in another bucket
    check(|bytes| bytes[46] = 1, false); // clamped, yet the maximum is trackable
    check(|bytes| bytes.push(0), false);
}

proptest! {
    #[test]
    fn laws_hold(a in values(), b in values(), c in values()) {
        laws::check([distribution(&a), distribution(&b), distribution(&c)]);
        let together = [a.as_slice(), &b].concat();
        laws::check_fold(&distribution(&a), &distribution(&b), &distribution(&together));
    }

    #[test]
    fn laws_hold_up_to_the_last_count(a in repeated(), b in repeated(), c in repeated()) {
        laws::check([distribution_of(&a), distribution_of(&b), distribution_of(&c)]);
        let together = [a.as_slice(), &b].concat();
        laws::check_fold(&distribution_of(&a), &distribution_of(&b), &distribution_of(&together));
    }

    #[test]
    fn neither_order_nor_grouping_matters(values in values(), chunk in 1_usize..50) {
        let straight = distribution(&values);
        let mut merged = Distribution::default();
        values.rchunks(chunk).for_each(|part| merged.merge(&distribution(part)));
        prop_assert_eq!(encoded(&merged), encoded(&straight));
        prop_assert_eq!(is_list(&merged), values.len() <= 32);
        prop_assert_eq!(merged.count(), values.len() as u64);
        prop_assert_eq!((merged.min(), merged.max()), (values.iter().min().copied(), values.iter().max().copied()));
        let beyond = values.iter().filter(|&&value| value > HIGHEST).count() as u64;
        prop_assert_eq!(merged.clamped(), if is_list(&merged) { 0 } else { beyond });
    }

    #[test]
    fn payload_is_byte_identical_to_hdrhistogram(values in values()) {
        prop_assert_eq!(distribution(&values).to_hdr_v2(), oracle_v2(&oracle(&once(&values))));
    }

    #[test]
    fn wide_counters_are_byte_identical_to_hdrhistogram(
        values in vec((0..=HIGHEST, prop_oneof![1_u64..70_000, 1_u64..1 << 55]), 1..200),
    ) {
        prop_assert_eq!(distribution_of(&values).to_hdr_v2(), oracle_v2(&oracle(&values)));
    }

    #[test]
    fn hdrhistogram_reads_the_bucket_form_as_it_is(values in vec(0_u64..100_000, 33..300)) {
        let bytes = encoded(&distribution(&values));
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        prop_assert_eq!(read, oracle(&once(&values)));
    }

    #[test]
    fn quantiles_lie_in_the_bucket_hdrhistogram_names(values in vec(0..=HIGHEST, 33..300), eighths in 0_u32..=8) {
        let (distribution, oracle) = (distribution(&values), oracle(&once(&values)));
        // Eighths are exact in floating point, so both implementations mean the same rank.
        let quantile = f64::from(eighths) / 8.0;
        let answer = distribution.quantile(quantile).unwrap();
        prop_assert!(oracle.equivalent(answer, oracle.value_at_quantile(quantile)));
    }

    #[test]
    fn quantiles_are_close_to_the_nearest_rank(values in vec(0_u64..1 << 27, 1..300), percent in 0_usize..=100) {
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let exact = sorted[(percent * sorted.len()).div_ceil(100).max(1) - 1];
        let answer = distribution(&values).quantile(percent as f64 / 100.0).unwrap();
        let allowed = if values.len() <= 32 { 0 } else { exact / 256 };
        prop_assert!(answer.abs_diff(exact) <= allowed, "{answer} for {exact}");
    }

    #[test]
    fn one_pass_answers_as_many_do(values in values(), quantiles in vec(-0.1_f64..1.1, 0..12)) {
        let distribution = distribution(&values);
        let one_by_one: Vec<_> = quantiles.iter().map(|&quantile| distribution.quantile(quantile)).collect();
        prop_assert_eq!(distribution.quantiles(&quantiles), one_by_one);
    }

    #[test]
    fn decoding_never_panics(bytes in vec(any::<u8>(), 0..80), form in 0x80_u8..0xb0) {
        laws::check_decode::<Distribution>(&bytes);
        laws::check_decode::<Distribution>(&[&[form], bytes.as_slice()].concat());
    }

    #[test]
    fn a_damaged_encoding_never_panics_nor_asks_for_much(values in values(), at: prop::sample::Index, to: u8) {
        let mut bytes = encoded(&distribution(&values));
        let at = at.index(bytes.len());
        bytes[at] = to;
        laws::check_decode::<Distribution>(&bytes);
        if let Ok(distribution) = Distribution::decode(&bytes) {
            prop_assert!(Some(distribution.heap_bytes()) <= Distribution::HEAP_BYTES_MAX);
            prop_assert!(distribution.quantile(0.5).is_some() || distribution.count() == 0);
        }
    }
}
