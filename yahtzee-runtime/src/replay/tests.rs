//! Whatever the range, and however often it is interrupted: what comes out is what the whole log gives, byte for
//! byte, and what does not come out is named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use prost::Message;
use yahtzee_core::job::{Intake, Job, RawMessage};
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::partition::Start;
use yahtzee_core::record::Offset;
use yahtzee_core::summary::{Provenance, key_of_record};
use yahtzee_core::window::{Policy, Window};

use super::partition::{behind_losses, losses_from};
use super::*;
use crate::log::embedded::EmbeddedLog;
use crate::log::{CommittedOffset, Isolation, Item, NewRecord, OffsetCommit, TopicSpec};
use crate::topics::group;

/// In the future, so that the log's own retention, which goes by the wall clock, leaves the records alone.
const BEGIN_MS: i64 = 4_102_444_800_000;
const LENGTH_MS: u32 = 1_000;
const SKEW_MS: i64 = 700;
const OWNER: Owner = Owner([7; 16]);
const ONLY: Partition = Partition(0);

/// Adds numbers up; falls over a record that tells it to.
struct Sum;

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(bytes = "vec", tag = "7")]
    frame_id: Vec<u8>,
    #[prost(sint64, repeated, tag = "16")]
    times_ms: Vec<i64>,
    #[prost(uint64, tag = "17")]
    number: u64,
    #[prost(bool, tag = "18")]
    panics: bool,
}

/// A total that cannot be summarised.
const UNLUCKY: u64 = 1 << 40;

impl RawMessage for Entry {
    fn frame_id(&self) -> &[u8] {
        &self.frame_id
    }
}

#[derive(Clone, PartialEq, Message)]
struct Total {
    #[prost(uint64, tag = "16")]
    total: u64,
}

impl Job for Sum {
    const NAME: &'static str = "sum";
    const MEASUREMENT: &'static str = "SUM";
    const GENERATION: u32 = 3;
    const DIMENSIONS: &'static [&'static str] = &[];
    type Record<'a> = Entry;
    type Accumulator = u64;
    type Summary = Total;

    fn fold(&self, entry: &Entry, intake: &mut Intake<'_, Self>) {
        assert!(!entry.panics, "told to");
        for time_ms in &entry.times_ms {
            intake.add(time_ms * 1_000, [], |total| *total += entry.number);
        }
    }

    fn summarize(&self, total: &u64) -> Total {
        assert_ne!(*total, UNLUCKY, "told to");
        Total { total: *total }
    }

    fn policy(&self) -> Policy {
        let clock_skew_ms = u32::try_from(SKEW_MS).unwrap();
        Policy {
            length_ms: LENGTH_MS,
            lateness_windows: 2,
            future_windows: 1,
            clock_skew_ms,
            ..Policy::default()
        }
    }
}

/// A record: how long after the one before it was received, how far its clock is behind, event times relative to
/// that, and its frame.
type Drawn = (i64, i64, Vec<i64>, u8);

fn records(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Drawn>> {
    let record = (0..600_i64, 0..SKEW_MS, prop::collection::vec(-4_000..2_500_i64, 1..4), 0..40_u8);
    prop::collection::vec(record, count)
}

/// A log with one partition of raw records.
struct World {
    _folder: tempfile::TempDir,
    log: EmbeddedLog,
    subject: Subject,
    layout: TopicLayout,
    end_ms: i64,
}

impl World {
    fn of(drawn: &[Drawn], panicking: &[usize], retention_ms: Option<i64>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path()).unwrap();
        let layout = TopicLayout {
            partitions: 1,
            raw_retention_ms: retention_ms,
            timestamp_ahead_max_ms: None,
            ..TopicLayout::default()
        };
        let plan = JobPlan::new(Arc::new(Sum));
        plan.topics(&layout).iter().for_each(|topic| log.create_topic(topic).unwrap());
        let (mut now_ms, mut appended) = (BEGIN_MS, Vec::new());
        for (number, (after_ms, behind_ms, times_ms, frame)) in drawn.iter().enumerate() {
            now_ms += after_ms;
            let timestamp_ms = now_ms - behind_ms;
            let entry = Entry {
                frame_id: vec![*frame; 16],
                times_ms: times_ms.iter().map(|time_ms| timestamp_ms + time_ms).collect(),
                number: number as u64 + 1,
                panics: panicking.contains(&number),
            };
            let (key, value) = (OWNER.0.to_vec(), entry.encode_to_vec());
            let (topic, headers) = ("SUM.v1".into(), Vec::new());
            appended.push(NewRecord { topic, partition: ONLY, timestamp_ms, key, value, headers });
        }
        log.appender(Duration::from_secs(60)).unwrap().append_and_wait(&appended).unwrap();
        let subject = Subject::open(&log, &plan, &layout, 3, 1).unwrap();
        Self { _folder: folder, log, subject, layout, end_ms: now_ms }
    }

    /// The commit of a worker with this identity that has read all of the log.
    fn commit_as(&self, identity: Identity) -> CommittedOffset {
        let subject = Subject { identity, ..self.subject.clone() };
        let span = ReplayRange::default().resolve(&self.log, &subject, &[ONLY]).unwrap().swap_remove(0);
        let mut reader = subject.reader();
        let mut part = PartitionReplay::open(&self.log, &mut reader, &subject, span, None, None).unwrap();
        while !part.is_done() {
            part.turn().unwrap();
        }
        part.acknowledged().expect("all of it was read")
    }

    fn replay(&self, range: ReplayRange) -> (Vec<Recomputed>, ReplayTally, Window) {
        let span = range.resolve(&self.log, &self.subject, &[ONLY]).unwrap().swap_remove(0);
        let mut reader = self.subject.reader();
        let mut part =
            PartitionReplay::open(&self.log, &mut reader, &self.subject, span, None, None).unwrap();
        let mut all = Vec::new();
        while !part.is_done() {
            all.extend(part.turn().unwrap());
        }
        assert_eq!(part.position(), part.span().end, "progress is counted to the end of the span");
        let open_from = part.open_from();
        (all, part.finish(), open_from)
    }

    /// Key and value of all finished windows, by window.
    fn whole(&self) -> Vec<Recomputed> {
        self.replay(ReplayRange::default()).0
    }

    /// The newest value of every key of a topic.
    fn topic(&self, name: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut reader = self.log.reader(name, &[(ONLY, Offset(0))], Isolation::Committed).unwrap();
        let mut found: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        loop {
            for item in reader.poll(Duration::from_secs(60)).unwrap() {
                let Item::Record(_, record, _) = item else { return found };
                let key = key_of_record(record.key, record.value);
                assert_ne!(key, record.key, "the generation is missing");
                found.insert(key.to_vec(), record.value.to_vec());
            }
        }
    }
}

fn by_key(summaries: Vec<Recomputed>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    summaries.into_iter().map(|summary| (summary.emit.key, summary.emit.value)).collect()
}

/// The finished windows of `whole` that `is_wanted`.
fn only(whole: &[Recomputed], is_wanted: impl Fn(Window) -> bool) -> Vec<Recomputed> {
    whole.iter().filter(|summary| is_wanted(summary.window)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn offsets_give_whole_windows_and_name_the_others(drawn in records(1..120), from in 0..120_u64, len in 0..120_u64) {
        let world = World::of(&drawn, &[], None);
        let edge = |offset| Some(Edge::Offset(Offset(offset)));
        let (found, tally, open_from) = world.replay(ReplayRange { from: edge(from), to: edge(from + len) });
        let is_complete = |window| tally.incomplete_through.is_none_or(|last| window > last) && window < open_from;
        // All of what is complete came out, and nothing else.
        prop_assert_eq!(&found, &only(&world.whole(), is_complete));
        prop_assert_eq!(tally.summaries, found.len() as u64);
        prop_assert!(tally.still_open.iter().all(|&window| window >= open_from));
        let read = (drawn.len() as u64).min(from + len).saturating_sub(from);
        prop_assert_eq!(tally.records, read);
    }

    #[test]
    fn times_give_exactly_their_windows(drawn in records(1..120), from_ms in -2_000..20_000_i64, len_ms in 0..20_000_i64) {
        let world = World::of(&drawn, &[], None);
        let (from_ms, to_ms) = (BEGIN_MS + from_ms, BEGIN_MS + from_ms + len_ms);
        let (found, tally, _) =
            world.replay(ReplayRange { from: Some(Edge::Time(from_ms)), to: Some(Edge::Time(to_ms)) });
        let is_within = |window: Window| {
            window.start_ms(LENGTH_MS) >= from_ms && window.plus(1).start_ms(LENGTH_MS) <= to_ms
        };
        prop_assert_eq!(&found, &only(&world.whole(), is_within));
        prop_assert_eq!(tally.incomplete_through, None);
    }

    #[test]
    fn a_truncated_log_gives_whole_windows_and_names_the_others(
        drawn in records(20..120), kept_ms in 0..30_000_i64, from_ms in prop::option::of(-2_000..20_000_i64),
    ) {
        let world = World::of(&drawn, &[], Some(1_000_000));
        let whole = world.whole();
        world.log.maintain(world.end_ms - kept_ms + 1_000_000).unwrap();
        let from = from_ms.map(|from_ms| Edge::Time(BEGIN_MS + from_ms));
        let (found, tally, open_from) = world.replay(ReplayRange { from, to: None });
        let is_complete = |window: Window| {
            let is_wanted = from_ms.is_none_or(|from_ms| window.start_ms(LENGTH_MS) >= BEGIN_MS + from_ms);
            is_wanted && tally.incomplete_through.is_none_or(|last| window > last) && window < open_from
        };
        prop_assert_eq!(found, only(&whole, is_complete));
    }

    #[test]
    fn an_interrupted_replay_goes_on_and_ends_as_one_that_was_not(
        drawn in records(30..120), stops in prop::collection::vec(0..3_usize, 1..5),
    ) {
        let world = World::of(&drawn, &[], None);
        let spec = TopicSpec { name: "SHADOW".to_owned(), ..world.subject.plan.topics(&world.layout).swap_remove(1) };
        world.log.create_topic(&spec).unwrap();
        let journal = Journal::new(&world.log, "test", "sum", "into SHADOW");
        for (attempt, writes) in stops.iter().copied().chain([usize::MAX]).enumerate() {
            let mut subject = world.subject.clone();
            subject.identity.owner_tag.incarnation = attempt as u32;
            let begun = journal.begin(subject, &[ONLY], &ReplayRange::default(), false).unwrap();
            prop_assert_eq!(begun.is_continued, attempt > 0);
            let publisher = Publisher::open(&world.log, &journal.group(), &begun.subject, "SHADOW");
            run(&world, begun, publisher.unwrap(), writes);
        }
        prop_assert_eq!(world.topic("SHADOW"), by_key(world.whole()));
    }
}

/// Writes so often and then, as after a kill, not any more.
fn run(world: &World, begun: Begun, mut publisher: Publisher, writes: usize) {
    let (span, progress) = begun.parts.into_iter().next().unwrap();
    let mut reader = begun.subject.reader();
    // In small steps, so that there is something to be interrupted.
    for end in (span.start.0..span.end.0).step_by(10).chain([span.end.0]).skip(1).take(writes) {
        let committed = world.log.committed("yahtzee.replay.test.sum", &begun.subject.raw, &[ONLY]).unwrap();
        let progress = committed.into_iter().next().flatten().or_else(|| progress.clone());
        let step = ReplaySpan { end: Offset(end), ..span.clone() };
        let mut part =
            PartitionReplay::open(&world.log, &mut reader, &begun.subject, step, None, progress).unwrap();
        let mut summaries = Vec::new();
        while !part.is_done() {
            summaries.extend(part.turn().unwrap());
        }
        publisher.write(summaries, &mut part).unwrap();
    }
}

#[test]
fn other_settings_are_refused_until_it_is_begun_afresh() {
    let world = World::of(&[(0, 0, vec![0], 1)], &[], None);
    let begin = |asked: &str, is_fresh| {
        let journal = Journal::new(&world.log, "test", "sum", asked);
        journal.begin(world.subject.clone(), &[ONLY], &ReplayRange::default(), is_fresh)
    };
    assert!(!begin("into A", false).unwrap().is_continued);
    assert!(begin("into A", false).unwrap().is_continued);
    let refusal = begin("into B", false).err().unwrap().to_string();
    assert!(
        refusal.contains("into A") && refusal.contains("into B") && refusal.contains("--fresh"),
        "{refusal}"
    );
    assert!(!begin("into B", true).unwrap().is_continued);
    assert!(begin("into B", false).unwrap().is_continued);
    // Nor does a plan for a topic that was deleted say anything of the one that has its name now.
    let mut anew = world.subject.clone();
    anew.identity.topic_id = anew.identity.topic_id.map(|byte| !byte);
    let journal = Journal::new(&world.log, "test", "sum", "into B");
    let refusal = journal.begin(anew, &[ONLY], &ReplayRange::default(), false).err().unwrap().to_string();
    assert!(refusal.contains("a topic since deleted"), "{refusal}");
}

/// A plan is noted partition by partition, and a process may end in between: what an earlier one has noted of the others
/// is not its plan.
#[test]
fn a_plan_that_is_noted_in_part_has_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path()).unwrap();
    let layout = TopicLayout { partitions: 2, ..TopicLayout::default() };
    let plan = JobPlan::new(Arc::new(Sum));
    plan.topics(&layout).iter().for_each(|topic| log.create_topic(topic).unwrap());
    let begin = |token, partitions: &[Partition], is_fresh| {
        let subject = Subject::open(&log, &plan, &layout, 3, token).unwrap();
        let journal = Journal::new(&log, "test", "sum", "into A");
        let begun = journal.begin(subject, partitions, &ReplayRange::default(), is_fresh).unwrap();
        (begun.is_continued, begun.subject.identity.owner_tag.incarnation)
    };
    let (both, second) = ([ONLY, Partition(1)], [Partition(1)]);
    assert_eq!(begin(1, &second, false), (false, 1));
    assert_eq!(begin(2, &both, false), (false, 2));
    assert_eq!(begin(3, &second, true), (false, 3));
    assert_eq!(begin(4, &both, false), (false, 4));
    assert_eq!(begin(5, &both, false), (true, 4));
}

#[test]
fn progress_of_an_attempt_before_a_fresh_one_counts_for_nothing() {
    let drawn: Vec<Drawn> = (0..50).map(|frame| (500, 0, vec![0], frame)).collect();
    let world = World::of(&drawn, &[], None);
    let begin = |token, is_fresh| {
        let mut subject = world.subject.clone();
        subject.identity.owner_tag.incarnation = token;
        let journal = Journal::new(&world.log, "test", "sum", "into SUM_SUMMARY.v1");
        journal.begin(subject, &[ONLY], &ReplayRange::default(), is_fresh).unwrap()
    };
    let first = begin(1, false);
    let publisher =
        Publisher::open(&world.log, "yahtzee.replay.test.sum", &world.subject, "SUM_SUMMARY.v1").unwrap();
    run(&world, first, publisher, 2);
    assert!(begin(2, false).parts[0].1.is_some());
    assert!(begin(3, true).parts[0].1.is_none());
    assert!(begin(4, false).parts[0].1.is_none());
}

#[test]
fn a_record_that_the_job_panics_on_is_left_out_as_workers_leave_it_out() {
    let drawn: Vec<Drawn> =
        (0..40).map(|frame| (if frame == 0 { 0 } else { 500 }, 0, vec![0], frame)).collect();
    let world = World::of(&drawn, &[7, 23], None);
    let (found, tally, _) = world.replay(ReplayRange::default());
    assert_eq!(tally.poison, 2);
    let folded: u64 = by_key(found).values().map(|value| Provenance::of_value(value).unwrap().count).sum();
    let open = tally.still_open.len() as u64;
    // One measurement per record, two records per window.
    assert_eq!(folded + 2 * open, 38);
}

/// They are as final as the others, and nobody must look for them in the topic.
#[test]
fn summaries_that_cannot_be_published_are_counted() {
    let world = World::of(&[], &[], None);
    let record = |window: i64, number| {
        let timestamp_ms = BEGIN_MS + window * i64::from(LENGTH_MS);
        let entry = Entry { frame_id: Vec::new(), times_ms: vec![timestamp_ms], number, panics: false };
        let (key, value) = (OWNER.0.to_vec(), entry.encode_to_vec());
        let (topic, headers) = ("SUM.v1".into(), Vec::new());
        NewRecord { topic, partition: ONLY, timestamp_ms, key, value, headers }
    };
    let records = [record(0, 1), record(1, UNLUCKY), record(2, 2), record(20, 3)];
    world.log.appender(Duration::from_secs(60)).unwrap().append_and_wait(&records).unwrap();
    let (found, tally, _) = world.replay(ReplayRange::default());
    assert_eq!((found.len(), tally.summaries, tally.failed, tally.still_open.len()), (2, 2, 1, 1));
    // Of the windows that are wanted only.
    let failed_to = |windows: i64| {
        let to_ms = BEGIN_MS + windows * i64::from(LENGTH_MS);
        let range = ReplayRange { from: Some(Edge::Time(BEGIN_MS)), to: Some(Edge::Time(to_ms)) };
        let (found, tally, _) = world.replay(range);
        (found.len(), tally.failed)
    };
    assert_eq!([failed_to(1), failed_to(2), failed_to(3)], [(1, 0), (1, 1), (2, 1)]);
}

/// Windows that were handed out before a panic count for nothing after it: progress must not go past those that follow.
#[test]
fn after_a_panic_only_what_is_handed_out_again_is_acknowledged() {
    // More than a reader hands out at once.
    let drawn: Vec<Drawn> = (0..4_200).map(|_| (500, 0, vec![0], 0)).collect();
    let world = World::of(&drawn, &[4_150], None);
    let span = ReplayRange::default().resolve(&world.log, &world.subject, &[ONLY]).unwrap().swap_remove(0);
    let mut reader = world.subject.reader();
    let mut part = PartitionReplay::open(&world.log, &mut reader, &world.subject, span, None, None).unwrap();
    let before = part.turn().unwrap();
    assert!(!before.is_empty() && !part.is_done());
    let mut after = Vec::new();
    while !part.is_done() {
        after.extend(part.turn().unwrap());
    }
    assert_eq!(after[..before.len()], before, "they come a second time");
    assert!(part.acknowledged().is_some_and(|progress| progress.offset > Offset(4_000)));
}

#[test]
fn a_panic_leads_back_to_the_counts_at_the_newest_progress() {
    let drawn: Vec<Drawn> = (0..4_200).map(|_| (500, 0, vec![0], 0)).collect();
    let world = World::of(&drawn, &[4_150], None);
    let records = |acknowledges: bool| {
        let span =
            ReplayRange::default().resolve(&world.log, &world.subject, &[ONLY]).unwrap().swap_remove(0);
        let mut reader = world.subject.reader();
        let mut part =
            PartitionReplay::open(&world.log, &mut reader, &world.subject, span, None, None).unwrap();
        while !part.is_done() {
            part.turn().unwrap();
            if acknowledges {
                let _ = part.acknowledged();
            }
        }
        part.finish().records
    };
    assert_eq!([false, true].map(records), [4_200; 2]);
}

/// The windows that the first offset cuts are named by the first record, which is read again.
#[test]
fn a_panic_of_the_job_does_not_hide_which_windows_lack_input() {
    let drawn: Vec<Drawn> = (0..40).map(|frame| (500, 0, vec![0], frame)).collect();
    let range = ReplayRange { from: Some(Edge::Offset(Offset(11))), to: None };
    let without = World::of(&drawn, &[], None).replay(range).1.incomplete_through;
    assert!(without.is_some());
    assert_eq!(World::of(&drawn, &[23], None).replay(range).1.incomplete_through, without);
}

#[test]
fn open_windows_come_out_on_request_and_are_not_final() {
    let drawn: Vec<Drawn> = (0..9).map(|frame| (500, 0, vec![0], frame)).collect();
    let world = World::of(&drawn, &[], None);
    let span = ReplayRange::default().resolve(&world.log, &world.subject, &[ONLY]).unwrap().swap_remove(0);
    let mut reader = world.subject.reader();
    let mut part = PartitionReplay::open(&world.log, &mut reader, &world.subject, span, None, None).unwrap();
    while !part.is_done() {
        part.turn().unwrap();
    }
    let open = part.take_open();
    let windows: BTreeSet<Window> = open.iter().map(|summary| summary.window).collect();
    assert_eq!(windows.into_iter().collect::<Vec<_>>(), part.finish().still_open);
    assert!(open.iter().all(|summary| !summary.emit.is_final));
}

/// What workers do not publish, because the log has lost a part of it, nobody must miss.
#[test]
fn windows_that_lack_what_the_log_has_lost_are_left_out_and_named() {
    let drawn: Vec<Drawn> = (0..40).map(|number| (500, 0, vec![0], number)).collect();
    let mut world = World::of(&drawn, &[], None);
    let whole = world.whole();
    // What lay between the records 9 and 10 was lost; the watermark before it was that of record 11 or so.
    let watermark_ms = Some(BEGIN_MS + 12 * 500);
    let loss = LostTail { watermark_ms, kept_before: Offset(10), windows: None };
    world.subject.losses.insert(ONLY, vec![loss]);
    let (found, tally, _) = world.replay(ReplayRange::default());
    let first_ms = BEGIN_MS + 10 * 500;
    let named = Window::of_ms(first_ms, LENGTH_MS).minus(2)
        ..=Window::of_ms(first_ms + 500 + SKEW_MS, LENGTH_MS).plus(1);
    let named: BTreeSet<Window> = (named.start().0..=named.end().0).map(Window).collect();
    assert_eq!(tally.incomplete, named);
    assert_eq!(found, only(&whole, |window| !named.contains(&window)));
    assert!(found.len() < whole.len());
    // Who goes on behind it does not pass it once more.
    let first = ReplayRange { to: Some(Edge::Offset(Offset(20))), ..ReplayRange::default() };
    let mut named_on_the_way = BTreeSet::new();
    let mut progress = None;
    for range in [first, ReplayRange::default()] {
        let span = range.resolve(&world.log, &world.subject, &[ONLY]).unwrap().swap_remove(0);
        let mut reader = world.subject.reader();
        let mut part =
            PartitionReplay::open(&world.log, &mut reader, &world.subject, span, None, progress).unwrap();
        while !part.is_done() {
            part.turn().unwrap();
        }
        progress = part.acknowledged();
        named_on_the_way.extend(part.finish().incomplete);
    }
    assert_eq!(named_on_the_way, named);
    // A range that ends before it knows nothing of it.
    let before = ReplayRange { to: Some(Edge::Offset(Offset(10))), ..ReplayRange::default() };
    assert_eq!(world.replay(before).1.incomplete, BTreeSet::new());
}

/// The log may lose records while a replay is interrupted: its progress knows nothing of them.
#[test]
fn a_replay_that_goes_on_passes_what_was_lost_ahead_of_its_progress() {
    let drawn: Vec<Drawn> = (0..40).map(|number| (500, 0, vec![0], number)).collect();
    let loss = |kept_before| LostTail {
        watermark_ms: Some(BEGIN_MS + kept_before as i64 * 500),
        kept_before: Offset(kept_before),
        windows: None,
    };
    let run = |world: &World, end: Option<u64>, progress: Option<CommittedOffset>| {
        let range = ReplayRange { to: end.map(|end| Edge::Offset(Offset(end))), ..ReplayRange::default() };
        let span = range.resolve(&world.log, &world.subject, &[ONLY]).unwrap().swap_remove(0);
        let mut reader = world.subject.reader();
        let mut part =
            PartitionReplay::open(&world.log, &mut reader, &world.subject, span, None, progress).unwrap();
        let mut found = Vec::new();
        while !part.is_done() {
            found.extend(part.turn().unwrap());
        }
        let progress = part.acknowledged();
        (found, progress, part.finish().incomplete)
    };
    let check = |before: &[u64], since: &[LostTail]| {
        let mut world = World::of(&drawn, &[], None);
        let of_before: Vec<LostTail> = before.iter().map(|&kept_before| loss(kept_before)).collect();
        world.subject.losses.insert(ONLY, of_before.clone());
        let (mut found, progress, mut named) = run(&world, Some(20), None);
        world.subject.losses.insert(ONLY, [&of_before[..], since].concat());
        let (rest, _, named_by_rest) = run(&world, None, progress);
        found.extend(rest);
        named.extend(named_by_rest);
        let (expected, _, named_at_once) = run(&world, None, None);
        assert!(!since.is_empty() && named_at_once.len() > before.len(), "{named_at_once:?}");
        assert_eq!(named, named_at_once, "{before:?} and {since:?}");
        assert!(by_key(found) == by_key(expected), "{before:?} and {since:?}");
    };
    check(&[], &[loss(30)]);
    check(&[10], &[loss(30)]);
    // A worker has passed it meanwhile.
    check(&[10], &[LostTail { windows: Some((Window(1), Window(2))), ..loss(30) }]);
    let (_, progress, _) = run(&World::of(&drawn, &[], None), Some(20), None);
    let lies_ahead =
        |kept_before| losses_from(progress.as_ref().unwrap(), &[loss(kept_before)]) == [loss(kept_before)];
    assert_eq!([19, 20, 21].map(lies_ahead), [false, true, true]);
}

/// Who replays after a worker has refused a log does not publish what the worker would not.
#[test]
fn what_a_log_has_lost_is_known_before_a_worker_has_passed_it() {
    let drawn: Vec<Drawn> = (0..40).map(|number| (500, 0, vec![0], number)).collect();
    let before = World::of(&drawn, &[], None);
    let check = |after: &[Drawn], kept_before: Option<u64>| {
        let world = World::of(after, &[], None);
        let Subject { plan, identity, .. } = &world.subject;
        let CommittedOffset { offset, metadata } = before.commit_as(*identity);
        let committed = CommittedOffset { offset, metadata };
        let commit = OffsetCommit { topic: "SUM.v1", partition: ONLY, committed };
        world.log.commit(&group("sum", 3, &world.layout.version), &[commit]).unwrap();
        // That of the commit, and others that are to be published.
        for generation in [2, 3, 4] {
            let subject = Subject::open(&world.log, plan, &world.layout, generation, 1).unwrap();
            let watermark_ms = Some(BEGIN_MS + 40 * 500);
            let loss =
                |kept_before| LostTail { watermark_ms, kept_before: Offset(kept_before), windows: None };
            let expected: Vec<LostTail> = kept_before.map(loss).into_iter().collect();
            assert_eq!(subject.losses[&ONLY], expected, "{} records, {generation}", after.len());
        }
    };
    check(&drawn, None);
    check(&drawn[..10], Some(10));
    let others = (0..50).map(|number| (500, 100, vec![0], number));
    let regrown: Vec<Drawn> = drawn[..10].iter().cloned().chain(others).collect();
    check(&regrown, Some(39));
    assert!(World::of(&drawn, &[], None).subject.losses.is_empty(), "nothing was ever committed");
}

#[test]
fn a_range_begins_early_enough_to_pass_a_loss_without_windows() {
    let check = |losses: &[(u64, bool)], expected: u64| {
        let loss = |&(kept_before, is_named): &(u64, bool)| LostTail {
            watermark_ms: None,
            kept_before: Offset(kept_before),
            windows: is_named.then_some((Window(1), Window(2))),
        };
        let losses: Vec<LostTail> = losses.iter().map(loss).collect();
        let start = Start::Time { offset: Offset(50), first_window: Window(7) };
        let Start::Time { offset, first_window } = behind_losses(start, &losses, Offset(20)) else {
            panic!()
        };
        assert_eq!((offset, first_window), (Offset(expected), Window(7)), "{losses:?}");
    };
    check(&[], 50);
    check(&[(30, true), (60, false)], 50);
    check(&[(40, false), (30, false)], 30);
    check(&[(10, false)], 20);
}
