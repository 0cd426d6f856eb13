//! Marks of source partitions.
//!
//! The key is consumer group and topic, each followed by a NUL, the id of the topic (16 bytes) and the partition (4
//! bytes); the value is the offset, the number of writes, a 0 and, for each of the last writers, its id and the number of its last write
//! (8 bytes each). Marks of earlier versions end at the number of writes, or with the end of what was written where the 0 is. Numbers
//! are big endian.

use fjall::{Keyspace, OwnedWriteBatch};
use yahtzee_core::delivery::{SettledMark, WriteId};
use yahtzee_core::record::Offset;

use crate::store::{Marked, Settling, SourcePartition};

/// Returns the mark of a partition; `None` if there is none.
pub(super) fn mark(settled: &Keyspace, of: &SourcePartition) -> fjall::Result<Option<SettledMark>> {
    Ok(settled.get(key(of))?.and_then(|bytes| decode(&bytes)))
}

fn decode(value: &[u8]) -> Option<SettledMark> {
    let mut numbers = value.chunks_exact(8).map(|number| number.try_into().map(u64::from_be_bytes).ok());
    let (offset, writes) = (Offset(numbers.next()??), numbers.next()??);
    let mut mark = SettledMark { offset, writes, ..SettledMark::default() };
    let mut numbers = numbers.skip(1).map_while(|number| number);
    for last in &mut mark.writers {
        if let (Some(writer), Some(number)) = (numbers.next(), numbers.next()) {
            *last = WriteId { writer, number };
        }
    }
    Some(mark)
}

fn encode(SettledMark { offset, writes, writers }: SettledMark) -> Vec<u8> {
    let writers = writers.iter().take_while(|last| last.writer > 0);
    let writers = writers.flat_map(|last| [last.writer, last.number]);
    [offset.0, writes, 0].into_iter().chain(writers).flat_map(u64::to_be_bytes).collect()
}

/// Adds to a batch what it settles.
pub(super) fn settle(
    settled: &Keyspace,
    writes: &mut OwnedWriteBatch,
    settling: &[Settling],
) -> fjall::Result<Vec<Marked>> {
    let settle = |settling: &Settling| {
        let marked = Marked::after(settling, mark(settled, &settling.source)?);
        if let Marked::At(mark) = marked {
            writes.insert(settled, key(&settling.source), encode(mark));
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
    fn marks_of_earlier_versions_have_no_writers() {
        fn check(numbers: &[u64], expected: Option<(u64, u64, &[WriteId])>) {
            let value: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
            let expected = expected.map(|(offset, writes, last)| {
                let mut mark = SettledMark { offset: Offset(offset), writes, ..SettledMark::default() };
                mark.writers[..last.len()].copy_from_slice(last);
                mark
            });
            assert_eq!(decode(&value), expected);
            if numbers.len() > 3 {
                assert_eq!(expected.map(encode), Some(value));
            }
        }
        let write = |writer, number| WriteId { writer, number };
        check(&[7, 2], Some((7, 2, &[])));
        check(&[7, 2, 9], Some((7, 2, &[])));
        check(&[7], None);
        check(&[7, 2, 0, 5, 1], Some((7, 2, &[write(5, 1)])));
        check(&[7, 2, 0, 5, 1, 6, 3], Some((7, 2, &[write(5, 1), write(6, 3)])));
        let all: Vec<u64> = [7, 2, 0].into_iter().chain(1..=16).collect();
        let pairs: Vec<WriteId> = (1..=16).step_by(2).map(|writer| write(writer, writer + 1)).collect();
        check(&all, Some((7, 2, &pairs)));
    }
}
