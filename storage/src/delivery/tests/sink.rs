//! Tests of a sink: real log, a store that fails as scripted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_core::summary::SummaryKey;
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::{CommittedOffset, Log as _, LogError, NewRecord, OffsetCommit};

use super::super::*;
use crate::dead_letter::headers::RecordPosition;
use crate::dead_letter::quarantine;
use crate::embedded::EmbeddedStore;
use crate::job_topics::sink_group;
use crate::store::Day;
use crate::test_world::summaries::{self, key, value};
use crate::test_world::{Id, Mode, VERSION, World, recording_observer};

const WITHOUT_RETRY: DeliveryRole = DeliveryRole::Sink { has_retry: false };

/// Every series of `series`, in `revisions` rising revisions.
fn rising(series: std::ops::Range<u8>, revisions: u64) -> Vec<Id> {
    (0..revisions).flat_map(|revision| series.clone().map(move |series| (series, revision))).collect()
}

fn sorted(mut ids: Vec<Id>) -> Vec<Id> {
    ids.sort_unstable();
    ids
}

fn newest(ids: &[Id]) -> BTreeMap<u8, u64> {
    ids.iter().fold(BTreeMap::new(), |mut newest, &(series, revision)| {
        let there = newest.entry(series).or_insert(revision);
        *there = revision.max(*there);
        newest
    })
}

fn in_quarantine(world: &World) -> Vec<Id> {
    let listed = quarantine::list(&*world.log, None, &world.jobs).unwrap();
    let id = |it: &quarantine::Quarantined| {
        (it.parts().unwrap().owner.0[0], it.trail.revision.unwrap().last_offset.0)
    };
    listed.iter().map(id).collect()
}

#[test]
fn every_summary_ends_in_exactly_one_way() {
    let world = World::new(3, &["job"]);
    world.store.poison(&[4]);
    world.store.expire(&[5]);
    world.store.set(1, Mode::FailsFor(1));
    let published = [rising(0..9, 3), vec![(0, 1), (2, 2)]].concat();
    world.publish(&published);
    let (observer, observed) = recording_observer();
    let sink = world.sink(|plan| plan.observer = Some(observer));
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
    let mut ended = world.in_retry();
    assert!(ended.iter().all(|(series, _)| *series == 1), "{ended:?}");
    ended.extend(
        world
            .records(&world.jobs[0].quarantine)
            .values()
            .map(|letter| summaries::id(&letter.key[b"model/".len()..], &letter.value)),
    );
    for outcome in ["stored", "stale", "expired"] {
        ended.extend(world.store.ids_of(outcome));
    }
    assert_eq!(sorted(ended), sorted(published));
    assert_eq!(sorted(observed.lock().unwrap().clone()), sorted(world.store.ids_of("stored")));
    assert_eq!(
        in_quarantine(&world).into_iter().map(|it| it.0).collect::<BTreeSet<_>>(),
        BTreeSet::from([4])
    );
}

/// Publishes a summary of each generation, by the minute of its record.
fn publish_generations(world: &World, generations: &[(u32, i64)]) {
    let summary = |(revision, &(generation, minute)): (u64, &(u32, i64))| NewRecord {
        timestamp_ms: minute * 60_000,
        ..world.record(0, &key(1), summaries::value_of_generation(generation, revision))
    };
    world.append((0..).zip(generations).map(summary).collect());
}

fn remarks_older_generation(world: &World) -> bool {
    world.health.remarks().into_values().any(|remark| remark.contains("older generation"))
}

/// A worker was started again with an older configuration.
#[test]
fn a_generation_that_was_taken_back_is_remarked() {
    let check = |generations: &[(u32, i64)], is_remarked: bool| {
        let world = World::with_partitions(1, 1, &["job"]);
        publish_generations(&world, generations);
        let sink = world.sink(|_| {});
        world.wait("all to be settled", || world.is_all_settled());
        sink.end();
        assert_eq!(remarks_older_generation(&world), is_remarked, "{generations:?}");
    };
    check(&[(1, 0), (1, 20), (2, 20), (2, 40)], false);
    check(&[(2, 0), (1, 11), (2, 11)], true);
    check(&[(1, 0), (2, 1), (1, 2), (2, 20)], false);
}

/// As when a broker is away, and the worker is started again with what it had before.
#[test]
fn a_generation_that_was_taken_back_while_the_log_was_away_is_remarked() {
    let world = World::with_partitions(1, 1, &["job"]);
    publish_generations(&world, &[(2, 0)]);
    let sink = world.sink(|_| {});
    world.wait("all to be settled", || world.is_all_settled());
    world.log.dies_after(0);
    // The old worker is still there: that is nothing yet, and all that the sink reads again.
    publish_generations(&world, &[(1, 5)]);
    let is_troubled = || matches!(world.health.parts().get("sink-job"), Some(Condition::Troubled(_)));
    world.wait("the sink to be in trouble", is_troubled);
    world.log.revive();
    world.wait("all to be settled", || world.is_all_settled());
    assert!(!remarks_older_generation(&world));
    publish_generations(&world, &[(1, 20)]);
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
    assert!(remarks_older_generation(&world));
}

#[test]
fn what_is_no_summary_is_quarantined_with_its_place() {
    let world = World::new(2, &["job"]);
    let unreadable = [world.record(0, b"no key", value(1)), world.record(0, &key(1), b"\xff".to_vec())];
    let huge = world.record(0, &key(1), vec![0; 900 << 10]);
    world.append([&unreadable[..], &[huge]].concat());
    let sink = world.sink(|_| {});
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
    let letters: Vec<_> = world.records(&world.jobs[0].quarantine).into_values().collect();
    assert_eq!(letters.len(), 3);
    for letter in letters {
        let RecordPosition { topic, .. } = letter.trail.source.unwrap();
        assert_eq!(topic, *world.jobs[0].summary);
        assert_eq!(letter.trail.code.as_deref(), Some("unusable-summary"));
        assert!(!letter.trail.error.unwrap().is_empty() && letter.trail.shard.is_none());
    }
    assert!(world.store.written().is_empty());
}

/// The clock of a sink that is days behind must not quarantine what everybody else holds to be of today.
#[test]
fn a_summary_is_too_far_ahead_only_by_the_clock_and_by_its_record() {
    let world = World::new(1, &["job"]);
    let of_day = |series: u8, days: i64| {
        let window_start_ms = Day::today().plus(days).start_ms();
        SummaryKey { window_start_ms, ..SummaryKey::decode(&key(series)).unwrap() }.encode()
    };
    let record = |series: u8, stamped_days: i64| NewRecord {
        timestamp_ms: Day::today().plus(stamped_days).start_ms(),
        ..world.record(0, &of_day(series, 10), value(1))
    };
    world.append(vec![record(1, 0), record(2, 10), record(3, -10)]);
    let sink = world.sink(|_| {});
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
    assert_eq!(world.store.rows("job"), BTreeMap::from([(2, 1)]));
    assert_eq!(world.records(&world.jobs[0].quarantine).len(), 2);
}

/// I15. While a write of shard 0 does not come back, round after round of the other shards is stored, and what does
/// not fit into the queue of shard 0 is in RETRY. No time takes part: patience is zero, and the write ends when the
/// test says so.
#[test]
fn a_blocked_shard_delays_only_its_own_summaries() {
    const ROUNDS: u64 = 20;
    let world = World::new(3, &["job"]);
    world.store.set(0, Mode::Blocked);
    let sink = world.sink(|plan| (plan.settings.queue_max, plan.settings.batch_max) = (10, 5));
    let mut published = Vec::new();
    for revision in 0..ROUNDS {
        // Ten summaries per shard, so that no healthy queue overflows.
        let round: Vec<Id> = (0..30).map(|series| (series, revision)).collect();
        world.publish(&round);
        published.extend(round);
        let healthy = 20 * (revision as usize + 1);
        world.wait("the healthy shards to take the round", || world.store.written().len() == healthy);
    }
    // One batch is in flight and one queue is waiting.
    world.wait("the overflow to be in RETRY", || world.in_retry().len() >= 10 * ROUNDS as usize - 10 - 5);
    assert!(world.in_retry().iter().all(|(series, _)| series % 3 == 0));
    assert!(world.store.rows("job").keys().all(|series| series % 3 != 0));
    world.store.set(0, Mode::Works);
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
    let mut ended = world.in_retry();
    ended.extend(world.store.written().into_iter().map(|it| it.id));
    assert_eq!(sorted(ended), sorted(published));
}

/// What the other shards have stored is committed while a source waits for room.
#[test]
fn a_full_queue_holds_up_no_commit() {
    let world = World::with_partitions(2, 1, &["job"]);
    world.store.set(0, Mode::Blocked);
    world.publish(&[(1, 0), (0, 0), (0, 1), (0, 2), (0, 3)]);
    let sink = world.sink(|plan| {
        plan.role = WITHOUT_RETRY;
        (plan.settings.queue_max, plan.settings.batch_max) = (1, 1);
    });
    world.wait("what is stored to be committed", || world.committed(0) == Some(Offset(1)));
    world.store.set(0, Mode::Works);
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
}

#[test]
fn a_sink_that_stops_commits_what_it_has_stored() {
    let world = World::new(1, &["job"]);
    let sink = world.sink(|plan| plan.settings.commit_interval = Duration::from_secs(3_600));
    // The second is read after the first commit, which is due at once.
    for revision in 0..2 {
        world.publish(&[(0, revision)]);
        world.wait("it to be stored", || world.store.rows("job").get(&0) == Some(&revision));
    }
    sink.end();
    assert_eq!(world.committed(0), Some(Offset(2)));
}

/// A shard that stores some rows of a batch works.
#[test]
fn one_row_that_fails_is_no_trouble_of_its_shard() {
    let world = World::with_partitions(1, 1, &["job"]);
    world.store.set(0, Mode::FailsFor(1));
    world.publish(&[(0, 0), (1, 0)]);
    // Both are in the first batch, so that it never fails as a whole.
    let sink = world.sink(|plan| {
        (plan.settings.linger, plan.settings.batch_max) = (Duration::from_secs(1), 2);
    });
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
    assert_eq!(world.in_retry(), [(1, 0)]);
    assert_eq!(world.health.parts().get("shard-s0"), Some(&Condition::Ready));
}

/// A write that never comes back does not stop the commits: beyond the bound its batch is in RETRY.
#[test]
fn the_unsettled_span_is_bounded_while_a_write_hangs() {
    const SPAN_MAX: u64 = 50;
    let world = World::with_partitions(2, 1, &["job"]);
    world.store.set(0, Mode::Blocked);
    let sink = world.sink(|plan| plan.settings.span_max = SPAN_MAX);
    world.publish(&rising(0..10, 100));
    let all_but_span = || world.committed(0).is_some_and(|offset| offset >= Offset(1_000 - SPAN_MAX));
    world.wait("the commits to go on", all_but_span);
    world.store.set(0, Mode::Works);
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
    let found: BTreeSet<Id> =
        world.in_retry().into_iter().chain(world.store.written().into_iter().map(|it| it.id)).collect();
    assert_eq!(found.len(), 1_000);
}

#[test]
fn all_of_a_dead_shard_goes_to_retry_until_it_lives() {
    let world = World::new(2, &["job"]);
    world.store.set(0, Mode::Down);
    let sink = world.sink(|_| {});
    world.publish(&rising(0..10, 5));
    world.wait("all to be settled", || world.is_all_settled());
    let dead: BTreeSet<Id> = rising(0..10, 5).into_iter().filter(|(series, _)| series % 2 == 0).collect();
    assert_eq!(world.in_retry().into_iter().collect::<BTreeSet<_>>(), dead);
    for ((partition, _), letter) in world.records(&world.jobs[0].retry) {
        let trail = letter.trail;
        assert_eq!((partition.0, trail.shard.as_deref(), trail.attempts), (0, Some("s0"), 1));
        assert_eq!((trail.store.as_deref(), trail.error.as_deref()), (Some("model"), Some("down")));
        assert_eq!(trail.code.as_deref(), Some("down"));
        assert_eq!(trail.revision.unwrap().last_offset.0, summaries::id(&letter.key, &letter.value).1);
    }
    world.store.set(0, Mode::Works);
    // Each round offers a probe; the breaker lets one through within its cap.
    for revision in 10_u64.. {
        world.publish(&[(0, revision)]);
        world.wait("the next to be settled", || world.is_all_settled());
        if world.store.rows("job").get(&0) == Some(&revision) {
            break;
        }
        assert!(revision < 100_000, "no probe");
    }
    sink.end();
}

#[test]
fn without_retry_a_shard_is_waited_for_in_place() {
    let world = World::new(1, &["job"]);
    let published = rising(0..10, 5);
    for mode in [Mode::Down, Mode::Flaky] {
        world.store.set(0, mode);
        let sink = world.sink(|plan| plan.role = WITHOUT_RETRY);
        world.publish(&published);
        let before = world.store.calls();
        world.wait("several tries", || world.store.calls() > before + 3);
        world.store.set(0, Mode::Works);
        world.wait("all to be settled", || world.is_all_settled());
        sink.end();
        assert_eq!(world.store.rows("job"), newest(&published));
        assert!(world.in_retry().is_empty());
    }
}

#[test]
fn a_wrong_configuration_holds_commits_and_floods_nothing() {
    let world = World::with_partitions(2, 1, &["job"]);
    world.store.set(0, Mode::Wrong);
    let sink = world.sink(|_| {});
    let published = rising(0..10, 20);
    world.publish(&published);
    let healthy = newest(&published).into_iter().filter(|(series, _)| series % 2 == 1).collect();
    world.wait("the healthy shard to have everything", || world.store.rows("job") == healthy);
    let part = |name: &str| world.health.parts().get(name).cloned();
    world.wait("the shard to be in trouble", || {
        part("shard-s0") == Some(Condition::Troubled("wrong password".to_owned()))
    });
    world.wait("probes", || world.store.ids_of("misconfigured").len() > 100);
    assert_eq!(world.committed(0).unwrap_or_default(), Offset(0));
    assert!(!world.health.is_ready() && world.health.is_alive());
    world.store.set(0, Mode::Works);
    world.wait("all to be settled", || world.is_all_settled());
    world.wait("the shard to be ready", || part("shard-s0") == Some(Condition::Ready));
    sink.end();
    assert_eq!(world.store.rows("job"), newest(&published));
    assert!(world.in_retry().is_empty() && in_quarantine(&world).is_empty());
}

#[test]
fn a_job_that_is_refused_holds_no_other_job() {
    let world = World::with_partitions(1, 1, &["refused", "fine"]);
    world.store.set(0, Mode::WrongFor("refused"));
    let sink = world.sink(|_| {});
    let all = rising(0..5, 10);
    for job in 0..2 {
        world.append(
            all.iter().map(|&(series, revision)| world.record(job, &key(series), value(revision))).collect(),
        );
    }
    world.wait("the other job to be stored", || world.store.rows("fine") == newest(&all));
    assert!(world.store.rows("refused").is_empty());
    world.store.set(0, Mode::Works);
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
    assert_eq!(world.store.rows("refused"), newest(&all));
}

/// Commits work while RETRY and QUARANTINE take nothing: what was to go there must not be committed.
#[test]
fn only_what_the_log_has_taken_counts_as_handed_over() {
    let world = World::new(3, &["job"]);
    world.store.set(0, Mode::Down);
    world.store.poison(&[1]);
    world.log.refuse_appends(true);
    let sink = world.sink(|_| {});
    world.publish(&rising(0..3, 5));
    world.wait("the healthy shard", || world.committed(2) == Some(Offset(5)));
    world.wait("the log to refuse", || world.log.refused() > 3);
    let committed = [world.committed(0), world.committed(1)].map(Option::unwrap_or_default);
    assert_eq!(committed, [Offset(0), Offset(0)]);
    world.log.refuse_appends(false);
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
    let handed_over: BTreeSet<Id> = world.in_retry().into_iter().collect();
    assert_eq!(handed_over, (0..5).map(|revision| (0, revision)).collect());
    assert_eq!(in_quarantine(&world), [(1, 4)]);
}

/// The log dies at the n-th commit or append, for every n: as a crash there. A second sink must find all the rest.
#[test]
fn nothing_is_lost_after_a_crash_at_any_point() {
    for operations in 0..12 {
        let world = World::new(3, &["job"]);
        world.store.poison(&[7]);
        world.store.set(0, Mode::Down);
        let published = rising(0..9, 4);
        world.log.dies_after(operations);
        let sink = world.sink(|plan| plan.settings.batch_max = 4);
        world.publish(&published[..18]);
        world.wait("the crash", || world.log.is_dead() || world.is_all_settled());
        world.publish(&published[18..]);
        sink.end();
        world.log.revive();
        let sink = world.sink(|_| {});
        world.wait("all to be settled", || world.is_all_settled());
        sink.end();
        let ended: BTreeSet<Id> = [world.in_retry(), in_quarantine(&world)].concat().into_iter().collect();
        let mut stored = world.store.rows("job");
        stored.extend(newest(&Vec::from_iter(ended)));
        assert_eq!(stored, newest(&published), "after {operations} operations");
    }
}

#[test]
fn stopping_leaves_a_hanging_write_behind_and_commits_nothing_of_it() {
    let world = World::new(2, &["job"]);
    world.store.set(0, Mode::Blocked);
    let sink = world.sink(|plan| plan.settings.stop_deadline = Duration::from_millis(1));
    world.publish(&[(0, 1), (1, 1)]);
    world.wait("the hanging write", || world.store.calls() == 2 && world.store.written().len() == 1);
    sink.end();
    assert_eq!((world.committed(0).unwrap_or_default(), world.committed(1)), (Offset(0), Some(Offset(1))));
    world.store.set(0, Mode::Works);
    let sink = world.sink(|_| {});
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
    assert_eq!(world.store.rows("job"), BTreeMap::from([(0, 1), (1, 1)]));
}

/// What retention has deleted meanwhile is superseded or expired: the sink goes on with what is left.
#[test]
fn a_sink_that_retention_has_overtaken_reads_on_at_the_start_of_the_log() {
    let world = World::new(1, &["job"]);
    let sink = world.sink(|_| {});
    world.publish(&[(0, 1), (1, 1)]);
    world.wait("the first to be settled", || world.is_all_settled());
    sink.end();
    world.publish(&[(0, 2), (1, 2), (2, 2)]);
    world.expire_records();
    world.publish(&[(0, 3)]);
    let sink = world.sink(|_| {});
    world.wait("the rest to be settled", || world.is_all_settled() || !world.health.is_ready());
    sink.end();
    assert!(world.health.is_ready(), "{:?}", world.health.parts());
    let remarks = world.health.remarks();
    assert!(remarks["sink-job"].starts_with("3 summaries were lost"), "{remarks:?}");
    assert_eq!(world.store.rows("job"), BTreeMap::from([(0, 3), (1, 1)]));
}

/// The topic was made anew on a broker that keeps offsets, or has lost its end.
#[test]
fn a_sink_whose_commit_lies_beyond_the_end_reads_the_topic_again() {
    let world = World::new(1, &["job"]);
    world.publish(&[(0, 1), (1, 1)]);
    let topics = &world.jobs[0];
    let beyond = |&partition: &Partition| OffsetCommit {
        topic: &topics.summary,
        partition,
        committed: CommittedOffset { offset: Offset(70), metadata: String::new() },
    };
    let partitions = topics.all_partitions();
    let commits: Vec<OffsetCommit<'_>> = partitions.iter().map(beyond).collect();
    world.log.commit(&sink_group("model", &topics.job, VERSION), &commits).unwrap();
    let sink = world.sink(|_| {});
    world.wait("all rows", || world.store.rows("job").len() == 2 || !world.health.is_alive());
    sink.end();
    assert_eq!(world.store.rows("job"), BTreeMap::from([(0, 1), (1, 1)]));
}

/// A failed append makes the sink read again what waits behind a hanging write: each summary is still written once.
#[test]
fn what_waits_is_not_written_twice_when_the_sink_begins_anew() {
    let world = World::with_partitions(2, 1, &["job"]);
    world.store.poison(&[1]);
    world.store.set(0, Mode::Blocked);
    world.log.refuse_appends(true);
    let sink = world.sink(|_| {});
    world.publish(&[(0, 0)]);
    world.wait("the hanging write", || world.store.calls() == 1);
    world.publish(&[(0, 1), (0, 2), (1, 0)]);
    world.wait("the log to refuse twice", || world.log.refused() > 1);
    world.log.refuse_appends(false);
    // The last record is read after those that wait.
    world.wait("the last record to be handed over", || in_quarantine(&world) == [(1, 0)]);
    world.store.set(0, Mode::Works);
    world.wait("all to be settled", || world.is_all_settled());
    sink.end();
    let written = world.store.written().into_iter().map(|it| it.id).filter(|(series, _)| *series == 0);
    assert_eq!(written.collect::<Vec<_>>(), [(0, 0), (0, 0), (0, 1), (0, 2)]);
}

/// A thread that is gone must not leave a process behind that looks alive.
#[test]
fn a_panic_of_a_store_ends_the_sink() {
    let world = World::new(2, &["job"]);
    world.store.set(0, Mode::Panics);
    let sink = world.sink(|_| {});
    world.publish(&[(0, 1)]);
    world.wait("the sink to stop by itself", || sink.stop.is_stopped());
    assert!(!world.health.is_alive());
    let joined = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sink.task.join()));
    assert!(joined.is_err());
    assert_eq!(world.committed(0).unwrap_or_default(), Offset(0));
}

#[test]
fn a_missing_topic_is_told_at_the_start() {
    let world = World::new(1, &["job"]);
    let sink = world.sink(|plan| plan.jobs[0].retry = "RETRY.ELSEWHERE.v1".into());
    let failure = sink.task.join().unwrap_err();
    let topic = "RETRY.ELSEWHERE.v1".to_owned();
    assert_eq!(failure.error, LogError::NoSuchTopic { topic, partition: None });
    assert!(sink.stop.is_stopped() && !world.health.is_alive());
}

/// The real store, closed and opened again in between, under a log that dies at the n-th commit.
#[test]
fn the_embedded_store_has_the_newest_of_every_key_after_a_crash_at_any_point() {
    let newest_last = rising(0..5, 6);
    let newest_first: Vec<Id> = rising(5..9, 6).into_iter().rev().collect();
    let published = [newest_last, newest_first].concat();
    for operations in 0..4 {
        let world = World::new(1, &["job"]);
        let open = || -> Arc<dyn SummaryStore> {
            Arc::new(EmbeddedStore::open(&world.folder.path().join("store")).unwrap())
        };
        let into = |store: &Arc<dyn SummaryStore>| {
            world.sink_into(store, |plan| (plan.role, plan.settings.batch_max) = (WITHOUT_RETRY, 7))
        };
        let is_settled = || world.is_all_settled_by("embedded");
        world.log.dies_after(operations);
        let sink = into(&open());
        world.publish(&published);
        world.wait("the crash", || world.log.is_dead() || is_settled());
        sink.end();
        world.log.revive();
        let store = open();
        let sink = into(&store);
        world.wait("all to be settled", is_settled);
        sink.end();
        let row = |series: u8| {
            let parts = SummaryKey::decode(&key(series)).unwrap();
            let start_ms = parts.window_start_ms;
            let found = store.range("job", Some(parts.owner), start_ms, start_ms + 1).unwrap().rows;
            found.into_iter().map(|row| (series, row.provenance.last_offset)).collect::<Vec<Id>>()
        };
        let rows: BTreeMap<u8, u64> = (0..9).flat_map(row).collect();
        assert_eq!(rows, newest(&published), "after {operations} operations");
    }
}

#[derive(Clone, Debug)]
struct Phase {
    modes: [Mode; 3],
    published: Vec<Id>,
}

fn phases() -> impl Strategy<Value = Vec<Phase>> {
    let mode =
        prop::sample::select(vec![Mode::Works, Mode::Down, Mode::Flaky, Mode::Wrong, Mode::FailsFor(3)]);
    let published = prop::collection::vec((0..8_u8, 0..50_u64), 0..80);
    let phase =
        (prop::array::uniform3(mode), published).prop_map(|(modes, published)| Phase { modes, published });
    prop::collection::vec(phase, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// I14 and I16 of the sink, under outages of every kind in any order.
    #[test]
    fn whatever_fails_every_summary_is_stored_or_handed_over(phases in phases(), poison in 0..8_u8) {
        let world = World::new(3, &["job"]);
        world.store.poison(&[poison]);
        let sink = world.sink(|plan| {
            plan.settings = DeliverySettings { queue_max: 32, batch_max: 8, span_max: 60, ..plan.settings };
        });
        let mut published = Vec::new();
        for Phase { modes, published: more } in phases {
            (0..).zip(modes).for_each(|(shard, mode)| world.store.set(shard, mode));
            world.publish(&more);
            published.extend(more);
        }
        world.store.set_all(Mode::Works);
        world.wait("all to be settled", || world.is_all_settled());
        sink.end();
        let stored = world.store.ids_of("stored");
        for series in 0..8 {
            let revisions: Vec<u64> = stored.iter().filter(|it| it.0 == series).map(|it| it.1).collect();
            prop_assert!(revisions.is_sorted_by(|before, after| before < after), "{:?}", revisions);
        }
        let handed_over: BTreeSet<Id> = [world.in_retry(), in_quarantine(&world)].concat().into_iter().collect();
        let mut newest_found = world.store.rows("job");
        for (series, revision) in handed_over {
            let there = newest_found.entry(series).or_insert(revision);
            *there = revision.max(*there);
        }
        for (series, revision) in newest(&published) {
            // Of a poisoned key the quarantine keeps the newest record, which is not the newest revision if
            // they came out of order.
            prop_assert!(series == poison || newest_found.get(&series) == Some(&revision), "series {}", series);
            prop_assert!(newest_found.contains_key(&series));
        }
    }
}
