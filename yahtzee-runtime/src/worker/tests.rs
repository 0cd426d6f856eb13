//! The loop of a job against a scripted log: what it asks, in which order, and what it does when something fails.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use yahtzee_core::assignment::WorkerIndex;
use yahtzee_core::commit::Commit;
use yahtzee_core::job::{Intake, Job, RawMessage};
use yahtzee_core::log_tail::RecordPrint;
use yahtzee_core::owner::Owner;
use yahtzee_core::record::Offset;
use yahtzee_core::window::Policy;

use super::*;
use crate::log::CommittedOffset;

mod earlier;
mod limits;
mod opening;
mod scripted_log;
mod standstill;

mod topic_check;

use scripted_log::{Poll, RAW_ID, RawRecord, Script, ScriptedLog, unavailable};

/// Counts records; panics on the value 666.
pub(super) struct CountJob;

#[derive(Clone, PartialEq, Message)]
pub(super) struct CountRecord {
    #[prost(uint64, tag = "16")]
    number: u64,
    #[prost(sint64, tag = "17")]
    time_ms: i64,
}

impl RawMessage for CountRecord {
    fn frame_id(&self) -> &[u8] {
        &[]
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CountSummary {
    #[prost(uint64, tag = "16")]
    records: u64,
}

impl Job for CountJob {
    const NAME: &'static str = "count";
    const MEASUREMENT: &'static str = "COUNT";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &[];
    type Record<'a> = CountRecord;
    type Accumulator = u64;
    type Summary = CountSummary;

    fn fold(&self, record: &CountRecord, intake: &mut Intake<'_, Self>) {
        if record.number == 666 {
            std::panic::resume_unwind(Box::new("as planned"));
        }
        intake.add(record.time_ms * 1_000, [], |records| *records += 1);
    }

    fn summarize(&self, records: &u64) -> CountSummary {
        CountSummary { records: *records }
    }
}

const FLUSH_MS: u64 = 1_000;
const START_MS: i64 = 1_700_000_040_000;
const BOTH: [Guarantee; 2] = [Guarantee::Fenced, Guarantee::AtLeastOnce];

/// A record of the window `minute`.
fn record(minute: i64, number: u64) -> RawRecord {
    let timestamp_ms = START_MS + minute * 60_000;
    let value = CountRecord { number, time_ms: timestamp_ms }.encode_to_vec();
    RawRecord { timestamp_ms, key: Owner([5; 16]).0.to_vec(), value }
}

/// A record of the window `minute` and of another owner than other numbers.
fn record_of(owner: u64, minute: i64, number: u64) -> RawRecord {
    let key = [[5; 8], owner.to_be_bytes()].concat();
    RawRecord { key, ..record(minute, number) }
}

fn records(count: usize) -> Vec<RawRecord> {
    (0..count).map(|_| record(0, 1)).collect()
}

fn poll(records: usize, passes_ms: u64) -> Poll {
    Poll { records, passes_ms }
}

/// A job on a scripted log.
struct Worked {
    log: ScriptedLog,
    plan: JobPlan,
    settings: WorkerSettings,
    context: ProcessContext,
    runs: JobRuns,
}

impl Worked {
    fn new(guarantee: Guarantee, script: Script) -> Self {
        let stop = StopSignal::new();
        let log = ScriptedLog::new(script, &stop);
        let partitions = if log.script().idle_partition.is_some() { 2 } else { 1 };
        let policy = Policy { flush_interval_ms: FLUSH_MS, ..Policy::default() };
        let plan = JobPlan { policy, ..JobPlan::new(Arc::new(CountJob)) };
        let settings = WorkerSettings {
            worker: WorkerIndex::ALONE,
            slots: partitions,
            layout: TopicLayout { partitions, ..TopicLayout::default() },
            guarantee,
            incarnation: 1,
            write_deadline: Duration::from_secs(1),
            poison: PoisonLimits::default(),
            memory_max_bytes: None,
            pause_max: None,
        };
        let context = ProcessContext { stop, clock: log.clock(), ..ProcessContext::default() };
        let runs = JobRuns::new(&plan, &settings, &context);
        Self { log, plan, settings, context, runs }
    }

    /// Runs until the script is over or something fails, as the supervised thread does.
    fn run(&mut self) -> Result<(), JobFailure> {
        let log: SharedLog = Arc::new(self.log.clone());
        self.runs.run(&self.plan, &log, &self.settings, &self.context)
    }

    /// Lets the process tick whenever its clock is read.
    fn tick_with_the_clock(&mut self) {
        let (clock, standstills) = (self.log.clock(), self.context.standstills.clone());
        self.context.clock = MonotonicClock::new(move || {
            standstills.tick(clock.now_ms());
            clock.now_ms()
        });
    }

    /// Runs once more with these polls.
    fn run_again(&mut self, polls: &[Poll]) -> Result<(), JobFailure> {
        self.log.script().polls = polls.iter().copied().collect();
        self.log.script().calls.clear();
        self.context.stop = StopSignal::new();
        self.log = self.log.with_stop(&self.context.stop);
        self.run()
    }

    fn calls(&self) -> Vec<String> {
        self.log.script().calls.clone()
    }

    /// The calls after the job has begun to read.
    fn calls_after_opening(&self) -> Vec<String> {
        let calls = self.calls();
        let opened = calls.iter().position(|call| call.starts_with("read from")).unwrap();
        calls[opened + 1..].to_vec()
    }
}

#[test]
fn a_slot_is_fenced_before_commits_and_ends_are_read_and_assigned_last() {
    fn check(guarantee: Guarantee, first: &str) {
        let mut worked = Worked::new(guarantee, Script { polls: [poll(0, 0)].into(), ..Script::default() });
        worked.run().unwrap();
        let calls = ["peek", first, "committed", "groups", "bounds", "read from 0", "poll 0"];
        assert_eq!(worked.calls()[..7], calls);
    }
    check(Guarantee::Fenced, "fence");
    check(Guarantee::AtLeastOnce, "open appender");
}

/// Seven records, three per poll: a change that went out before the last one is read would be a dip for who has seen
/// all seven.
#[test]
fn while_catching_up_no_change_goes_out() {
    for guarantee in BOTH {
        let script = Script {
            raw: records(7),
            polls: [poll(3, FLUSH_MS), poll(3, FLUSH_MS), poll(1, FLUSH_MS), poll(0, 0)].into(),
            ..Script::default()
        };
        let mut worked = Worked::new(guarantee, script);
        worked.run().unwrap();
        let calls = worked.calls_after_opening();
        let appends: Vec<&String> = calls.iter().filter(|call| call.starts_with("append")).collect();
        assert_eq!(appends, ["append 7"], "{guarantee:?}: {calls:?}");
    }
}

#[test]
fn offsets_are_committed_after_what_they_vouch_for_is_acknowledged() {
    fn check(guarantee: Guarantee, commit: &str) {
        let script = Script {
            raw: vec![record(0, 1), record(0, 1), record(9, 1)],
            polls: [poll(3, FLUSH_MS), poll(0, 0)].into(),
            ..Script::default()
        };
        let mut worked = Worked::new(guarantee, script);
        worked.run().unwrap();
        let written = format!("{commit} [2]");
        assert_eq!(worked.calls_after_opening(), ["poll 3", "append 2. 1", &written, "poll 0"]);
    }
    check(Guarantee::Fenced, "commit");
    check(Guarantee::AtLeastOnce, "plain commit");
}

/// What a failed append had carried is folded and written anew, after the slot was opened from the commit before it.
#[test]
fn after_a_failed_append_nothing_is_committed_and_the_slot_is_opened_again() {
    for guarantee in BOTH {
        let script = Script {
            raw: records(3),
            polls: [poll(3, FLUSH_MS), poll(0, 0)].into(),
            appends: [Err(unavailable())].into(),
            ..Script::default()
        };
        let mut worked = Worked::new(guarantee, script);
        let failure = worked.run().unwrap_err();
        assert!(failure.is_transient(), "{failure}");
        assert_eq!(worked.calls_after_opening(), ["poll 3", "append 3"]);
        worked.run_again(&[poll(3, 0), poll(0, 0)]).unwrap();
        assert_eq!(worked.calls()[2..6], ["committed", "groups", "bounds", "read from 0"]);
        assert_eq!(worked.calls_after_opening()[..2], ["poll 3", "append 3"]);
    }
}

#[test]
fn a_failed_commit_is_taken_for_undone_whatever_became_of_it() {
    for guarantee in BOTH {
        let script = Script {
            raw: records(3),
            polls: [poll(3, FLUSH_MS), poll(0, 0)].into(),
            commits: [Err(unavailable())].into(),
            ..Script::default()
        };
        let mut worked = Worked::new(guarantee, script);
        assert!(worked.run().unwrap_err().is_transient());
        worked.run_again(&[poll(3, 0), poll(0, 0)]).unwrap();
        assert_eq!(worked.calls_after_opening()[..2], ["poll 3", "append 3"]);
        let committed = worked.log.script().committed.clone().unwrap();
        assert_eq!(committed.offset, Offset(0));
    }
}

/// The back-off of a job begins anew where commits have gone on: a count that stands still makes every wait the longest.
#[test]
fn what_is_durable_is_counted_and_nothing_else() {
    fn check(guarantee: Guarantee, commit: Result<(), LogError>, expected: (u64, u64)) {
        let script = Script {
            raw: vec![record(0, 1), record(0, 1), record(9, 1)],
            polls: [poll(3, FLUSH_MS), poll(0, 0)].into(),
            commits: [commit].into(),
            ..Script::default()
        };
        let mut worked = Worked::new(guarantee, script);
        let _ = worked.run();
        let counted = worked.context.progress.jobs()["count"];
        assert_eq!((counted.summaries, counted.commits), expected, "{guarantee:?}");
    }
    for guarantee in BOTH {
        check(guarantee, Ok(()), (2, 1));
        check(guarantee, Err(unavailable()), (0, 0));
    }
}

#[test]
fn a_fenced_slot_ends_and_does_not_come_back() {
    let script = Script {
        raw: records(1),
        polls: [poll(1, FLUSH_MS)].into(),
        appends: [Err(LogError::Fenced("count.slot-0".to_owned()))].into(),
        ..Script::default()
    };
    let failure = Worked::new(Guarantee::Fenced, script).run().unwrap_err();
    assert!(!failure.is_transient(), "{failure}");
}

/// Nothing happens for half an hour; brokers forget what is not committed again.
#[test]
fn an_unchanged_commit_is_renewed_every_ten_minutes_and_not_otherwise() {
    for guarantee in BOTH {
        let polls = std::iter::once(poll(1, FLUSH_MS)).chain((0..30).map(|_| poll(0, 60_000)));
        let script = Script { raw: records(1), polls: polls.collect(), ..Script::default() };
        let mut worked = Worked::new(guarantee, script);
        worked.run().unwrap();
        let calls = worked.calls_after_opening();
        assert_eq!(calls.iter().filter(|call| call.contains("commit")).count(), 4, "{calls:?}");
    }
}

/// One of a time when the job was fenced: without a fence nobody can end it.
#[test]
fn a_job_that_writes_at_least_once_starts_from_what_was_committed_before_a_transaction_that_hangs() {
    let script = Script { has_hanging_transaction: true, polls: [poll(0, 0)].into(), ..Script::default() };
    let mut worked = Worked::new(Guarantee::AtLeastOnce, script);
    worked.run().unwrap();
    assert!(worked.calls().contains(&"read from 0".to_owned()), "{:?}", worked.calls());
}

#[test]
fn a_process_that_stood_still_ends_without_writing() {
    fn check(passes_ms: u64, is_ended: bool) {
        let script = Script {
            raw: records(2),
            polls: [poll(1, FLUSH_MS), poll(1, passes_ms), poll(0, 0)].into(),
            ..Script::default()
        };
        let mut worked = Worked::new(Guarantee::Fenced, script);
        worked.settings.pause_max = Some(Duration::from_secs(30));
        let ended = worked.run();
        let calls = worked.calls_after_opening();
        assert_eq!(matches!(ended, Err(JobFailure::Paused(_))), is_ended, "{calls:?}");
        assert_eq!(calls.iter().filter(|call| call.starts_with("append")).count(), usize::from(!is_ended));
    }
    check(30_000, false);
    check(30_001, true);
}

/// A transaction that takes long, but well within its deadline.
#[test]
fn the_time_that_writes_take_is_no_pause() {
    let script = Script {
        raw: records(3),
        append_ms: [40_000].into(),
        polls: [poll(3, FLUSH_MS), poll(0, 0), poll(0, 0)].into(),
        ..Script::default()
    };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    worked.settings.pause_max = Some(Duration::from_secs(30));
    worked.run().unwrap();
    assert!(worked.calls().contains(&"append 3".to_owned()), "{:?}", worked.calls());
}

/// The process is stopped in the middle of a write, its successor takes the slot, and the answer does not come in time.
#[test]
fn a_process_that_stood_still_in_a_write_does_not_take_its_slot_back() {
    fn check(append_ms: u64, ticks_on: bool, is_paused: bool) {
        let mut worked = Worked::new(Guarantee::Fenced, Script::default());
        let standstills = worked.context.standstills.clone();
        standstills.tick(0);
        *worked.log.script() = Script {
            raw: records(1),
            append_ms: [append_ms].into(),
            ticking: ticks_on.then_some(standstills),
            polls: [poll(1, FLUSH_MS), poll(0, 0)].into(),
            appends: [Err(unavailable())].into(),
            ..Script::default()
        };
        worked.settings.pause_max = Some(Duration::from_secs(30));
        let failure = worked.run().unwrap_err();
        assert_eq!(matches!(failure, JobFailure::Paused(_)), is_paused, "{failure}");
        assert_eq!(failure.is_transient(), !is_paused, "{failure}");
    }
    check(40_000, false, true);
    check(40_000, true, false);
    check(20_000, false, false);
}

/// What another job of the same process holds counts too.
#[test]
fn a_worker_that_outgrows_its_memory_ends_and_says_so() {
    fn check(memory_max_bytes: Option<u64>, of_another_job: u64, is_ended: bool) {
        let polls = [poll(2, 0), poll(0, 0)].into();
        let mut worked =
            Worked::new(Guarantee::Fenced, Script { raw: records(2), polls, ..Script::default() });
        worked.settings.memory_max_bytes = memory_max_bytes;
        worked.context.progress.update("another", |progress| progress.memory_bytes = of_another_job);
        let ended = worked.run();
        assert_eq!(ended.is_err(), is_ended, "{ended:?}");
        if let Err(failure) = ended {
            assert!(
                !failure.is_transient() && failure.to_string().contains("worker.memory_max_mib"),
                "{failure}"
            );
        }
        let measured = worked.context.progress.jobs()["count"].memory_bytes;
        assert!((100..100_000).contains(&measured), "{measured}");
    }
    check(None, u64::MAX / 2, false);
    check(Some(1 << 20), 0, false);
    check(Some(1 << 20), 1 << 20, true);
    check(Some(100), 0, true);
}

/// A job that has written its first record and folded a second one, which is not due when it is asked to stop. Then the
/// process stands still.
fn stops_with_something_to_write(stands_ms: u64) -> Worked {
    let script = Script {
        raw: records(2),
        comes_later: 1,
        polls: [poll(1, 0), poll(1, FLUSH_MS)].into(),
        // Gauges are set at the end of either turn.
        known_end_ms: [0, stands_ms].into(),
        ..Script::default()
    };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    worked.plan.policy.flush_interval_ms = 2 * FLUSH_MS;
    worked.runs = JobRuns::new(&worked.plan, &worked.settings, &worked.context);
    worked
}

#[test]
fn what_is_not_due_is_written_before_the_job_ends() {
    let mut worked = stops_with_something_to_write(0);
    worked.run().unwrap();
    let calls = worked.calls_after_opening();
    assert_eq!(calls, ["poll 1", "append 1", "commit [0]", "poll 1", "append 2", "commit [0]"]);
}

/// The process is stopped between its last turn and its last write.
#[test]
fn a_process_that_stood_still_before_its_last_write_ends_without_it() {
    fn check(stands_ms: u64, is_ended: bool) {
        let mut worked = stops_with_something_to_write(stands_ms);
        worked.settings.pause_max = Some(Duration::from_secs(30));
        let ended = worked.run();
        assert_eq!(matches!(ended, Err(JobFailure::Paused(_))), is_ended, "{ended:?}");
        let calls = worked.calls_after_opening();
        assert_eq!(calls.contains(&"append 2".to_owned()), !is_ended, "{calls:?}");
    }
    check(30_000, false);
    check(30_001, true);
}

/// The job's code sees the record once per process: then it is a dead letter.
#[test]
fn a_record_that_the_job_panics_on_is_a_dead_letter_at_the_second_try() {
    for guarantee in BOTH {
        let script = Script {
            raw: vec![record(0, 1), record(0, 666), record(0, 1)],
            polls: [poll(3, FLUSH_MS), poll(0, 0)].into(),
            ..Script::default()
        };
        let mut worked = Worked::new(guarantee, script);
        let failure = worked.run().unwrap_err();
        assert!(
            matches!(failure, JobFailure::Panicked { record: RecordPrint { offset: Offset(1), .. }, .. }),
            "{failure}"
        );
        assert_eq!(worked.calls_after_opening(), ["poll 3"]);
        worked.run_again(&[poll(3, 0), poll(0, 0)]).unwrap();
        assert_eq!(worked.calls_after_opening()[..2], ["poll 3", "append DLQ 2"]);
    }
}

/// After the first one every record is tried before it is folded.
#[test]
fn many_records_that_the_job_panics_on_cost_one_start() {
    let numbers = [1, 666, 1, 666, 666, 1, 666];
    let raw = numbers.map(|number| record(0, number)).to_vec();
    let polls = [poll(7, FLUSH_MS), poll(0, 0)].into();
    let mut worked = Worked::new(Guarantee::Fenced, Script { raw, polls, ..Script::default() });
    worked.run().unwrap_err();
    worked.run_again(&[poll(7, 0), poll(0, 0)]).unwrap();
    let calls = worked.calls_after_opening();
    assert_eq!(calls.iter().filter(|call| call.starts_with("append DLQ")).count(), 1, "{calls:?}");
    assert_eq!(worked.context.progress.jobs()["count"].poison, 4);
    assert_eq!(worked.context.progress.jobs()["count"].outcomes.accepted, 1 + 3);
}

/// A control record at the end is never handed out, and the job would wait for it for ever.
#[test]
fn a_job_has_caught_up_when_it_is_told_of_the_end() {
    let script = Script {
        raw: records(2),
        control_records: 1,
        polls: [poll(2, 0), poll(0, FLUSH_MS), poll(0, FLUSH_MS)].into(),
        ..Script::default()
    };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    worked.run().unwrap();
    let calls = worked.calls_after_opening();
    assert!(calls.contains(&"append 2".to_owned()), "{calls:?}");
}

/// The other partition has its end in the third poll, long after the one with records.
#[test]
fn a_job_is_ready_once_all_its_partitions_have_caught_up() {
    fn check(polls: usize, is_ready: bool) {
        let script = Script {
            raw: records(2),
            idle_partition: Some(2),
            polls: (0..polls).map(|poll_number| poll(usize::from(poll_number < 2), FLUSH_MS)).collect(),
            ..Script::default()
        };
        let mut worked = Worked::new(Guarantee::Fenced, script);
        worked.run().unwrap();
        assert_eq!(worked.context.health.is_ready(), is_ready, "{polls} polls");
    }
    check(2, false);
    check(3, true);
}

/// The scripted log refuses a commit with another slot's writer.
#[test]
fn every_slot_writes_with_its_own_writer() {
    let script = Script {
        raw: records(2),
        idle_partition: Some(0),
        polls: [poll(2, FLUSH_MS), poll(0, FLUSH_MS)].into(),
        ..Script::default()
    };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    worked.run().unwrap();
    let calls = worked.calls_after_opening();
    assert_eq!(calls.iter().filter(|call| call.starts_with("commit")).count(), 2, "{calls:?}");
}

/// Retention of the summary topic goes by the stamps, and the clock of this machine is decades behind.
#[test]
fn what_is_written_is_not_stamped_before_the_watermark() {
    let raw = vec![record(38_000_000, 1)];
    let stamp_ms = raw[0].timestamp_ms;
    let script = Script { raw, polls: [poll(1, FLUSH_MS), poll(0, 0)].into(), ..Script::default() };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    worked.run().unwrap();
    assert_eq!(worked.log.script().oldest_stamp_ms, Some(stamp_ms));
}

/// The log has lost its newest records: it would give their offsets to others.
#[test]
fn a_log_that_ends_before_what_was_read_is_refused() {
    let script =
        Script { raw: records(3), polls: [poll(3, FLUSH_MS), poll(0, 0)].into(), ..Script::default() };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    worked.run().unwrap();
    worked.log.script().raw.truncate(2);
    let failure = worked.run_again(&[poll(0, 0)]).unwrap_err();
    assert!(!failure.is_transient(), "{failure}");
    let text = failure.to_string();
    assert!(text.contains("ends at offset 2, and up to 3 was read") && text.contains("generation"), "{text}");
}

/// The same, but by the time somebody looks others have its offsets.
#[test]
fn a_log_that_has_given_lost_offsets_to_other_records_is_refused() {
    let script =
        Script { raw: records(3), polls: [poll(3, FLUSH_MS), poll(0, 0)].into(), ..Script::default() };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    worked.run().unwrap();
    worked.log.script().raw.truncate(2);
    worked.log.script().raw.extend([record(2, 1), record(3, 1)]);
    let failure = worked.run_again(&[poll(4, 0)]).unwrap_err();
    assert!(!failure.is_transient(), "{failure}");
    let text = failure.to_string();
    assert!(
        text.contains("at offset 2 the raw log has another record") && text.contains("generation"),
        "{text}"
    );
}

/// Who deletes the raw topic deletes its commits; those beside the summaries tell what the summaries were made from.
#[test]
fn a_raw_topic_that_was_made_anew_without_its_commits_is_recognised() {
    fn check(raw_id: [u8; 16], expected: Option<&str>) {
        let script = Script { raw: records(1), polls: [poll(1, FLUSH_MS)].into(), ..Script::default() };
        let mut worked = Worked::new(Guarantee::Fenced, script);
        worked.run().unwrap();
        assert!(worked.log.script().committed.take().is_some());
        worked.log.script().raw_id = Some(raw_id);
        let failure = worked.run_again(&[poll(1, 0)]).err().map(|failure| failure.to_string());
        assert_eq!(failure.is_some(), expected.is_some(), "{failure:?}");
        assert!(failure.unwrap_or_default().contains(expected.unwrap_or_default()));
    }
    check([9; 16], Some("deleted and created again"));
    // Commits that expired alone are restored by those beside.
    check(RAW_ID, None);
}

/// Who deletes the raw topic deletes the commits of it, and no others.
#[test]
fn a_worker_starts_from_the_commit_beside_the_summaries_where_there_is_none_of_the_raw_topic() {
    let commit = |offset| CommittedOffset { offset: Offset(offset), metadata: String::new() };
    let read = |topic: &str| {
        Ok(match topic {
            "raw" => vec![Some(commit(3)), None, Some(commit(5)), None],
            "summaries" => vec![Some(commit(1)), Some(commit(2)), None, None],
            other => panic!("{other}"),
        })
    };
    let expected = [Some(commit(3)), Some(commit(2)), Some(commit(5)), None];
    assert_eq!(committed(read, "raw", "summaries").unwrap(), expected);
}

/// A raw topic that was deleted and created again is recognised by it.
#[test]
fn a_commit_carries_the_identity_of_the_raw_topic() {
    let script = Script { raw: records(1), polls: [poll(1, FLUSH_MS)].into(), ..Script::default() };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    worked.run().unwrap();
    let committed = worked.log.script().committed.clone().unwrap();
    let (_, identity) = Commit::read(committed.offset, &committed.metadata).unwrap();
    assert_eq!(identity.topic_id, RAW_ID);
}
