//! Exactness, error, laws and wire form of the number of different values.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::laws;
use super::*;

/// Different values, numbered.
fn of(values: impl IntoIterator<Item = u64>) -> Distinct {
    let mut distinct = Distinct::default();
    values.into_iter().for_each(|value| distinct.add(&value.to_le_bytes()));
    distinct
}

/// The specification's own check values.
#[test]
fn the_hash_is_that_of_the_specification() {
    let check = |value: &[u8], expected: u64| assert_eq!(xxh3_64(value), expected, "{value:?}");
    check(b"", 0x2d06_8005_38d3_94c2);
    check(b"a", 0xe6c6_32b6_1e96_4e1f);
    check(b"abc", 0x78af_5f94_892f_3950);
}

#[test]
fn up_to_256_values_the_number_is_exact() {
    fn check(different: u64, is_exact: bool) {
        let twice = of((0..different).chain(0..different));
        assert_eq!(twice.is_exact(), is_exact, "{different}");
        if is_exact {
            assert_eq!(twice.estimate(), different);
        }
    }
    check(0, true);
    check(1, true);
    check(256, true);
    check(257, false);
}

/// Relative errors of many independent sets, of every size from where the registers begin: none is far out, and together they
/// are as small as the standard error says, to both sides.
#[test]
fn above_the_error_is_what_it_is_said_to_be() {
    fn check(different: u64) {
        const SETS: u64 = 60;
        let error = |set: u64| {
            let estimate = of((0..different).map(|value| set << 40 | value)).estimate();
            estimate as f64 / different as f64 - 1.0
        };
        let errors: Vec<f64> = (1..=SETS).map(error).collect();
        let mean = errors.iter().sum::<f64>() / SETS as f64;
        let square = errors.iter().map(|error| error * error).sum::<f64>() / SETS as f64;
        let standard_error = 1.04 / 64.0;
        assert!(errors.iter().all(|error| error.abs() < 4.5 * standard_error), "{different}: {errors:?}");
        assert!(mean.abs() < 4.0 * standard_error / (SETS as f64).sqrt(), "{different}: bias {mean}");
        assert!(square.sqrt() < 1.3 * standard_error, "{different}: {}", square.sqrt());
    }
    [257, 1_000, 3_000, 6_000, 10_000, 20_000, 60_000].into_iter().for_each(check);
}

#[test]
fn whatever_is_counted_memory_and_encoding_have_an_end() {
    let many = of(0..10_000);
    let mut bytes = Vec::new();
    many.encode(&mut bytes);
    assert_eq!((bytes.len(), bytes[0]), (1 + 3_072, REGISTERS_FORM));
    let heap_bytes_max = Distinct::HEAP_BYTES_MAX.unwrap();
    assert!((0..300).all(|count| of(0..count).heap_bytes() <= heap_bytes_max));
    assert_eq!((many.heap_bytes(), size_of::<Distinct>()), (heap_bytes_max, 24));
}

#[test]
fn other_spellings_are_refused() {
    fn check(bytes: &[u8], is_accepted: bool) {
        assert_eq!(Distinct::decode(bytes).is_ok(), is_accepted, "{:x?}", &bytes[..bytes.len().min(20)]);
    }
    let hashes = |hashes: &[u64]| {
        let all = hashes.iter().flat_map(|hash| hash.to_be_bytes());
        [HASHES_FORM, hashes.len() as u8].into_iter().chain(all).collect::<Vec<u8>>()
    };
    check(&hashes(&[]), true);
    check(&hashes(&[1, 2]), true);
    check(&hashes(&[2, 1]), false);
    check(&hashes(&[1, 1]), false);
    check(&[2], false);
    check(&[], false);
    let mut registers = vec![0_u8; 1 + 3_072];
    registers[0] = REGISTERS_FORM;
    check(&registers, false);
    registers[3] = 1;
    check(&registers, true);
    check(&registers[..3_072], false);
    // The greatest value is 53, that of a hash without a bit behind its index.
    registers[3] = 53;
    check(&registers, true);
    registers[3] = 54;
    check(&registers, false);
}

/// A few values, many, or as many as are kept just so; some of them in common.
fn values() -> impl Strategy<Value = Vec<u64>> {
    prop_oneof![
        vec(0..400_u64, 0..40),
        vec(0..400_u64, 200..700),
        (0..600_u64).prop_map(|n| (0..n).collect())
    ]
}

proptest! {
    #[test]
    fn laws_hold(a in values(), b in values(), c in values()) {
        let together = [a.as_slice(), &b].concat();
        laws::check_fold(&of(a.clone()), &of(b.clone()), &of(together));
        laws::check([of(a), of(b), of(c)]);
    }

    #[test]
    fn neither_order_nor_repetition_matters(values in values()) {
        prop_assert_eq!(of(values.iter().rev().copied()), of(values.iter().chain(&values).copied()));
    }

    #[test]
    fn decoding_never_panics(bytes in vec(any::<u8>(), 0..80), form in 0..3_u8) {
        laws::check_decode::<Distinct>(&[&[form], bytes.as_slice()].concat());
    }
}
