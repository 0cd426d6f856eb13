//! Commits without a fence.

use yahtzee_core::owner::Partition;
use yahtzee_runtime::log::LogError;

use super::Bench;
use super::support::{at, committed, create};

/// Offset and metadata come back, per partition and in the order asked; never committed is no error.
pub(crate) fn gives_back_commits_with_their_metadata(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "commits", 3), bench.group("commits"));
    let partitions = [Partition(2), Partition(0), Partition(1)];
    let all = || log.committed(&group, &topic, &partitions).expect("committed");
    assert_eq!(all(), [None, None, None]);
    let (zero, two) = (at(7, "v1.AAECAw-_"), at(9_000_000_000, ""));
    log.commit(&group, &topic, &[(Partition(0), zero.clone()), (Partition(2), two.clone())]).expect("commit");
    assert_eq!(all(), [Some(two), Some(zero), None]);
}

/// Whoever commits last wins, also with a smaller offset.
pub(crate) fn rewinds(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "rewind", 1), bench.group("rewind"));
    for commit in [at(100, "far"), at(3, "back"), at(3, "same place, other words")] {
        log.commit(&group, &topic, &[(Partition(0), commit.clone())]).expect("commit");
        assert_eq!(committed(&*log, &group, &topic), Some(commit));
    }
}

/// Commits belong to one group and one topic.
pub(crate) fn keeps_groups_apart(bench: &dyn Bench) {
    let log = bench.log();
    let (topic, other_topic) = (create(bench, "groups", 1), create(bench, "groups", 1));
    let (group, other_group) = (bench.group("mine"), bench.group("theirs"));
    log.commit(&group, &topic, &[(Partition(0), at(5, "mine"))]).expect("commit");
    assert_eq!(committed(&*log, &other_group, &topic), None);
    assert_eq!(committed(&*log, &group, &other_topic), None);
    log.commit(&other_group, &topic, &[(Partition(0), at(6, "theirs"))]).expect("commit");
    assert_eq!(committed(&*log, &group, &topic), Some(at(5, "mine")));
}

/// Metadata over the broker's limit of 4,096 bytes, or not ASCII, is refused and changes nothing.
pub(crate) fn refuses_metadata_that_no_broker_takes(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "metadata", 1), bench.group("metadata"));
    let kept = at(1, &"x".repeat(4_000));
    log.commit(&group, &topic, &[(Partition(0), kept.clone())]).expect("fits");
    for metadata in ["x".repeat(5_000), "na\u{ef}ve".to_owned()] {
        let error =
            log.commit(&group, &topic, &[(Partition(0), at(2, &metadata))]).expect_err("does not fit");
        assert!(matches!(error, LogError::Refused { .. }), "{error:?}");
        assert_eq!(committed(&*log, &group, &topic), Some(kept.clone()));
    }
}
