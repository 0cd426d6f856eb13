//! Tests of the retry process: real log, a store that fails as scripted.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::NewRecord;

use super::super::*;
use crate::dead_letter::headers::{FailureHeaders, RecordPosition};
use crate::dead_letter::{FailureGroup, quarantine, records, retry_list};
use crate::test_world::summaries::{carried, id, key, value, value_of_generation};
use crate::test_world::{Id, Mode, VERSION, World};

fn trail(world: &World, revision: u64) -> FailureHeaders {
    let summary = carried("job", &key(0), revision);
    FailureHeaders {
        store: Some("model".to_owned()),
        job: Some(world.jobs[0].job.to_string()),
        revision: Some(summary.revision()),
        first_failure_ms: Some(1_000 + i64::try_from(revision).unwrap()),
        attempts: 1,
        error: Some("down".to_owned()),
        ..FailureHeaders::default()
    }
}

/// Puts summaries into the RETRY topic of the first job, where a sink would.
fn fill(world: &World, summaries: &[Id]) {
    let record = |&(series, revision): &Id| {
        let shard = Shard(u32::from(series) % world.shared_store().shards().len() as u32);
        let trail = FailureHeaders { shard: Some(format!("s{}", shard.0)), ..trail(world, revision) };
        records::retry(&world.jobs[0], shard, &key(series), &value(revision), &trail)
    };
    world.append(summaries.iter().map(record).collect());
}

fn newest(ids: &[Id]) -> BTreeMap<u8, u64> {
    ids.iter().fold(BTreeMap::new(), |mut newest, &(series, revision)| {
        let there = newest.entry(series).or_insert(revision);
        *there = revision.max(*there);
        newest
    })
}

fn revisions(series: std::ops::Range<u8>, revisions: u64) -> Vec<Id> {
    (0..revisions).flat_map(|revision| series.clone().map(move |series| (series, revision))).collect()
}

#[test]
fn a_shard_that_comes_back_gets_the_newest_of_every_key() {
    let world = World::new(2, &["job"]);
    let waiting = revisions(0..10, 8);
    fill(&world, &waiting);
    world.store.set_all(Mode::Down);
    let retry = world.retry(|_| {});
    world.wait("tries", || world.store.calls() > 6);
    let part = |name: &str| world.health.parts().get(name).cloned();
    world.wait("trouble", || part("shard-s1") == Some(Condition::Troubled("down".to_owned())));
    // While shard 1 stays dead, shard 0 is drained.
    world.store.set(0, Mode::Works);
    let of_first = newest(&waiting).into_iter().filter(|(series, _)| series % 2 == 0).collect();
    world.wait("the first shard to be drained", || world.store.rows("job") == of_first);
    assert!(!world.is_drained());
    world.store.set(1, Mode::Works);
    world.wait("all to be drained", || world.is_drained());
    retry.end();
    assert_eq!(world.store.rows("job"), newest(&waiting));
    assert_eq!(part("shard-s1"), Some(Condition::Ready));
}

/// After an outage one batch is tried before the others: as long as nothing works, every write has the same rows.
#[test]
fn a_dead_shard_is_probed_with_one_batch() {
    let world = World::new(1, &["job"]);
    fill(&world, &revisions(0..100, 1));
    world.store.set(0, Mode::Down);
    let retry = world.retry(|plan| plan.settings.batch_max = 10);
    world.wait("tries", || world.store.calls() > 5);
    world.store.set(0, Mode::Works);
    world.wait("all to be drained", || world.is_drained());
    retry.end();
    let failed: BTreeSet<Id> = world.store.ids_of("retryable").into_iter().collect();
    assert_eq!(failed, revisions(0..10, 1).into_iter().collect());
}

#[test]
fn a_row_that_fails_alone_goes_to_the_end_with_its_attempts() {
    let world = World::new(1, &["job"]);
    world.store.set(0, Mode::FailsFor(3));
    fill(&world, &revisions(0..10, 1));
    let retry = world.retry(|_| {});
    let requeued = || {
        let letters = world.records(&world.jobs[0].retry).into_values().skip(10);
        letters.map(|letter| (id(&letter.key, &letter.value), letter.trail)).collect::<Vec<_>>()
    };
    world.wait("it to go to the end", || !requeued().is_empty());
    world.store.set(0, Mode::Works);
    world.wait("all to be drained", || world.is_drained());
    retry.end();
    let (of, trail) = requeued().swap_remove(0);
    assert_eq!((of, trail.attempts, trail.error.as_deref()), ((3, 0), 2, Some("locked")));
    assert_eq!(trail.first_failure_ms, Some(1_000), "it is still the same failure");
    assert_eq!(world.store.rows("job"), newest(&revisions(0..10, 1)));
}

#[test]
fn a_wrong_configuration_is_waited_for() {
    let world = World::new(1, &["job"]);
    world.store.set(0, Mode::Wrong);
    fill(&world, &revisions(0..10, 2));
    let retry = world.retry(|_| {});
    world.wait("tries", || world.store.calls() > 3);
    let part = |name: &str| world.health.parts().get(name).cloned();
    world.wait("trouble", || part("shard-s0") == Some(Condition::Troubled("wrong password".to_owned())));
    assert_eq!(world.records(&world.jobs[0].retry).len(), 20);
    world.store.set(0, Mode::Works);
    world.wait("all to be drained", || world.is_drained());
    retry.end();
    assert_eq!(world.store.rows("job"), newest(&revisions(0..10, 2)));
}

#[test]
fn what_no_retry_can_help_leaves_as_well() {
    let world = World::new(2, &["job"]);
    world.store.poison(&[4]);
    world.store.expire(&[6]);
    let topics = &world.jobs[0];
    let foreign = FailureHeaders { store: Some("elsewhere".to_owned()), ..trail(&world, 3) };
    world.append(vec![
        records::retry(topics, Shard(0), &key(2), &value(3), &foreign),
        records::retry(topics, Shard(0), b"no key", &value(3), &trail(&world, 3)),
        records::retry(topics, Shard(0), &key(8), b"\xff", &FailureHeaders::default()),
        // It lies with a shard that is not its own: the shard map has changed.
        records::retry(topics, Shard(0), &key(1), &value(5), &trail(&world, 5)),
    ]);
    fill(&world, &[(4, 1), (6, 1)]);
    let retry = world.retry(|_| {});
    world.wait("all to be drained", || world.is_drained());
    retry.end();
    assert_eq!(world.store.rows("job"), BTreeMap::from([(1, 5)]));
    let quarantined = quarantine::list(&*world.log, None, &world.jobs).unwrap();
    let keys: BTreeSet<Vec<u8>> = quarantined.into_iter().map(|it| it.key).collect();
    assert_eq!(keys, BTreeSet::from([key(4), key(8), b"no key".to_vec()]));
}

#[test]
fn one_shard_can_be_retried_alone() {
    let world = World::new(2, &["job"]);
    let waiting = revisions(0..4, 1);
    fill(&world, &waiting);
    let retry = world.retry(|plan| plan.role = DeliveryRole::Retry { shard: Some(Shard(1)) });
    let of_second = newest(&waiting).into_iter().filter(|(series, _)| series % 2 == 1).collect();
    world.wait("the second shard to be drained", || world.store.rows("job") == of_second);
    retry.end();
    assert_eq!(world.store.rows("job"), of_second);
}

/// The shard map has changed: a record lies with a shard whose process does not write to the shard of its key.
#[test]
fn a_record_of_another_shard_moves_to_the_partition_of_its_own() {
    let world = World::new(2, &["job"]);
    world.append(vec![records::retry(&world.jobs[0], Shard(1), &key(0), &value(5), &trail(&world, 5))]);
    fill(&world, &[(1, 6)]);
    let retry = world.retry(|plan| plan.role = DeliveryRole::Retry { shard: Some(Shard(1)) });
    world.wait("the second shard to be drained", || world.store.rows("job") == BTreeMap::from([(1, 6)]));
    retry.end();
    let letters = world.records(&world.jobs[0].retry);
    let of_first = letters.into_iter().filter(|((partition, _), _)| partition.0 == 0).map(|(_, letter)| {
        (id(&letter.key, &letter.value), letter.trail.shard, letter.trail.first_failure_ms)
    });
    assert_eq!(of_first.collect::<Vec<_>>(), [((0, 5), Some("s0".to_owned()), Some(1_005))]);
    let retry = world.retry(|_| {});
    world.wait("all to be drained", || world.is_drained());
    retry.end();
    assert_eq!(world.store.rows("job"), BTreeMap::from([(0, 5), (1, 6)]));
}

/// What retention has deleted meanwhile is lost: the retry process goes on with what is left.
#[test]
fn a_retry_process_that_retention_has_overtaken_reads_on_at_the_start_of_the_log() {
    let world = World::new(1, &["job"]);
    fill(&world, &[(0, 1), (1, 1)]);
    let retry = world.retry(|_| {});
    world.wait("the first to be drained", || world.is_drained());
    retry.end();
    fill(&world, &[(0, 2), (1, 2), (2, 2)]);
    world.expire_records();
    fill(&world, &[(0, 3)]);
    let retry = world.retry(|_| {});
    world.wait("the rest to be drained", || world.is_drained() || !world.health.is_ready());
    retry.end();
    assert!(world.health.is_ready(), "{:?}", world.health.parts());
    let remarks = world.health.remarks();
    assert!(remarks.values().any(|remark| remark.starts_with("3 summaries were lost")), "{remarks:?}");
    assert_eq!(world.store.rows("job"), BTreeMap::from([(0, 3), (1, 1)]));
}

/// A write fails while a newer row of its key waits: the older one is done with, and commits pass it.
#[test]
fn a_failed_row_that_a_newer_one_supersedes_holds_no_commit() {
    let world = World::with_partitions(2, 1, &["job"]);
    world.store.set(0, Mode::Blocked);
    fill(&world, &[(0, 1)]);
    let retry = world.retry(|_| {});
    world.wait("the hanging write", || world.store.calls() == 1);
    // One source reads both: the newer row waits once the row after it is stored.
    fill(&world, &[(0, 2), (1, 1)]);
    world.wait("the newer row to be read", || world.store.rows("job") == BTreeMap::from([(1, 1)]));
    world.store.set(0, Mode::Down);
    world.wait("the write to fail", || !world.store.ids_of("retryable").is_empty());
    world.store.set(0, Mode::Works);
    world.wait("the newer row", || world.store.rows("job") == BTreeMap::from([(0, 2), (1, 1)]));
    retry.end();
    assert_eq!(world.store.ids_of("retryable")[0], (0, 1));
    assert_eq!(world.store.ids_of("stored"), [(1, 1), (0, 2)]);
    assert!(world.is_drained());
}

/// Commits work while QUARANTINE takes nothing: what was to go there must not be committed.
#[test]
fn only_what_the_log_has_taken_has_left() {
    let world = World::new(1, &["job"]);
    world.store.poison(&[5]);
    fill(&world, &revisions(0..10, 2));
    world.log.refuse_appends(true);
    let retry = world.retry(|_| {});
    world.wait("the log to refuse", || world.log.refused() > 1);
    let listed = retry_list::list(&*world.log, "model", VERSION, &world.jobs).unwrap();
    assert!(listed["s0"].records > 0 && !world.is_drained());
    world.log.refuse_appends(false);
    world.wait("all to be drained", || world.is_drained());
    retry.end();
    assert_eq!(quarantine::list(&*world.log, None, &world.jobs).unwrap().len(), 1);
}

/// The log dies at the n-th commit or append, for every n: as a crash there.
#[test]
fn a_crash_in_mid_drain_repeats_harmlessly() {
    for operations in 0..8 {
        let world = World::new(2, &["job"]);
        world.store.poison(&[5]);
        world.store.set(0, Mode::Flaky);
        let waiting = revisions(0..10, 6);
        fill(&world, &waiting);
        world.log.dies_after(operations);
        let retry = world.retry(|plan| {
            (plan.settings.batch_max, plan.settings.queue_max) = (4, 8);
        });
        world.wait("the crash", || world.log.is_dead() || world.is_drained());
        retry.end();
        world.log.revive();
        world.store.set_all(Mode::Works);
        let retry = world.retry(|_| {});
        world.wait("all to be drained", || world.is_drained());
        retry.end();
        let mut expected = newest(&waiting);
        expected.remove(&5);
        assert_eq!(world.store.rows("job"), expected, "after {operations} operations");
        assert_eq!(quarantine::list(&*world.log, None, &world.jobs).unwrap().len(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// I14 and I16: sink and retry process together, with outages in any order, lose nothing and go back on nothing.
    #[test]
    fn what_the_sink_hands_over_the_retry_process_stores(
        outages in prop::collection::vec((prop::array::uniform2(any::<bool>()), 0..60_usize), 1..5),
        published in prop::collection::vec((0..8_u8, 0..50_u64), 240),
    ) {
        let world = World::new(2, &["job"]);
        let (sink, retry) = (world.sink(|_| {}), world.retry(|_| {}));
        let mut sent = 0;
        for (are_down, count) in outages {
            for (shard, is_down) in (0..).zip(are_down) {
                world.store.set(shard, if is_down { Mode::Down } else { Mode::Flaky });
            }
            world.publish(&published[sent..sent + count]);
            sent += count;
        }
        world.store.set_all(Mode::Works);
        world.wait("the sink", || world.is_all_settled());
        world.wait("the retry process", || world.is_drained());
        sink.end();
        retry.end();
        prop_assert_eq!(world.store.rows("job"), newest(&published[..sent]));
        let stored = world.store.ids_of("stored");
        for series in 0..8 {
            let revisions: Vec<u64> = stored.iter().filter(|it| it.0 == series).map(|it| it.1).collect();
            prop_assert!(revisions.is_sorted_by(|before, after| before < after), "{:?}", revisions);
        }
    }
}

#[test]
fn the_list_tells_what_waits_by_shard() {
    let world = World::new(2, &["job"]);
    fill(&world, &[(0, 5), (0, 6), (2, 7), (1, 3)]);
    let foreign = FailureHeaders { store: Some("elsewhere".to_owned()), ..trail(&world, 3) };
    let other = FailureHeaders {
        shard: Some("s0".to_owned()),
        code: Some("55P03".to_owned()),
        error: Some("locked".to_owned()),
        ..trail(&world, 4)
    };
    world.append(vec![
        records::retry(&world.jobs[0], Shard(0), &key(2), &value(3), &foreign),
        records::retry(&world.jobs[0], Shard(0), &key(4), &value(4), &other),
    ]);
    let listed = || retry_list::list(&*world.log, "model", VERSION, &world.jobs).unwrap();
    let group = |code: Option<&str>, example: &str, records| FailureGroup {
        code: code.map(str::to_owned),
        example: example.to_owned(),
        records,
    };
    let entry = |records, keys, first_failure_ms, failures| retry_list::ShardWaiting {
        records,
        keys,
        first_failure_ms: Some(first_failure_ms),
        failures,
    };
    let of_first = vec![group(None, "down", 3), group(Some("55P03"), "locked", 1)];
    let of_second = vec![group(None, "down", 1)];
    let expected =
        [("s0".to_owned(), entry(4, 3, 1_004, of_first)), ("s1".to_owned(), entry(1, 1, 1_003, of_second))];
    assert_eq!(listed(), BTreeMap::from(expected));
    let retry = world.retry(|_| {});
    world.wait("all to be drained", || world.is_drained());
    retry.end();
    assert!(listed().is_empty());
}

/// RETRY is in no order of generations: what comes late there came late to a store.
#[test]
fn what_waits_in_retry_says_nothing_of_generations() {
    let world = World::new(1, &["job"]);
    let record = |(generation, minute): (u32, i64)| NewRecord {
        timestamp_ms: minute * 60_000,
        ..records::retry(
            &world.jobs[0],
            Shard(0),
            &key(0),
            &value_of_generation(generation, 1),
            &trail(&world, 1),
        )
    };
    world.append([(2, 0), (1, 60)].map(record).to_vec());
    let retry = world.retry(|_| {});
    world.wait("all to be drained", || world.is_drained());
    retry.end();
    assert!(world.health.remarks().is_empty(), "{:?}", world.health.remarks());
}

/// Summaries of two jobs may have one key, and what names no store is everybody's.
#[test]
fn keys_are_counted_by_job_and_records_without_a_store_are_listed_too() {
    let world = World::new(1, &["one", "two"]);
    let record = |job: usize, store: Option<&str>| {
        let trail = FailureHeaders { store: store.map(str::to_owned), ..trail(&world, 1) };
        records::retry(&world.jobs[job], Shard(0), &key(0), &value(1), &trail)
    };
    world.append(vec![record(0, Some("model")), record(1, Some("model")), record(1, None)]);
    let listed = retry_list::list(&*world.log, "model", VERSION, &world.jobs).unwrap();
    let counts: Vec<(u64, u64)> = listed.values().map(|waiting| (waiting.records, waiting.keys)).collect();
    assert_eq!(counts, [(3, 2)]);
}

/// The key of a record in QUARANTINE begins with its store.
#[test]
fn a_quarantined_record_is_inspected_under_the_key_of_its_summary() {
    let world = World::new(1, &["job"]);
    let letter = records::quarantine(&world.jobs[0], "model", &key(1), &value(6), &trail(&world, 6));
    let place: RecordPosition = format!("{}/{}/0", letter.topic, letter.partition).parse().unwrap();
    world.append(vec![letter]);
    let found = retry_list::inspect(&*world.log, &place).unwrap().unwrap();
    assert_eq!((found.key, found.value), (key(1), value(6)));
    assert!(found.parts.is_some());
}

#[test]
fn one_record_can_be_inspected_by_its_place() {
    let world = World::new(2, &["job"]);
    fill(&world, &[(1, 5), (1, 6)]);
    let place =
        |offset: &str| -> RecordPosition { format!("{}/1/{offset}", world.jobs[0].retry).parse().unwrap() };
    let found = retry_list::inspect(&*world.log, &place("1")).unwrap().unwrap();
    assert_eq!((found.key.clone(), found.value.clone()), (key(1), value(6)));
    assert_eq!(found.parts.unwrap().encode(), key(1));
    assert_eq!(found.provenance.unwrap().last_offset, 6);
    assert_eq!(found.trail, FailureHeaders { shard: Some("s1".to_owned()), ..trail(&world, 6) });
    assert!(found.headers.iter().any(|(name, value)| name == "yahtzee-error" && value == b"down"));
    assert_eq!(retry_list::inspect(&*world.log, &place("2")).unwrap(), None);
}
