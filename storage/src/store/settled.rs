//! What a shard keeps of the partitions that its rows come from, in the transaction that writes them.

use std::sync::Arc;

use yahtzee_core::delivery::{SettledMark, WriteRange};
use yahtzee_core::owner::Partition;

use super::outcome::Outcome;

/// A partition that a consumer group reads summaries from, as a store keeps its mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePartition {
    /// Consumer group.
    pub group: Arc<str>,
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Id of the topic: one that was made anew under the same name has other offsets.
    pub topic_id: [u8; 16],
    /// Number of the partition.
    pub partition: Partition,
}

/// What a batch settles of one source partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settling {
    /// The partition.
    pub source: SourcePartition,
    /// Where the summaries of the batch lie in it.
    pub range: WriteRange,
    /// Mark that the database is known to have. If it has less, it was restored, and its mark stays as it is.
    pub known: SettledMark,
}

/// Answer to a [`Settling`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Marked {
    /// Nothing was written, or it is unknown whether it was.
    #[default]
    Unknown,
    /// The mark as it is now.
    At(SettledMark),
    /// The database had less than it was known to have. Rows were written; the mark was not moved.
    Behind,
}

impl Marked {
    /// Returns the mark after a transaction: `found` is what the database had before it.
    #[must_use]
    pub fn after(settling: &Settling, found: Option<SettledMark>) -> Self {
        let moved = found.unwrap_or_default().after_write(settling.range, settling.known);
        moved.map_or(Self::Behind, Self::At)
    }
}

/// Result of writing a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenBatch {
    /// Outcome of each summary, in the order of the batch.
    pub outcomes: Vec<Outcome>,
    /// Answer to each settling, in their order.
    pub marks: Vec<Marked>,
}
