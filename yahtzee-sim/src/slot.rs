//! One slot in the hands of one process: the [`SlotMachine`] that the worker of the runtime drives too, driven here one
//! step at a time against a log, a broker and a clock in which anything can happen between any two.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use yahtzee_core::assignment::partitions_of;
use yahtzee_core::commit::{AcceptanceSettings, Commit, Identity, IdentityMismatch, OwnerTag};
use yahtzee_core::effect::Effect;
use yahtzee_core::job::Job;
use yahtzee_core::log_tail::RecordPrint;
use yahtzee_core::lost_tail::LostTail;
use yahtzee_core::owner::Partition;
use yahtzee_core::partition::{History, ResumeError, Status};
use yahtzee_core::record::{Offset, RecordOutcome};
use yahtzee_core::slot::{
    Assignment, CommittedOffset, PartitionCommit, PartitionRefused, SlotFailure, SlotMachine, SlotRequest,
    SlotSettings,
};

use crate::broker::{Answer, Broker, OffsetCommit};
use crate::config::Config;
use crate::failure::Property;
use crate::job::SimJob;
use crate::mutants::Mutant;
use crate::ops::Fault;
use crate::raw::{RawEntry, RawLog};
use crate::shell::ReadStart;
use crate::watch::{Opened, Watch};

mod client;
mod opening;

use client::Client;

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

/// The reader of one assigned partition, and what is observed of it.
struct PartitionReader {
    /// Next offset to be read.
    next: u64,
    /// End of the log at which it was last found to be read.
    end_seen: Option<u64>,
    resumed_position: u64,
    /// Nothing was lost before this incarnation started.
    is_whole: bool,
    /// Index among the incarnations that are watched, until the first record has settled the incomplete.
    unsettled: Option<usize>,
    /// Life of the log that it reads.
    life: usize,
    /// What the log had lost before, as the core knows it.
    losses: Vec<LostTail>,
}

impl PartitionReader {
    /// What a client does when the leader of a partition has changed: it asks whether the log still has what it has read.
    fn follow(&mut self, log: &RawLog) -> Result<(), SlotFailure> {
        if self.next < log.start || self.next > log.shared_between(self.life, log.life()) {
            return Err(SlotFailure::InputLost);
        }
        self.life = log.life();
        Ok(())
    }
}

/// What the log told a slot of one of its partitions while it opened.
#[derive(Clone, Debug, Default)]
struct Found {
    commit: Option<OffsetCommit>,
    /// Of earlier versions, the newest one first.
    earlier: Vec<OffsetCommit>,
    /// Life of the log when its bounds were read.
    life: usize,
}

impl Found {
    /// Whether the log has lost what had been read at the commit, as seen by who reads it in this life.
    fn has_lost(&self, log: &RawLog, life: usize) -> bool {
        let Some(OffsetCommit { offset, metadata, life: of_commit, .. }) = &self.commit else { return false };
        let read = Commit::read(Offset(*offset), metadata);
        read.is_ok_and(|(commit, _)| commit.position().0 > log.shared_between(*of_commit, life))
    }

    /// Whether it had records below the commit that are others now, or whose offsets are free.
    fn is_elsewhere(&self, log: &RawLog, life: usize) -> bool {
        let Some(OffsetCommit { offset, metadata, life: of_commit, .. }) = &self.commit else { return false };
        let read = Commit::read(Offset(*offset), metadata);
        read.is_ok_and(|(commit, _)| !log.is_same_below(commit.position().0, *of_commit, life))
    }
}

/// See the module.
pub(crate) struct Slot {
    holder: Holder,
    /// Of its process.
    config: Config,
    slot: u32,
    /// The raw topic as it was when the slot began to open.
    topic: u8,
    machine: SlotMachine,
    client: Client,
    /// By index of the partition.
    found: Vec<Found>,
    readers: Vec<PartitionReader>,
    turn: usize,
    /// Who had committed when the process got its first answer, each of them a predecessor to it; `None` before.
    predecessors: Option<Vec<u64>>,
    /// A partition of which a process that was started later had committed when the slot began to open anew.
    succeeded: Option<Partition>,
}

impl Slot {
    pub(crate) fn new(slot: u32, holder: Holder, config: &Config, topic: u8, mutant: &Mutant) -> Self {
        let partitions = partitions_of(slot, config.slot_count(), config.partition_count());
        let size = |number: u64| usize::try_from(number).expect("drawn far below 2^32");
        let settings = SlotSettings {
            partitions: partitions.collect(),
            policy: config.policy(),
            backlog_max: size(config.backlog_max),
            backlog_bytes_max: usize::MAX,
            write_max: config.write_max(),
        };
        let mut new = Self {
            holder,
            config: *config,
            slot,
            topic,
            machine: SlotMachine::with_rules(settings, mutant.slot),
            client: Client::new(holder.version),
            found: Vec::new(),
            readers: Vec::new(),
            turn: 0,
            predecessors: None,
            succeeded: None,
        };
        new.open(topic, mutant);
        new
    }

    /// Takes the next step, with up to `records` records.
    pub(crate) fn step(&mut self, records: usize, fault: Fault, outside: &mut Outside<'_>) {
        let reads = self.client.is_idle() || outside.config.folds_beside_writes == 1;
        if self.machine.is_assigned()
            && reads
            && let Err(failure) = self.read(records, outside)
        {
            self.fail(failure, outside);
        } else if self.client.is_idle() {
            self.ask(fault, outside);
        } else {
            self.proceed(records, fault, outside);
        }
    }

    /// Whether there is nothing to do until time passes or something is appended.
    pub(crate) fn is_idle(&self, outside: &Outside<'_>) -> bool {
        let has_read_all = |(reader, partition): (&PartitionReader, &Partition)| {
            let log = &outside.logs[partition.0 as usize];
            reader.end_seen == Some(log.end()) && reader.life == log.life()
        };
        self.machine.is_closed()
            || self.machine.is_assigned()
                && self.client.is_idle()
                && self.readers.iter().zip(self.machine.partitions()).all(has_read_all)
                && self.now_ms(outside) < self.machine.next_due()
    }

    /// A write under way fails.
    pub(crate) fn lose_connection(&mut self, outside: &mut Outside<'_>) {
        if !self.client.is_idle() {
            self.fail(SlotFailure::Unanswered, outside);
        }
    }

    /// Writes what has changed, whether due or not.
    pub(crate) fn drain(&mut self, outside: &mut Outside<'_>) {
        if self.machine.is_assigned() {
            self.machine.flush();
            if self.client.is_idle() {
                self.ask(Fault::None, outside);
            }
        }
    }

    /// Partitions that are read to the end the core was told of.
    pub(crate) fn caught_up(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        let assigned = self.machine.assigned().iter();
        assigned.map(|assigned| (assigned.partition().0, assigned.status().is_caught_up))
    }

    /// Place of a partition among those of the slot.
    fn index_of(&self, partition: Partition) -> Option<usize> {
        self.machine.partitions().iter().position(|&of_slot| of_slot == partition)
    }

    fn now_ms(&self, outside: &Outside<'_>) -> u64 {
        u64::try_from(outside.broker.now_ms - self.holder.started_ms).unwrap_or(0)
    }

    fn open(&mut self, topic: u8, mutant: &Mutant) {
        self.topic = topic;
        self.found = vec![Found::default(); self.machine.partitions().len()];
        let generation = mutant.shell.generation(self.holder.version);
        let identity =
            Identity { topic_id: topic_id(topic), ..identity_of(&self.config, generation, &self.holder) };
        let job = Arc::new(SimJob { version: self.holder.version });
        let (policy, open) = (self.config.policy(), mutant.open);
        let open = move |history: History<'_>| open(Arc::clone(&job), policy, identity, history);
        self.machine.open(&identity, Box::new(open));
    }

    /// What the shell does after every failure: what is in memory is lost, and the slot opens again where that can
    /// help, or where a platform starts the process again.
    fn fail(&mut self, failure: SlotFailure, outside: &Outside<'_>) {
        self.machine.failed(failure);
        self.client.abandon();
        if !self.machine.is_closed() {
            return;
        }
        self.readers.clear();
        if failure.opens_again() {
            self.succeeded = self.succeeded(outside);
            self.open(outside.logs[0].topic, outside.mutant);
        } else if failure == SlotFailure::Fenced {
            self.ended(outside);
        }
    }

    /// The process has ended because it has a successor. A platform may start it again.
    fn ended(&mut self, outside: &Outside<'_>) {
        if outside.config.reopens_when_fenced == 1 {
            self.start_again(outside);
        }
    }

    /// A new process, which knows nothing, in the place of this one.
    fn start_again(&mut self, outside: &Outside<'_>) {
        *self = Self::new(self.slot, self.holder, &self.config, outside.logs[0].topic, outside.mutant);
    }

    /// Whether the raw topic was made anew since the slot began to open: a worker asks before it writes, and its platform starts it
    /// again.
    fn is_about_to_write_of_another_topic(&self, outside: &Outside<'_>) -> bool {
        let is_due = self.machine.next_due() <= self.now_ms(outside);
        self.machine.is_assigned()
            && !self.machine.is_writing()
            && is_due
            && outside.logs[0].topic != self.topic
    }

    /// Does what the machine asks for, or begins to.
    fn ask(&mut self, fault: Fault, outside: &mut Outside<'_>) {
        if self.is_about_to_write_of_another_topic(outside) {
            return self.start_again(outside);
        }
        let Some(request) = self.machine.poll(self.now_ms(outside)) else { return };
        let is_first_look = request == SlotRequest::PeekCommits;
        let answer = match request {
            SlotRequest::Append(effects) => return self.start_append(effects, outside),
            SlotRequest::Commit(commits) => return self.start_commit(commits, outside),
            SlotRequest::Assign(assignments) => return self.assign(assignments, outside),
            _ if fault != Fault::None => return self.fail(SlotFailure::Unanswered, outside),
            question => self.answer(question, outside),
        };
        match self.machine.answer(answer, self.now_ms(outside)) {
            // It takes no time.
            Ok(()) if is_first_look => self.ask(fault, outside),
            Ok(()) => {}
            Err(PartitionRefused { reason: ResumeError::TakenOver, .. }) => self.ended(outside),
            Err(refused) => self.refused(&refused, outside),
        }
    }

    /// Notes that a partition must not be worked on: for good reason, if its log has lost what was read.
    fn refused(&self, PartitionRefused { partition, reason }: &PartitionRefused, outside: &mut Outside<'_>) {
        // A process with another setting has to be refused.
        if self.config != *outside.config {
            return;
        }
        let log = &outside.logs[partition.0 as usize];
        let found = self.index_of(*partition).map(|index| &self.found[index]);
        let is_for_loss = match reason {
            ResumeError::ShorterLog { .. } | ResumeError::OtherLog { .. } => {
                found.is_some_and(|found| found.has_lost(log, log.life()))
            }
            ResumeError::Mismatch(IdentityMismatch::Topic) => log.topic > 0,
            _ => false,
        };
        if is_for_loss {
            let of_slot = self.machine.partitions().iter().map(|of_slot| (self.holder.version, of_slot.0));
            outside.watch.refused.extend(of_slot);
        } else {
            outside.watch.refusals += 1;
        }
    }

    /// Nothing is made of a partition whose log has lost what was read before its commit.
    fn expect_known(&self, partition: Partition, logs: &[RawLog], watch: &mut Watch) {
        let log = &logs[partition.0 as usize];
        let index = self.index_of(partition);
        if index.is_some_and(|index| self.found[index].is_elsewhere(log, self.readers[index].life)) {
            watch.findings.fail(Property::Incomplete, || {
                format!("partition {partition} goes on from a commit of which its log has lost a part")
            });
        }
    }

    fn start_append(&mut self, effects: Vec<(Partition, Effect)>, outside: &mut Outside<'_>) {
        let lives = self.machine.partitions().iter().zip(&self.readers);
        let lives: Vec<_> = lives.map(|(&partition, reader)| (partition, reader.life)).collect();
        effects.iter().for_each(|(partition, _)| self.expect_known(*partition, outside.logs, outside.watch));
        let life_of = |partition| lives.iter().find(|it| it.0 == partition).map_or(0, |it| it.1);
        self.client.append(effects, life_of, outside.mutant.shell);
    }

    fn start_commit(&mut self, commits: Vec<PartitionCommit>, outside: &mut Outside<'_>) {
        commits.iter().for_each(|commit| self.expect_known(commit.partition, outside.logs, outside.watch));
        let stored = commits.into_iter().map(|commit| {
            let reader = self.index_of(commit.partition).map(|index| &self.readers[index]);
            OffsetCommit {
                generation: self.holder.version,
                partition: commit.partition.0,
                offset: commit.offset.offset.0,
                metadata: outside.mutant.shell.metadata(commit.offset.metadata),
                resumed_position: reader.map_or(0, |reader| reader.resumed_position),
                life: reader.map_or(0, |reader| reader.life),
            }
        });
        self.client.commit(stored.collect(), outside.mutant.shell);
    }

    /// Sends the next request of a write under way. Answers that are complete lead on to the next one.
    fn proceed(&mut self, records: usize, fault: Fault, outside: &mut Outside<'_>) {
        while !self.client.is_idle() {
            if let Some(answer) = self.client.send_next(records, fault, outside) {
                match answer {
                    Answer::Done => {}
                    Answer::Failed => self.fail(SlotFailure::Unanswered, outside),
                    Answer::Fenced => self.fail(SlotFailure::Fenced, outside),
                }
                return;
            }
            let answer = self.client.finish();
            let answered = self.machine.answer(answer, self.now_ms(outside));
            answered.expect("only an opening is refused");
            if self.machine.is_writing() {
                self.ask(fault, outside);
            }
        }
    }

    /// Starts to read.
    fn assign(&mut self, assignments: Vec<Assignment>, outside: &mut Outside<'_>) {
        let assigned = self.machine.assigned().iter().zip(&self.found);
        for (assignment, (assigned, found)) in assignments.into_iter().zip(assigned) {
            let Assignment { partition, read_from, verdict, committed, bounds } = assignment;
            let read = committed.as_ref().and_then(|it| Commit::read(it.offset, &it.metadata).ok());
            let position = read.map(|(commit, _)| commit.position().0);
            let start = ReadStart {
                opened: read_from.0,
                position,
                first_left: outside.logs[partition.0 as usize].start,
                log_end: bounds.end.0,
            };
            let Status { incomplete, losses, .. } = assigned.status();
            let is_whole = incomplete.is_empty() && losses.is_empty();
            let settled = (!incomplete.is_open_ended()).then(|| incomplete.clone());
            let unsettled = settled.is_none().then_some(outside.watch.opened.len());
            outside.watch.opened.push(Opened {
                generation: self.holder.version,
                partition: partition.0,
                committed: committed.map(|committed| (committed.offset.0, committed.metadata)),
                life_of_commit: found.commit.as_ref().map_or(0, |commit| commit.life),
                earlier: found.earlier.clone(),
                topic: self.topic,
                log_start: bounds.start.0,
                log_end: bounds.end.0,
                verdict,
                incomplete,
                losses: losses.clone(),
                first_record: None,
                life: found.life,
                settled,
            });
            self.readers.push(PartitionReader {
                next: outside.mutant.shell.reads_from(&start),
                end_seen: None,
                resumed_position: position.unwrap_or(0),
                is_whole,
                unsettled,
                life: found.life,
                losses,
            });
        }
    }

    /// Reads a batch of one partition.
    fn read(&mut self, records: usize, outside: &mut Outside<'_>) -> Result<(), SlotFailure> {
        if outside.watch.latest.get(&(self.holder.version, self.slot)) != Some(&self.holder.process) {
            outside.watch.zombies += 1;
        }
        self.turn += 1;
        let index = self.turn % self.readers.len();
        let partition = self.machine.partitions()[index];
        let logs = outside.logs;
        let log = &logs[partition.0 as usize];
        self.readers[index].follow(log)?;
        let mut left = records;
        while left > 0 && self.readers[index].next < log.end() {
            let offset = self.readers[index].next;
            self.readers[index].next += 1;
            let RawEntry::Record(record) = &log.entries[offset as usize] else { continue };
            left -= 1;
            let (core, machine) = (outside.mutant.shell.core_of(index), &mut self.machine);
            let lent = record.lend(offset);
            let folded = catch_unwind(AssertUnwindSafe(|| machine.ingest(core, lent)));
            let panicked = |_| SlotFailure::Panicked { partition, record: RecordPrint::of(&lent) };
            let outcome = folded.map_err(panicked)?;
            if outcome == RecordOutcome::OtherLog {
                let reason = ResumeError::OtherLog { offset: Offset(offset) };
                self.refused(&PartitionRefused { partition, reason }, outside);
                return Err(SlotFailure::Refused);
            }
            self.observe(index, offset, outcome, record.timestamp_ms >= 0, outside.watch);
        }
        let reader = &mut self.readers[index];
        if reader.next == log.end() {
            reader.end_seen = Some(reader.next);
            let next = Offset(reader.next);
            if outside.mutant.shell.tells_end()
                && let Err(refused) = self.machine.reached(index, next)
            {
                self.refused(&refused, outside);
                return Err(SlotFailure::Refused);
            }
        }
        let assigned = &self.machine.assigned()[index];
        let (series, state) = (assigned.status().series as u64, assigned.state_bytes());
        outside.watch.series_peak = outside.watch.series_peak.max(series);
        outside.watch.bytes_peak = outside.watch.bytes_peak.max((state.total() - state.frames) as u64);
        Ok(())
    }

    fn observe(
        &mut self,
        index: usize,
        offset: u64,
        outcome: RecordOutcome,
        is_stamped: bool,
        watch: &mut Watch,
    ) {
        watch.records += 1;
        let (reader, assigned) = (&mut self.readers[index], &self.machine.assigned()[index]);
        if is_stamped && let Some(opened) = reader.unsettled.take() {
            watch.opened[opened].first_record = Some(offset);
            watch.opened[opened].life = reader.life;
            watch.opened[opened].settled = Some(assigned.status().incomplete);
        }
        if reader.losses.iter().any(|loss| loss.windows.is_none()) {
            reader.losses = assigned.status().losses;
            let settled = reader.losses.iter().filter_map(|loss| loss.windows);
            watch.lost.entry((self.holder.version, assigned.partition().0)).or_default().extend(settled);
        }
        if reader.is_whole && offset >= reader.resumed_position {
            let key = (self.holder.version, assigned.partition().0, reader.life);
            watch.fate(key, offset, outcome);
        }
    }
}

fn stored(commit: Option<&OffsetCommit>) -> Option<CommittedOffset> {
    let OffsetCommit { offset, metadata, .. } = commit?;
    Some(CommittedOffset { offset: Offset(*offset), metadata: metadata.clone() })
}

/// Id of a raw topic: see [`RawLog::topic`].
pub(crate) fn topic_id(topic: u8) -> [u8; 16] {
    [4 + topic; 16]
}

/// What the commits of a holder belong to.
pub(crate) fn identity_of(config: &Config, generation: u32, holder: &Holder) -> Identity {
    let small = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    Identity {
        generation,
        topic_id: topic_id(0),
        partition_count: config.partition_count(),
        window_length_ms: config.policy().length_ms,
        acceptance: Some(AcceptanceSettings::of(
            &config.policy(),
            config.slot_count(),
            <SimJob as Job>::DIMENSIONS,
        )),
        owner_tag: OwnerTag {
            worker: small(holder.index),
            workers: small(holder.count),
            incarnation: u32::try_from(holder.process).unwrap_or(u32::MAX),
        },
    }
}
