//! Tests of one session by itself, without the threads of shards.

use yahtzee_core::owner::Partition;
use yahtzee_runtime::log::Log as _;
use yahtzee_runtime::shutdown::StopSignal;

use super::*;
use crate::delivery::{DeliveryRole, DeliverySettings};
use crate::job_topics::retry_group;
use crate::test_world::summaries::{key, value};
use crate::test_world::{VERSION, World, quick};

fn context(world: &World, role: DeliveryRole, stop: &StopSignal) -> Arc<TaskContext> {
    let plan = world.plan(role, quick(DeliverySettings::of_sink()));
    let (log, store) = (world.shared_log(), world.shared_store());
    Arc::new(TaskContext::new(plan, &log, &store, &world.health, stop).unwrap())
}

/// Or every outage of the log is waited for as if it went on from the one before it.
#[test]
fn a_session_that_has_committed_begins_the_back_off_anew() {
    let (world, stop) = (World::new(1, &["job"]), StopSignal::new());
    // What is no summary needs no shard to be settled.
    world.append(vec![world.record(0, b"no key", value(1))]);
    let shared = context(&world, DeliveryRole::Sink { has_retry: true }, &stop);
    let mut back_off = BackOff::new(Duration::ZERO, Duration::ZERO, 1);
    back_off.next_wait();
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(Session::open(&shared, 0).unwrap().run(&mut back_off).is_ok()));
        world.wait("the commit", || world.is_all_settled());
        stop.stop();
    });
    assert_eq!(back_off.tries(), 0);
}

/// Or one that fails between opening and its first commit is tried again at once, for ever.
#[test]
fn a_session_that_has_had_nothing_to_commit_has_got_nothing_done() {
    let (world, stop) = (World::new(1, &["job"]), StopSignal::new());
    let shared = context(&world, DeliveryRole::Sink { has_retry: true }, &stop);
    let mut session = Session::open(&shared, 0).unwrap();
    // The first commit is due at once.
    assert_eq!(session.keep_up(), Ok(false));
    assert!(session.next_commit > Duration::ZERO);
}

/// The alarm on a RETRY topic that nobody empties goes by this number.
#[test]
fn what_waits_in_retry_is_what_each_topic_has_behind_its_own_commit() {
    let world = World::new(1, &["one", "other"]);
    let record = |job: usize, series: u8| {
        let failures = FailureHeaders::default();
        records::retry(&world.jobs[job], Shard(0), &key(series), &value(1), &failures)
    };
    world.append(vec![record(0, 1), record(0, 2), record(0, 3), record(1, 1)]);
    let committed = CommittedOffset { offset: Offset(2), metadata: String::new() };
    let commit = OffsetCommit { topic: &world.jobs[0].retry, partition: Partition(0), committed };
    world.log.commit(&retry_group("model", VERSION), &[commit]).unwrap();
    let shared = context(&world, DeliveryRole::Retry { shard: None }, &StopSignal::new());
    assert_eq!(Session::open(&shared, 0).unwrap().waiting(), Ok(1 + 1));
}
