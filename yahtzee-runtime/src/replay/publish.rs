//! Writing recomputed summaries, together with the progress: a reader sees both or neither.

use std::sync::Arc;

use crate::clock::wall_clock_ms;
use crate::log::{Log, LogError, NewRecord, OffsetCommit, SlotName, SlotWriter};

use super::{PartitionReplay, Recomputed};

/// Writes into one summary topic. Fenced under the replay's own name: a second process of the same replay stops the
/// first, and no worker is touched.
pub struct Publisher {
    writer: Box<dyn SlotWriter>,
    raw: String,
    topic: Arc<str>,
    partitions: u32,
}

impl Publisher {
    /// Opens the writer of the replay that keeps its progress in `group`. `topic` has `partitions` partitions.
    ///
    /// # Errors
    /// If the log does not answer.
    pub fn open(
        log: &dyn Log,
        group: &str,
        raw: &str,
        topic: &str,
        partitions: u32,
    ) -> Result<Self, LogError> {
        let writer = log.slot_writer(&SlotName { group: group.to_owned(), slot: 0 })?;
        Ok(Self { writer, raw: raw.to_owned(), topic: topic.into(), partitions })
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
            key: emit.key,
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
