//! One slot in the hands of one process: what the runtime's worker does with it, one effect at a time, so that
//! anything can happen between any two.

use std::sync::Arc;

use yahtzee_core::assignment::partitions_of;
use yahtzee_core::commit::{Commit, Identity, OwnerTag};
use yahtzee_core::effect::Effect;
use yahtzee_core::erased::AnyPartition;
use yahtzee_core::owner::Partition;
use yahtzee_core::partition::History;
use yahtzee_core::record::{Offset, RecordOutcome};
use yahtzee_core::window::Policy;

use crate::broker::{Broker, OutRecord, ProducerId};
use crate::config::Config;
use crate::job::SimJob;
use crate::mutants::Mutant;
use crate::ops::Fault;
use crate::raw::{RawEntry, RawLog};
use crate::shell::{Opening, ReadStart};
use crate::watch::{Opened, Watch};

mod write;

use write::Write;

/// Everything a slot can reach.
pub(crate) struct Outside<'a> {
    pub(crate) config: &'a Config,
    pub(crate) mutant: &'a Mutant,
    pub(crate) broker: &'a mut Broker,
    pub(crate) logs: &'a [RawLog],
    pub(crate) watch: &'a mut Watch,
}

/// Whose slot it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holder {
    pub(crate) process: u64,
    /// Version of the fold that the process runs.
    pub(crate) version: u32,
    pub(crate) index: u64,
    pub(crate) count: u64,
    pub(crate) started_ms: i64,
}

/// One partition of an open slot.
struct Part {
    partition: u32,
    core: Box<dyn AnyPartition>,
    effects: Vec<Effect>,
    /// Next offset to be read.
    next: u64,
    /// End of the log at which it was last found to be read.
    end_seen: Option<u64>,
    /// The newest acknowledged commit, and when it was.
    committed: Option<Commit>,
    committed_at_ms: u64,
    resumed_position: u64,
    /// Nothing was lost before this incarnation started.
    is_whole: bool,
    /// Place among the incarnations that are watched, until the first record has settled the incomplete.
    unsettled: Option<usize>,
}

#[derive(Debug)]
enum Phase {
    /// Steps of opening that are done.
    Opening(usize),
    Running,
    Writing(Write),
    Gone,
}

/// What opening has found out so far, per place.
#[derive(Debug, Default)]
struct Found {
    committed: Vec<Option<(u64, String)>>,
    bounds: Vec<(u64, u64)>,
}

/// See the module.
pub(crate) struct Slot {
    holder: Holder,
    slot: u32,
    partitions: Vec<u32>,
    parts: Vec<Part>,
    phase: Phase,
    found: Found,
    fence: Option<(ProducerId, u32)>,
    /// Bytes of failed writes that a mistaken shell will send again.
    leftover: Vec<OutRecord>,
    /// Offsets at which the job has panicked in this process, per place.
    poisoned: Vec<Vec<Offset>>,
    next_write_ms: u64,
    /// Whether the last write has left effects behind.
    has_rest: bool,
    turn: usize,
}

impl Slot {
    pub(crate) fn new(slot: u32, holder: Holder, config: &Config) -> Self {
        let partitions = partitions_of(slot, config.slot_count(), config.partition_count());
        let partitions: Vec<u32> = partitions.map(|partition| partition.0).collect();
        Self {
            holder,
            slot,
            poisoned: vec![Vec::new(); partitions.len()],
            partitions,
            parts: Vec::new(),
            phase: Phase::Opening(0),
            found: Found::default(),
            fence: None,
            leftover: Vec::new(),
            next_write_ms: 0,
            has_rest: false,
            turn: 0,
        }
    }

    /// Takes the next step, with up to `records` records.
    pub(crate) fn step(&mut self, records: usize, fault: Fault, outside: &mut Outside<'_>) {
        match std::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::Opening(done) => self.open(done, fault, outside),
            Phase::Running => self.run(records, outside),
            Phase::Writing(write) => self.write(write, records, fault, outside),
            Phase::Gone => {}
        }
    }

    /// Whether there is nothing to do until time passes or something is appended.
    pub(crate) fn is_idle(&self, outside: &Outside<'_>) -> bool {
        let has_read_all = |part: &Part| part.end_seen == Some(outside.logs[part.partition as usize].end());
        match self.phase {
            Phase::Gone => true,
            Phase::Running => {
                self.parts.iter().all(has_read_all)
                    && self.now_ms(outside) < self.next_write_ms
                    && !self.has_to_write(outside)
            }
            Phase::Opening(_) | Phase::Writing(_) => false,
        }
    }

    /// Loses what is in memory and starts from the last commit.
    pub(crate) fn reopen(&mut self) {
        self.parts.clear();
        self.has_rest = false;
        self.phase = Phase::Opening(0);
    }

    /// The process gives the slot up.
    fn end(&mut self) {
        self.parts.clear();
        self.phase = Phase::Gone;
    }

    /// A write under way fails.
    pub(crate) fn lose_connection(&mut self) {
        if matches!(self.phase, Phase::Writing(_)) {
            self.reopen();
        }
    }

    /// Writes what has changed, whether due or not.
    pub(crate) fn drain(&mut self, outside: &Outside<'_>) {
        if matches!(self.phase, Phase::Running) {
            self.parts.iter_mut().for_each(|part| part.core.flush(&mut part.effects));
            self.begin_write(outside);
        }
    }

    /// Partitions that are read to the end the core was told of.
    pub(crate) fn caught_up(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        self.parts.iter().map(|part| (part.partition, part.core.status().is_caught_up))
    }

    fn now_ms(&self, outside: &Outside<'_>) -> u64 {
        u64::try_from(outside.broker.now_ms - self.holder.started_ms).unwrap_or(0)
    }

    /// Whether too much waits, or what the last write has left.
    fn has_to_write(&self, outside: &Outside<'_>) -> bool {
        let backlog: u64 = self.parts.iter().map(|part| part.effects.len() as u64).sum();
        backlog >= if self.has_rest { 1 } else { outside.config.backlog_max }
    }

    fn open(&mut self, done: usize, fault: Fault, outside: &mut Outside<'_>) {
        self.phase = Phase::Opening(done);
        if fault != Fault::None {
            return;
        }
        let Some(step) = outside.mutant.shell.opening().get(done).copied() else {
            self.open_parts(outside);
            return;
        };
        match step {
            Opening::Fence => {
                outside.watch.latest.insert((self.holder.version, self.slot), self.holder.process);
                if outside.config.is_fenced == 1 {
                    let suffix = outside.mutant.shell.transactional_suffix(self.holder.process);
                    let id = (self.holder.version, self.slot, suffix);
                    self.fence = Some((id, outside.broker.init(id)));
                }
            }
            Opening::Commits => {
                let committed = |&partition: &u32| {
                    let commit = outside.broker.committed(self.holder.version, partition)?;
                    Some((commit.offset, commit.metadata.clone()))
                };
                self.found.committed = self.partitions.iter().map(committed).collect();
            }
            Opening::Bounds => {
                let logs = self.partitions.iter().map(|&partition| &outside.logs[partition as usize]);
                let shell = outside.mutant.shell;
                self.found.bounds = logs.map(|log| (shell.log_start(log), shell.log_end(log))).collect();
            }
        }
        self.phase = Phase::Opening(done + 1);
    }

    fn open_parts(&mut self, outside: &mut Outside<'_>) {
        for place in 0..self.partitions.len() {
            match self.open_part(place, outside) {
                Some(part) => self.parts.push(part),
                None => {
                    outside.watch.refusals += 1;
                    self.end();
                    return;
                }
            }
        }
        self.phase = Phase::Running;
    }

    fn open_part(&self, place: usize, outside: &mut Outside<'_>) -> Option<Part> {
        let partition = self.partitions[place];
        let committed = self.found.committed[place].clone();
        let (log_start, log_end) = self.found.bounds[place];
        let first_left = outside.logs[partition as usize].start;
        let history = History {
            partition: Partition(partition),
            start: committed.as_ref().map(|(offset, text)| (Offset(*offset), text.as_str())).into(),
            log_start: Offset(log_start),
            log_end: Offset(log_end),
            poisoned: &self.poisoned[place],
        };
        let generation = outside.mutant.shell.generation(self.holder.version);
        let identity = identity_of(outside.config, generation, &self.holder);
        let job = Arc::new(SimJob { version: self.holder.version });
        let opened = (outside.mutant.open)(job, outside.config.policy(), identity, history).ok()?;
        let read = committed.as_ref().and_then(|(offset, text)| Commit::read(Offset(*offset), text).ok());
        let position = read.map(|(commit, _)| commit.position().0);
        let start = ReadStart { opened: opened.read_from.0, position, first_left, log_end };
        let incomplete = opened.core.status().incomplete;
        let is_whole = incomplete.is_empty();
        let settled = (!incomplete.is_open_ended()).then(|| incomplete.clone());
        let unsettled = settled.is_none().then_some(outside.watch.opened.len());
        outside.watch.opened.push(Opened {
            generation: self.holder.version,
            partition,
            committed,
            log_start,
            verdict: opened.verdict,
            incomplete,
            first_record: None,
            settled,
        });
        Some(Part {
            partition,
            core: opened.core,
            effects: Vec::new(),
            next: outside.mutant.shell.reads_from(&start),
            end_seen: None,
            committed: None,
            committed_at_ms: self.now_ms(outside),
            resumed_position: position.unwrap_or(0),
            is_whole,
            unsettled,
        })
    }

    fn run(&mut self, records: usize, outside: &mut Outside<'_>) {
        if outside.watch.latest.get(&(self.holder.version, self.slot)) != Some(&self.holder.process) {
            outside.watch.zombies += 1;
        }
        self.turn += 1;
        let place = self.turn % self.parts.len();
        if !self.read(place, records, outside) {
            self.reopen();
            return;
        }
        let now_ms = self.now_ms(outside);
        let is_due = now_ms >= self.next_write_ms;
        if is_due {
            let interval_ms = outside.mutant.shell.flush_interval_ms(outside.config.flush_ms);
            let policy = Policy { flush_interval_ms: interval_ms, ..Policy::default() };
            self.next_write_ms = policy.next_flush_ms(now_ms);
            self.parts.iter_mut().for_each(|part| part.core.tick(now_ms, &mut part.effects));
        }
        self.phase = Phase::Running;
        if is_due || self.has_to_write(outside) {
            self.begin_write(outside);
        }
    }

    /// Reads a batch of one partition; false where the run ends: the log has lost the offset, or the job panics.
    fn read(&mut self, place: usize, records: usize, outside: &mut Outside<'_>) -> bool {
        let partition = self.parts[place].partition;
        let log = &outside.logs[partition as usize];
        if self.parts[place].next < log.start {
            return false;
        }
        let mut left = records;
        while left > 0 && self.parts[place].next < log.end() {
            let offset = self.parts[place].next;
            self.parts[place].next += 1;
            let RawEntry::Record(record) = &log.entries[offset as usize] else { continue };
            if record.panics && !self.poisoned[place].contains(&Offset(offset)) {
                self.poisoned[place].push(Offset(offset));
                return false;
            }
            left -= 1;
            let part = &mut self.parts[outside.mutant.shell.core_of(place)];
            let fate = part.core.ingest(record.lend(offset), &mut part.effects);
            self.observe(place, offset, fate, record.timestamp_ms >= 0, outside.watch);
        }
        let part = &mut self.parts[place];
        if part.next == log.end() {
            part.end_seen = Some(part.next);
            if outside.mutant.shell.tells_end() {
                part.core.reached(Offset(part.next));
            }
        }
        outside.watch.series_peak = outside.watch.series_peak.max(part.core.status().series as u64);
        true
    }

    fn observe(
        &mut self,
        place: usize,
        offset: u64,
        fate: RecordOutcome,
        is_stamped: bool,
        watch: &mut Watch,
    ) {
        watch.records += 1;
        let part = &mut self.parts[place];
        if is_stamped && let Some(index) = part.unsettled.take() {
            watch.opened[index].first_record = Some(offset);
            watch.opened[index].settled = Some(part.core.status().incomplete);
        }
        if part.is_whole && offset >= part.resumed_position {
            watch.fate(self.holder.version, part.partition, offset, fate);
        }
    }
}

/// What the commits of a holder belong to.
pub(crate) fn identity_of(config: &Config, generation: u32, holder: &Holder) -> Identity {
    let small = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    Identity {
        generation,
        topic_id: [4; 16],
        partition_count: config.partition_count(),
        window_length_ms: config.policy().length_ms,
        owner_tag: OwnerTag {
            worker: small(holder.index),
            workers: small(holder.count),
            incarnation: u32::try_from(holder.process).unwrap_or(u32::MAX),
        },
    }
}
