//! What a slot asks for, and when.

use std::sync::{Arc, Mutex};

use prost::Message;

use super::*;
use crate::commit::{Identity, IdentityMismatch, OwnerTag};
use crate::erased::AnyJob;
use crate::job::{Intake, Job, RawMessage};
use crate::owner::Owner;
use crate::partition::ResumeKind;
use crate::summary::Provenance;

mod earlier;
mod succession;

const MINUTE_MS: i64 = 60_000;
const FLUSH_MS: u64 = 1_000;

/// Counts records.
struct Counter;

#[derive(Clone, Copy, PartialEq, Message)]
struct Time {
    #[prost(sint64, tag = "16")]
    minute: i64,
}

impl RawMessage for Time {
    fn frame_id(&self) -> &[u8] {
        &[]
    }
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Count {
    #[prost(uint64, tag = "16")]
    count: u64,
}

impl Job for Counter {
    const NAME: &'static str = "counter";
    const MEASUREMENT: &'static str = "TIME";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &[];
    type Record<'a> = Time;
    type Accumulator = u64;
    type Summary = Count;

    fn fold(&self, record: &Time, intake: &mut Intake<'_, Self>) {
        intake.add(record.minute * MINUTE_MS * 1_000, [], |count| *count += 1);
    }

    fn summarize(&self, count: &u64) -> Count {
        Count { count: *count }
    }
}

const POLICY: Policy = Policy {
    length_ms: 60_000,
    lateness_windows: 1,
    future_windows: 1,
    flush_interval_ms: FLUSH_MS,
    clock_skew_ms: 0,
    series_max: 10,
    series_per_owner_max: 10,
    publishes_late: false,
};

fn identity() -> Identity {
    Identity {
        generation: 1,
        topic_id: [4; 16],
        partition_count: 1,
        window_length_ms: 60_000,
        acceptance: None,
        owner_tag: OwnerTag::default(),
    }
}

fn settings() -> SlotSettings {
    SlotSettings {
        partitions: vec![Partition(0)],
        policy: POLICY,
        backlog_max: 5,
        backlog_bytes_max: usize::MAX,
        write_max: at_most(100),
    }
}

fn at_most(effects: usize) -> WriteMax {
    WriteMax { effects, bytes: usize::MAX }
}

fn begin(machine: &mut SlotMachine) {
    machine.open(&identity(), Box::new(|history| Arc::new(Counter).open(POLICY, identity(), history)));
}

/// Opens a slot whose partition ends at `end`, without a commit.
fn opened(settings: SlotSettings, end: u64) -> SlotMachine {
    let mut machine = SlotMachine::new(settings);
    reopen(&mut machine, None, end);
    machine
}

fn reopen(machine: &mut SlotMachine, committed: Option<CommittedOffset>, end: u64) -> Assignment {
    begin(machine);
    let bounds = Bounds { start: Offset(0), end: Offset(end) };
    assert_eq!(machine.poll(0), Some(SlotRequest::PeekCommits));
    machine.answer(SlotAnswer::Commits(vec![committed.clone()]), 0).unwrap();
    assert_eq!(machine.poll(0), Some(SlotRequest::Fence));
    machine.answer(SlotAnswer::Fenced, 0).unwrap();
    assert_eq!(machine.poll(0), Some(SlotRequest::ReadCommits));
    let is_committed = committed.is_some();
    machine.answer(SlotAnswer::Commits(vec![committed]), 0).unwrap();
    if !is_committed {
        assert_eq!(machine.poll(0), Some(SlotRequest::ReadEarlierCommits(vec![Partition(0)])));
        machine.answer(SlotAnswer::EarlierCommits(vec![Vec::new()]), 0).unwrap();
    }
    assert_eq!(machine.poll(0), Some(SlotRequest::ReadBounds));
    machine.answer(SlotAnswer::Bounds(vec![bounds]), 0).unwrap();
    let Some(SlotRequest::Assign(mut assignments)) = machine.poll(0) else { panic!("not assigned") };
    assignments.pop().unwrap()
}

/// Obeys an opening of a slot of which nothing was ever committed.
fn assign_all(machine: &mut SlotMachine, bounds: Bounds) {
    while let Some(request) = machine.poll(0) {
        let none = |partitions: usize| vec![None; partitions];
        let partitions = machine.partitions().len();
        let found = match request {
            SlotRequest::Fence => SlotAnswer::Fenced,
            SlotRequest::PeekCommits | SlotRequest::ReadCommits => SlotAnswer::Commits(none(partitions)),
            SlotRequest::ReadEarlierCommits(of) => SlotAnswer::EarlierCommits(vec![Vec::new(); of.len()]),
            SlotRequest::ReadBounds => SlotAnswer::Bounds(vec![bounds; partitions]),
            SlotRequest::Assign(_) => return,
            other => panic!("{other:?}"),
        };
        answer(machine, found, 0);
    }
}

fn feed(machine: &mut SlotMachine, offset: u64, minute: i64) {
    feed_to(machine, 0, offset, minute);
}

fn feed_to(machine: &mut SlotMachine, index: usize, offset: u64, minute: i64) {
    let value = Time { minute }.encode_to_vec();
    let (key, timestamp_ms) = (Owner([1; 16]).0, minute * MINUTE_MS);
    let record = LogRecord { offset: Offset(offset), timestamp_ms, key: &key, value: &value };
    machine.ingest(index, record);
}

/// Counts of the summaries that are to be appended; those of finals are negative.
fn appended(request: Option<SlotRequest>) -> Vec<i64> {
    let Some(SlotRequest::Append(effects)) = request else { panic!("no append, but {request:?}") };
    let count = |(_, effect): &(Partition, Effect)| {
        let Effect::Emit(emit) = effect else { panic!("no summary") };
        let count = Provenance::of_value(&emit.value).unwrap().count.cast_signed();
        if emit.is_final { -count } else { count }
    };
    effects.iter().map(count).collect()
}

/// Replay offset and position of the only commit.
fn committed(request: Option<SlotRequest>) -> Option<(CommittedOffset, u64)> {
    let Some(SlotRequest::Commit(mut commits)) = request else { panic!("no commit, but {request:?}") };
    let offset = commits.pop()?.offset;
    let (commit, _) = Commit::read(offset.offset, &offset.metadata).unwrap();
    Some((offset, commit.position().0))
}

/// Obeys everything that is asked for at `now_ms`. Returns the effects that were appended.
fn obey(machine: &mut SlotMachine, now_ms: u64) -> usize {
    let mut effects = 0;
    while let Some(request) = machine.poll(now_ms) {
        let done = match request {
            SlotRequest::Append(appended) => {
                effects += appended.len();
                SlotAnswer::Appended
            }
            SlotRequest::Commit(_) => SlotAnswer::Committed,
            other => panic!("{other:?}"),
        };
        answer(machine, done, now_ms);
    }
    effects
}

fn answer(machine: &mut SlotMachine, answer: SlotAnswer, now_ms: u64) {
    machine.answer(answer, now_ms).unwrap();
}

#[test]
fn nothing_is_asked_while_an_answer_is_awaited() {
    let mut machine = SlotMachine::new(settings());
    assert_eq!((machine.poll(0), machine.next_due()), (None, u64::MAX));
    begin(&mut machine);
    assert_eq!(machine.next_due(), 0);
    assert_eq!(machine.poll(0), Some(SlotRequest::PeekCommits));
    assert_eq!((machine.poll(0), machine.next_due()), (None, u64::MAX));
    answer(&mut machine, SlotAnswer::Commits(vec![None]), 0);
    assert_eq!(machine.next_due(), 0);
}

#[test]
fn a_slot_is_written_when_it_is_due_and_committed_when_that_says_something_new() {
    let mut machine = opened(settings(), 0);
    feed(&mut machine, 0, 0);
    assert_eq!(appended(machine.poll(0)), [1]);
    answer(&mut machine, SlotAnswer::Appended, 0);
    let (first, position) = committed(machine.poll(0)).unwrap();
    assert_eq!((first.offset, position), (Offset(0), 1));
    answer(&mut machine, SlotAnswer::Committed, 0);
    assert_eq!((machine.next_due(), machine.poll(FLUSH_MS - 1)), (FLUSH_MS, None));
    // Nothing has changed.
    assert_eq!((machine.poll(FLUSH_MS), machine.next_due()), (None, 2 * FLUSH_MS));
    feed(&mut machine, 1, 0);
    assert_eq!(appended(machine.poll(2 * FLUSH_MS)), [2]);
}

#[test]
fn an_unchanged_commit_is_renewed_after_ten_minutes() {
    let mut machine = opened(settings(), 0);
    feed(&mut machine, 0, 0);
    machine.poll(0).unwrap();
    answer(&mut machine, SlotAnswer::Appended, 0);
    let first = committed(machine.poll(0));
    answer(&mut machine, SlotAnswer::Committed, 0);
    assert_eq!(machine.poll(600_000 - 1), None);
    assert_eq!(committed(machine.poll(600_000)), first);
}

/// Folding goes on beside a write, and the commit is of the moment at which the write began.
#[test]
fn what_is_folded_beside_a_write_belongs_to_the_next_one() {
    let mut machine = opened(settings(), 0);
    feed(&mut machine, 0, 0);
    assert_eq!(appended(machine.poll(0)), [1]);
    // Closes the first window: its final summary must not hold back the commit, nor be vouched for by it.
    feed(&mut machine, 1, 5);
    answer(&mut machine, SlotAnswer::Appended, 10);
    let (offset, position) = committed(machine.poll(10)).unwrap();
    assert_eq!((offset.offset, position), (Offset(0), 1));
    answer(&mut machine, SlotAnswer::Committed, 10);
    assert_eq!(appended(machine.poll(FLUSH_MS)), [-1, 1]);
    answer(&mut machine, SlotAnswer::Appended, FLUSH_MS);
    let (offset, position) = committed(machine.poll(FLUSH_MS)).unwrap();
    assert_eq!((offset.offset, position), (Offset(1), 2));
}

#[test]
fn a_large_backlog_is_written_before_it_is_due_and_what_a_write_leaves_at_once() {
    let mut machine = opened(SlotSettings { write_max: at_most(3), ..settings() }, 100);
    obey(&mut machine, 0);
    (0..5_u64).for_each(|offset| feed(&mut machine, offset, 3 * offset.cast_signed()));
    assert_eq!(machine.poll(1), None, "four finals are no backlog yet");
    feed(&mut machine, 5, 15);
    assert_eq!(machine.next_due(), 0);
    assert_eq!(appended(machine.poll(1)), [-1, -1, -1]);
    answer(&mut machine, SlotAnswer::Appended, 1);
    assert_eq!(committed(machine.poll(1)), None, "two finals are not durable");
    answer(&mut machine, SlotAnswer::Committed, 1);
    assert_eq!(appended(machine.poll(1)), [-1, -1]);
    answer(&mut machine, SlotAnswer::Appended, 1);
    assert_eq!(committed(machine.poll(1)).unwrap().1, 6);
}

/// A few large effects are a backlog too.
#[test]
fn as_many_bytes_as_may_wait_are_written_before_they_are_due() {
    let with_two_finals = |backlog_bytes_max: usize| {
        let mut machine = opened(SlotSettings { backlog_bytes_max, ..settings() }, 100);
        obey(&mut machine, 0);
        (0..3_u64).for_each(|offset| feed(&mut machine, offset, 3 * offset.cast_signed()));
        assert_eq!(machine.backlog(), 2);
        machine
    };
    let waiting = {
        let mut machine = with_two_finals(usize::MAX);
        let (bytes, assigned) = (machine.backlog_bytes(), &machine.assigned()[0]);
        assert_eq!(assigned.memory_bytes(), assigned.state_bytes().total() + bytes);
        machine.flush();
        let Some(SlotRequest::Append(effects)) = machine.poll(1) else { panic!("nothing is written") };
        assert_eq!(effects.iter().map(|(_, effect)| effect.bytes()).sum::<usize>(), bytes);
        assert_eq!(machine.backlog_bytes(), 0);
        bytes
    };
    let check = |backlog_bytes_max: usize, is_due: bool| {
        let mut machine = with_two_finals(backlog_bytes_max);
        assert_eq!(machine.next_due() == 0, is_due, "{backlog_bytes_max}");
        assert_eq!(machine.poll(1).is_some(), is_due, "{backlog_bytes_max}");
    };
    check(waiting, true);
    check(waiting + 1, false);
}

/// The bytes of a write are bounded like its effects, and an effect that is larger alone does not stop the slot.
#[test]
fn a_write_has_as_many_bytes_as_it_may() {
    fn check(bytes: usize) {
        let write_max = WriteMax { effects: 100, bytes };
        let mut machine = opened(SlotSettings { write_max, ..settings() }, 6);
        (0..6).for_each(|offset| feed(&mut machine, offset, 3 * offset.cast_signed()));
        let mut writes: Vec<Vec<usize>> = Vec::new();
        while let Some(request) = machine.poll(0) {
            let SlotRequest::Append(effects) = request else {
                answer(&mut machine, SlotAnswer::Committed, 0);
                continue;
            };
            writes.push(effects.iter().map(|(_, effect)| effect.bytes()).collect());
            answer(&mut machine, SlotAnswer::Appended, 0);
        }
        assert_eq!(writes.iter().flatten().count(), 6, "five windows are closed and one is open");
        let sum = |write: &[usize]| write.iter().sum::<usize>();
        assert!(
            writes.iter().all(|write| write.len() == 1 || sum(write) <= bytes),
            "{writes:?}, {bytes} bytes"
        );
        let could_be_one = |pair: &[Vec<usize>]| sum(&pair[0]) + pair[1][0] <= bytes;
        assert!(!writes.windows(2).any(could_be_one), "{writes:?}, {bytes} bytes");
    }
    [0, 1, 150, 500, 1_000, usize::MAX].into_iter().for_each(check);
}

/// A partition with a large backlog does not keep the others of its slot waiting.
#[test]
fn partitions_take_turns_in_writes_that_are_full() {
    let partitions = vec![Partition(0), Partition(1)];
    let two = SlotSettings { partitions, write_max: at_most(2), ..settings() };
    let mut machine = SlotMachine::new(two);
    begin(&mut machine);
    let bounds = Bounds { start: Offset(0), end: Offset(0) };
    assign_all(&mut machine, bounds);
    obey(&mut machine, 0);
    // Four finals of the first partition, and of the second, to which the owner does not belong, four dead letters.
    (0..5).for_each(|offset| feed_to(&mut machine, 0, offset, 3 * offset.cast_signed()));
    (0..4).for_each(|offset| feed_to(&mut machine, 1, offset, 0));
    let mut turns = Vec::new();
    while let Some(request) = machine.poll(1) {
        let done = match request {
            SlotRequest::Append(effects) => {
                turns.push(effects.iter().map(|(partition, _)| partition.0).collect::<Vec<_>>());
                SlotAnswer::Appended
            }
            _ => SlotAnswer::Committed,
        };
        answer(&mut machine, done, 1);
    }
    assert_eq!(turns, [[0, 0], [1, 1], [0, 0], [1, 1]]);
}

#[test]
fn a_flush_is_written_at_once_or_behind_the_write_under_way() {
    let mut machine = opened(settings(), 0);
    obey(&mut machine, 0);
    feed(&mut machine, 0, 0);
    assert_eq!(machine.poll(1), None);
    machine.flush();
    assert_eq!(appended(machine.poll(1)), [1]);
    feed(&mut machine, 1, 0);
    machine.flush();
    assert_eq!(machine.poll(1), None);
    answer(&mut machine, SlotAnswer::Appended, 1);
    machine.poll(1).unwrap();
    answer(&mut machine, SlotAnswer::Committed, 1);
    assert_eq!(appended(machine.poll(1)), [2]);
}

#[test]
fn a_failure_drops_everything_and_the_next_opening_starts_from_the_commit() {
    let mut machine = opened(settings(), 0);
    feed(&mut machine, 0, 0);
    machine.poll(0).unwrap();
    answer(&mut machine, SlotAnswer::Appended, 0);
    let (offset, _) = committed(machine.poll(0)).unwrap();
    answer(&mut machine, SlotAnswer::Committed, 0);
    feed(&mut machine, 1, 0);
    assert_eq!(appended(machine.poll(FLUSH_MS)), [2]);
    machine.failed(SlotFailure::Unanswered);
    assert!(machine.is_closed() && machine.assigned().is_empty());
    let assignment = reopen(&mut machine, Some(offset), 2);
    assert_eq!((assignment.read_from, assignment.verdict), (Offset(0), ResumeKind::Resumed));
    feed(&mut machine, 0, 0);
    assert_eq!(obey(&mut machine, 0), 0, "a change would be a dip");
    feed(&mut machine, 1, 0);
    assert_eq!(appended(machine.poll(FLUSH_MS)), [2]);
}

/// The records on which a job has panicked outlive the failure, each once, and only those of the slot.
#[test]
fn a_panic_is_remembered_for_the_next_opening() {
    let mut machine = opened(settings(), 0);
    let record = |offset| RecordPrint { offset: Offset(offset), crc: 1 };
    let panicked = |partition, offset| SlotFailure::Panicked { partition, record: record(offset) };
    machine.failed(panicked(Partition(0), 7));
    machine.failed(panicked(Partition(0), 7));
    machine.failed(panicked(Partition(9), 8));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&seen);
    machine.open(
        &identity(),
        Box::new(move |history| {
            shared.lock().unwrap().extend_from_slice(history.poisoned);
            Arc::new(Counter).open(POLICY, identity(), history)
        }),
    );
    assign_all(&mut machine, Bounds { start: Offset(0), end: Offset(9) });
    assert_eq!(*seen.lock().unwrap(), [record(7)]);
}

#[test]
fn a_partition_that_must_not_be_worked_on_closes_the_slot() {
    let mut machine = SlotMachine::new(settings());
    machine.open(&identity(), Box::new(|_| Err(ResumeError::Mismatch(IdentityMismatch::Topic))));
    let nothing = SlotAnswer::Commits(vec![None]);
    for found in [nothing.clone(), SlotAnswer::Fenced, nothing, SlotAnswer::EarlierCommits(vec![Vec::new()])]
    {
        machine.poll(0).unwrap();
        answer(&mut machine, found, 0);
    }
    machine.poll(0).unwrap();
    let bounds = Bounds { start: Offset(0), end: Offset(0) };
    let refused = machine.answer(SlotAnswer::Bounds(vec![bounds]), 0).unwrap_err();
    assert_eq!(
        refused,
        PartitionRefused { partition: Partition(0), reason: ResumeError::Mismatch(IdentityMismatch::Topic) }
    );
    assert!(machine.is_closed());
}

#[test]
fn what_can_help_is_tried_again_and_nothing_else() {
    fn check(failure: SlotFailure, opens_again: bool) {
        assert_eq!(failure.opens_again(), opens_again, "{failure:?}");
    }
    check(SlotFailure::Unanswered, true);
    check(SlotFailure::InputLost, true);
    let record = RecordPrint { offset: Offset(0), crc: 0 };
    check(SlotFailure::Panicked { partition: Partition(0), record }, true);
    check(SlotFailure::Fenced, false);
    check(SlotFailure::Refused, false);
}

/// Who looks whether a partition keeps up must not take one in which nothing happens for one that hangs.
#[test]
fn a_partition_is_current_after_a_write_that_had_nothing_to_say() {
    let mut machine = opened(settings(), 0);
    feed(&mut machine, 0, 0);
    obey(&mut machine, 0);
    obey(&mut machine, FLUSH_MS);
    assert_eq!(machine.assigned()[0].current_at_ms(), FLUSH_MS);
}

#[test]
fn windows_that_have_lost_input_are_named_once() {
    let mut machine = SlotMachine::new(settings());
    begin(&mut machine);
    let bounds = Bounds { start: Offset(5), end: Offset(5) };
    assign_all(&mut machine, bounds);
    let mut named = Vec::new();
    for (offset, now_ms) in [(5, 0), (6, FLUSH_MS)] {
        feed(&mut machine, offset, 10);
        while let Some(request) = machine.poll(now_ms) {
            let done = match request {
                SlotRequest::Commit(commits) => {
                    named.push(commits[0].newly_incomplete.is_some());
                    SlotAnswer::Committed
                }
                _ => SlotAnswer::Appended,
            };
            answer(&mut machine, done, now_ms);
        }
    }
    assert_eq!(named, [true, false]);
}

/// A backlog is that of the slot, and a panic belongs to its partition alone.
#[test]
fn partitions_share_a_backlog_but_no_panic() {
    let partitions = vec![Partition(3), Partition(7)];
    let mut machine = SlotMachine::new(SlotSettings { partitions, ..settings() });
    let record = RecordPrint { offset: Offset(0), crc: 0 };
    machine.failed(SlotFailure::Panicked { partition: Partition(7), record });
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&seen);
    machine.open(
        &identity(),
        Box::new(move |history| {
            shared.lock().unwrap().push((history.partition, history.poisoned.len()));
            Arc::new(Counter).open(POLICY, identity(), History { poisoned: &[], ..history })
        }),
    );
    let bounds = Bounds { start: Offset(0), end: Offset(0) };
    assign_all(&mut machine, bounds);
    assert_eq!(*seen.lock().unwrap(), [(Partition(3), 0), (Partition(7), 1)]);
    obey(&mut machine, 0);
    // Without a key each is a dead letter.
    for (index, offset) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)] {
        assert_eq!(machine.poll(1), None, "no backlog yet");
        let record = LogRecord { offset: Offset(offset), timestamp_ms: 0, key: b"?", value: b"?" };
        machine.ingest(index, record);
    }
    let request = machine.poll(1);
    assert!(matches!(&request, Some(SlotRequest::Append(effects)) if effects.len() == 5), "{request:?}");
}
