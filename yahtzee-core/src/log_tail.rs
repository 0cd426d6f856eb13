//! The last record that was read before a commit: by it a restart knows the log again.

use crate::crc32c::crc32c;
use crate::record::{LogRecord, Offset};

/// The end of what had been read at a commit.
///
/// A log can lose its newest records and give their offsets to others, and may have grown past the commit by the time
/// somebody looks. A restart therefore reads this record again, and goes on only if it is still there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogTail {
    /// The commit does not say: it is of an earlier format, or there was a gap before it.
    #[default]
    Unknown,
    /// No record with a stamp lay below the position.
    Empty,
    /// The last record with a stamp below the position.
    EndsWith(RecordPrint),
}

/// A record, as it is known again: a log that has lost records gives their offsets to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPrint {
    /// Its offset.
    pub offset: Offset,
    /// CRC-32C of its stamp, its sizes and an excerpt of key and value.
    pub crc: u32,
}

impl RecordPrint {
    /// Returns the print of a record.
    #[must_use]
    pub fn of(record: &LogRecord<'_>) -> Self {
        RecordExcerpt::of(record).print()
    }

    /// Returns the print of a record that a log is known again by. One without a stamp is none: a log that has lost it may have
    /// been given the same one again.
    #[must_use]
    pub fn of_stamped(record: &LogRecord<'_>) -> Option<Self> {
        record.has_stamp().then(|| Self::of(record))
    }
}

impl LogTail {
    /// Returns where a replay from `c` must begin to see the tail again.
    pub(crate) fn replay_from(self, replay_offset: Offset) -> Offset {
        match self {
            Self::Unknown => replay_offset,
            Self::Empty => Offset(0),
            Self::EndsWith(RecordPrint { offset, .. }) => replay_offset.min(offset),
        }
    }
}

const KEY_BYTES: usize = 16;
const HEAD_BYTES: usize = 32;
const END_BYTES: usize = 16;

/// What tells a record from another one at its offset: sizes, stamp and a bounded excerpt, so that noting it costs the same
/// for any record. The head of a value has the frame id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordExcerpt {
    offset: Offset,
    timestamp_ms: i64,
    sizes_bytes: [usize; 2],
    key: [u8; KEY_BYTES],
    head: [u8; HEAD_BYTES],
    end: [u8; END_BYTES],
}

impl RecordExcerpt {
    pub(crate) fn of(record: &LogRecord<'_>) -> Self {
        let LogRecord { offset, timestamp_ms, key, value } = *record;
        Self {
            offset,
            timestamp_ms,
            sizes_bytes: [key.len(), value.len()],
            key: start_of(key),
            head: start_of(value),
            end: value.last_chunk().copied().unwrap_or_else(|| padded(value)),
        }
    }

    pub(crate) fn print(&self) -> RecordPrint {
        let Self { offset, timestamp_ms, sizes_bytes, key, head, end } = self;
        let sizes = sizes_bytes.map(|bytes| (bytes as u64).to_le_bytes()).concat();
        let all = [&timestamp_ms.to_le_bytes(), &*sizes, key, head, end].concat();
        RecordPrint { offset: *offset, crc: crc32c(&all) }
    }
}

/// Copies of a fixed size are a few moves; of records every one is noted.
fn start_of<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or_else(|| padded(bytes))
}

/// Returns what is shorter than the array, with zeros behind it.
#[cold]
fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut padded = [0; N];
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_differ_have_other_prints() {
        fn check(left: LogRecord<'_>, right: LogRecord<'_>, is_same: bool) {
            let is_found_same = RecordPrint::of(&left) == RecordPrint::of(&right);
            assert_eq!(is_found_same, is_same, "{left:?} and {right:?}");
        }
        let value: Vec<u8> = (0..100).collect();
        let record = LogRecord { offset: Offset(7), timestamp_ms: 5, key: &[1; 16], value: &value };
        check(record, record, true);
        check(record, LogRecord { offset: Offset(8), ..record }, false);
        check(record, LogRecord { timestamp_ms: 6, ..record }, false);
        check(record, LogRecord { key: &[2; 16], ..record }, false);
        check(record, LogRecord { value: &value[..99], ..record }, false);
        check(record, LogRecord { value: &value[1..], ..record }, false);
        check(record, LogRecord { key: &[], value: &[], ..record }, false);
    }

    #[test]
    fn a_replay_sees_the_tail_again() {
        fn check(tail: LogTail, expected: u64) {
            assert_eq!(tail.replay_from(Offset(5)), Offset(expected), "{tail:?}");
        }
        check(LogTail::Unknown, 5);
        check(LogTail::Empty, 0);
        check(LogTail::EndsWith(RecordPrint { offset: Offset(3), crc: 0 }), 3);
        check(LogTail::EndsWith(RecordPrint { offset: Offset(9), crc: 0 }), 5);
    }
}
