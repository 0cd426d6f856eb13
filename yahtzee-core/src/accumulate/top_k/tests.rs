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
