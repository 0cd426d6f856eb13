//! The input of the benches: steady traffic, with the place in the log that each record would get.

use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_loadgen::steady;
pub use yahtzee_loadgen::steady::{PARTITIONS, Shape};

/// A raw record and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Partition of its owner among [`PARTITIONS`].
    pub partition: Partition,
    /// Place in the partition, from 0 without gaps.
    pub offset: Offset,
    /// Log timestamp, milliseconds since 1970; grows with the offset.
    pub timestamp_ms: i64,
    /// The owner.
    pub key: [u8; 16],
    /// A [`RecordOf`](yahtzee_pipeline_proto::RecordOf) requests.
    pub value: Vec<u8>,
}

impl RawRecord {
    /// Lends the record as a log does.
    #[must_use]
    pub fn lend(&self) -> LogRecord<'_> {
        LogRecord { offset: self.offset, timestamp_ms: self.timestamp_ms, key: &self.key, value: &self.value }
    }
}

/// Returns the records of a run of `frames` frames, in the order of their log timestamps.
#[must_use]
pub fn records(shape: Shape, frames: usize) -> Vec<RawRecord> {
    let mut next_offsets = [0; PARTITIONS as usize];
    let place = |made: steady::SteadyRecord| {
        let partition = made.owner.partition(PARTITIONS);
        let next_offset = &mut next_offsets[partition.0 as usize];
        let offset = Offset(*next_offset);
        *next_offset += 1;
        RawRecord { partition, offset, timestamp_ms: made.timestamp_ms, key: made.owner.0, value: made.value }
    };
    steady::records(shape, frames).map(place).collect()
}

/// [`records`], made by a thread of its own: the holes that making them leaves between them lie in that thread's part of
/// the heap, and what is measured does not fill them.
#[must_use]
pub fn records_apart(shape: Shape, frames: usize) -> Vec<RawRecord> {
    let made = std::thread::spawn(move || records(shape, frames));
    made.join().expect("records are made without a panic")
}
