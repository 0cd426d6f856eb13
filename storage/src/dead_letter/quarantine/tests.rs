//! Tests of the quarantine over a real log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::test_world::summaries::{id, key, value};
use crate::test_world::{Id, World};

fn refuse(world: &World, store: &str, ids: &[Id]) {
    let record = |&(series, revision): &Id| {
        let trail =
            FailureHeaders { store: Some(store.to_owned()), attempts: 4, ..FailureHeaders::default() };
        records::quarantine(&world.jobs[0], store, &key(series), &value(revision), &trail)
    };
    world.append(ids.iter().map(record).collect());
}

fn listed(world: &World, store: Option<&str>) -> Vec<Quarantined> {
    list(&*world.log, store, &world.jobs).unwrap()
}

/// Returns series and revision of the listed summaries, by reading the value at its place.
fn ids(world: &World, store: Option<&str>) -> BTreeSet<Id> {
    let records = world.records(&world.jobs[0].quarantine);
    let id = |it: Quarantined| id(&it.key, &records[&(it.place.partition, it.place.offset)].value);
    listed(world, store).into_iter().map(id).collect()
}

fn appender(world: &World) -> Arc<dyn Appender> {
    world.log.appender(Duration::from_secs(10)).unwrap()
}

#[test]
fn of_each_key_and_store_the_newest_is_listed() {
    let world = World::new(2, &["job"]);
    refuse(&world, "model", &[(1, 1), (2, 1), (1, 2)]);
    refuse(&world, "elsewhere", &[(1, 7)]);
    assert_eq!(ids(&world, Some("model")), BTreeSet::from([(1, 2), (2, 1)]));
    assert_eq!(ids(&world, Some("elsewhere")), BTreeSet::from([(1, 7)]));
    assert_eq!(ids(&world, None).len(), 3);
}

#[test]
fn dropped_ones_are_gone_until_they_are_refused_again() {
    let world = World::new(2, &["job"]);
    refuse(&world, "model", &[(1, 1), (2, 1), (3, 1)]);
    let chosen: Vec<Quarantined> = listed(&world, None).into_iter().filter(|it| it.key != key(3)).collect();
    let counts = give_up(&*world.log, &*appender(&world), &world.jobs, &chosen).unwrap();
    assert_eq!(counts, SettledCounts { settled: 2, ..SettledCounts::default() });
    assert_eq!(ids(&world, None), BTreeSet::from([(3, 1)]));
    assert!(world.in_retry().is_empty());
    let settled = world.records(&world.jobs[0].quarantine).into_values().rfind(|it| it.value.is_empty());
    assert_eq!(settled.unwrap().trail.settled, Some(Settled::Dropped));
    refuse(&world, "model", &[(1, 2)]);
    assert_eq!(ids(&world, None), BTreeSet::from([(1, 2), (3, 1)]));
}

#[test]
fn requeued_ones_wait_for_their_shard_with_attempts_counted_anew() {
    let world = World::new(2, &["job"]);
    refuse(&world, "model", &[(1, 1), (2, 1)]);
    let unreadable = records::quarantine(&world.jobs[0], "model", b"no key", b"", &FailureHeaders::default());
    world.append(vec![unreadable]);
    let chosen = listed(&world, None);
    let store = world.shared_store();
    let counts = requeue(&*world.log, &*appender(&world), &*store, &world.jobs, &chosen).unwrap();
    assert_eq!(counts, SettledCounts { settled: 2, unusable: 1, gone: 0 });
    let left: Vec<Vec<u8>> = listed(&world, None).into_iter().map(|it| it.key).collect();
    assert_eq!(left, [b"no key".to_vec()]);
    for ((partition, _), letter) in world.records(&world.jobs[0].retry) {
        let shard = u32::from(id(&letter.key, &letter.value).0) % 2;
        assert_eq!((partition.0, letter.trail.attempts), (shard, 0));
        assert_eq!(letter.trail.shard, Some(format!("s{shard}")));
    }
    assert_eq!(world.in_retry().into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([(1, 1), (2, 1)]));
}

#[test]
fn a_choice_that_is_out_of_date_settles_nothing_newer() {
    let world = World::new(2, &["job"]);
    refuse(&world, "model", &[(1, 1), (2, 1)]);
    let chosen = listed(&world, None);
    refuse(&world, "model", &[(1, 2)]);
    let counts = give_up(&*world.log, &*appender(&world), &world.jobs, &chosen).unwrap();
    assert_eq!(counts, SettledCounts { settled: 1, unusable: 0, gone: 1 });
    assert_eq!(ids(&world, None), BTreeSet::from([(1, 2)]));
}

/// An operator may think for as long as retention: what is chosen may be gone, and the rest of the choice must not fail with it.
#[test]
fn a_choice_that_retention_has_overtaken_is_gone() {
    let world = World::with_partitions(2, 1, &["job"]);
    refuse(&world, "model", &[(1, 1), (2, 1)]);
    let chosen = listed(&world, None);
    world.expire_records();
    refuse(&world, "model", &[(3, 1)]);
    let chosen = [chosen, listed(&world, None)].concat();
    let counts = give_up(&*world.log, &*appender(&world), &world.jobs, &chosen).unwrap();
    assert_eq!(counts, SettledCounts { settled: 1, unusable: 0, gone: 2 });
    assert!(listed(&world, None).is_empty());
}

/// The sink refuses the newer revision at once; the retry process refuses the older one when the shard is back.
#[test]
fn an_older_revision_that_is_refused_later_does_not_take_the_place_of_a_newer_one() {
    let world = World::new(2, &["job"]);
    refuse(&world, "model", &[(1, 2), (1, 1)]);
    assert_eq!(ids(&world, None), BTreeSet::from([(1, 2)]));
    let (chosen, store) = (listed(&world, None), world.shared_store());
    let counts = requeue(&*world.log, &*appender(&world), &*store, &world.jobs, &chosen).unwrap();
    assert_eq!(counts, SettledCounts { settled: 1, ..SettledCounts::default() });
    assert_eq!(world.in_retry(), [(1, 2)]);
    assert!(listed(&world, None).is_empty(), "the older one is settled along with it");
}
