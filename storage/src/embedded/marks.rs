//! Marks of source partitions.
//!
//! The key is consumer group and topic, each followed by a NUL, the id of the topic (16 bytes) and the partition (4
//! bytes); the value is the offset and the number of writes (8 bytes each). Numbers are big endian.

use fjall::{Keyspace, OwnedWriteBatch};
use yahtzee_core::delivery::SettledMark;
use yahtzee_core::record::Offset;

use crate::store::{Marked, Settling, SourcePartition};

/// Returns the mark of a partition; `None` if there is none.
pub(super) fn mark(settled: &Keyspace, of: &SourcePartition) -> fjall::Result<Option<SettledMark>> {
    Ok(settled.get(key(of))?.and_then(|bytes| {
        let (offset, writes) = bytes.split_first_chunk()?;
        let writes = u64::from_be_bytes(writes.try_into().ok()?);
        Some(SettledMark { offset: Offset(u64::from_be_bytes(*offset)), writes })
    }))
}

/// Adds to a batch what it settles.
pub(super) fn settle(
    settled: &Keyspace,
    writes: &mut OwnedWriteBatch,
    settling: &[Settling],
) -> fjall::Result<Vec<Marked>> {
    let settle = |settling: &Settling| {
        let marked = Marked::after(settling, mark(settled, &settling.source)?);
        if let Marked::At(SettledMark { offset, writes: number }) = marked {
            let value = [offset.0.to_be_bytes(), number.to_be_bytes()].concat();
            writes.insert(settled, key(&settling.source), value);
        }
        Ok(marked)
    };
    settling.iter().map(settle).collect()
}

fn key(SourcePartition { group, topic, topic_id, partition }: &SourcePartition) -> Vec<u8> {
    [group.as_bytes(), &[0], topic.as_bytes(), &[0], topic_id, &partition.0.to_be_bytes()].concat()
}
