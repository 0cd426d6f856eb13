//! Commits without a fence.

use yahtzee_core::owner::Partition;
use yahtzee_runtime::log::{Log, LogError, OffsetCommit};

use super::Bench;
use super::support::{at, commit, committed, create};

/// Offset and metadata come back, per partition and in the order asked; never committed is no error.
pub(crate) fn gives_back_commits_with_their_metadata(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "commits", 3), bench.group("commits"));
    let partitions = [Partition(2), Partition(0), Partition(1)];
    let all = || log.committed(&group, &topic, &partitions).expect("committed");
    assert_eq!(all(), [None, None, None]);
    let (zero, two) = (at(7, "v1.AAECAw-_"), at(9_000_000_000, ""));
    commit(&*log, &group, &topic, &[(0, &zero), (2, &two)]).expect("commit");
    assert_eq!(all(), [Some(two), Some(zero), None]);
}

/// One request commits several topics of a group, or none of them.
pub(crate) fn commits_several_topics_at_once(bench: &dyn Bench) {
    let (log, group) = (bench.log(), bench.group("several"));
    let (one, other) = (create(bench, "several", 2), create(bench, "several", 1));
    let offset =
        |topic, partition, committed| OffsetCommit { topic, partition: Partition(partition), committed };
    let offsets = [offset(&one, 1, at(3, "b")), offset(&other, 0, at(4, "c")), offset(&one, 0, at(2, "a"))];
    log.commit(&group, &offsets).expect("commit");
    let of =
        |topic: &str, partitions: &[Partition]| log.committed(&group, topic, partitions).expect("committed");
    assert_eq!(of(&one, &[Partition(0), Partition(1)]), [Some(at(2, "a")), Some(at(3, "b"))]);
    assert_eq!(of(&other, &[Partition(0)]), [Some(at(4, "c"))]);
    log.commit(&group, &[]).expect("nothing to do");
}

/// Whoever commits last wins, also with a smaller offset.
pub(crate) fn rewinds(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "rewind", 1), bench.group("rewind"));
    for committing in [at(100, "far"), at(3, "back"), at(3, "same place, other words")] {
        commit(&*log, &group, &topic, &[(0, &committing)]).expect("commit");
        assert_eq!(committed(&*log, &group, &topic), Some(committing));
    }
}

/// Commits belong to one group and one topic.
pub(crate) fn keeps_groups_apart(bench: &dyn Bench) {
    let log = bench.log();
    let (topic, other_topic) = (create(bench, "groups", 1), create(bench, "groups", 1));
    let (group, other_group) = (bench.group("mine"), bench.group("theirs"));
    commit(&*log, &group, &topic, &[(0, &at(5, "mine"))]).expect("commit");
    assert_eq!(committed(&*log, &other_group, &topic), None);
    assert_eq!(committed(&*log, &group, &other_topic), None);
    commit(&*log, &other_group, &topic, &[(0, &at(6, "theirs"))]).expect("commit");
    assert_eq!(committed(&*log, &group, &topic), Some(at(5, "mine")));
}

/// Metadata over the broker's limit of 4,096 bytes, or not ASCII, is refused and changes nothing.
pub(crate) fn refuses_metadata_that_no_broker_takes(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "metadata", 1), bench.group("metadata"));
    let kept = at(1, &"x".repeat(4_000));
    commit(&*log, &group, &topic, &[(0, &kept)]).expect("fits");
    for metadata in ["x".repeat(5_000), "na\u{ef}ve".to_owned()] {
        let error = commit(&*log, &group, &topic, &[(0, &at(2, &metadata))]).expect_err("does not fit");
        assert!(matches!(error, LogError::Refused { .. }), "{error:?}");
        assert_eq!(committed(&*log, &group, &topic), Some(kept.clone()));
    }
}

/// Nobody has to know a group to find its commits.
pub(crate) fn names_the_groups_that_have_committed(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "groups", 1));
    let (one, other, idle) = (bench.group("one"), bench.group("other"), bench.group("idle"));
    for group in [&one, &other] {
        commit(&*log, group, &topic, &[(0, &at(1, ""))]).expect("commit");
    }
    let check = |log: &dyn Log| {
        let groups = log.groups().expect("groups");
        let is_named = |group: &String| groups.iter().filter(|it| *it == group).count();
        assert_eq!([&one, &other, &idle].map(is_named), [1, 1, 0], "{groups:?}");
    };
    check(&*log);
    drop(log);
    check(&*bench.reopen());
}
