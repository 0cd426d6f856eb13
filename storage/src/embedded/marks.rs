//! Marks of source partitions.
//!
//! The key is consumer group and topic, each followed by a NUL, the id of the topic (16 bytes) and the partition (4
//! bytes); the value is the offset, the number of writes and the end of what was written (8 bytes each; the last is missing in marks of
//! earlier versions). Numbers are big endian.

use fjall::{Keyspace, OwnedWriteBatch};
use yahtzee_core::delivery::SettledMark;
use yahtzee_core::record::Offset;

use crate::store::{Marked, Settling, SourcePartition};

/// Returns the mark of a partition; `None` if there is none.
pub(super) fn mark(settled: &Keyspace, of: &SourcePartition) -> fjall::Result<Option<SettledMark>> {
    Ok(settled.get(key(of))?.and_then(|bytes| decode(&bytes)))
}

fn decode(value: &[u8]) -> Option<SettledMark> {
    let mut numbers = value.chunks_exact(8).map(|number| number.try_into().map(u64::from_be_bytes).ok());
    let (offset, writes) = (Offset(numbers.next()??), numbers.next()??);
    let written_end = Offset(numbers.next().flatten().unwrap_or(0));
    Some(SettledMark { offset, writes, written_end })
}

/// Adds to a batch what it settles.
pub(super) fn settle(
    settled: &Keyspace,
    writes: &mut OwnedWriteBatch,
    settling: &[Settling],
) -> fjall::Result<Vec<Marked>> {
    let settle = |settling: &Settling| {
        let marked = Marked::after(settling, mark(settled, &settling.source)?);
        if let Marked::At(SettledMark { offset, writes: number, written_end }) = marked {
            let value = [offset.0, number, written_end.0].map(u64::to_be_bytes).concat();
            writes.insert(settled, key(&settling.source), value);
        }
        Ok(marked)
    };
    settling.iter().map(settle).collect()
}

fn key(SourcePartition { group, topic, topic_id, partition }: &SourcePartition) -> Vec<u8> {
    [group.as_bytes(), &[0], topic.as_bytes(), &[0], topic_id, &partition.0.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_an_earlier_version_has_no_end_of_what_was_written() {
        fn check(numbers: &[u64], expected: Option<[u64; 3]>) {
            let value: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
            let expected = expected.map(|[offset, writes, end]| SettledMark {
                offset: Offset(offset),
                writes,
                written_end: Offset(end),
            });
            assert_eq!(decode(&value), expected);
        }
        check(&[7, 2], Some([7, 2, 0]));
        check(&[7, 2, 9], Some([7, 2, 9]));
        check(&[7], None);
    }
}
