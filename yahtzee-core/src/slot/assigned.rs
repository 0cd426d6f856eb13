//! One partition of an open slot.

use std::fmt;

use crate::commit::Commit;
use crate::effect::Effect;
use crate::erased::AnyPartition;
use crate::owner::Partition;
use crate::partition::Status;
use crate::record::{LogRecord, Offset, RecordOutcome};
use crate::series::StateBytes;

use super::{CommittedOffset, PartitionCommit};

/// One partition of an open slot: its state, what it has to write, and its newest commit.
pub struct AssignedPartition {
    pub(super) partition: Partition,
    pub(super) core: Box<dyn AnyPartition>,
    pub(super) effects: Vec<Effect>,
    /// Sum of [`Effect::bytes`] of those.
    effects_bytes: usize,
    /// The newest durable commit of this opening.
    committed: Option<Commit>,
    pub(super) committed_at_ms: u64,
    replay_offset: Offset,
    current_at_ms: u64,
}

impl AssignedPartition {
    pub(super) fn new(
        partition: Partition,
        core: Box<dyn AnyPartition>,
        read_from: Offset,
        now_ms: u64,
    ) -> Self {
        Self {
            partition,
            core,
            effects: Vec::new(),
            effects_bytes: 0,
            committed: None,
            committed_at_ms: now_ms,
            replay_offset: read_from,
            current_at_ms: now_ms,
        }
    }

    /// Returns the number of the partition.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Returns the state of the partition as seen from outside.
    #[must_use]
    pub fn status(&self) -> Status {
        self.core.status()
    }

    /// Returns the memory of the open windows.
    #[must_use]
    pub fn state_bytes(&self) -> StateBytes {
        self.core.state_bytes()
    }

    /// Returns the memory of the open windows and of what waits to be written, in bytes. Goes through all windows: for
    /// figures, not for every tick.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.state_bytes().total() + self.effects_bytes
    }

    /// Returns the memory of what waits to be written, in bytes.
    pub(super) fn effects_bytes(&self) -> usize {
        self.effects_bytes
    }

    pub(super) fn ingest(&mut self, record: LogRecord<'_>) -> RecordOutcome {
        let before = self.effects.len();
        let outcome = self.core.ingest(record, &mut self.effects);
        self.count_from(before);
        outcome
    }

    /// Returns the replay offset of the newest durable commit, or where reading started.
    #[must_use]
    pub fn replay_offset(&self) -> Offset {
        self.replay_offset
    }

    /// Returns the monotonic time of the last write after which nothing was uncommitted, or of the opening.
    #[must_use]
    pub fn current_at_ms(&self) -> u64 {
        self.current_at_ms
    }

    pub(super) fn tick(&mut self, now_ms: u64) {
        let before = self.effects.len();
        self.core.tick(now_ms, &mut self.effects);
        self.count_from(before);
    }

    pub(super) fn flush(&mut self) {
        let before = self.effects.len();
        self.core.flush(&mut self.effects);
        self.count_from(before);
    }

    /// Takes `count` effects from the front.
    pub(super) fn take(&mut self, count: usize) -> impl Iterator<Item = (Partition, Effect)> {
        let (partition, taken) = (self.partition, self.effects.drain(..count));
        let bytes = &mut self.effects_bytes;
        taken.map(move |effect| {
            *bytes -= effect.bytes();
            (partition, effect)
        })
    }

    fn count_from(&mut self, index: usize) {
        self.effects_bytes += self.effects[index..].iter().map(Effect::bytes).sum::<usize>();
    }

    /// Whether a commit says anything that the newest durable one does not.
    pub(super) fn is_news(&self, commit: &Commit) -> bool {
        self.committed.as_ref() != Some(commit)
    }

    pub(super) fn commit_of(&self, commit: &Commit) -> PartitionCommit {
        let named_before = self.committed.as_ref().map(Commit::incomplete);
        let is_named = commit.incomplete().is_empty() || named_before == Some(commit.incomplete());
        PartitionCommit {
            partition: self.partition,
            offset: CommittedOffset {
                offset: commit.replay_offset(),
                metadata: commit.metadata(self.core.identity()),
            },
            newly_incomplete: (!is_named).then(|| commit.incomplete().clone()),
        }
    }

    /// Notes that a commit was allowed and, if it was written, that it is durable.
    pub(super) fn committed(&mut self, commit: Commit, is_written: bool, now_ms: u64) {
        self.current_at_ms = now_ms;
        if is_written {
            self.replay_offset = commit.replay_offset();
            self.committed = Some(commit);
            self.committed_at_ms = now_ms;
        }
    }
}

impl fmt::Debug for AssignedPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AssignedPartition")
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}
