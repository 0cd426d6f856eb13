//! The requests of a slot, and their answers.

use crate::effect::Effect;
use crate::incomplete::IncompleteWindows;
use crate::log_tail::RecordPrint;
use crate::owner::Partition;
use crate::partition::ResumeKind;
use crate::record::Offset;

/// A committed offset and what was stored with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Offset of the next record to be read.
    pub offset: Offset,
    /// ASCII, below 4,096 bytes (the broker's `offset.metadata.max.bytes`).
    pub metadata: String,
}

/// The readable range of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// First offset still kept.
    pub start: Offset,
    /// Offset of the next record to be appended.
    pub end: Offset,
}

/// A request of a slot: the shell carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotRequest {
    /// Read what is committed of the slot's partitions, in their order, without a wait for whoever may be writing. Answered as
    /// [`Self::ReadCommits`] is.
    PeekCommits,
    /// Open the writer of the slot; under the fenced guarantee, fence every earlier writer of it.
    Fence,
    /// Read the committed offsets of the slot's partitions, in their order.
    ReadCommits,
    /// Read, for each of these partitions, what the job's earlier generations have committed of it.
    ReadEarlierCommits(Vec<Partition>),
    /// Read where the slot's partitions start and end, in their order.
    ReadBounds,
    /// Read, of each of these partitions, the first records at or after this offset, which lies within the bounds.
    ReadRecords {
        /// Partitions and offsets.
        from: Vec<(Partition, Offset)>,
        /// Records of each partition at most.
        count: usize,
    },
    /// Read the partitions from these offsets. Has no answer: records may be handed in from now on.
    Assign(Vec<Assignment>),
    /// Append the effects, in this order, each to its [`Effect::destination`]. Answered when all are durable, or would
    /// be with the end of their transaction.
    Append(Vec<(Partition, Effect)>),
    /// Commit the offsets: under the fenced guarantee in the transaction of the preceding append, which ends with it;
    /// otherwise plainly.
    Commit(Vec<PartitionCommit>),
}

/// The offset that a partition is read from, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The partition.
    pub partition: Partition,
    /// Offset of the first record to be read.
    pub read_from: Offset,
    /// Verdict of the commit and the log's range on lost input.
    pub verdict: ResumeKind,
    /// The committed offset, if any.
    pub committed: Option<CommittedOffset>,
    /// The log's range.
    pub bounds: Bounds,
}

/// An offset to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionCommit {
    /// The partition.
    pub partition: Partition,
    /// The offset with its metadata.
    pub offset: CommittedOffset,
    /// Windows that have lost input, where the commit before did not name the same.
    pub newly_incomplete: Option<IncompleteWindows>,
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotAnswer {
    /// The writer is open, and earlier ones are fenced.
    Fenced,
    /// The committed offsets, in the order of the slot's partitions.
    Commits(Vec<Option<CommittedOffset>>),
    /// The commits of earlier generations, in the order of the request, of each partition those of the newest generation first.
    EarlierCommits(Vec<Vec<CommittedOffset>>),
    /// The ranges of the partitions, in the order of the slot's partitions.
    Bounds(Vec<Bounds>),
    /// The records of each partition, in the order of the request; fewer where there are no further ones.
    Records(Vec<Vec<RecordPrint>>),
    /// The effects are durable.
    Appended,
    /// The offsets are durable.
    Committed,
}

/// The reason for which a slot cannot go on with its state in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotFailure {
    /// The log has not answered. What was asked may have been done or not.
    Unanswered,
    /// The log has lost the offset that was to be read.
    InputLost,
    /// The job has panicked on a record.
    Panicked {
        /// Partition of the record.
        partition: Partition,
        /// The record.
        record: RecordPrint,
    },
    /// A successor has taken over the slot.
    Fenced,
    /// Something is as it must not be, and stays so.
    Refused,
}

impl SlotFailure {
    /// Whether opening the slot again, from its last commit, can help. Input that was lost is named by the next
    /// opening, and a record that the job panics on becomes a dead letter.
    #[must_use]
    pub fn opens_again(self) -> bool {
        match self {
            Self::Unanswered | Self::InputLost | Self::Panicked { .. } => true,
            Self::Fenced | Self::Refused => false,
        }
    }
}
