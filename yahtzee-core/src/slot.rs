//! The slot machine: what a worker does with the partitions that are fenced as one, as a value that is driven.
//!
//! ```text
//!           ┌──────────── a failure drops the partitions and their state ────────────┐
//!           ▼                                                                        │
//!  open ─▶ Opening: PeekCommits ▸ Fence ▸ ReadCommits ▸ … ▸ Assign ─▶ Running ⇄ Writing: Append ▸ Commit
//! ```
//!
//! A [`SlotMachine`] does no I/O and reads no clock. The shell asks it with [`SlotMachine::poll`] what is to be done,
//! does that against the log, and gives the outcome to [`SlotMachine::answer`] or [`SlotMachine::failed`]. Records go to
//! [`SlotMachine::ingest`] whenever the slot is assigned, also while a write waits for its answer. The worker of the
//! runtime and the simulator drive this same type.

use std::fmt;

use crate::commit::{Commit, Identity};
use crate::effect::Effect;
use crate::erased::AnyPartition;
use crate::log_tail::RecordPrint;
use crate::owner::Partition;
use crate::partition::{History, Opened, ResumeError};
use crate::record::{LogRecord, Offset, RecordOutcome};
use crate::window::Policy;

mod assigned;
mod earlier;
mod opening;
mod request;
#[doc(hidden)]
pub mod rules;
mod write_max;

pub use assigned::AssignedPartition;
pub use earlier::{EarlierCommits, TAIL_RECORDS};
use opening::Opening;
pub use request::{
    Assignment, Bounds, CommittedOffset, PartitionCommit, SlotAnswer, SlotFailure, SlotRequest,
};
use rules::{SlotProduction, SlotRules, WriteStep};
pub use write_max::WriteMax;

/// Opens a partition of a job: what [`crate::erased::AnyJob::open`] does under a policy and an identity.
pub type OpenPartition = dyn Fn(History<'_>) -> Result<Opened<Box<dyn AnyPartition>>, ResumeError> + Send;

/// The partitions of a slot and how much it writes at once.
#[derive(Clone, Debug)]
pub struct SlotSettings {
    /// The partitions of the slot.
    pub partitions: Vec<Partition>,
    /// The policy of the job; its flush interval is the time between two writes.
    pub policy: Policy,
    /// Number of waiting effects that are written before the interval is over.
    pub backlog_max: usize,
    /// The same in bytes.
    pub backlog_bytes_max: usize,
    /// Bound of one write.
    pub write_max: WriteMax,
}

/// The partitions of a slot, their state and the order in which they are opened, written and committed. See the
/// module.
pub struct SlotMachine {
    settings: SlotSettings,
    rules: &'static dyn SlotRules,
    state: SlotState,
    assigned: Vec<AssignedPartition>,
    /// Records on which the job has panicked, by index of the partition. They outlive a failure: the record becomes a
    /// dead letter at the second try.
    poisoned: Vec<Vec<RecordPrint>>,
    /// Incarnations that had committed when this process looked first.
    predecessors: Option<Vec<u32>>,
    next_write_ms: u64,
    is_flushing: bool,
    /// Index of the partition of which the last write has left effects behind. The next write begins with it.
    rest: Option<usize>,
}

enum SlotState {
    Closed,
    Opening(Opening),
    Running,
    Writing(Write),
}

/// A write under way.
struct Write {
    /// Steps that are answered or had nothing to ask.
    done: usize,
    is_asked: bool,
    effects: Vec<(Partition, Effect)>,
    /// Number of effects of each partition, by index.
    counts: Vec<u64>,
    has_appended: bool,
    /// Commits that the acknowledgement allowed, by index, and whether they are written.
    allowed: Vec<(usize, Commit, bool)>,
}

/// A partition must not be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRefused {
    /// The partition.
    pub partition: Partition,
    /// Why.
    pub reason: ResumeError,
}

impl fmt::Display for PartitionRefused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "partition {}: {}", self.partition, self.reason)
    }
}

impl std::error::Error for PartitionRefused {}

impl SlotMachine {
    /// Creates a slot that is closed.
    #[must_use]
    pub fn new(settings: SlotSettings) -> Self {
        Self::under(settings, &SlotProduction)
    }

    /// Creates a slot that is closed, under rules with a mistake in them.
    #[cfg(feature = "planted-mistakes")]
    #[must_use]
    pub fn with_rules(settings: SlotSettings, rules: &'static dyn SlotRules) -> Self {
        Self::under(settings, rules)
    }

    fn under(settings: SlotSettings, rules: &'static dyn SlotRules) -> Self {
        Self {
            poisoned: vec![Vec::new(); settings.partitions.len()],
            settings,
            rules,
            predecessors: None,
            state: SlotState::Closed,
            assigned: Vec::new(),
            next_write_ms: 0,
            is_flushing: false,
            rest: None,
        }
    }

    /// Begins to open the slot over the raw topic of this identity. `open_partition` is called for each partition once its
    /// history is known.
    pub fn open(&mut self, identity: &Identity, open_partition: Box<OpenPartition>) {
        self.close();
        self.next_write_ms = 0;
        let opening = Opening::new(identity, open_partition, &self.settings.partitions);
        self.state = SlotState::Opening(opening);
    }

    /// Drops the partitions and all that was not written. What was committed is what the next opening starts from.
    pub fn close(&mut self) {
        self.state = SlotState::Closed;
        self.assigned.clear();
        self.is_flushing = false;
        self.rest = None;
    }

    /// Returns what the shell must do next; `None` while it has to wait for an answer, for records or for the time
    /// [`Self::next_due`].
    pub fn poll(&mut self, now_ms: u64) -> Option<SlotRequest> {
        if matches!(self.state, SlotState::Running) && now_ms >= self.next_due() {
            self.begin_write(now_ms);
        }
        match &mut self.state {
            SlotState::Opening(opening) if !opening.is_asked => {
                opening.is_asked = true;
                let request = opening.next_request(self.rules);
                let assignments = std::mem::take(&mut opening.assignments);
                if request.is_none() {
                    self.state = SlotState::Running;
                }
                Some(request.unwrap_or(SlotRequest::Assign(assignments)))
            }
            SlotState::Writing(write) if !write.is_asked => self.next_of_write(now_ms),
            _ => None,
        }
    }

    /// Returns the monotonic time at which [`Self::poll`] has something to ask without anything else happening;
    /// `u64::MAX` while an answer is awaited.
    #[must_use]
    pub fn next_due(&self) -> u64 {
        match &self.state {
            SlotState::Opening(Opening { is_asked: false, .. })
            | SlotState::Writing(Write { is_asked: false, .. }) => 0,
            SlotState::Running if self.has_to_write() => 0,
            SlotState::Running => self.next_write_ms,
            _ => u64::MAX,
        }
    }

    /// Takes the outcome of the request that was polled last, at `now_ms`.
    ///
    /// # Errors
    /// If a partition must not be worked on. The slot is closed.
    ///
    /// # Panics
    /// If the answer does not fit the request: a mistake of the shell.
    pub fn answer(&mut self, answer: SlotAnswer, now_ms: u64) -> Result<(), PartitionRefused> {
        match (&mut self.state, answer) {
            (SlotState::Opening(opening), answer) => {
                if let Err(refused) = opening.take(answer, self.rules, &mut self.predecessors) {
                    self.close();
                    return Err(refused);
                }
                if opening.next_request(self.rules).is_none() {
                    self.open_partitions(now_ms)?;
                }
            }
            (SlotState::Writing(write), SlotAnswer::Appended | SlotAnswer::Committed) => {
                (write.done, write.is_asked) = (write.done + 1, false);
                if write.done == self.rules.write_order().len() {
                    self.finish_write(now_ms);
                }
            }
            (_, answer) => panic!("{answer:?} answers no request of this slot"),
        }
        Ok(())
    }

    /// Takes a failure of the shell. Nothing in memory can be trusted any more, whatever was on its way: the
    /// partitions are dropped. Whether to open the slot again says [`SlotFailure::opens_again`].
    pub fn failed(&mut self, failure: SlotFailure) {
        if let SlotFailure::Panicked { partition, record } = failure {
            let index = self.settings.partitions.iter().position(|&of_slot| of_slot == partition);
            if let Some(index) = index
                && !self.poisoned[index].contains(&record)
            {
                self.poisoned[index].push(record);
            }
        }
        if self.is_writing() && !self.rules.drops_partitions_after(failure) {
            self.state = SlotState::Running;
        } else {
            self.close();
        }
    }

    /// Folds a record of the partition at `index` of [`Self::assigned`]. After [`RecordOutcome::OtherLog`] the partition must
    /// not be worked on.
    pub fn ingest(&mut self, index: usize, record: LogRecord<'_>) -> RecordOutcome {
        self.assigned[index].ingest(record)
    }

    /// Notes that every record below `next` of the partition at `index` was delivered. The last offsets can be
    /// control records, which are never delivered.
    ///
    /// # Errors
    /// If the partition must not be worked on: its log is not the one that was read before the last commit.
    pub fn reached(&mut self, index: usize, next: Offset) -> Result<(), PartitionRefused> {
        let AssignedPartition { partition, core, .. } = &mut self.assigned[index];
        core.reached(next).map_err(|reason| PartitionRefused { partition: *partition, reason })
    }

    /// Emits what has changed, whether due or not, and lets it be written as soon as no other write is under way.
    pub fn flush(&mut self) {
        if matches!(self.state, SlotState::Running | SlotState::Writing(_)) {
            self.assigned.iter_mut().for_each(AssignedPartition::flush);
            self.is_flushing = true;
        }
    }

    /// Returns the number of effects that wait for a write.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.assigned.iter().map(|assigned| assigned.effects.len()).sum()
    }

    /// Returns the memory of the effects that wait for a write, in bytes.
    #[must_use]
    pub fn backlog_bytes(&self) -> usize {
        self.assigned.iter().map(AssignedPartition::effects_bytes).sum()
    }

    /// Returns the partitions of the slot.
    #[must_use]
    pub fn partitions(&self) -> &[Partition] {
        &self.settings.partitions
    }

    /// Returns the open partitions, in the order of [`Self::partitions`]; none before the slot is assigned.
    #[must_use]
    pub fn assigned(&self) -> &[AssignedPartition] {
        &self.assigned
    }

    /// Whether the slot is not open and not about to be.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, SlotState::Closed)
    }

    /// Whether records may be handed in.
    #[must_use]
    pub fn is_assigned(&self) -> bool {
        matches!(self.state, SlotState::Running | SlotState::Writing(_))
    }

    /// Whether a write is under way.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        matches!(self.state, SlotState::Writing(_))
    }

    fn open_partitions(&mut self, now_ms: u64) -> Result<(), PartitionRefused> {
        let SlotState::Opening(mut opening) = std::mem::replace(&mut self.state, SlotState::Closed) else {
            return Ok(());
        };
        for (index, &partition) in self.settings.partitions.iter().enumerate() {
            let opened = opening.open(index, &self.poisoned[index], self.rules);
            let opened = opened.inspect_err(|_| self.assigned.clear());
            let (core, read_from) = opened.map_err(|reason| PartitionRefused { partition, reason })?;
            self.assigned.push(AssignedPartition::new(partition, core, read_from, now_ms));
        }
        self.state = SlotState::Opening(opening);
        Ok(())
    }

    /// Whether too much waits, or what the last write has left, or everything must go out.
    fn has_to_write(&self) -> bool {
        let effects = if self.rest.is_some() { 1 } else { self.settings.backlog_max };
        self.is_flushing
            || self.backlog() >= effects
            || self.backlog_bytes() >= self.settings.backlog_bytes_max
    }

    /// Takes the effects that wait, as many as a write may have.
    fn begin_write(&mut self, now_ms: u64) {
        if now_ms >= self.next_write_ms {
            self.next_write_ms = self.rules.next_write_ms(&self.settings.policy, now_ms);
            self.assigned.iter_mut().for_each(|assigned| assigned.tick(now_ms));
        }
        let (mut effects, mut counts) = (Vec::new(), vec![0; self.assigned.len()]);
        let mut left = self.settings.write_max;
        // The one that comes first takes what there is; so it is another one each time.
        let first = self.rest.take().unwrap_or(0);
        for index in (first..self.assigned.len()).chain(0..first) {
            let assigned = &mut self.assigned[index];
            let count = left.take(&assigned.effects, effects.is_empty(), self.rules);
            counts[index] = count as u64;
            assigned.core.begin_write();
            effects.extend(assigned.take(count));
        }
        let has_rest = |&index: &usize| !self.assigned[index].effects.is_empty();
        self.rest = (first + 1..self.assigned.len()).chain(0..=first).find(has_rest);
        self.is_flushing = false;
        self.state = SlotState::Writing(Write {
            done: 0,
            is_asked: false,
            effects,
            counts,
            has_appended: false,
            allowed: Vec::new(),
        });
    }

    fn next_of_write(&mut self, now_ms: u64) -> Option<SlotRequest> {
        let SlotState::Writing(write) = &mut self.state else { return None };
        while let Some(step) = self.rules.write_order().get(write.done) {
            let request = match step {
                WriteStep::Append => write.append(),
                WriteStep::Commit => write.commit(&mut self.assigned, self.rules, now_ms),
            };
            if request.is_some() {
                write.is_asked = true;
                return request;
            }
            write.done += 1;
        }
        self.finish_write(now_ms);
        None
    }

    fn finish_write(&mut self, now_ms: u64) {
        if let SlotState::Writing(write) = std::mem::replace(&mut self.state, SlotState::Running) {
            for (index, commit, is_written) in write.allowed {
                self.assigned[index].committed(commit, is_written, now_ms);
            }
        }
    }
}

impl Write {
    fn append(&mut self) -> Option<SlotRequest> {
        self.has_appended = !self.effects.is_empty();
        self.has_appended.then(|| SlotRequest::Append(std::mem::take(&mut self.effects)))
    }

    /// Tells the cores that their effects are durable, and asks for the commits that this allows. An append without
    /// a commit ends with an empty one: that ends its transaction.
    fn commit(
        &mut self,
        assigned: &mut [AssignedPartition],
        rules: &dyn SlotRules,
        now_ms: u64,
    ) -> Option<SlotRequest> {
        let mut commits = Vec::new();
        for (index, (assigned, &count)) in assigned.iter_mut().zip(&self.counts).enumerate() {
            let Some(commit) = assigned.core.acknowledged(count) else { continue };
            let is_written = assigned.is_news(&commit) || rules.is_renewal(assigned.committed_at_ms, now_ms);
            if is_written {
                commits.push(assigned.commit_of(&commit));
            }
            self.allowed.push((index, commit, is_written));
        }
        (self.has_appended || !commits.is_empty()).then_some(SlotRequest::Commit(commits))
    }
}

impl fmt::Debug for SlotMachine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            SlotState::Closed => "closed",
            SlotState::Opening(_) => "opening",
            SlotState::Running => "running",
            SlotState::Writing(_) => "writing",
        };
        formatter
            .debug_struct("SlotMachine")
            .field("settings", &self.settings)
            .field("state", &state)
            .finish()
    }
}

#[cfg(test)]
mod tests;
