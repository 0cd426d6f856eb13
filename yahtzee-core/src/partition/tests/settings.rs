//! What a commit belongs to, and policies that cannot be worked with.

use super::*;

#[test]
fn a_commit_of_something_else_is_refused() {
    let commit = Commit::at::<Production>(Offset(3), Some(0), vec![], IncompleteWindows::none());
    let check = |identity: Identity, expected: &str| {
        let text = commit.metadata(&identity);
        let history = history(Some((Offset(3), &text)), 0, 3);
        let refusal = PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), self::identity(), history)
            .unwrap_err();
        assert!(refusal.to_string().contains(expected), "{refusal}");
    };
    check(Identity { topic_id: [5; 16], ..identity() }, "deleted and created again");
    check(Identity { partition_count: 2, ..identity() }, "2 partitions");
    check(Identity { window_length_ms: 1_000, ..identity() }, "window_length_ms was 1000");
    check(Identity { generation: 2, ..identity() }, "generation 2");
    let check = |acceptance: AcceptanceSettings, expected: &str| {
        check(Identity { acceptance: Some(acceptance), ..identity() }, expected);
    };
    check(
        AcceptanceSettings { lateness_windows: 1, ..ACCEPTANCE },
        "lateness_windows was 1 at the last commit and is 5 now",
    );
    check(AcceptanceSettings { future_windows: 9, ..ACCEPTANCE }, "future_windows was 9");
    check(AcceptanceSettings { series_max: 10, ..ACCEPTANCE }, "series_max was 10");
    check(AcceptanceSettings { series_per_owner_max: 1, ..ACCEPTANCE }, "series_per_owner_max was 1");
    check(AcceptanceSettings { slots: 4, ..ACCEPTANCE }, "worker.slots was 4");
    check(AcceptanceSettings { dimensions: 1, ..ACCEPTANCE }, "other dimensions");
}

/// Commits from before said nothing of it: what was committed by an older program is resumed.
#[test]
fn a_commit_that_does_not_say_what_decided_acceptance_is_taken() {
    let commit = Commit::at::<Production>(Offset(3), Some(0), vec![], IncompleteWindows::none());
    let text = commit.metadata(&Identity { acceptance: None, ..identity() });
    let history = history(Some((Offset(3), &text)), 0, 3);
    let opened = PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), history).unwrap();
    assert_eq!((opened.read_from, opened.verdict), (Offset(3), ResumeKind::Resumed));
}

#[test]
fn a_policy_that_cannot_be_worked_with_is_refused() {
    let check = |policy: Policy, expected: &str| {
        let refusal =
            PartitionCore::<Ids>::open(Arc::new(Ids), policy, identity(), history(None, 0, 0)).unwrap_err();
        assert!(refusal.to_string().contains(expected), "{refusal}");
    };
    check(Policy { length_ms: 0, ..Policy::default() }, "window_length_ms");
    check(Policy { flush_interval_ms: 0, ..Policy::default() }, "flush_interval_ms");
    check(Policy { lateness_windows: 199, ..Policy::default() }, "200 windows");
    check(
        Policy { lateness_windows: u32::MAX, future_windows: u32::MAX, ..Policy::default() },
        "200 windows",
    );
}
