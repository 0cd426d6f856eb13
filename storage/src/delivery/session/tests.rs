//! Tests of one session by itself, without the threads of shards.

use yahtzee_runtime::shutdown::StopSignal;

use super::*;
use crate::delivery::{DeliveryPlan, DeliveryRole, DeliverySettings};
use crate::test_world::summaries::value;
use crate::test_world::{VERSION, World, quick};

fn context(world: &World, role: DeliveryRole, stop: &StopSignal) -> Arc<TaskContext> {
    let plan = DeliveryPlan {
        jobs: world.jobs.clone(),
        version: VERSION.to_owned(),
        role,
        settings: quick(DeliverySettings::of_sink()),
        observer: None,
    };
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
