//! Tests of databases that are restored to an earlier point, under sinks and retry processes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use yahtzee_core::delivery::{CommittedMarks, KnownMark, WriteId};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::{CommittedOffset, Log as _, OffsetCommit};

use super::super::*;
use crate::embedded::EmbeddedStore;
use crate::job_topics::sink_group;
use crate::store::{SourcePartition, SummaryStore};
use crate::test_world::summaries::key;
use crate::test_world::{Backup, Id, Mode, VERSION, World, quick};
use yahtzee_core::summary::SummaryKey;

/// Sets these parts to starting, so that [`has_opened`] waits for those that are started next.
fn forget_health(world: &World, kind: &str) {
    for part in world.health.parts().keys().filter(|part| part.starts_with(kind)) {
        world.health.set(part, Condition::Starting("not opened".to_owned()));
    }
}

/// Returns whether all of these parts are open, and none is behind a restored database.
fn has_opened(world: &World, kind: &str) -> bool {
    let is_opening = |(part, condition): (&String, &Condition)| {
        part.starts_with(kind) && matches!(condition, Condition::Starting(_))
    };
    !world.health.parts().iter().any(is_opening)
}

/// Lets a sink settle all that is published, and what it reads again.
fn settle(world: &World) {
    settle_into(world, &world.shared_store(), true);
}

fn settle_into(world: &World, store: &Arc<dyn SummaryStore>, has_retry: bool) {
    forget_health(world, "sink");
    let sink = world.sink_into(store, |plan| plan.role = DeliveryRole::Sink { has_retry });
    world.wait("all to be settled", || has_opened(world, "sink") && world.is_all_settled_by(store.name()));
    sink.end();
}

/// Lets a retry process write all that is in RETRY, and what it reads again.
fn drain(world: &World) {
    forget_health(world, "retry");
    let retry = world.retry(|_| {});
    world.wait("RETRY to be drained", || has_opened(world, "retry") && world.is_drained());
    retry.end();
}

fn publish_and_settle(world: &World, summaries: &[Id]) {
    world.publish(summaries);
    settle(world);
}

fn rows<const N: usize>(rows: [Id; N]) -> BTreeMap<u8, u64> {
    rows.into()
}

/// Two shards, each with a row that its backup does not have.
fn restored_world() -> (World, Backup) {
    let world = World::with_partitions(2, 1, &["job"]);
    publish_and_settle(&world, &[(0, 1), (1, 1)]);
    publish_and_settle(&world, &[(0, 2)]);
    let backup = world.store.back_up(0);
    publish_and_settle(&world, &[(2, 1), (1, 2), (0, 3)]);
    (world, backup)
}

const ALL: [Id; 3] = [(0, 3), (1, 2), (2, 1)];

#[test]
fn what_a_restored_database_has_lost_is_read_again() {
    let (world, backup) = restored_world();
    world.store.restore(0, backup);
    assert_eq!(world.store.rows("job"), rows([(0, 2), (1, 2)]));
    world.store.set(0, Mode::Blocked);
    let sink = world.sink(|_| {});
    let condition = || world.health.parts().get("sink-job").cloned();
    world.wait("the sink to say so", || matches!(condition(), Some(Condition::Starting(_))));
    // From then on a successor begins there too.
    assert!(world.committed(0) < Some(Offset(6)), "{:?}", world.committed(0));
    world.store.set(0, Mode::Works);
    world.wait("all to be settled", || world.is_all_settled());
    world.wait("the sink to be ready", || condition() == Some(Condition::Ready));
    sink.end();
    assert_eq!(world.store.rows("job"), rows(ALL));
}

/// An empty database is one that was restored to its beginning.
#[test]
fn an_empty_database_is_filled_again() {
    let (world, _) = restored_world();
    world.store.restore(0, Backup::default());
    settle(&world);
    assert_eq!(world.store.rows("job"), rows(ALL));
}

/// Nobody starts the sink again: its next write finds the database behind.
#[test]
fn a_sink_notices_that_a_database_is_restored_under_it() {
    let world = World::with_partitions(2, 1, &["job"]);
    let sink = world.sink(|_| {});
    let publish = |summaries: &[Id]| {
        world.publish(summaries);
        world.wait("all to be settled", || world.is_all_settled());
    };
    publish(&[(0, 1), (1, 1)]);
    let backup = world.store.back_up(0);
    publish(&[(0, 2), (2, 1)]);
    world.store.restore(0, backup);
    world.publish(&[(4, 1)]);
    world.wait("all rows", || world.store.rows("job") == rows([(0, 2), (1, 1), (2, 1), (4, 1)]));
    sink.end();
}

/// The shard does not answer when the sink starts.
#[test]
fn a_database_that_was_down_at_the_start_is_compared_by_its_first_write() {
    let (world, backup) = restored_world();
    world.store.restore(0, backup);
    world.store.set(0, Mode::Down);
    let sink = world.sink(|plan| plan.role = DeliveryRole::Sink { has_retry: false });
    world.publish(&[(4, 1)]);
    world.wait("a try", || world.store.ids_of("retryable").contains(&(4, 1)));
    world.store.set(0, Mode::Works);
    world.wait("all rows", || world.store.rows("job") == rows([(0, 3), (1, 2), (2, 1), (4, 1)]));
    sink.end();
}

/// The log dies at the n-th commit or append while the sink reads again, and a successor goes on.
#[test]
fn a_crash_while_it_is_read_again_loses_nothing() {
    for operations in 0..8 {
        let world = World::with_partitions(2, 1, &["job"]);
        publish_and_settle(&world, &[(0, 1), (1, 1)]);
        let backup = world.store.back_up(0);
        let published: Vec<Id> = (0..20).map(|series| (series, 2)).collect();
        publish_and_settle(&world, &published);
        world.store.restore(0, backup);
        world.log.dies_after(operations);
        let sink = world.sink(|plan| plan.settings.batch_max = 2);
        let has_all = || world.store.rows("job") == published.iter().copied().collect();
        world.wait("the crash", || world.log.is_dead() || has_all());
        sink.end();
        world.log.revive();
        settle(&world);
        assert!(has_all(), "after {operations} operations: {:?}", world.store.rows("job"));
    }
}

/// Shards without new summaries, and one that nothing was ever written to, hold nothing back.
#[test]
fn an_idle_shard_makes_nothing_be_read_again() {
    let world = World::with_partitions(3, 1, &["job"]);
    publish_and_settle(&world, &[(0, 1)]);
    for revision in 2..5 {
        publish_and_settle(&world, &[(1, revision)]);
    }
    let written = world.store.written().len();
    settle(&world);
    assert_eq!((world.store.written().len(), written), (4, 4));
}

/// Their commits say nothing of them, so that nobody would notice that their databases were restored.
#[test]
fn shards_that_a_commit_has_no_room_for_are_named() {
    fn check(shards: u32, expected: Option<&str>) {
        let world = World::with_partitions(shards, 1, &["job"]);
        let role = DeliveryRole::Sink { has_retry: true };
        let plan = world.plan(role, quick(DeliverySettings::of_sink()));
        let (log, store) = (world.shared_log(), world.shared_store());
        let shared = TaskContext::new(plan, &log, &store, &world.health, &StopSignal::new()).unwrap();
        let source = SourcePartition {
            group: "group".into(),
            topic: "topic".into(),
            topic_id: [1; 16],
            partition: Partition(0),
        };
        let mark = KnownMark::Write(WriteId { writer: u64::MAX, number: 1_000_000_000 });
        let marks = (0..shards as usize).map(|shard| (shard, mark)).collect();
        assert!(shared.metadata(&source, &marks).len() < 4_096);
        let remarks = world.health.remarks();
        let remark = remarks.get("sink-marks").map(String::as_str);
        assert_eq!(remark.is_some(), expected.is_some(), "{shards} shards: {remark:?}");
        assert!(remark.unwrap_or_default().contains(expected.unwrap_or_default()), "{remark:?}");
    }
    check(100, None);
    check(400, Some("of 400 shards"));
}

/// A commit without marks, as versions before this one made them or as operators set it, is believed.
#[test]
fn a_commit_without_marks_is_believed() {
    let world = World::new(1, &["job"]);
    world.publish(&[(0, 1), (1, 1)]);
    let topics = &world.jobs[0];
    let partition = topics.all_partitions()[0];
    let committed = CommittedOffset { offset: Offset(1), metadata: String::new() };
    let commit = OffsetCommit { topic: &topics.summary, partition, committed };
    world.log.commit(&sink_group("model", &topics.job, VERSION), &[commit]).unwrap();
    settle(&world);
    assert_eq!(world.store.rows("job"), rows([(1, 1)]));
}

/// Its offsets mean nothing in a topic that was made anew under the same name, and has grown past it.
#[test]
fn a_commit_of_another_topic_makes_all_be_read() {
    fn check<const N: usize>(is_of_topic: bool, expected: [(u8, u64); N]) {
        let world = World::new(1, &["job"]);
        world.publish(&[(0, 1), (1, 1)]);
        let (topics, partition) = (&world.jobs[0], world.jobs[0].all_partitions()[0]);
        let topic_id = world.log.describe_topic(&topics.summary).unwrap().unwrap().id;
        let marks = CommittedMarks {
            topic_id: if is_of_topic { topic_id } else { topic_id.map(|byte| !byte) },
            ..CommittedMarks::default()
        };
        let committed = CommittedOffset { offset: Offset(1), metadata: marks.metadata() };
        let commit = OffsetCommit { topic: &topics.summary, partition, committed };
        world.log.commit(&sink_group("model", &topics.job, VERSION), &[commit]).unwrap();
        settle(&world);
        assert_eq!(world.store.rows("job"), rows(expected));
    }
    check(true, [(1, 1)]);
    check(false, [(0, 1), (1, 1)]);
}

/// What a shard got by way of RETRY is read again from RETRY.
#[test]
fn what_came_by_way_of_retry_is_read_again_from_there() {
    let world = World::new(1, &["job"]);
    world.store.set(0, Mode::Down);
    publish_and_settle(&world, &[(0, 1), (1, 1)]);
    world.store.set(0, Mode::Works);
    drain(&world);
    let backup = world.store.back_up(0);
    world.store.set(0, Mode::Down);
    publish_and_settle(&world, &[(0, 2), (2, 1)]);
    world.store.set(0, Mode::Works);
    drain(&world);
    let expected = rows([(0, 2), (1, 1), (2, 1)]);
    assert_eq!(world.store.rows("job"), expected);
    world.store.restore(0, backup);
    settle(&world);
    drain(&world);
    assert_eq!(world.store.rows("job"), expected);
}

/// The other way round: not the database was put back, but the log, with the commits in it.
#[test]
fn a_log_that_ends_before_what_is_stored_is_noticed() {
    fn check(end: u64, expected: Option<&str>) {
        let world = World::with_partitions(1, 1, &["job"]);
        publish_and_settle(&world, &[(0, 1), (1, 1)]);
        let (topics, partition) = (&world.jobs[0], world.jobs[0].all_partitions()[0]);
        let group = sink_group("model", &topics.job, VERSION);
        let older = world.log.committed(&group, &topics.summary, &[partition]).unwrap()[0].clone().unwrap();
        publish_and_settle(&world, &[(0, 2), (2, 1), (3, 1)]);
        // The mark tells what was settled before the last write, which was of all three.
        publish_and_settle(&world, &[(4, 1)]);
        let commit = OffsetCommit { topic: &topics.summary, partition, committed: older };
        world.log.commit(&group, &[commit]).unwrap();
        world.log.end_at(Offset(end));
        forget_health(&world, "sink");
        let sink = world.sink(|_| {});
        world.wait("the sink to open", || has_opened(&world, "sink"));
        sink.end();
        let remark = world.health.remarks().remove("sink-job");
        assert_eq!(remark.is_some(), expected.is_some(), "{end}: {remark:?}");
        assert!(remark.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{end}");
    }
    check(6, None);
    check(5, None);
    check(4, Some("1 summaries are stored and not in the log"));
    check(2, Some("3 summaries are stored and not in the log"));
}

/// Who goes on after a crash must not take the commit for good once the log has grown past it.
#[test]
fn a_commit_beyond_the_end_is_moved_back_before_anything_is_stored() {
    let world = World::new(1, &["job"]);
    world.publish(&[(0, 1), (1, 1)]);
    let topics = &world.jobs[0];
    let committed = CommittedOffset { offset: Offset(4), metadata: String::new() };
    let commit = OffsetCommit { topic: &topics.summary, partition: topics.all_partitions()[0], committed };
    world.log.commit(&sink_group("model", &topics.job, VERSION), &[commit]).unwrap();
    world.store.set(0, Mode::Blocked);
    let sink = world.sink(|_| {});
    world.wait("a write that hangs", || world.store.calls() == 1);
    assert_eq!(world.committed(0), Some(Offset(0)));
    world.store.set(0, Mode::Works);
    sink.end();
}

/// What retention has taken meanwhile cannot be read again.
#[test]
fn what_is_gone_from_the_log_is_lost_and_the_rest_read_again() {
    let (world, _) = restored_world();
    world.expire_records();
    world.publish(&[(4, 1)]);
    settle(&world);
    world.store.restore(0, Backup::default());
    settle(&world);
    assert!(world.health.is_ready(), "{:?}", world.health.parts());
    assert_eq!(world.store.rows("job"), rows([(1, 2), (4, 1)]));
    // From the mark on, which lies below the commit.
    let remarks = world.health.remarks();
    assert!(remarks["sink-job"].starts_with("6 summaries were lost"), "{remarks:?}");
}

/// Nothing new comes: without a commit of its own every opening would count the same loss again.
#[test]
fn what_retention_has_taken_from_a_topic_without_summaries_is_lost_once() {
    let world = World::new(1, &["job"]);
    let sink = world.sink(|_| {});
    world.publish(&[(0, 1), (1, 1)]);
    world.wait("the first to be settled", || world.is_all_settled());
    sink.end();
    world.publish(&[(0, 2), (1, 2), (2, 2)]);
    world.expire_records();
    assert_eq!(world.committed(0), Some(Offset(2)));
    let sink = world.sink(|_| {});
    let is_told = || world.health.remarks().contains_key("sink-job");
    world.wait("the loss to be told", || is_told() || !world.health.is_ready());
    sink.end();
    assert_eq!(world.committed(0), Some(Offset(5)));
}

/// Else every opening would find the same loss again, until a new summary comes.
#[test]
fn a_loss_that_cannot_be_read_again_is_told_once() {
    let (world, _) = restored_world();
    world.expire_records();
    world.store.restore(0, Backup::default());
    assert_eq!(shards_in_the_commit(&world), ["s0", "s1"]);
    settle(&world);
    assert_eq!(shards_in_the_commit(&world), ["s1"]);
}

/// The shards that the commit of the first partition knows something of.
fn shards_in_the_commit(world: &World) -> Vec<String> {
    let (topics, partition) = (&world.jobs[0], world.jobs[0].all_partitions()[0]);
    let group = sink_group("model", &topics.job, VERSION);
    let committed = world.log.committed(&group, &topics.summary, &[partition]).unwrap()[0].clone().unwrap();
    CommittedMarks::read(&committed.metadata).unwrap().by_shard.into_keys().collect()
}

/// Somebody else may have found the transaction and commit by it. If the database loses it before the sink tries again, what that
/// one commits by must be missing, whatever the sink, which knows nothing of the transaction, writes then.
#[test]
fn what_a_lost_answer_has_hidden_is_missed_when_the_database_loses_it() {
    let world = World::new(1, &["job"]);
    publish_and_settle(&world, &[(0, 1)]);
    let backup = world.store.back_up(0);
    world.store.set(0, Mode::Unanswered);
    world.publish(&[(1, 1)]);
    let sink = world.sink(|plan| plan.role = DeliveryRole::Sink { has_retry: false });
    world.wait("a try", || world.store.ids_of("retryable").contains(&(1, 1)));
    // The next try waits until the database is another one.
    world.store.set(0, Mode::Blocked);
    let found = world.store.back_up(0).mark().known();
    world.store.restore(0, backup);
    world.store.set(0, Mode::Works);
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
    assert_eq!(world.store.rows("job"), rows([(0, 1), (1, 1)]));
    assert!(world.store.back_up(0).mark().is_behind(found));
}

/// The real store: its folder is put back to an earlier copy.
#[test]
fn a_folder_that_was_put_back_is_filled_again() {
    let world = World::new(1, &["job"]);
    let (folder, copy) = (world.folder.path().join("store"), world.folder.path().join("copy"));
    let settle = || {
        let store: Arc<dyn SummaryStore> = Arc::new(EmbeddedStore::open(&folder).unwrap());
        settle_into(&world, &store, false);
        let of = |series: u8| {
            let owner = SummaryKey::decode(&key(series)).unwrap().owner;
            let found = store.range("job", Some(owner), i64::MIN, i64::MAX).unwrap().rows;
            found.into_iter().map(move |row| (series, row.provenance.last_offset))
        };
        (0..4).flat_map(of).collect::<BTreeMap<u8, u64>>()
    };
    world.publish(&[(0, 1), (1, 1)]);
    settle();
    copy_folder(&folder, &copy);
    world.publish(&[(0, 2), (2, 1)]);
    let expected = rows([(0, 2), (1, 1), (2, 1)]);
    assert_eq!(settle(), expected);
    std::fs::remove_dir_all(&folder).unwrap();
    copy_folder(&copy, &folder);
    assert_eq!(settle(), expected);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(settle(), expected);
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[derive(Clone, Debug)]
struct Phase {
    published: Vec<Id>,
    mode: Mode,
    /// Which of the backups so far is put back, into which shard, while the sink runs or while it does not.
    restored: Option<(prop::sample::Index, u32, bool)>,
    /// Commits and appends after which the log dies.
    dies_after: Option<u64>,
}

fn phases() -> impl Strategy<Value = Vec<Phase>> {
    let published = prop::collection::vec((0..8_u8, 0..50_u64), 0..20);
    let mode =
        prop::sample::select(vec![Mode::Works, Mode::Works, Mode::Down, Mode::Flaky, Mode::FailsFor(3)]);
    let restored = prop::option::of((any::<prop::sample::Index>(), 0..3_u32, any::<bool>()));
    let dies_after = prop::option::weighted(0.3, 0..6_u64);
    let phase = (published, mode, restored, dies_after);
    let phase = phase.prop_map(|(published, mode, restored, dies_after)| Phase {
        published,
        mode,
        restored,
        dies_after,
    });
    prop::collection::vec(phase, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is restored and whenever, all rows are right once all shards work and both processes have caught up.
    #[test]
    fn rows_end_right_whatever_is_restored(phases in phases()) {
        let world = World::with_partitions(3, 2, &["job"]);
        let mut newest = BTreeMap::new();
        let mut backups = [0, 1, 2].map(|shard| vec![world.store.back_up(shard)]);
        for Phase { published, mode, restored, dies_after } in phases {
            // What was backed up later than the restored point belongs to a history that is no more.
            let restore = |is_running: bool, backups: &mut [Vec<Backup>; 3]| {
                if let Some((index, shard, _)) = restored.filter(|(_, _, while_running)| *while_running == is_running) {
                    let of_shard = &mut backups[shard as usize];
                    of_shard.truncate(index.index(of_shard.len()) + 1);
                    world.store.restore(shard, of_shard[of_shard.len() - 1].clone());
                }
            };
            world.store.set(1, mode);
            if let Some(operations) = dies_after {
                world.log.dies_after(operations);
            }
            let (sink, retry) = (world.sink(|plan| plan.settings.batch_max = 4), world.retry(|_| {}));
            world.publish(&published);
            restore(true, &mut backups);
            if dies_after.is_none() {
                world.wait("all to be settled", || world.is_all_settled());
            }
            sink.end();
            retry.end();
            world.log.revive();
            for (series, revision) in published {
                let there = newest.entry(series).or_insert(revision);
                *there = revision.max(*there);
            }
            (0..).zip(&mut backups).for_each(|(shard, of_shard)| of_shard.push(world.store.back_up(shard)));
            restore(false, &mut backups);
        }
        world.store.set_all(Mode::Works);
        settle(&world);
        drain(&world);
        prop_assert_eq!(world.store.rows("job"), newest);
    }
}
