//! What must not show from outside: that windows share one table of series, and take each other's places in it.

use super::*;

/// Series by name with their ids, of the summaries of one minute, in the order they were emitted.
fn named(effects: &[Effect], minute: i64) -> Vec<(String, u64)> {
    let read = |effect: &Effect| {
        let Effect::Emit(emit) = effect else { panic!("{effect:?}") };
        let mut key = SummaryKey::decode(&emit.key).unwrap();
        let ids = IdSummary::decode(&*emit.value).unwrap().ids;
        (key.window_start_ms == minute * MINUTE_MS).then(|| (key.dimensions.remove(0), ids))
    };
    effects.iter().filter_map(read).collect()
}

#[test]
fn each_window_has_its_own_order_of_first_appearance_whatever_came_before() {
    let mut core = open_fresh();
    let id = |minute, dimension: &str, id| Id { minute, id, dimension: dimension.to_owned() };
    let mut out = Vec::new();
    let mut feed = |offset, minute, ids: &[Id]| feed(&mut core, offset, minute, b"", ids, &mut out);
    feed(0, 10, &[id(10, "a", 0), id(10, "b", 1), id(9, "c", 2)]);
    feed(1, 11, &[id(11, "c", 3), id(11, "b", 4), id(10, "c", 5), id(11, "a", 6)]);
    // Windows 9 and 10 close; b and c go on, a is forgotten in 17 and comes again.
    feed(2, 16, &[id(12, "b", 7), id(16, "a", 8)]);
    feed(3, 17, &[id(17, "b", 9), id(17, "a", 10)]);
    // A jump closes everything, then all begins anew.
    feed(4, 40, &[id(40, "b", 11), id(40, "a", 12)]);
    feed(5, 80, &[]);
    let check = |minute, expected: &[(&str, u64)]| {
        let expected: Vec<_> = expected.iter().map(|&(name, ids)| (name.to_owned(), ids)).collect();
        assert_eq!(named(&out, minute), expected, "minute {minute}");
    };
    check(9, &[("c", 1 << 2)]);
    check(10, &[("a", 1), ("b", 1 << 1), ("c", 1 << 5)]);
    check(11, &[("c", 1 << 3), ("b", 1 << 4), ("a", 1 << 6)]);
    check(12, &[("b", 1 << 7)]);
    check(16, &[("a", 1 << 8)]);
    check(17, &[("b", 1 << 9), ("a", 1 << 10)]);
    check(40, &[("b", 1 << 11), ("a", 1 << 12)]);
    assert_eq!(core.state_bytes(), StateBytes::default(), "a partition without windows takes nothing");
}

#[test]
fn a_frame_is_remembered_by_its_window_only() {
    let mut core = open_fresh();
    let frame = &[9; 16];
    let mut check = |offset, minute, accepted| {
        let fate = feed(&mut core, offset, minute, frame, &[measurement(minute, 1)], &mut Vec::new());
        let RecordOutcome::Folded(outcomes) = fate else { panic!("{fate:?}") };
        assert_eq!(outcomes.accepted, accepted, "offset {offset}");
    };
    check(0, 10, 1);
    check(1, 10, 0);
    check(2, 11, 1);
    // Window 10 has closed, and 16 stands where it stood.
    check(3, 16, 1);
    check(4, 16, 0);
}

#[test]
fn state_is_accounted_for_by_what_it_is_for() {
    let mut core = open_fresh();
    let long = Id { minute: 10, id: 1, dimension: "x".repeat(200) };
    feed(&mut core, 0, 10, b"", &[measurement(10, 1)], &mut Vec::new());
    let without = core.state_bytes();
    assert_eq!((without.accumulators_heap, without.frames), (0, 0), "{without:?}");
    feed(&mut core, 1, 10, &[1; 16], &[long], &mut Vec::new());
    let with = core.state_bytes();
    assert!(with.tables - without.tables >= 16 + 200, "a long key stands on the heap: {with:?}");
    assert!(with.frames >= 32 && with.states >= without.states, "{with:?}");
    assert_eq!(with.total(), with.states + with.tables + with.frames);
}
