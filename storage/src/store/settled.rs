//! What a shard keeps of the partitions that its rows come from, in the transaction that writes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use yahtzee_core::delivery::{KnownMark, SettledMark, WriteId};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

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
    /// Everything below is settled: the batch itself is not counted.
    pub settled: Offset,
    /// Id of the writer: see [`WriteId::writer`].
    pub writer: u64,
    /// What the database is known to have. If it has less, it was restored, and its mark stays as it is.
    pub known: KnownMark,
}

impl Settling {
    /// Returns the id of the next transaction that settles it. Numbers grow in the whole process, so that they do with every writer,
    /// however it came about.
    #[must_use]
    pub fn next_write(&self) -> WriteId {
        static WRITES: AtomicU64 = AtomicU64::new(0);
        WriteId { writer: self.writer, number: WRITES.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Takes the answers to a transaction of a batch, as [`Self::follow`] does; all are by settling.
    pub fn follow_all(settling: &mut [Self], answers: &mut [Marked], marks: &[Marked]) {
        for ((settling, answer), &marked) in settling.iter_mut().zip(answers).zip(marks) {
            settling.follow(answer, marked);
        }
    }

    /// Takes the answer to a transaction of a batch: another one of the batch is written knowing of it. `answer` is the one to the
    /// batch so far. A database that was behind once has not got what was written then, although it is not behind any more.
    fn follow(&mut self, answer: &mut Marked, marked: Marked) {
        if let Marked::At(mark) = marked {
            self.known = mark.known();
        }
        *answer = match (*answer, marked) {
            (Marked::Behind, _) | (_, Marked::Unknown) => *answer,
            _ => marked,
        };
    }
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
        let found = found.unwrap_or_default();
        let moved = found.after_write(settling.settled, settling.next_write(), settling.known);
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
    /// Whether it is unknown how a transaction has ended: it may be in the database although its summaries count as failed.
    pub is_in_doubt: bool,
}
