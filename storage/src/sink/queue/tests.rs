//! Tests of the decisions about one shard, each at a given time.

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use super::*;
use crate::test_world::quick;
use crate::test_world::summaries::{carried, key};

const MS: Duration = Duration::from_millis(1);

fn settings() -> SinkSettings {
    SinkSettings {
        batch_max: 2,
        linger: 50 * MS,
        queue_max: 4,
        patience: 500 * MS,
        retry_after: 2_000 * MS,
        // A probe is due at once.
        back_off: (Duration::ZERO, Duration::ZERO),
        ..quick()
    }
}

fn parcel(job: usize, offset: u64) -> Parcel {
    let ticket = Ticket { job, epoch: 1, partition: Partition(0), offset: Offset(offset) };
    Parcel { ticket, summary: carried("job", &key(0), offset), tries: 0 }
}

fn queue() -> Queue {
    Queue::new(settings(), true, ShardGauges::new("model", "s0"))
}

/// A state with so many waiting, at the time that is returned.
fn state(waiting: u64) -> (State, Instant) {
    let queue = queue();
    (0..waiting).for_each(|offset| assert!(matches!(queue.offer(parcel(0, offset)), Offer::Taken)));
    let state = queue.state.into_inner().unwrap();
    let now = state.ripe_at;
    (state, now)
}

fn fly(state: &mut State, since: Instant) {
    state.in_flight = Some((since, Arc::new(vec![parcel(0, 99)])));
}

#[test]
fn a_full_queue_waits_for_progress_and_diverts_without() {
    let check = |case: &str, prepare: &dyn Fn(&mut State, Instant), has_retry: bool, expected: Admission| {
        let (mut state, now) = state(4);
        prepare(&mut state, now);
        assert_eq!(state.admission(0, &settings(), has_retry, now), expected, "{case}");
    };
    check("idle", &|_, _| {}, true, Admission::Wait);
    check("a write of 499 ms", &|state, now| fly(state, now - 499 * MS), true, Admission::Wait);
    check("a write of 500 ms", &|state, now| fly(state, now - 500 * MS), true, Admission::Divert);
    check("the same without RETRY", &|state, now| fly(state, now - 500 * MS), false, Admission::Wait);
    check("open", &|state, now| state.breaker.failed(now), true, Admission::Divert);
    check("open, without RETRY", &|state, now| state.breaker.failed(now), false, Admission::Wait);
    let park = |state: &mut State, _: Instant| state.parked.extend([0]);
    check("parked", &park, true, Admission::Hold);
    let park_other = |state: &mut State, _: Instant| state.parked.extend([1]);
    check("another job parked", &park_other, true, Admission::Wait);
}

#[test]
fn a_shard_down_for_long_gets_one_probe_and_no_more() {
    let check = |waiting: u64, is_flying: bool, is_due: bool, expected: Admission| {
        let (mut state, now) = state(waiting);
        if !is_due {
            state.breaker = Breaker::new(BackOff::new(1_000_000 * MS, 1_000_000 * MS, 3));
        }
        state.breaker.failed(now - 2_000 * MS);
        if is_flying {
            fly(&mut state, now);
        }
        assert_eq!(state.breaker.may_try(now), is_due);
        assert_eq!(state.admission(0, &settings(), true, now), expected, "{waiting} {is_flying} {is_due}");
    };
    check(0, false, true, Admission::Queue);
    check(1, false, true, Admission::Queue);
    check(2, false, true, Admission::Divert);
    check(0, true, true, Admission::Divert);
    check(0, false, false, Admission::Divert);
}

/// `Err` carries the time until the wait is over, in milliseconds.
fn step_of(
    state: &mut State,
    has_retry: bool,
    probe_at: Option<Instant>,
    now: Instant,
) -> Result<String, Option<u128>> {
    match state.step(&settings(), has_retry, probe_at, now) {
        Ok(Step::Write(batch)) => Ok(format!("write {}", batch.len())),
        Ok(Step::HandOver(parcels, _)) => Ok(format!("hand over {}", parcels.len())),
        Ok(Step::ProbeParked) => Ok("probe".to_owned()),
        Ok(Step::End) => Ok("end".to_owned()),
        Err(until) => Err(until.map(|until| until.saturating_duration_since(now).as_millis())),
    }
}

#[test]
fn a_batch_is_written_when_it_is_full_or_has_waited() {
    let check = |waiting: u64, before_ripe: Duration, expected: Result<&str, Option<u128>>| {
        let (mut state, ripe) = state(waiting);
        let found = step_of(&mut state, true, None, ripe - before_ripe);
        assert_eq!(found, expected.map(str::to_owned), "{waiting} waiting, {before_ripe:?} before");
    };
    check(0, Duration::ZERO, Err(None));
    check(1, 20 * MS, Err(Some(20)));
    check(1, Duration::ZERO, Ok("write 1"));
    check(2, 20 * MS, Ok("write 2"));
    check(4, 20 * MS, Ok("write 2"));
}

#[test]
fn a_shard_that_is_down_is_waited_for_then_handed_over() {
    let check = |down_for: Duration, has_retry: bool, is_due: bool, expected: Result<&str, Option<u128>>| {
        let (mut state, now) = state(4);
        if !is_due {
            state.breaker = Breaker::new(BackOff::new(1_000_000 * MS, 1_000_000 * MS, 3));
        }
        state.breaker.failed(now - down_for);
        let found = step_of(&mut state, has_retry, None, now);
        assert_eq!(found, expected.map(str::to_owned), "{down_for:?} {has_retry} {is_due}");
    };
    check(1_500 * MS, true, true, Ok("write 2"));
    check(1_500 * MS, true, false, Err(Some(500)));
    check(2_000 * MS, true, false, Ok("hand over 4"));
    // The first batch stays: it is the probe.
    check(2_000 * MS, true, true, Ok("hand over 2"));
    check(9_000 * MS, false, true, Ok("write 2"));
}

#[test]
fn an_end_does_not_wait_for_a_dead_shard_nor_for_ever() {
    let check = |waiting: u64, is_open: bool, left: Duration, expected: &str| {
        let (mut state, ripe) = state(waiting);
        let now = ripe - 20 * MS;
        if is_open {
            state.breaker.failed(now);
        }
        state.closing = Some(now + left);
        assert_eq!(
            step_of(&mut state, true, None, now),
            Ok(expected.to_owned()),
            "{waiting} {is_open} {left:?}"
        );
    };
    check(0, false, MS, "end");
    check(1, false, MS, "write 1");
    check(1, false, Duration::ZERO, "end");
    check(1, true, MS, "end");
}

#[test]
fn a_parked_job_is_probed_when_it_is_time() {
    let (mut state, now) = state(0);
    assert_eq!(step_of(&mut state, true, Some(now + 7 * MS), now), Err(Some(7)));
    assert_eq!(step_of(&mut state, true, Some(now), now), Ok("probe".to_owned()));
}

#[test]
fn what_is_released_is_no_longer_the_writers() {
    let queue = queue();
    (0..3).for_each(|offset| drop(queue.offer(parcel(0, offset))));
    let Step::Write(batch) = queue.next(None) else { panic!("two are a batch") };
    assert_eq!(batch.len(), 2);
    assert!(queue.release(parcel(0, 7).ticket).is_none());
    let (released, _) = queue.release(parcel(0, 1).ticket).unwrap();
    let offsets: Vec<u64> = released.iter().map(|parcel| parcel.ticket.offset.0).collect();
    assert_eq!(offsets, [0, 1, 2]);
    assert!(!queue.finish(Verdict::Answered));
    assert_eq!(queue.standing(), (0, Mode::Writing));
}

#[test]
fn parking_takes_out_the_jobs_own_alone() {
    let queue = queue();
    for (job, offset) in [(0, 0), (1, 1), (0, 2)] {
        drop(queue.offer(parcel(job, offset)));
    }
    let held: Vec<u64> = queue.park(0).iter().map(|ticket| ticket.offset.0).collect();
    assert_eq!((held, queue.standing()), (vec![0, 2], (1, Mode::Parked)));
    assert!(matches!(queue.offer(parcel(0, 3)), Offer::Held(_)));
    queue.unpark(0);
    assert!(matches!(queue.offer(parcel(0, 3)), Offer::Taken));
}
