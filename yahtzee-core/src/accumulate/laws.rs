//! The laws of [`Accumulator`], as checks that every implementation calls from its property tests.

use super::Accumulator;
use std::fmt::Debug;

fn encoded<A: Accumulator>(state: &A) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    bytes
}

fn merged<A: Accumulator>(left: &A, right: &A) -> A {
    let mut merged = left.clone();
    merged.merge(right);
    merged
}

/// Equal as values and as bytes.
fn check_equal<A: Accumulator + Debug + PartialEq>(left: &A, right: &A) {
    assert_eq!(left, right);
    assert_eq!(encoded(left), encoded(right), "equal states, different bytes: {left:?}");
}

/// Identity, commutativity, associativity, the round trip of each state, and that only equal states share bytes.
pub(super) fn check<A: Accumulator + Debug + PartialEq>([a, b, c]: [A; 3]) {
    check_equal(&merged(&a, &A::default()), &a);
    check_equal(&merged(&A::default(), &a), &a);
    check_equal(&merged(&a, &b), &merged(&b, &a));
    check_equal(&merged(&merged(&a, &b), &c), &merged(&a, &merged(&b, &c)));
    assert_eq!(a == b, encoded(&a) == encoded(&b), "{a:?} {b:?}");
    for state in [&a, &b, &c, &merged(&a, &b), &merged(&c, &c)] {
        check_round_trip(state);
    }
}

/// Two states merged are the state of all their measurements together.
pub(super) fn check_fold<A: Accumulator + Debug + PartialEq>(left: &A, right: &A, together: &A) {
    check_equal(&merged(left, right), together);
}

fn check_round_trip<A: Accumulator + Debug + PartialEq>(state: &A) {
    let bytes = encoded(state);
    assert_eq!(A::decode(&bytes).as_ref(), Ok(state));
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(A::decode(&longer).is_err(), "a trailing byte went unnoticed: {state:?}");
    for length in 0..bytes.len() {
        assert!(A::decode(&bytes[..length]).is_err(), "a cut at {length} went unnoticed: {state:?}");
    }
}

/// Bytes of any origin are refused, or are the one encoding of what they decode to.
pub(super) fn check_decode<A: Accumulator + Debug + PartialEq>(bytes: &[u8]) {
    if let Ok(state) = A::decode(bytes) {
        assert_eq!(encoded(&state), bytes, "{state:?}");
        check_round_trip(&merged(&state, &state));
    }
}
