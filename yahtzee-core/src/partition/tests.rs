//! Behaviour of one partition, from records in to summaries and commits out.

use std::collections::BTreeMap;

use prost::Message;

use super::*;
use crate::assignment::WorkerIndex;
use crate::commit::{AcceptanceSettings, OwnerTag};
use crate::job::RawMessage;
use crate::summary::SummaryKey;

mod caps;
mod exhaustive;
mod layout;
mod loss_worlds;
mod losses;
mod memory;
mod panics;
mod settings;
mod tail;

const MINUTE_MS: i64 = 60_000;

/// Counts measurements and remembers, as bits, the ids of those folded in: equal state means equal content.
#[derive(Debug)]
pub(super) struct Ids;

#[derive(Clone, PartialEq, Message)]
pub(super) struct IdRecord {
    #[prost(bytes = "vec", tag = "7")]
    frame_id: Vec<u8>,
    #[prost(message, repeated, tag = "16")]
    ids: Vec<Id>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Id {
    #[prost(sint64, tag = "1")]
    minute: i64,
    #[prost(uint32, tag = "2")]
    id: u32,
    #[prost(string, tag = "3")]
    dimension: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IdSummary {
    #[prost(uint64, tag = "16")]
    ids: u64,
}

impl RawMessage for IdRecord {
    fn frame_id(&self) -> &[u8] {
        &self.frame_id
    }
}

impl Job for Ids {
    const NAME: &'static str = "ids";
    const MEASUREMENT: &'static str = "IDS";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["dimension"];
    type Record<'a> = IdRecord;
    type Accumulator = u64;
    type Summary = IdSummary;

    fn fold(&self, record: &IdRecord, intake: &mut Intake<'_, Self>) {
        for id in &record.ids {
            intake.add(id.minute * MINUTE_MS * 1_000, [&id.dimension], |ids| *ids |= 1 << id.id);
        }
    }

    fn summarize(&self, ids: &u64) -> IdSummary {
        if *ids == 1 << UNLUCKY {
            std::panic::resume_unwind(Box::new("as planned"));
        }
        IdSummary { ids: *ids }
    }
}

/// An id that alone cannot be summarised.
const UNLUCKY: u32 = 63;

pub(super) const OWNER: Owner = Owner([1; 16]);

const ACCEPTANCE: AcceptanceSettings = AcceptanceSettings {
    lateness_windows: 5,
    future_windows: 1,
    series_max: 20_000,
    series_per_owner_max: 1_000,
    slots: 8,
    dimensions: 7,
};

pub(super) fn identity() -> Identity {
    Identity {
        generation: 1,
        topic_id: [4; 16],
        partition_count: 1,
        window_length_ms: 60_000,
        acceptance: Some(ACCEPTANCE),
        owner_tag: OwnerTag { worker: 0, workers: 1, incarnation: 0 },
    }
}

fn history(committed: Option<(Offset, &str)>, log_start: u64, log_end: u64) -> History<'_> {
    let (log_start, log_end) = (Offset(log_start), Offset(log_end));
    History {
        partition: Partition(0),
        start: committed.into(),
        log_start,
        log_end,
        poisoned: &[],
        losses: &[],
    }
}

fn open_fresh() -> PartitionCore<Ids> {
    PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), history(None, 0, 0))
        .unwrap()
        .core
}

fn measurement(minute: i64, id: u32) -> Id {
    Id { minute, id, dimension: "web".to_owned() }
}

/// Hands the core a record received in the middle of `minute` and returns what became of it.
fn feed(
    core: &mut PartitionCore<Ids>,
    offset: u64,
    minute: i64,
    frame: &[u8],
    ids: &[Id],
    out: &mut Vec<Effect>,
) -> RecordOutcome {
    let value = IdRecord { frame_id: frame.to_vec(), ids: ids.to_vec() }.encode_to_vec();
    let timestamp_ms = minute * MINUTE_MS + MINUTE_MS / 2;
    core.ingest(LogRecord { offset: Offset(offset), timestamp_ms, key: &OWNER.0, value: &value }, out)
}

/// Minute, ids and finality of summaries, in the order they were emitted.
fn seen(effects: &[Effect]) -> Vec<(i64, u64, bool)> {
    let read = |effect: &Effect| {
        let Effect::Emit(emit) = effect else { panic!("{effect:?}") };
        let minute = SummaryKey::decode(&emit.key).unwrap().window_start_ms / MINUTE_MS;
        (minute, IdSummary::decode(&*emit.value).unwrap().ids, emit.is_final)
    };
    effects.iter().map(read).collect()
}

#[test]
fn late_is_judged_by_the_watermark_and_future_by_the_records_own_stamp() {
    fn check(watermark_minute: i64, record_minute: i64, minute: i64, expected: &str) {
        let mut core = open_fresh();
        feed(&mut core, 0, watermark_minute, b"", &[], &mut Vec::new());
        let RecordOutcome::Folded(outcomes) =
            feed(&mut core, 1, record_minute, b"", &[measurement(minute, 0)], &mut Vec::new())
        else {
            panic!("poison")
        };
        let (accepted, late, future) = (outcomes.accepted, outcomes.late(), outcomes.future);
        assert_eq!(
            format!("{accepted} {late} {future}"),
            expected,
            "{watermark_minute} {record_minute} {minute}"
        );
    }
    check(10, 10, 10, "1 0 0");
    check(10, 10, 5, "1 0 0");
    check(10, 10, 4, "0 1 0");
    check(10, 10, 11, "1 0 0");
    check(10, 10, 12, "0 0 1");
    // A record stamped behind the watermark: late by the watermark, future by its own stamp.
    check(10, 7, 5, "1 0 0");
    check(10, 7, 8, "1 0 0");
    check(10, 7, 9, "0 0 1");
    // A record's own stamp moves the watermark before it is judged.
    check(10, 20, 14, "0 1 0");
    check(10, 20, 15, "1 0 0");
}

#[test]
fn a_frame_counts_once_per_window_and_only_where_it_was_accepted() {
    let mut core = open_fresh();
    let mut check = |offset, minute, frame: &[u8], minutes: &[i64], accepted, duplicate| {
        let ids: Vec<Id> = minutes.iter().map(|&minute| measurement(minute, 1)).collect();
        let fate = feed(&mut core, offset, minute, frame, &ids, &mut Vec::new());
        let RecordOutcome::Folded(outcomes) = fate else { panic!("{fate:?}") };
        assert_eq!((outcomes.accepted, outcomes.duplicate), (accepted, duplicate), "offset {offset}");
    };
    let (one, two) = (&[1; 16], &[2; 16]);
    check(0, 10, one, &[10, 10, 9], 3, 0);
    check(1, 10, one, &[10, 10, 9], 0, 3);
    check(2, 10, two, &[10, 9], 2, 0);
    // The first copy was rejected as future in window 13, so the second one there is no duplicate.
    check(3, 11, &[3; 16], &[13], 0, 0);
    check(4, 12, &[3; 16], &[13], 1, 0);
    // Records without a frame id take no part.
    check(5, 12, b"", &[12], 1, 0);
    check(6, 12, b"", &[12], 1, 0);
}

#[test]
fn a_window_that_leaves_the_open_range_gets_a_final_summary_and_is_dropped() {
    let mut core = open_fresh();
    let mut out = Vec::new();
    feed(&mut core, 0, 10, b"", &[measurement(10, 1), measurement(9, 2)], &mut out);
    feed(&mut core, 1, 14, b"", &[measurement(10, 3)], &mut out);
    assert_eq!(seen(&out), []);
    feed(&mut core, 2, 15, b"", &[], &mut out);
    assert_eq!(seen(&out), [(9, 1 << 2, true)]);
    feed(&mut core, 3, 16, b"", &[measurement(10, 4)], &mut out);
    assert_eq!(seen(&out)[1..], [(10, 1 << 1 | 1 << 3, true)]);
    assert_eq!(core.status().open_windows, 0);
}

#[test]
fn a_heartbeat_closes_windows_and_is_no_poison() {
    let mut core = open_fresh();
    let mut out = Vec::new();
    feed(&mut core, 0, 10, b"", &[measurement(10, 1)], &mut out);
    let heartbeat = LogRecord { offset: Offset(1), timestamp_ms: 16 * MINUTE_MS, key: b"", value: b"" };
    assert_eq!(core.ingest(heartbeat, &mut out), RecordOutcome::Folded(MeasurementCounts::default()));
    assert_eq!(seen(&out), [(10, 1 << 1, true)]);
}

#[test]
fn changes_go_out_once_per_interval_newest_window_first() {
    let mut core = open_fresh();
    let mut out = Vec::new();
    feed(&mut core, 0, 10, b"", &[measurement(9, 1), measurement(10, 2)], &mut out);
    core.tick(12_345, &mut out);
    assert_eq!(seen(&out), [(10, 1 << 2, false), (9, 1 << 1, false)]);
    out.clear();
    feed(&mut core, 1, 10, b"", &[measurement(10, 3)], &mut out);
    core.tick(19_999, &mut out);
    assert_eq!(seen(&out), []);
    core.tick(20_000, &mut out);
    assert_eq!(seen(&out), [(10, 1 << 2 | 1 << 3, false)]);
    core.tick(40_000, &mut out);
    assert_eq!(out.len(), 1, "nothing changed since");
}

#[test]
fn only_final_summaries_go_out_until_the_end_of_the_log_is_reached() {
    let opened =
        PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), history(None, 0, 4))
            .unwrap();
    let (mut core, mut out) = (opened.core, Vec::new());
    feed(&mut core, 0, 10, b"", &[measurement(10, 1)], &mut out);
    core.tick(99_999, &mut out);
    assert_eq!(seen(&out), []);
    feed(&mut core, 1, 16, b"", &[measurement(16, 2)], &mut out);
    core.tick(199_999, &mut out);
    assert_eq!(seen(&out), [(10, 1 << 1, true)]);
    // Offsets 2 and 3 are control records: only the end of the partition tells that they were passed.
    core.reached(Offset(4)).unwrap();
    core.tick(200_000, &mut out);
    assert_eq!(seen(&out)[1..], [(16, 1 << 2, false)]);
}

/// The other series of the window, and the windows after it, go on.
#[test]
fn a_series_that_the_job_cannot_summarise_is_named_and_the_others_are_published() {
    let mut core = open_fresh();
    let mut out = Vec::new();
    let unlucky = Id { dimension: "unlucky".to_owned(), ..measurement(10, UNLUCKY) };
    feed(&mut core, 0, 10, b"", &[measurement(10, 1), unlucky], &mut out);
    core.reached(Offset(1)).unwrap();
    core.tick(99_999, &mut out);
    feed(&mut core, 1, 16, b"", &[measurement(16, 2)], &mut out);
    let failed = |effect: &Effect| match effect {
        Effect::Failed(failed) => {
            Some((SummaryKey::decode(&failed.key).unwrap().dimensions, failed.provenance))
        }
        _ => None,
    };
    let found: Vec<_> = out.iter().filter_map(failed).collect();
    let provenance =
        |is_final| Provenance { generation: 1, first_offset: 0, last_offset: 0, count: 1, is_final };
    let dimensions = || vec!["unlucky".to_owned()];
    assert_eq!(found, [(dimensions(), provenance(false)), (dimensions(), provenance(true))]);
    assert!(core.acknowledged(out.len() as u64).is_some(), "what failed holds no commit up");
    out.retain(|effect| matches!(effect, Effect::Emit(_)));
    assert_eq!(seen(&out), [(10, 1 << 1, false), (10, 1 << 1, true)]);
}

#[test]
fn a_job_that_could_forge_its_revision_is_not_opened() {
    /// [`Ids`] with a summary that has the framework's field.
    #[derive(Debug)]
    struct Forger;

    #[derive(Clone, PartialEq, Message)]
    struct Forged {
        #[prost(message, optional, tag = "1")]
        provenance: Option<Provenance>,
    }

    impl Job for Forger {
        const NAME: &'static str = "forger";
        const MEASUREMENT: &'static str = "IDS";
        const GENERATION: u32 = 1;
        const DIMENSIONS: &'static [&'static str] = &["dimension"];
        type Record<'a> = IdRecord;
        type Accumulator = u64;
        type Summary = Forged;

        fn fold(&self, _record: &IdRecord, _intake: &mut Intake<'_, Self>) {}

        fn summarize(&self, _ids: &u64) -> Forged {
            Forged { provenance: None }
        }
    }

    let opened =
        PartitionCore::<Forger>::open(Arc::new(Forger), Policy::default(), identity(), history(None, 0, 0));
    assert_eq!(opened.map(|_| ()), Err(ResumeError::ReservedField { number: 1 }));
}

#[test]
fn no_commit_before_every_final_summary_is_acknowledged() {
    let mut core = open_fresh();
    let mut out = Vec::new();
    feed(&mut core, 0, 10, b"", &[measurement(10, 1), measurement(9, 2)], &mut out);
    assert_eq!(core.acknowledged(0).unwrap().replay_offset(), Offset(0));
    feed(&mut core, 1, 16, b"", &[measurement(16, 3)], &mut out);
    assert_eq!(out.len(), 2);
    assert_eq!(core.acknowledged(0), None);
    assert_eq!(core.acknowledged(1), None);
    let commit = core.acknowledged(1).unwrap();
    assert_eq!((commit.replay_offset(), commit.position()), (Offset(1), Offset(2)));
    assert_eq!(commit.open(), [(Window(16), Offset(1))]);
}

#[test]
fn a_restart_remembers_what_was_finished() {
    let mut core = open_fresh();
    let mut out = Vec::new();
    feed(&mut core, 0, 11, b"", &[measurement(11, 1)], &mut out);
    feed(&mut core, 1, 15, b"", &[measurement(10, 2)], &mut out);
    feed(&mut core, 2, 16, b"", &[measurement(16, 3)], &mut out);
    assert_eq!(seen(&out), [(10, 1 << 2, true)]);
    let commit = core.acknowledged(1).unwrap();
    assert_eq!(commit.replay_offset(), Offset(0));

    let text = commit.metadata(&identity());
    let reopen = history(Some((Offset(0), &text)), 0, 3);
    let opened = PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), reopen).unwrap();
    assert_eq!((opened.read_from, opened.verdict), (Offset(0), ResumeKind::Resumed));
    let (mut core, mut again) = (opened.core, Vec::new());
    feed(&mut core, 0, 11, b"", &[measurement(11, 1)], &mut again);
    assert_eq!(core.acknowledged(0), None, "the position of the last commit is not reached yet");
    let fate = feed(&mut core, 1, 15, b"", &[measurement(10, 2)], &mut again);
    assert_eq!(
        fate,
        RecordOutcome::Folded(MeasurementCounts {
            late: [1, 0, 0, 0],
            latest_windows: 1,
            ..MeasurementCounts::default()
        })
    );
    feed(&mut core, 2, 16, b"", &[measurement(16, 3)], &mut again);
    core.tick(0, &mut again);
    assert_eq!(seen(&again), [(16, 1 << 3, false), (11, 1 << 1, false)]);
    assert_eq!(core.acknowledged(2), Some(commit));
}

#[test]
fn poison_moves_the_position_and_becomes_a_dead_letter_that_a_commit_waits_for() {
    fn check(partition_count: u32, timestamp_ms: i64, key: &[u8], value: &[u8], expected: Poison) {
        let identity = Identity { partition_count, ..identity() };
        let offset = Offset(7);
        let record = LogRecord { offset, timestamp_ms, key, value };
        let known = RecordPrint::of(&record);
        let other = RecordPrint { crc: !known.crc, ..known };
        let poisoned = [if expected == Poison::Panic { known } else { other }];
        let history = History { poisoned: &poisoned, ..history(None, 0, 0) };
        let mut core =
            PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity, history).unwrap().core;
        let mut out = Vec::new();
        let fate = core.ingest(record, &mut out);
        assert_eq!(fate, RecordOutcome::Poison(expected));
        assert_eq!(core.status().position, offset.next());
        let [Effect::DeadLetter(letter)] = &out[..] else { panic!("{out:?}") };
        assert_eq!((letter.offset, letter.reason, letter.value_bytes), (offset, expected, value.len()));
        assert_eq!(letter.value, value[..value.len().min(4_096)]);
        assert_eq!(core.acknowledged(0), None);
        assert!(core.acknowledged(1).is_some());
    }
    check(1, 0, b"short", &[7; 10_000], Poison::Key);
    // No heartbeat: that has no value either.
    check(1, 0, b"", b"\xff", Poison::Key);
    check(1, -1, &OWNER.0, b"", Poison::Timestamp);
    check(1, 0, &OWNER.0, b"\xff\xff", Poison::Value);
    check(1, 0, &OWNER.0, b"", Poison::Panic);
    let elsewhere = (2..).find(|&count| OWNER.partition(count) != Partition(0)).unwrap();
    check(elsewhere, 0, &OWNER.0, b"", Poison::Partition);
}

#[test]
fn a_replay_does_not_repeat_dead_letters_that_a_commit_vouches_for() {
    let mut core = open_fresh();
    let mut out = Vec::new();
    feed(&mut core, 0, 10, b"", &[measurement(10, 1)], &mut out);
    let broken = |offset| LogRecord { offset: Offset(offset), timestamp_ms: 600_000, key: b"?", value: b"" };
    core.ingest(broken(1), &mut out);
    let commit = core.acknowledged(1).unwrap();
    assert_eq!(commit.replay_offset(), Offset(0));
    let text = commit.metadata(&identity());
    let reopen = history(Some((Offset(0), &text)), 0, 3);
    let opened = PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), reopen).unwrap();
    let (mut core, mut again) = (opened.core, Vec::new());
    feed(&mut core, 0, 10, b"", &[measurement(10, 1)], &mut again);
    core.ingest(broken(1), &mut again);
    assert_eq!(again, []);
    core.ingest(broken(2), &mut again);
    assert_eq!(again.len(), 1);
}

#[test]
fn late_records_are_published_whole_on_request() {
    let policy = Policy { publishes_late: true, ..Policy::default() };
    let mut core =
        PartitionCore::<Ids>::open(Arc::new(Ids), policy, identity(), history(None, 0, 0)).unwrap().core;
    let mut out = Vec::new();
    feed(&mut core, 0, 100, b"", &[measurement(100, 1)], &mut out);
    assert_eq!(out, []);
    feed(&mut core, 1, 100, b"", &[measurement(94, 2), measurement(80, 2), measurement(102, 3)], &mut out);
    let [Effect::Late(late)] = &out[..] else { panic!("{out:?}") };
    assert_eq!((late.offset, late.owner), (Offset(1), OWNER));
    assert_eq!(
        (late.outcomes.late, late.outcomes.latest_windows, late.outcomes.future),
        ([1, 0, 1, 0], 15, 1)
    );
    assert_eq!(IdRecord::decode(&*late.value).unwrap().ids.len(), 3);
}

#[test]
fn a_gap_names_exactly_the_windows_it_may_have_hit() {
    let open = vec![(Window(10), Offset(5)), (Window(11), Offset(8))];
    let commit = Commit::at::<Production>(Offset(20), Some(11 * MINUTE_MS), open, IncompleteWindows::none());
    let text = commit.metadata(&identity());
    let check = |committed, log_start, read_from, verdict, covered: &[i64]| {
        let history = history(committed, log_start, 30);
        let opened =
            PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), history).unwrap();
        assert_eq!((opened.read_from, opened.verdict), (Offset(read_from), verdict));
        let mut core = opened.core;
        feed(&mut core, read_from, 12, b"", &[], &mut Vec::new());
        let incomplete = core.status().incomplete;
        let seen: Vec<i64> = (7..20).filter(|&minute| incomplete.covers(Window(minute))).collect();
        assert_eq!(seen, covered, "log start {log_start}");
    };
    let committed = Some((Offset(5), &*text));
    check(committed, 5, 5, ResumeKind::Resumed, &[]);
    check(committed, 6, 6, ResumeKind::Truncated, &[10]);
    check(committed, 20, 20, ResumeKind::Truncated, &[10, 11]);
    // Through the first record's window, a minute of clock skew and the future bound: 12 + 1 + 1.
    check(committed, 21, 21, ResumeKind::Unknown, &[7, 8, 9, 10, 11, 12, 13, 14]);
    check(None, 3, 3, ResumeKind::Unknown, &[7, 8, 9, 10, 11, 12, 13, 14]);
    check(None, 0, 0, ResumeKind::Fresh, &[]);
    // Moved by hand: the metadata does not describe this offset.
    check(Some((Offset(9), &*text)), 0, 9, ResumeKind::Unknown, &[7, 8, 9, 10, 11, 12, 13, 14]);
}

#[test]
fn nothing_is_committed_while_the_extent_of_a_gap_is_unknown() {
    let opened =
        PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), history(None, 3, 3))
            .unwrap();
    let mut core = opened.core;
    assert_eq!(core.acknowledged(0), None);
    feed(&mut core, 3, 12, b"", &[measurement(12, 1)], &mut Vec::new());
    let commit = core.acknowledged(0).unwrap();
    assert_eq!(commit.incomplete().reach_through(), Some(Window(14)));
    assert_eq!(core.status().series, 0, "an incomplete window is not folded");
}

/// Found on a real broker: a backlog that was longer than the gap's reach passed the windows before the first commit.
#[test]
fn a_gap_is_named_by_a_commit_even_if_the_backlog_after_it_is_long() {
    let opened =
        PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), history(None, 3, 3))
            .unwrap();
    let mut core = opened.core;
    feed(&mut core, 3, 12, b"", &[], &mut Vec::new());
    feed(&mut core, 4, 100, b"", &[], &mut Vec::new());
    let named = core.acknowledged(0).unwrap();
    assert_eq!(named.incomplete().reach_through(), Some(Window(14)));
    let forgotten = core.acknowledged(0).unwrap();
    assert!(forgotten.incomplete().is_empty(), "{forgotten:?}");
}

#[test]
fn surplus_workers_own_nothing() {
    let idle = WorkerIndex::new(9, 12).unwrap();
    assert_eq!(crate::assignment::slots_of(idle, 8).count(), 0);
}

/// The newest summary of each window, as a compacted topic keeps it.
pub(super) fn compact(topic: &mut BTreeMap<i64, u64>, effects: &[Effect]) -> u32 {
    let mut dips = 0;
    for (minute, ids, _) in seen(effects) {
        let before = topic.insert(minute, ids).unwrap_or(0);
        dips += u32::from(ids.count_ones() < before.count_ones());
    }
    dips
}

/// All windows before the first one of interest are incomplete, and no other; if the log has lost records since the
/// offset was looked up, that must be noticed.
#[test]
fn a_start_at_a_time_knows_what_it_cannot_know() {
    let open = |log_start| {
        let start = Start::Time { offset: Offset(5), first_window: Window(10) };
        let history = History { start, ..history(None, log_start, 9) };
        PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), history).unwrap()
    };
    let whole = open(5);
    let covered: Vec<i64> =
        (8..12).filter(|&number| whole.core.status().incomplete.covers(Window(number))).collect();
    assert_eq!((whole.read_from, whole.verdict, covered), (Offset(5), ResumeKind::Resumed, vec![8, 9]));
    let cut = open(6);
    assert_eq!((cut.read_from, cut.verdict), (Offset(6), ResumeKind::Unknown));
}
