//! A log that notes every call and does what a script says: how many records each poll hands out, how much time passes
//! meanwhile, and which appends and commits fail.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_core::summary::Provenance;

use crate::cause::Cause;
use crate::clock::MonotonicClock;
use crate::log::{
    Acknowledged, AppendCallback, Appender, Batch, Bounds, Cleanup, CommittedOffset, Headers, Isolation, Log,
    LogError, LogReader, NewRecord, OffsetCommit, Page, SlotName, SlotWriter, TopicDescription, TopicSpec,
    Transaction,
};
use crate::shutdown::StopSignal;
use crate::standstill::StandstillWatch;

/// One poll of the reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Poll {
    pub(super) records: usize,
    pub(super) passes_ms: u64,
}

/// A record of the one raw partition.
#[derive(Clone, Debug)]
pub(super) struct RawRecord {
    pub(super) timestamp_ms: i64,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// What the log holds and what happens to it.
#[derive(Default)]
pub(super) struct Script {
    /// Every call in order, but for those that describe topics and appends of nothing.
    pub(super) calls: Vec<String>,
    /// The smallest timestamp of an appended record.
    pub(super) oldest_stamp_ms: Option<i64>,
    pub(super) raw: Vec<RawRecord>,
    /// Identity of the raw topic if it is another than [`RAW_ID`].
    pub(super) raw_id: Option<[u8; 16]>,
    /// When the raw topic is deleted and created again, and has the same records.
    pub(super) made_anew_at_ms: Option<u64>,
    /// When the raw topic is deleted.
    pub(super) gone_at_ms: Option<u64>,
    /// How often the identity of the raw topic was asked for, and the time that this takes.
    pub(super) identity_questions: u64,
    pub(super) identity_ms: u64,
    pub(super) log_start: u64,
    /// Offsets behind the last record that are taken by what is never handed out.
    pub(super) control_records: u64,
    pub(super) committed: Option<CommittedOffset>,
    /// The commit beside the summaries.
    pub(super) committed_beside: Option<CommittedOffset>,
    /// Whether a transaction hangs over the commits of the job.
    pub(super) has_hanging_transaction: bool,
    /// Whether the log does not answer who looks who has committed.
    pub(super) is_peek_unanswered: bool,
    /// Commits of groups of earlier generations, by name.
    pub(super) earlier: Vec<(String, CommittedOffset)>,
    /// Whether there is a second partition, of one control record, and how many polls pass before its end is handed out.
    pub(super) idle_partition: Option<usize>,
    /// After the last one the worker is stopped.
    pub(super) polls: VecDeque<Poll>,
    /// Times that the next appends take; those after them take none.
    pub(super) append_ms: VecDeque<u64>,
    /// Time that the question for the bounds takes.
    pub(super) bounds_ms: u64,
    /// How many of the raw records come after that question.
    pub(super) comes_later: u64,
    /// Times that the reader takes to say which end it knows; after them it takes none.
    pub(super) known_end_ms: VecDeque<u64>,
    /// Ticks while an append takes its time.
    pub(super) ticking: Option<StandstillWatch>,
    /// Outcomes of the next appends; those after them are fine.
    pub(super) appends: VecDeque<Result<(), LogError>>,
    /// Outcomes of the next commits.
    pub(super) commits: VecDeque<Result<(), LogError>>,
}

/// Steps of the time that an append takes.
const TICK_MS: u64 = 100;

/// The raw topic.
const RAW_TOPIC: &str = "COUNT.v1";

/// The partition that has records.
const RAW_PARTITION: Partition = Partition(0);

/// Identity of the raw topic; all others have another one.
pub(super) const RAW_ID: [u8; 16] = [7; 16];

/// See the module. As a writer it belongs to a slot.
#[derive(Clone, Default)]
pub(super) struct ScriptedLog {
    slot: u32,
    script: Arc<Mutex<Script>>,
    now_ms: Arc<AtomicU64>,
    stop: StopSignal,
}

impl ScriptedLog {
    pub(super) fn new(script: Script, stop: &StopSignal) -> Self {
        let script = Arc::new(Mutex::new(script));
        Self { slot: 0, script, now_ms: Arc::default(), stop: stop.clone() }
    }

    /// The same log for a worker that is stopped by another signal.
    pub(super) fn with_stop(&self, stop: &StopSignal) -> Self {
        Self { stop: stop.clone(), ..self.clone() }
    }

    pub(super) fn clock(&self) -> MonotonicClock {
        let now_ms = Arc::clone(&self.now_ms);
        MonotonicClock::new(move || now_ms.load(Ordering::Relaxed))
    }

    /// Lets time pass. Returns what the clock shows then.
    pub(super) fn pass_ms(&self, ms: u64) -> u64 {
        self.now_ms.fetch_add(ms, Ordering::Relaxed) + ms
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn raw_id(&self) -> [u8; 16] {
        let script = self.script();
        let is_anew =
            script.made_anew_at_ms.is_some_and(|at_ms| self.now_ms.load(Ordering::Relaxed) >= at_ms);
        if is_anew { [9; 16] } else { script.raw_id.unwrap_or(RAW_ID) }
    }

    fn note(&self, call: impl Into<String>) {
        self.script().calls.push(call.into());
    }

    fn append(&self, records: &[NewRecord]) -> Result<(), LogError> {
        if records.is_empty() {
            return Ok(());
        }
        self.note(format!("append {}", describe(records)));
        let append_ms = self.script().append_ms.pop_front().unwrap_or(0);
        for _ in 0..append_ms / TICK_MS {
            let now_ms = self.pass_ms(TICK_MS);
            self.script().ticking.iter().for_each(|watch| watch.tick(now_ms));
        }
        let stamps_ms = records.iter().map(|record| record.timestamp_ms);
        let oldest_ms = stamps_ms.chain(self.script().oldest_stamp_ms).min();
        self.script().oldest_stamp_ms = oldest_ms;
        self.script().appends.pop_front().unwrap_or(Ok(()))
    }

    fn commit_offsets(&self, what: &str, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        let (of_raw, beside): (Vec<_>, Vec<_>) = offsets.iter().partition(|commit| commit.topic == RAW_TOPIC);
        let numbers: Vec<u64> = of_raw.iter().map(|commit| commit.committed.offset.0).collect();
        self.note(format!("{what} {numbers:?}"));
        let is_own = |commit: &OffsetCommit<'_>| self.slot == commit.partition.0;
        assert!(offsets.iter().all(is_own), "slot {} commits another's partitions", self.slot);
        self.script().commits.pop_front().unwrap_or(Ok(()))?;
        let of_partition = |commits: &[&OffsetCommit<'_>]| {
            let found = commits.iter().find(|commit| commit.partition == RAW_PARTITION)?;
            Some(found.committed.clone())
        };
        let mut script = self.script();
        script.committed = of_partition(&of_raw).or_else(|| script.committed.take());
        script.committed_beside = of_partition(&beside).or_else(|| script.committed_beside.take());
        Ok(())
    }
}

/// Topic of each record, and for a summary the count with a point behind a final one.
fn describe(records: &[NewRecord]) -> String {
    let describe = |record: &NewRecord| {
        let topic = record.topic.split('.').next().unwrap_or_default();
        let Ok(provenance) = Provenance::of_value(&record.value) else { return topic.to_owned() };
        if topic.ends_with("_SUMMARY") {
            format!("{}{}", provenance.count, if provenance.is_final { "." } else { "" })
        } else {
            topic.to_owned()
        }
    };
    records.iter().map(describe).collect::<Vec<_>>().join(" ")
}

pub(super) fn unavailable() -> LogError {
    LogError::unavailable("the script", Cause::new("planned", "as planned"))
}

impl Log for ScriptedLog {
    fn reader(
        &self,
        _topic: &str,
        from: &[(Partition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn LogReader>, LogError> {
        assert_eq!(isolation, Isolation::Uncommitted, "a transaction must not hold up raw records");
        let [(RAW_PARTITION, Offset(next)), ..] = *from else { panic!("partition 0 first, not {from:?}") };
        self.note(format!("read from {next}"));
        Ok(Box::new(ScriptedReader { log: self.clone(), next, page: Page::default() }))
    }

    fn appender(&self, _deadline: Duration) -> Result<Arc<dyn Appender>, LogError> {
        self.note("open appender");
        Ok(Arc::new(self.clone()))
    }

    fn slot_writer(&self, name: &SlotName) -> Result<Box<dyn SlotWriter>, LogError> {
        self.note("fence");
        Ok(Box::new(Self { slot: name.slot, ..self.clone() }))
    }

    fn bounds(&self, _topic: &str, partitions: &[Partition]) -> Result<Vec<Bounds>, LogError> {
        self.note("bounds");
        let script = self.script();
        self.pass_ms(script.bounds_ms);
        let of_raw = Bounds {
            start: Offset(script.log_start),
            end: Offset(script.raw.len() as u64 - script.comes_later + script.control_records),
        };
        let of_idle = Bounds { start: Offset(0), end: Offset(1) };
        let bounds = |partition: &Partition| if *partition == RAW_PARTITION { of_raw } else { of_idle };
        Ok(partitions.iter().map(bounds).collect())
    }

    fn offset_for_time(&self, _topic: &str, _partition: Partition, _time: i64) -> Result<Offset, LogError> {
        panic!("a worker does not look for times")
    }

    fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        if self.script().has_hanging_transaction {
            return Err(unavailable());
        }
        Ok(self.read_commits("committed", group, topic, partitions))
    }

    fn committed_below_open_transactions(
        &self,
        group: &str,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        let is_unanswered = self.script().is_peek_unanswered;
        let commits = self.read_commits("peek", group, topic, partitions);
        if is_unanswered { Err(unavailable()) } else { Ok(commits) }
    }

    fn groups(&self) -> Result<Vec<String>, LogError> {
        self.note("groups");
        Ok(self.script().earlier.iter().map(|(group, _)| group.clone()).collect())
    }

    fn commit(&self, _group: &str, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        self.commit_offsets("plain commit", offsets)
    }

    fn create_topic(&self, _topic: &TopicSpec) -> Result<(), LogError> {
        panic!("a worker creates no topics")
    }

    fn topic_id(&self, topic: &str) -> Result<Option<[u8; 16]>, LogError> {
        assert_eq!(topic, RAW_TOPIC, "who deletes another topic is told by its broker");
        let mut script = self.script();
        script.identity_questions += 1;
        let now_ms = self.pass_ms(script.identity_ms);
        let is_gone = script.gone_at_ms.is_some_and(|at_ms| now_ms >= at_ms);
        drop(script);
        Ok((!is_gone).then(|| self.raw_id()))
    }

    fn describe_topic(&self, topic: &str) -> Result<Option<TopicDescription>, LogError> {
        Ok(Some(TopicDescription {
            name: topic.to_owned(),
            id: if topic == RAW_TOPIC { self.raw_id() } else { [8; 16] },
            partitions: if self.script().idle_partition.is_some() { 2 } else { 1 },
            replication: 1,
            cleanup: Cleanup::Delete,
            retention_ms: None,
            timestamp_ahead_max_ms: None,
        }))
    }
}

impl Appender for ScriptedLog {
    fn append(&self, records: &[NewRecord], done: AppendCallback) {
        done(Self::append(self, records));
    }
}

impl ScriptedLog {
    fn read_commits(
        &self,
        call: &str,
        group: &str,
        topic: &str,
        partitions: &[Partition],
    ) -> Vec<Option<CommittedOffset>> {
        let earlier = self.script().earlier.iter().find(|(name, _)| name == group).cloned();
        let committed = match topic == RAW_TOPIC {
            is_raw if earlier.is_some() => earlier.filter(|_| is_raw).map(|(_, committed)| committed),
            true => {
                self.note(call);
                self.script().committed.clone()
            }
            false => self.script().committed_beside.clone(),
        };
        partitions.iter().map(|it| committed.clone().filter(|_| *it == RAW_PARTITION)).collect()
    }
}

impl SlotWriter for ScriptedLog {
    fn committed(
        &mut self,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        Log::committed(self, "", topic, partitions)
    }

    fn append(&mut self, records: &[NewRecord]) -> Result<Acknowledged<'_>, LogError> {
        Self::append(self, records)?;
        Ok(Acknowledged::new(self))
    }
}

impl Transaction for ScriptedLog {
    fn commit(&mut self, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        self.commit_offsets("commit", offsets)
    }

    fn abort(&mut self) {
        self.note("abort");
    }
}

struct ScriptedReader {
    log: ScriptedLog,
    next: u64,
    page: Page,
}

impl LogReader for ScriptedReader {
    fn poll(&mut self, _wait: Duration) -> Result<Batch<'_>, LogError> {
        let mut script = self.log.script();
        let poll = script.polls.pop_front();
        if script.polls.is_empty() {
            self.log.stop.stop();
        }
        let Poll { records, passes_ms } = poll.unwrap_or(Poll { records: 0, passes_ms: 0 });
        self.log.pass_ms(passes_ms);
        script.calls.push(format!("poll {records}"));
        self.page.clear();
        for _ in 0..records {
            let RawRecord { timestamp_ms, key, value } = &script.raw[self.next as usize];
            let record = LogRecord { offset: Offset(self.next), timestamp_ms: *timestamp_ms, key, value };
            self.page.push_record(RAW_PARTITION, record, Headers::default());
            self.next += 1;
        }
        if self.next == script.raw.len() as u64 {
            self.page.push_end(RAW_PARTITION, Offset(self.next + script.control_records));
        }
        if let Some(polls) = script.idle_partition {
            script.idle_partition = Some(polls.saturating_sub(1));
            if polls == 0 {
                self.page.push_end(Partition(1), Offset(1));
            }
        }
        Ok(Batch::from(&self.page))
    }

    fn known_end(&self, _partition: Partition) -> Option<Offset> {
        let known_end_ms = self.log.script().known_end_ms.pop_front().unwrap_or(0);
        self.log.pass_ms(known_end_ms);
        None
    }
}
