//! Small scope, completely: all logs of a few records under all schedules of commits and crashes.
//!
//! One record per offset, its window the minute it was received in or an earlier one; `L = 1`. After every record
//! but the last the schedule does nothing, commits, crashes, or commits and crashes.
//!
//! A crash leaves nothing but the newest commit, the topic and how far the log was read; and until the next one it makes no difference
//! to what is folded whether a commit was stored. So a partition is opened once for each of these that any schedule leads to, and
//! read to the end of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message;
use yahtzee_core::commit::Commit;
use yahtzee_core::effect::Effect;
use yahtzee_core::erased::AnyPartition;
use yahtzee_core::owner::Partition;
use yahtzee_core::partition::History;
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_core::summary::SummaryKey;
use yahtzee_core::window::Policy;

use crate::config::Config;
use crate::job::{Measurement, SimJob, SimRecord, SimValue, digest_of};
use crate::mutants::Mutant;
use crate::raw::owner;
use crate::slot::{Holder, identity_of};

const MINUTES: usize = 4;
const LENGTH_MS: i64 = 60_000;
const POLICY: Policy = Policy {
    length_ms: 60_000,
    lateness_windows: 1,
    future_windows: 1,
    flush_interval_ms: 1,
    clock_skew_ms: 0,
    series_max: 10,
    series_per_owner_max: 10,
    publishes_late: false,
};

const CHOICES: usize = 4;
const COMMIT: usize = 1;
const CRASH: usize = 2;

/// Digest of what a window's summary holds, by minute.
type Topic = BTreeMap<i64, (u64, u64)>;

/// A log and a schedule under which the topic ends wrong or a reader sees a dip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// Minute of each record.
    pub log: Vec<usize>,
    /// What happens after each: 0 nothing, 1 commit, 2 crash, 3 commit and crash.
    pub schedule: Vec<usize>,
}

/// Runs all `4^records` logs under all `4^(records - 1)` schedules. Returns how many pairs of them there are.
///
/// # Errors
/// The first counterexample of one of the threads.
pub fn check_small_scope(records: usize, threads: usize, mutant: &Mutant) -> Result<u64, Counterexample> {
    let next = AtomicUsize::new(0);
    let logs = MINUTES.pow(u32::try_from(records).expect("a few"));
    let work = || -> Result<u64, Counterexample> {
        let mut runs = 0;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= logs {
                return Ok(runs);
            }
            runs += check_log(&digits(number, MINUTES, records), mutant)?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a run does not panic")).sum()
    })
}

fn check_log(log: &[usize], mutant: &Mutant) -> Result<u64, Counterexample> {
    let values: Vec<Vec<u8>> =
        log.iter().enumerate().map(|(offset, &minute)| value(offset, minute)).collect();
    let expected = truth(log);
    let (mut seen, mut open) = (BTreeSet::new(), vec![Crash::default()]);
    while let Some(crash) = open.pop() {
        let (end, next) = run(log, &values, &crash, mutant);
        if end.as_ref() != Some(&expected) {
            let mut schedule = crash.schedule;
            schedule.resize(log.len(), 0);
            return Err(Counterexample { log: log.to_vec(), schedule });
        }
        open.extend(next.into_iter().filter(|crash| seen.insert(crash.left())));
    }
    Ok(CHOICES.pow(u32::try_from(log.len() - 1).expect("a few")) as u64)
}

/// What a crash leaves.
#[derive(Clone, Debug, Default)]
struct Crash {
    /// What has happened after each record that was read: as many as there were.
    schedule: Vec<usize>,
    committed: Option<(Offset, String)>,
    topic: Topic,
}

impl Crash {
    fn left(&self) -> (usize, Option<(Offset, String)>, Topic) {
        (self.schedule.len(), self.committed.clone(), self.topic.clone())
    }
}

fn digits(mut number: usize, base: usize, length: usize) -> Vec<usize> {
    let digit = |_| {
        let digit = number % base;
        number /= base;
        digit
    };
    (0..length).map(digit).collect()
}

/// One pass over the log with the rules written down once more: watermark, lateness, nothing else.
fn truth(log: &[usize]) -> Topic {
    let (mut watermark, mut topic) = (i64::MIN, Topic::new());
    for (offset, &minute) in (0_u64..).zip(log) {
        let minute = i64::try_from(minute).expect("a few");
        watermark = watermark.max(minute);
        if minute >= watermark - 1 {
            let (count, digest) = topic.entry(minute).or_default();
            (*count, *digest) = (*count + 1, digest.wrapping_add(digest_of(offset, 1)));
        }
    }
    topic
}

fn value(offset: usize, minute: usize) -> Vec<u8> {
    let time_ms = minute as i64 * LENGTH_MS;
    let measurements = vec![Measurement { time_ms, dimension: 0, id: offset as u64 }];
    SimRecord { measurements, ..SimRecord::default() }.encode_to_vec()
}

fn open(committed: Option<&(Offset, String)>, end: usize, mutant: &Mutant) -> (Box<dyn AnyPartition>, usize) {
    let config = Config { partitions: 1, length_ms: 60_000, ..Config::default() };
    let history = History {
        partition: Partition(0),
        start: committed.map(|(offset, text)| (*offset, text.as_str())).into(),
        log_start: Offset(0),
        log_end: Offset(end as u64),
        poisoned: &[],
        losses: &[],
    };
    let identity = identity_of(&config, 1, &Holder::default());
    let opened = (mutant.open)(Arc::new(SimJob { version: 1 }), POLICY, identity, history);
    let opened = opened.expect("its own commits fit it");
    (opened.core, opened.read_from.0 as usize)
}

/// Reads the log from a crash to its end. Returns what the topic ends with, `None` where a reader saw a dip; and every crash that
/// could come next.
fn run(log: &[usize], values: &[Vec<u8>], crash: &Crash, mutant: &Mutant) -> (Option<Topic>, Vec<Crash>) {
    let (mut topic, first) = (crash.topic.clone(), crash.schedule.len());
    let (mut core, mut next) = open(crash.committed.as_ref(), first, mutant);
    let (mut out, mut now_ms) = (Vec::new(), 0);
    // Without a commit, and with each that there was.
    let (mut committed, mut crashes) = (vec![(crash.schedule.clone(), crash.committed.clone())], Vec::new());
    for last in first..log.len() {
        while next <= last {
            let timestamp_ms = log[next] as i64 * LENGTH_MS + LENGTH_MS / 2;
            let record = LogRecord {
                offset: Offset(next as u64),
                timestamp_ms,
                key: &owner(0).0,
                value: &values[next],
            };
            core.ingest(record, &mut out);
            next += 1;
            now_ms += 10;
            core.tick(now_ms, &mut out);
        }
        if publish(&out, &mut topic).is_none() {
            return (None, crashes);
        }
        let commit = core.acknowledged(out.len() as u64);
        out.clear();
        let without = committed[0].0.clone();
        committed.iter_mut().for_each(|(schedule, _)| schedule.push(0));
        if let Some(commit) = commit {
            committed.push(([without, vec![COMMIT]].concat(), Some(stored(&commit, &*core))));
        }
        if last + 1 < log.len() {
            crashes.extend(committed.iter().map(|(schedule, committed)| {
                let mut schedule = schedule.clone();
                schedule[last] |= CRASH;
                Crash { schedule, committed: committed.clone(), topic: topic.clone() }
            }));
        }
    }
    (Some(topic), crashes)
}

fn stored(commit: &Commit, core: &dyn AnyPartition) -> (Offset, String) {
    (commit.replay_offset(), commit.metadata(core.identity()))
}

/// Writes what was emitted; `None` where it has folded fewer records than what it replaces.
fn publish(out: &[Effect], topic: &mut Topic) -> Option<()> {
    for effect in out {
        let Effect::Emit(emit) = effect else { return None };
        let minute = SummaryKey::decode(&emit.key).ok()?.window_start_ms / LENGTH_MS;
        let value = SimValue::decode(&*emit.value).ok()?;
        let count = value.provenance?.count;
        let (before, _) = topic.insert(minute, (count, value.digest)).unwrap_or_default();
        if count < before {
            return None;
        }
    }
    Some(())
}
