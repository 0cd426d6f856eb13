//! Small scope, completely: all logs of a few records under all schedules of commits and crashes.
//!
//! One record per offset, its window the minute it was received in or an earlier one; `L = 1`. After every record
//! but the last the schedule does nothing, commits, crashes, or commits and crashes.

use std::collections::BTreeMap;
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

/// Runs all `4^records` logs under all `4^(records - 1)` schedules. Returns how many runs there were.
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
    let schedules = CHOICES.pow(u32::try_from(log.len() - 1).expect("a few"));
    for number in 0..schedules {
        let mut schedule = digits(number, CHOICES, log.len() - 1);
        schedule.push(0);
        if run(log, &values, &schedule, mutant).as_ref() != Some(&expected) {
            return Err(Counterexample { log: log.to_vec(), schedule });
        }
    }
    Ok(schedules as u64)
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

/// What the topic ends with; `None` where a reader saw a dip.
fn run(log: &[usize], values: &[Vec<u8>], schedule: &[usize], mutant: &Mutant) -> Option<Topic> {
    let (mut topic, mut committed): (_, Option<(Offset, String)>) = (Topic::new(), None);
    let (mut core, mut next) = open(None, 0, mutant);
    let (mut out, mut now_ms) = (Vec::new(), 0);
    for (last, &step) in schedule.iter().enumerate() {
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
        publish(&out, &mut topic)?;
        let commit = core.acknowledged(out.len() as u64);
        out.clear();
        if step & COMMIT != 0
            && let Some(commit) = commit
        {
            committed = Some(stored(&commit, &*core));
        }
        if step & CRASH != 0 {
            (core, next) = open(committed.as_ref(), last + 1, mutant);
        }
    }
    Some(topic)
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
