//! Exactness, error, laws and wire form of the values that occurred most.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::laws;
use super::*;
use crate::owner::Owner;

fn occurrence(offset: u64) -> Occurrence {
    Occurrence::of(Owner([7; 16]), offset, 0)
}

/// Values by offset.
fn of<'a>(values: impl IntoIterator<Item = (u64, &'a [u8])>) -> TopK {
    let mut top = TopK::default();
    values.into_iter().for_each(|(offset, value)| top.add(occurrence(offset), value));
    top
}

fn numbered(values: &[(u64, u16)]) -> TopK {
    let mut top = TopK::default();
    values.iter().for_each(|(offset, value)| top.add(occurrence(*offset), &value.to_be_bytes()));
    top
}

fn encoded(top: &TopK) -> Vec<u8> {
    let mut bytes = Vec::new();
    top.encode(&mut bytes);
    bytes
}

#[test]
fn occurrences_are_told_apart_and_pinned() {
    let of = |owner, offset, number| Occurrence::of(Owner([owner; 16]), offset, number);
    let all = [of(1, 2, 3), of(2, 2, 3), of(1, 3, 3), of(1, 2, 4), of(1, 3 << 32, 0)];
    for (index, one) in all.iter().enumerate() {
        assert!(all[..index].iter().all(|other| other != one), "{index}");
    }
    // By the reference implementation.
    assert_eq!(of(0, 0, 0), Occurrence(0xce61_ca9d_7b6f_0bb2));
    assert_eq!(of(7, 5, 3), Occurrence(0x0e15_38b9_f3fe_9731));
}

#[test]
fn few_values_are_counted_however_often_they_occur() {
    fn check(values: &[&str], most: usize, expected: &[(&str, u64)]) {
        let top = of((0..).zip(values).map(|(offset, value)| (offset, value.as_bytes())));
        let found = top.top(most);
        let found: Vec<(&str, u64)> =
            found.iter().map(|top| (str::from_utf8(top.value).unwrap(), top.occurrences)).collect();
        assert_eq!((found.as_slice(), top.is_exact()), (expected, true), "{values:?}");
        assert_eq!(top.total(), values.len() as u64);
    }
    check(&[], 3, &[]);
    check(&["a", "b", "b", ""], 9, &[("b", 2), ("", 1), ("a", 1)]);
    check(&["a", "b", "b", ""], 1, &[("b", 2)]);
    check(&["a", "b", "b", ""], 0, &[]);
    let many = vec!["x"; 5_000];
    check(&many, 2, &[("x", 5_000)]);
    let cut = of([(0, [b'y'; 300].as_slice()), (1, &[b'y'; 255])]);
    assert_eq!(cut.top(2), [TopValue { value: &[b'y'; 255], occurrences: 2 }]);
}

#[test]
fn beyond_256_values_counts_are_estimates() {
    let of = |values: u16| numbered(&(0..values).map(|value| (u64::from(value), value)).collect::<Vec<_>>());
    assert!(of(256).is_exact());
    let many = of(257);
    assert!(!many.is_exact());
    // All of them are in the sample still.
    assert_eq!((many.total(), many.top(300).len()), (257, 257));
    assert!(many.top(300).iter().all(|top| top.occurrences == 1));
    let more = of(2_000);
    assert_eq!((more.total(), more.top(3_000).len()), (2_000, 512));
}

/// Shares of values in many independent samples: none is far out, and together they are as small and as unbiased as is said.
#[test]
fn the_error_of_a_share_is_what_it_is_said_to_be() {
    fn check(percent: u64) {
        const SETS: u64 = 150;
        const ALL: u64 = 4_000;
        let share = percent as f64 / 100.0;
        let error = |set: u64| {
            let value = |n: u64| if n < ALL * percent / 100 { u16::MAX } else { (n % 1_000) as u16 };
            let values: Vec<(u64, u16)> = (0..ALL).map(|n| (set << 32 | n, value(n))).collect();
            let top = numbered(&values);
            let found = top.top(usize::MAX);
            let of_value = found.iter().find(|top| top.value == u16::MAX.to_be_bytes());
            of_value.map_or(0, |top| top.occurrences) as f64 / ALL as f64 - share
        };
        let errors: Vec<f64> = (1..=SETS).map(error).collect();
        let mean = errors.iter().sum::<f64>() / SETS as f64;
        let square = errors.iter().map(|error| error * error).sum::<f64>() / SETS as f64;
        let standard_error = (share * (1.0 - share) / 512.0).sqrt();
        assert!(errors.iter().all(|error| error.abs() < 4.5 * standard_error), "{percent}: {errors:?}");
        assert!(mean.abs() < 4.0 * standard_error / (SETS as f64).sqrt(), "{percent}: bias {mean}");
        assert!(square.sqrt() < 1.15 * standard_error, "{percent}: {}", square.sqrt());
    }
    [1, 10, 50].into_iter().for_each(check);
}

#[test]
fn whatever_is_counted_memory_and_encoding_have_an_end() {
    let long = |value: u64| [value.to_be_bytes().as_slice(), &[b'x'; 300]].concat();
    let fill = |values: u64, occurrences: u64| {
        let mut top = TopK::default();
        for n in 0..occurrences {
            top.add(occurrence(n), &long(n % values));
        }
        top
    };
    let heap_bytes_max = TopK::HEAP_BYTES_MAX.unwrap();
    for (values, occurrences) in [(1, 10), (100, 5_000), (256, 5_000), (257, 5_000), (5_000, 5_000)] {
        let top = fill(values, occurrences);
        assert!(top.heap_bytes() <= heap_bytes_max && encoded(&top).len() <= heap_bytes_max, "{values}");
        assert!(top.clone().heap_bytes() <= heap_bytes_max);
    }
    assert_eq!(fill(256, 5_000).heap_bytes(), heap_bytes_max);
    assert_eq!(size_of::<TopK>(), 56);
}

#[test]
fn other_spellings_are_refused() {
    fn check(parts: &[&[u8]], is_accepted: bool) {
        assert_eq!(TopK::decode(&parts.concat()).is_ok(), is_accepted, "{parts:x?}");
    }
    let hash = |first: u8, index: u8| [first, 0, 0, 0, 0, 0, 0, 0, index];
    // Counters of "a" and "b".
    let counted: &[u8] = &[COUNTERS_FORM, 2, 1, b'a', 3, 1, b'b', 1];
    check(&[&[COUNTERS_FORM, 0, 0]], true);
    check(&[counted, &[2], &hash(1, 0), &hash(2, 1)], true);
    check(&[counted, &[2], &hash(2, 0), &hash(1, 1)], false);
    check(&[counted, &[2], &hash(1, 0), &hash(1, 0)], false);
    check(&[counted, &[1], &hash(1, 2)], false);
    check(&[&[COUNTERS_FORM, 2, 1, b'b', 3, 1, b'a', 1, 0]], false);
    check(&[&[COUNTERS_FORM, 1, 1, b'a', 0, 0]], false);
    // More in the sample than have occurred.
    check(&[&[COUNTERS_FORM, 1, 1, b'a', 1, 2], &hash(1, 0), &hash(2, 0)], false);
    // More of one value in the sample than there are of it.
    check(&[counted, &[3], &hash(1, 0), &hash(2, 1), &hash(3, 1)], false);
    // A sample that has room, and not every value.
    check(&[counted, &[1], &hash(1, 0)], false);
    check(&[counted, &[0]], false);
    // A sample of "a", of 9 occurrences: they would be counted.
    check(&[&[SAMPLE_FORM, 1, 1, b'a', 9, 1], &hash(1, 0)], false);
    check(&[&[SAMPLE_FORM, 1, 1, b'a', 9, 0]], false);
    check(&[&[SAMPLE_FORM, 0, 0, 0]], false);
    check(&[&[2, 0, 0]], false);
}

/// Two values under one hash, which is unlikely, or a job that has asked for one occurrence and used it twice.
#[test]
fn values_of_one_hash_do_not_depend_on_order() {
    fn check(others: u64) {
        let fold = |values: [&[u8]; 2]| {
            let mut top = TopK::default();
            (0..others).for_each(|hash| top.add(Occurrence(hash), b"x"));
            values.into_iter().for_each(|value| top.add(Occurrence(others), value));
            top
        };
        let (one, other) = (fold([b"a", b"b"]), fold([b"b", b"a"]));
        laws::check_fold(&one, &TopK::default(), &other);
        let sampled = one.sample.by_value();
        assert_eq!(sampled.contains(&(b"a", 1)), others < 512, "{others}");
        assert_eq!(sampled.contains(&(b"b", 1)), others < 511, "{others}");
    }
    [0, 510, 511, 512].into_iter().for_each(check);
}

#[test]
fn estimates_are_rounded_to_the_nearest() {
    /// What is estimated of `b"x"`, so many of the 512 in the sample.
    fn check(total: u64, sampled: u64, expected: u64) {
        let mut sample = Sample::default();
        (0..512).for_each(|n| sample.add(n, if n < sampled { b"x" } else { b"y" }));
        let top = TopK { total, counters: None, sample };
        let found = top.top(2).into_iter().find(|top| top.value == b"x").unwrap();
        assert_eq!(found.occurrences, expected, "{total} {sampled}");
    }
    check(1_024, 3, 6);
    check(1_279, 1, 2);
    check(1_280, 1, 3);
    check(u64::MAX, 512, u64::MAX);
    check(u64::MAX, 256, 1 << 63);
}

#[test]
fn counts_stay_at_the_end_of_their_range() {
    let counted = |occurrences: &[u64]| {
        let values = (b'a'..).zip(occurrences).map(|(value, count)| (Value::from([value]), *count));
        let mut sample = Sample::default();
        (b'a'..).zip(occurrences).for_each(|(value, _)| sample.add(u64::from(value), &[value]));
        let total = occurrences.iter().fold(0_u64, |total, count| total.saturating_add(*count));
        TopK { total, counters: Some(values.collect()), sample }
    };
    let [a, b, c] = [counted(&[u64::MAX - 1, 7]), counted(&[3, u64::MAX]), counted(&[1])];
    laws::check([a.clone(), b.clone(), c]);
    let mut both = a;
    both.merge(&b);
    assert_eq!(both.total(), u64::MAX);
    assert!(both.top(2).iter().all(|top| top.occurrences == u64::MAX));
}

/// A clone has no room to spare, and doubling from there would end beyond the bound.
#[test]
fn a_state_that_grows_on_from_a_copy_keeps_to_its_bound() {
    fn check(values: u64, from: u64) {
        let add = |top: &mut TopK, n: u64| {
            top.add(occurrence(n), &[(n % values).to_be_bytes().as_slice(), &[b'x'; 300]].concat());
        };
        let (mut cloned, mut bytes) = (TopK::default(), Vec::new());
        (0..from).for_each(|n| add(&mut cloned, n));
        cloned.encode(&mut bytes);
        let (mut cloned, mut decoded) = (cloned.clone(), TopK::decode(&bytes).unwrap());
        for n in from..700 {
            add(&mut cloned, n);
            add(&mut decoded, n);
            let most = cloned.heap_bytes().max(decoded.heap_bytes());
            assert!(most <= TopK::HEAP_BYTES_MAX.unwrap(), "{values} {from} {n}: {most}");
        }
    }
    for from in [1, 5, 129, 200, 255, 256, 257, 300, 511, 512] {
        check(256, from);
        check(400, from);
    }
}

/// Values that stand in the encoding and nowhere else, or twice; the sample is full, so that it need not have them all.
#[test]
fn values_are_spelt_once_beside_a_full_sample_too() {
    fn check(head: &[u8], is_accepted: bool) {
        let sample = (0..512_u64).flat_map(|hash| [hash.to_be_bytes().as_slice(), &[0]].concat());
        let bytes: Vec<u8> = head.iter().copied().chain([0x80, 0x04]).chain(sample).collect();
        assert_eq!(TopK::decode(&bytes).is_ok(), is_accepted, "{head:x?}");
    }
    // Of 768 occurrences, counters of which "a" has as many.
    check(&[SAMPLE_FORM, 1, 1, b'a', 0x80, 0x06], true);
    check(&[SAMPLE_FORM, 2, 1, b'a', 1, b'b', 0x80, 0x06], false);
    check(&[COUNTERS_FORM, 2, 1, b'a', 0x80, 0x06, 1, b'b', 1], true);
    check(&[COUNTERS_FORM, 2, 1, b'a', 0x80, 0x06, 1, b'a', 0x80, 0x06], false);
    check(&[COUNTERS_FORM, 2, 1, b'b', 0x80, 0x06, 1, b'a', 1], false);
    check(&[COUNTERS_FORM, 2, 1, b'a', 0xff, 0x03, 1, b'b', 1], false);
}

#[test]
fn a_sample_that_counters_would_do_for_is_refused() {
    /// So many values in the sample of so many occurrences, and what occurred in all.
    fn check(values: u16, sampled: u16, total: u64, is_accepted: bool) {
        let mut sample = Sample::default();
        (0..sampled).for_each(|n| sample.add(u64::from(n), &(n % values).to_be_bytes()));
        let bytes = encoded(&TopK { total, counters: None, sample });
        assert_eq!(TopK::decode(&bytes).is_ok(), is_accepted, "{values} {sampled} {total}");
    }
    check(257, 257, 257, true);
    check(256, 256, 300, false);
    check(256, 511, 600, false);
    check(257, 511, 511, true);
    check(257, 511, 510, false);
    check(512, 512, 512, true);
    check(512, 512, 511, false);
    // As many other values as are needed have occurred outside of the sample.
    check(256, 512, 513, true);
    check(256, 512, 512, false);
    check(1, 512, 768, true);
    check(1, 512, 767, false);
    check(1, 512, u64::MAX, true);
}

/// A few values or many, of occurrences of which each belongs to one of the three sets.
fn values(set: u64) -> impl Strategy<Value = Vec<(u64, u16)>> {
    let numbers = prop_oneof![
        vec(0..20_u16, 0..40),
        vec(0..400_u16, 200..700),
        (200..600_u16).prop_map(|n| (0..n).collect::<Vec<_>>()),
    ];
    numbers.prop_map(move |values| (0..).zip(values).map(|(n, value)| (n * 3 + set, value)).collect())
}

proptest! {
    // Every cut of 10 KB is tried.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn laws_hold(a in values(0), b in values(1), c in values(2)) {
        let together = [a.as_slice(), &b].concat();
        laws::check_fold(&numbered(&a), &numbered(&b), &numbered(&together));
        let [a, b, c] = [numbered(&a), numbered(&b), numbered(&c)];
        laws::check([a, b, c]);
    }
}

proptest! {
    #[test]
    fn laws_hold_of_small_states(a in vec(0..4_u16, 0..6), b in vec(0..4_u16, 0..6), c in vec(0..4_u16, 0..6)) {
        let of = |set: u64, values: &[u16]| {
            let values: Vec<(u64, u16)> = (0..).zip(values).map(|(n, value)| (n * 3 + set, *value)).collect();
            numbered(&values)
        };
        laws::check([of(0, &a), of(1, &b), of(2, &c)]);
    }

    #[test]
    fn order_does_not_matter(values in values(0)) {
        let reversed: Vec<_> = values.iter().rev().copied().collect();
        prop_assert_eq!(numbered(&reversed), numbered(&values));
    }

    #[test]
    fn decoding_never_panics(bytes in vec(0..4_u8, 0..60), form in 0..3_u8) {
        laws::check_decode::<TopK>(&[&[form], bytes.as_slice()].concat());
    }
}
