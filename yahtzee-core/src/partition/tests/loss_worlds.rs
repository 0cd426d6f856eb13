//! Drawn lives of a log that loses records from its end, and of the generations that read it: whatever happens in which order, none
//! that begins to fold anew afterwards publishes a window without a record that one before it had read.

use std::collections::BTreeMap;

use super::*;
use crate::slot::EarlierCommits;
use crate::slot::{Bounds, CommittedOffset};

const SEEDS: u64 = 4_000;
const STEPS: usize = 90;
const SKEW_MS: u64 = 60_000;
/// What [`Ids`] can tell apart.
const RECORDS_MAX: u32 = 60;

/// A record of the log; it has one measurement.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: u32,
    timestamp_ms: i64,
    minute: i64,
    /// Whether a commit vouches for it.
    is_read: bool,
}

/// A record that was accepted into a window, and that the log has lost.
#[derive(Clone, Copy, Debug)]
struct Lost {
    id: u32,
    minute: i64,
    step: usize,
}

struct World {
    seed: u64,
    random: u64,
    step: usize,
    now_ms: i64,
    next_id: u32,
    /// `None` where a control record lies.
    log: Vec<Option<Entry>>,
    start: u64,
    generation: u32,
    commits: BTreeMap<u32, (Offset, String)>,
    lost: Vec<Lost>,
    /// The running core, its next offset, and the step at which it was opened.
    core: Option<(PartitionCore<Ids>, u64)>,
    opened: usize,
    published: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            step: 0,
            now_ms: 1_000 * MINUTE_MS,
            next_id: 0,
            log: Vec::new(),
            start: 0,
            generation: 1,
            commits: BTreeMap::new(),
            lost: Vec::new(),
            core: None,
            opened: 0,
            published: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % bound
    }

    fn identity(&self) -> Identity {
        Identity { generation: self.generation, ..identity() }
    }

    fn act(&mut self) {
        self.step += 1;
        match self.below(100) {
            0..40 => self.append(),
            40..46 => {
                let quiet = self.below(25).cast_signed();
                self.now_ms += quiet * MINUTE_MS;
            }
            46..50 => self.log.push(None),
            50..75 => self.read(),
            75..85 => self.commit(),
            85..90 => self.core = None,
            90..95 => self.lose(),
            95..97 => self.start = self.start.max(self.below(self.log.len() as u64 + 1)),
            _ => self.raise(),
        }
    }

    fn append(&mut self) {
        if self.next_id == RECORDS_MAX {
            return;
        }
        self.now_ms += self.below(2 * SKEW_MS).cast_signed();
        let timestamp_ms = self.now_ms - self.below(SKEW_MS + 1).cast_signed();
        let minute = timestamp_ms.div_euclid(MINUTE_MS) + self.below(10).cast_signed() - 7;
        self.log.push(Some(Entry { id: self.next_id, timestamp_ms, minute, is_read: false }));
        self.next_id += 1;
    }

    fn raise(&mut self) {
        (self.generation, self.core) = (self.generation + 1, None);
    }

    /// The log loses its newest records, and those who read it notice.
    fn lose(&mut self) {
        self.core = None;
        let kept = self.log.len() as u64 - self.below(self.log.len().min(12) as u64 + 1);
        let (policy, mut watermark_ms) = (Policy::default(), None);
        for (offset, entry) in (0..).zip(&self.log) {
            let Some(entry) = entry else { continue };
            watermark_ms = watermark_ms.max(Some(entry.timestamp_ms));
            let (first, last) = Production::accepts(watermark_ms, entry.timestamp_ms, &policy);
            if offset >= kept && entry.is_read && (first..=last).contains(&Window(entry.minute)) {
                self.lost.push(Lost { id: entry.id, minute: entry.minute, step: self.step });
            }
        }
        self.log.truncate(kept as usize);
        self.start = self.start.min(kept);
    }

    /// The records at or after an offset.
    fn prints(&self, from: u64) -> Vec<RecordPrint> {
        let entries = (0..).zip(&self.log).skip(from as usize);
        entries
            .filter_map(|(offset, entry)| Some(with_record(offset, (*entry)?, |it| RecordPrint::of(&it))))
            .collect()
    }

    fn losses(&self) -> Vec<LostTail> {
        let stored = |(_, (offset, text)): (&u32, &(Offset, String))| CommittedOffset {
            offset: *offset,
            metadata: text.clone(),
        };
        let earlier: Vec<CommittedOffset> = self.commits.range(..self.generation).rev().map(stored).collect();
        let own = self.commits.get_key_value(&self.generation).map(stored);
        let (stored, partition, now) = (vec![earlier], Partition(0), identity());
        let read = match own {
            None => EarlierCommits::read(&stored, partition, &now),
            Some(own) => EarlierCommits::beyond(&own, &stored, partition, &now),
        };
        let Some(mut earlier) = read.unwrap() else { return Vec::new() };
        let bounds = Bounds { start: Offset(self.start), end: Offset(self.log.len() as u64) };
        while let Some(from) = earlier.next_tail(&bounds) {
            earlier.take_tail(self.prints(from.0));
        }
        earlier.losses(&bounds)
    }

    fn open(&mut self) {
        let own = self.commits.get(&self.generation).cloned();
        let losses = self.losses();
        let end = self.log.len() as u64;
        let position = own.as_ref().map(|(offset, text)| Commit::read(*offset, text).unwrap().0.position().0);
        if position.is_some_and(|position| position > end) {
            return self.raise();
        }
        let start = own.as_ref().map(|(offset, text)| (*offset, text.as_str()));
        let history = History { losses: &losses, ..history(start, self.start, end) };
        let opened = PartitionCore::open(Arc::new(Ids), Policy::default(), self.identity(), history).unwrap();
        self.opened = self.step;
        self.core = Some((opened.core, opened.read_from.0));
    }

    fn read(&mut self) {
        if self.core.is_none() {
            self.open();
        }
        let batch = self.below(8);
        let Some((mut core, mut next)) = self.core.take() else { return };
        let (mut out, end) = (Vec::new(), self.log.len() as u64);
        let from = next;
        for offset in from..end.min(from + batch) {
            if let Some(entry) = self.log[offset as usize] {
                let outcome = with_record(offset, entry, |record| core.ingest(record, &mut out));
                if outcome == RecordOutcome::OtherLog {
                    return self.raise();
                }
            }
            next = offset + 1;
        }
        if next >= end && core.reached(Offset(end)).is_err() {
            return self.raise();
        }
        core.flush(&mut out);
        self.check(&out);
        self.core = Some((core, next));
    }

    /// All that was published is committed, or nothing is yet.
    fn commit(&mut self) {
        let Some((core, _)) = &mut self.core else { return };
        let waiting = core.emitted - core.acknowledged;
        let Some(commit) = core.acknowledged(waiting) else { return };
        let text = commit.metadata(&Identity { generation: self.generation, ..identity() });
        assert!(text.len() < 4_096, "{} characters", text.len());
        let before = self.log.iter_mut().take(commit.position().0 as usize);
        before.flatten().for_each(|entry| entry.is_read = true);
        self.commits.insert(self.generation, (commit.replay_offset(), text));
    }

    fn check(&mut self, out: &[Effect]) {
        for (minute, ids, is_final) in seen(out) {
            self.published += 1;
            let lacks =
                |lost: &&Lost| lost.minute == minute && lost.step < self.opened && ids & 1 << lost.id == 0;
            if let Some(lost) = self.lost.iter().find(lacks) {
                panic!(
                    "seed {}, step {}, generation {}: minute {minute} goes out (final: {is_final}) without {lost:?}",
                    self.seed, self.step, self.generation
                );
            }
        }
    }
}

fn with_record<T>(offset: u64, entry: Entry, then: impl FnOnce(LogRecord<'_>) -> T) -> T {
    let value =
        IdRecord { frame_id: Vec::new(), ids: vec![measurement(entry.minute, entry.id)] }.encode_to_vec();
    then(LogRecord { offset: Offset(offset), timestamp_ms: entry.timestamp_ms, key: &OWNER.0, value: &value })
}

#[test]
fn no_window_goes_out_without_a_record_that_was_read_and_lost() {
    let (mut published, mut lost) = (0, 0);
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| world.act());
        (published, lost) = (published + world.published, lost + world.lost.len());
    }
    assert!(published > 0 && lost > 0, "{published} summaries, {lost} records lost");
}
