//! Tests of the decisions about one shard, each at a given time.

use proptest::prelude::*;

use super::super::rules::ProductionDelivery;
use super::*;
use crate::delivery::WaitBounds;
use crate::record::Offset;

const MS: Duration = Duration::from_millis(1);
/// A time with room before it.
const START: Duration = Duration::from_secs(1_000);
const AT_ONCE: WaitBounds = WaitBounds { base: Duration::ZERO, cap: Duration::ZERO };
const IN_A_WHILE: WaitBounds =
    WaitBounds { base: Duration::from_secs(1_000), cap: Duration::from_secs(1_000) };

#[derive(Clone, Debug, PartialEq)]
struct Row {
    key: [u8; 1],
    revision: u64,
}

impl Deliverable for Row {
    fn key(&self) -> &[u8] {
        &self.key
    }

    fn revision(&self) -> Revision {
        Revision { generation: 1, last_offset: Offset(self.revision), is_final: false }
    }

    fn bytes(&self) -> usize {
        1 + self.revision as usize
    }
}

/// As a sink's with a retry process behind it. A probe is due at once.
fn policy() -> QueuePolicy {
    QueuePolicy {
        batch_max: 2,
        linger: 50 * MS,
        queue_max: 4,
        queue_bytes_max: 1 << 20,
        patience: 500 * MS,
        hand_over_after: Some(2_000 * MS),
        has_retry: true,
        keeps_newest: false,
        waits_after_failures: false,
        back_off: AT_ONCE,
        repair_back_off: AT_ONCE,
    }
}

fn without_retry() -> QueuePolicy {
    QueuePolicy { has_retry: false, hand_over_after: None, ..policy() }
}

/// As a retry process's.
fn of_retry() -> QueuePolicy {
    QueuePolicy { hand_over_after: None, keeps_newest: true, waits_after_failures: true, ..policy() }
}

/// The same, with rows under one key side by side.
fn one_key_of_retry() -> QueuePolicy {
    QueuePolicy { keeps_newest: false, ..of_retry() }
}

fn write(job: usize, offset: u64) -> PendingWrite<Row> {
    let ticket = Ticket { source: job, epoch: 1, stream: 0, offset: Offset(offset) };
    PendingWrite::new(ticket, job, Row { key: [0], revision: offset })
}

/// A queue with so many waiting, at the time at which they are ripe.
fn queue(policy: QueuePolicy, waiting: u64) -> (ShardQueue<Row>, Duration) {
    let mut queue = ShardQueue::new(policy, &ProductionDelivery);
    for offset in 0..waiting {
        assert!(matches!(queue.offer(write(0, offset), START), Offer::Queued { .. }));
    }
    (queue, START + policy.linger)
}

fn fly(queue: &mut ShardQueue<Row>, since: Duration) {
    queue.flight = Some(Flight { since, batch: Some(Arc::new(vec![write(0, 99)])) });
}

fn offsets(writes: &[PendingWrite<Row>]) -> Vec<u64> {
    writes.iter().map(|write| write.ticket.offset.0).collect()
}

fn tickets(tickets: &[Ticket]) -> Vec<u64> {
    tickets.iter().map(|ticket| ticket.offset.0).collect()
}

/// Takes the batch that is due and ends its write.
fn finish(queue: &mut ShardQueue<Row>, outcomes: &[OutcomeKind], now: Duration) -> Finished<Row> {
    let Ok(Step::Write(batch)) = queue.next(now) else { panic!("a batch is due") };
    queue.finish(batch, outcomes, now, u64::MAX)
}

#[test]
fn a_full_queue_waits_for_progress_and_diverts_without() {
    type Prepare = dyn Fn(&mut ShardQueue<Row>, Duration);
    let check = |case: &str, prepare: &Prepare, policy: QueuePolicy, expected: Admission| {
        let (mut queue, now) = queue(policy, 4);
        prepare(&mut queue, now);
        assert_eq!(queue.admission(0, now), expected, "{case}");
    };
    let fail = |queue: &mut ShardQueue<Row>, now| queue.breaker.failed(now, 0);
    check("idle", &|_, _| {}, policy(), Admission::Wait);
    check("a write of 499 ms", &|queue, now| fly(queue, now - 499 * MS), policy(), Admission::Wait);
    check("a write of 500 ms", &|queue, now| fly(queue, now - 500 * MS), policy(), Admission::Divert);
    check(
        "the same without RETRY",
        &|queue, now| fly(queue, now - 500 * MS),
        without_retry(),
        Admission::Wait,
    );
    check("open", &fail, policy(), Admission::Divert);
    check("open, without RETRY", &fail, without_retry(), Admission::Wait);
    check("open, in the retry process", &fail, one_key_of_retry(), Admission::Wait);
    check("parked", &|queue, _| queue.parked.extend([0]), policy(), Admission::Hold);
    check("another job parked", &|queue, _| queue.parked.extend([1]), policy(), Admission::Wait);
}

#[test]
fn a_shard_down_for_long_gets_one_probe_and_no_more() {
    let check = |waiting: u64, is_flying: bool, is_due: bool, expected: Admission| {
        let back_off = if is_due { AT_ONCE } else { IN_A_WHILE };
        let (mut queue, now) = queue(QueuePolicy { back_off, ..policy() }, waiting);
        queue.breaker.failed(now - 2_000 * MS, 7 << 60);
        if is_flying {
            fly(&mut queue, now);
        }
        assert_eq!(queue.breaker.may_try(now), is_due);
        assert_eq!(queue.admission(0, now), expected, "{waiting} {is_flying} {is_due}");
    };
    check(0, false, true, Admission::Queue);
    check(1, false, true, Admission::Queue);
    check(2, false, true, Admission::Divert);
    check(0, true, true, Admission::Divert);
    check(0, false, false, Admission::Divert);
    let (mut short, now) = queue(QueuePolicy { queue_max: 1, ..policy() }, 1);
    short.breaker.failed(now - 2_000 * MS, 0);
    assert_eq!(short.admission(0, now), Admission::Divert, "a queue shorter than a batch");
}

/// `Err` carries the time until the wait is over, in milliseconds.
fn step_of(queue: &mut ShardQueue<Row>, now: Duration) -> Result<String, Option<u128>> {
    match queue.next(now) {
        Ok(Step::Write(batch)) => Ok(format!("write {}", batch.len())),
        Ok(Step::HandOver(writes)) => Ok(format!("hand over {}", writes.len())),
        Ok(Step::Probe(_)) => Ok("probe".to_owned()),
        Ok(Step::End) => Ok("end".to_owned()),
        Err(until) => Err(until.map(|until| until.saturating_sub(now).as_millis())),
    }
}

#[test]
fn a_batch_is_written_when_it_is_full_or_has_waited() {
    let check = |waiting: u64, before_ripe: Duration, expected: Result<&str, Option<u128>>| {
        let (mut queue, ripe) = queue(policy(), waiting);
        let found = step_of(&mut queue, ripe - before_ripe);
        assert_eq!(found, expected.map(str::to_owned), "{waiting} waiting, {before_ripe:?} before");
    };
    check(0, Duration::ZERO, Err(None));
    check(1, 20 * MS, Err(Some(20)));
    check(1, Duration::ZERO, Ok("write 1"));
    check(2, 20 * MS, Ok("write 2"));
    check(4, 20 * MS, Ok("write 2"));
}

/// Or the write goes out up to a linger late.
#[test]
fn the_first_row_and_the_one_that_fills_a_batch_are_worth_a_look() {
    let mut queue = ShardQueue::new(policy(), &ProductionDelivery);
    let mut offer = |offset| match queue.offer(write(0, offset), START) {
        Offer::Queued { is_worth_a_look, .. } => is_worth_a_look,
        other => panic!("{other:?}"),
    };
    assert_eq!([0, 1, 2, 3].map(&mut offer), [true, true, false, false]);
}

#[test]
fn as_many_bytes_as_may_wait_are_a_batch() {
    let check = |revision: u64, expected: Result<&str, Option<u128>>| {
        let mut queue = ShardQueue::new(QueuePolicy { queue_bytes_max: 10, ..policy() }, &ProductionDelivery);
        drop(queue.offer(write(0, revision), START));
        assert_eq!(step_of(&mut queue, START), expected.map(str::to_owned), "{revision}");
    };
    check(8, Err(Some(50)));
    check(9, Ok("write 1"));
}

#[test]
fn what_a_batch_leaves_waits_for_company_anew() {
    let (mut queue, ripe) = queue(policy(), 3);
    assert_eq!(step_of(&mut queue, ripe), Ok("write 2".to_owned()));
    assert_eq!(step_of(&mut queue, ripe), Err(Some(50)));
}

/// A newer row has the place of the one that it replaces, also after a write that failed.
#[test]
fn a_replacement_is_written_in_the_place_of_what_it_replaces() {
    let (mut queue, now) = queue(of_retry(), 1);
    drop(queue.offer(PendingWrite { row: Row { key: [1], revision: 1 }, ..write(0, 1) }, now));
    drop(queue.offer(write(0, 2), now));
    for _ in 0..2 {
        let Ok(Step::Write(batch)) = queue.next(now) else { panic!("two are a batch") };
        assert_eq!(offsets(&batch), [2, 1]);
        queue.finish(batch, &[OutcomeKind::Retryable; 2], now, 0);
    }
}

/// Nothing waits behind a retry process, which therefore waits for rows that fail beside others; a sink writes on.
#[test]
fn a_failure_beside_others_is_waited_for_by_a_retry_process_alone() {
    let check = |policy: QueuePolicy, is_failing: bool| {
        let policy = QueuePolicy { keeps_newest: false, back_off: IN_A_WHILE, ..policy };
        let (mut queue, now) = queue(policy, 2);
        let finished = finish(&mut queue, &[OutcomeKind::Retryable, OutcomeKind::Stored], now);
        assert_eq!((finished.is_failing, queue.breaker.is_open()), (is_failing, is_failing), "{policy:?}");
    };
    check(policy(), false);
    check(of_retry(), true);
}

#[test]
fn a_shard_that_is_down_is_waited_for_then_handed_over() {
    let check =
        |down_for: Duration, policy: QueuePolicy, is_due: bool, expected: Result<&str, Option<u128>>| {
            let back_off = if is_due { AT_ONCE } else { IN_A_WHILE };
            let (mut queue, now) = queue(QueuePolicy { back_off, ..policy }, 4);
            queue.breaker.failed(now - down_for, 7 << 60);
            let found = step_of(&mut queue, now);
            assert_eq!(found, expected.map(str::to_owned), "{down_for:?} {policy:?} {is_due}");
        };
    check(1_500 * MS, policy(), true, Ok("write 2"));
    check(1_500 * MS, policy(), false, Err(Some(500)));
    check(2_000 * MS, policy(), false, Ok("hand over 4"));
    // The first batch stays: it is the probe.
    check(2_000 * MS, policy(), true, Ok("hand over 2"));
    check(9_000 * MS, without_retry(), true, Ok("write 2"));
    check(9_000 * MS, one_key_of_retry(), true, Ok("write 2"));
}

#[test]
fn an_end_does_not_wait_for_a_dead_shard_nor_for_ever() {
    let check = |waiting: u64, is_open: bool, left: Duration, expected: &str| {
        let (mut queue, ripe) = queue(policy(), waiting);
        let now = ripe - 20 * MS;
        if is_open {
            queue.breaker.failed(now, 0);
        }
        queue.close(now + left);
        assert_eq!(step_of(&mut queue, now), Ok(expected.to_owned()), "{waiting} {is_open} {left:?}");
    };
    check(0, false, MS, "end");
    check(1, false, MS, "write 1");
    check(1, false, Duration::ZERO, "end");
    check(1, true, MS, "end");
}

#[test]
fn a_parked_job_is_probed_when_it_is_time_and_read_again_when_it_works() {
    use OutcomeKind::{Misconfigured, Stored};
    let (mut queue, now) = queue(QueuePolicy { repair_back_off: IN_A_WHILE, ..policy() }, 4);
    let finished = finish(&mut queue, &[Misconfigured, Misconfigured], now);
    assert_eq!((finished.disposed.len(), tickets(&finished.parked)), (2, vec![2, 3]));
    assert!(finished.disposed.iter().all(|(_, _, disposal)| *disposal == Disposal::Hold));
    assert!(queue.is_holding() && matches!(queue.offer(write(0, 4), now), Offer::Held(_)));
    queue.probe_at = Some(now + 7 * MS);
    assert_eq!(step_of(&mut queue, now), Err(Some(7)));
    let Ok(Step::Probe(samples)) = queue.next(now + 7 * MS) else { panic!("a probe is due") };
    assert_eq!(offsets(&samples), [0]);
    assert!(queue.probed(&samples, &[Misconfigured], now, 0).is_empty());
    assert_eq!(queue.mode(now), ShardMode::Parked);
    assert_eq!(queue.probed(&samples, &[Stored], now, 0), [0]);
    assert!(!queue.is_holding() && queue.mode(now) == ShardMode::Writing);
    assert!(matches!(queue.offer(write(0, 4), now), Offer::Queued { .. }));
}

/// A configuration that breaks again after a repair is probed as soon as one that has never been wrong.
#[test]
fn after_a_repair_the_waits_between_probes_are_short_again() {
    use OutcomeKind::{Misconfigured, Stored};
    let repair_back_off = WaitBounds { base: 10 * MS, cap: Duration::from_secs(1_000) };
    let (mut queue, now) = queue(QueuePolicy { repair_back_off, ..policy() }, 2);
    finish(&mut queue, &[Misconfigured, Misconfigured], now);
    assert_eq!(queue.probe_at, Some(now + 10 * MS));
    let Ok(Step::Probe(samples)) = queue.next(now + 10 * MS) else { panic!("a probe is due") };
    queue.probed(&samples, &[Misconfigured], now, u64::MAX);
    assert_eq!(queue.probe_at, Some(now + 20 * MS));
    queue.probed(&samples, &[Stored], now, u64::MAX);
    assert_eq!(queue.probe_at, None);

    for offset in 2..4 {
        assert!(matches!(queue.offer(write(0, offset), now), Offer::Queued { .. }));
    }
    finish(&mut queue, &[Misconfigured, Misconfigured], now + 50 * MS);
    assert_eq!(queue.probe_at, Some(now + 60 * MS));
}

/// A job of which something works is not parked: what is refused of it is held row by row.
#[test]
fn parking_takes_out_the_jobs_own_alone() {
    use OutcomeKind::{Misconfigured, Stored};
    let policy = QueuePolicy { repair_back_off: IN_A_WHILE, ..policy() };
    let (mut queue, now) = (ShardQueue::new(policy, &ProductionDelivery), START);
    for (job, offset) in [(0, 0), (1, 1), (0, 2), (1, 3)] {
        drop(queue.offer(write(job, offset), now));
    }
    let finished = finish(&mut queue, &[Misconfigured, Stored], now);
    assert_eq!((tickets(&finished.parked), queue.len()), (vec![2], 1));
    assert!(matches!(queue.offer(write(0, 4), now), Offer::Held(_)));
    drop(queue.offer(write(1, 5), now));
    let finished = finish(&mut queue, &[Misconfigured, Stored], now);
    assert!(finished.parked.is_empty() && matches!(queue.offer(write(1, 6), now), Offer::Queued { .. }));
}

#[test]
fn what_is_released_is_no_longer_the_writers() {
    let (mut queue, now) = queue(policy(), 3);
    let Ok(Step::Write(batch)) = queue.next(now) else { panic!("two are a batch") };
    assert_eq!(batch.len(), 2);
    assert!(queue.release(write(0, 7).ticket).is_none());
    let released = queue.release(write(0, 1).ticket).unwrap();
    assert_eq!(offsets(&released), [0, 1, 2]);
    drop(released);
    // The write still hangs: what comes is diverted as soon as the queue is full again.
    assert_eq!(queue.mode(now + policy().patience), ShardMode::Stuck);
    let finished = queue.finish(batch, &[OutcomeKind::Stored; 2], now, 0);
    assert!(finished.disposed.is_empty());
    assert_eq!((queue.len(), queue.mode(now)), (0, ShardMode::Writing));
}

/// While nothing works, every write has the same rows, and they count no tries.
#[test]
fn a_dead_shard_is_probed_with_the_same_batch() {
    let (mut queue, now) = queue(of_retry(), 1);
    drop(queue.offer(PendingWrite { row: Row { key: [1], revision: 1 }, ..write(0, 1) }, now));
    drop(queue.offer(PendingWrite { row: Row { key: [2], revision: 1 }, ..write(0, 2) }, now));
    for _ in 0..5 {
        let Ok(Step::Write(batch)) = queue.next(now) else { panic!("a probe is due") };
        assert_eq!(offsets(&batch), [0, 1]);
        let finished = queue.finish(batch, &[OutcomeKind::Retryable; 2], now, 0);
        assert!(finished.is_failing && finished.disposed.is_empty());
    }
    assert!(queue.waiting.values().all(|write| write.tries == 0));
}

#[test]
fn a_row_that_fails_beside_others_is_handed_over_after_three_tries() {
    use OutcomeKind::{Retryable, Stored};
    let (mut queue, now) = queue(policy(), 2);
    let finished = finish(&mut queue, &[Retryable, Stored], now);
    assert_eq!((finished.is_failing, finished.disposed.len()), (false, 1));
    assert!(finish(&mut queue, &[Retryable], now).disposed.is_empty());
    let finished = finish(&mut queue, &[Retryable], now);
    let (index, write, disposal) = &finished.disposed[0];
    assert_eq!((*index, write.ticket.offset.0, *disposal), (0, 0, Disposal::HandOver));
    assert!(!finished.is_failing && queue.is_empty());
}

#[test]
fn what_waits_of_an_earlier_opening_is_dropped_and_supersedes_nothing() {
    let (mut queue, now) = queue(of_retry(), 1);
    let Ok(Step::Write(batch)) = queue.next(now) else { panic!("it is ripe") };
    drop(queue.offer(write(0, 1), now));
    queue.reopened(0, 2);
    assert!(queue.is_empty());
    let mut again = write(0, 0);
    again.ticket.epoch = 2;
    assert!(matches!(queue.offer(again, now), Offer::Queued { superseded: None, .. }));
    let finished = queue.finish(batch, &[OutcomeKind::Retryable], now, 0);
    assert!(finished.superseded.is_empty());
    assert_eq!(queue.rows().map(|write| write.ticket.epoch).collect::<Vec<_>>(), [2]);
}

proptest! {
    /// The model keeps every record and looks for the newest of each key; some are lent and come back meanwhile.
    #[test]
    fn of_each_key_the_newest_stays_and_all_others_are_reported(
        records in prop::collection::vec((0..3_usize, 0..4_u8, 0..5_u64), 0..60),
        lent_at in 0..60_usize,
    ) {
        let policy = QueuePolicy { queue_max: 100, batch_max: 5, ..of_retry() };
        let mut queue = ShardQueue::new(policy, &ProductionDelivery);
        let (mut superseded, mut lent) = (Vec::new(), None);
        for (offset, &(job, key, revision)) in records.iter().enumerate() {
            let ticket = Ticket { source: 0, epoch: 1, stream: 0, offset: Offset(offset as u64) };
            let row = Row { key: [key], revision };
            match queue.offer(PendingWrite::new(ticket, job, row), START) {
                Offer::Queued { superseded: more, .. } => superseded.extend(more),
                other => prop_assert!(false, "{other:?}"),
            }
            if offset == lent_at {
                lent = queue.next(START + policy.linger).ok();
            }
        }
        if let Some(Step::Write(batch)) = lent {
            let outcomes = vec![OutcomeKind::Retryable; batch.len()];
            superseded.extend(queue.finish(batch, &outcomes, START, 0).superseded);
        }
        let kept: Vec<Ticket> = queue.rows().map(|write| write.ticket).collect();
        for ticket in &kept {
            let (job, key, revision) = records[ticket.offset.0 as usize];
            let newest = records.iter().filter(|it| (it.0, it.1) == (job, key)).map(|it| it.2).max();
            prop_assert_eq!(Some(revision), newest);
        }
        let mut all: Vec<u64> = kept.iter().chain(&superseded).map(|it| it.offset.0).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..records.len() as u64).collect::<Vec<_>>());
        queue.take_out(|_| true);
        prop_assert_eq!((queue.len(), queue.bytes, queue.ages.len()), (0, 0, 0));
    }
}
