//! Writing recomputed summaries, together with the progress: a reader sees both or neither.

use std::sync::Arc;

use yahtzee_core::commit::Identity;
use yahtzee_core::summary::record_key;

use crate::clock::wall_clock_ms;
use crate::log::{Log, LogError, NewRecord, OffsetCommit, SlotName, SlotWriter};

use super::{PartitionReplay, Recomputed, Subject};

/// Writes into one summary topic. Fenced under the replay's own name: a second process of the same replay stops the
/// first, and no worker is touched.
pub struct Publisher {
    writer: Box<dyn SlotWriter>,
    raw: String,
    topic: Arc<str>,
    partitions: u32,
    generation: u32,
}

impl Publisher {
    /// Opens the writer of the replay of `subject` that keeps its progress in `group`. `topic` has as many partitions as
    /// the raw topic.
    ///
    /// # Errors
    /// If the log does not answer.
    pub fn open(log: &dyn Log, group: &str, subject: &Subject, topic: &str) -> Result<Self, LogError> {
        let Identity { partition_count: partitions, generation, .. } = subject.identity;
        let writer = log.slot_writer(&SlotName { group: group.to_owned(), slot: 0 })?;
        Ok(Self { writer, raw: subject.raw.clone(), topic: topic.into(), partitions, generation })
    }

    /// Makes `summaries`, which are all that `part` has returned since the last call, and its progress durable.
    ///
    /// # Errors
    /// If the log fails; nothing of it is visible then, and the replay can be repeated.
    pub fn write(
        &mut self,
        summaries: Vec<Recomputed>,
        part: &mut PartitionReplay<'_>,
    ) -> Result<(), LogError> {
        // For the retention of the topic only.
        let timestamp_ms = wall_clock_ms();
        let record = |Recomputed { emit, .. }: Recomputed| NewRecord {
            topic: Arc::clone(&self.topic),
            partition: emit.owner.partition(self.partitions),
            timestamp_ms,
            key: record_key(emit.key, self.generation),
            value: emit.value,
            headers: Vec::new(),
        };
        let records: Vec<NewRecord> = summaries.into_iter().map(record).collect();
        let acknowledged = self.writer.append(&records)?;
        let progress = part.acknowledged().map(|committed| OffsetCommit {
            topic: &self.raw,
            partition: part.span().partition,
            committed,
        });
        acknowledged.commit(progress.as_slice())
    }
}
