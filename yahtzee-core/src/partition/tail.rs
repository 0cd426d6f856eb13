//! The log below a commit, compared with what the commit says of it while it is read again.

use super::ResumeError;
use crate::log_tail::{LogTail, RecordPrint};
use crate::record::{LogRecord, Offset};

/// What is still to be found of the log that a commit was made from.
///
/// Nothing of an incarnation goes out before this is settled: below the position of the commit only a stamp beyond the watermark
/// could close a window, and no record of the log that was read has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct TailCheck {
    /// [`LogTail::Unknown`] once there is nothing more to be compared.
    expected: LogTail,
    /// `h` of the commit.
    position: Offset,
    watermark_ms: Option<i64>,
    /// Whether the last record must come before the position is reached.
    is_awaited: bool,
}

impl TailCheck {
    /// Creates the check of a partition that starts from a commit at `position`; the log starts at `log_start`.
    pub(super) fn new(
        expected: LogTail,
        position: Offset,
        watermark_ms: Option<i64>,
        log_start: Offset,
    ) -> Self {
        let is_awaited = matches!(expected, LogTail::EndsWith(last) if last.offset >= log_start);
        Self { expected, position, watermark_ms, is_awaited }
    }

    /// Creates a check of nothing.
    pub(super) fn none() -> Self {
        Self::new(LogTail::Unknown, Offset(0), None, Offset(0))
    }

    /// Whether nothing is left to be compared.
    pub(super) fn is_over(&self) -> bool {
        self.expected == LogTail::Unknown
    }

    /// Compares a record, before anything is made of it.
    pub(super) fn see(&mut self, record: &LogRecord<'_>) -> Result<(), ResumeError> {
        let offset = record.offset;
        if offset >= self.position {
            return self.reached(offset);
        }
        let is_same = match self.expected {
            LogTail::Unknown => true,
            LogTail::EndsWith(last) if offset == last.offset => {
                self.is_awaited = false;
                RecordPrint::of(record) == last
            }
            _ if !record.has_stamp() => true,
            LogTail::EndsWith(last) if offset < last.offset => {
                self.watermark_ms.is_none_or(|watermark_ms| record.timestamp_ms <= watermark_ms)
            }
            LogTail::Empty | LogTail::EndsWith(_) => false,
        };
        if is_same { Ok(()) } else { Err(ResumeError::OtherLog { offset }) }
    }

    /// Notes that there is no further record below `next`.
    pub(super) fn reached(&mut self, next: Offset) -> Result<(), ResumeError> {
        match self.expected {
            LogTail::EndsWith(last) if self.is_awaited && next > last.offset => {
                Err(ResumeError::OtherLog { offset: last.offset })
            }
            _ if next >= self.position => {
                self.expected = LogTail::Unknown;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
