//! First stage: a record of the raw log, as the core is handed it.

use std::fmt;

use crate::owner::Owner;

/// Position of a record in its partition. Offsets grow; they may have gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// A record as a log lends it: nothing in it is owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRecord<'a> {
    /// Place in the partition.
    pub offset: Offset,
    /// Milliseconds since 1970, stamped on receipt; `-1` where the log has none.
    pub timestamp_ms: i64,
    /// Key bytes; empty where there is none.
    pub key: &'a [u8],
    /// Value bytes; empty where there is none.
    pub value: &'a [u8],
}

/// Identity of a drain frame: the same for every delivery of it.
///
/// Ingress makes it from drain token and frame id, so the same id under another token is another frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub [u8; 16]);

impl FrameId {
    /// Reads 16 bytes. `None` for any other length: the record then takes no part in deduplication.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// Why a record could not be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Poison {
    /// The key is not the 16 bytes of an owner.
    Key,
    /// The record carries no log timestamp.
    Timestamp,
    /// The value is not the job's message.
    Value,
    /// The record lies in a partition that its owner does not hash to.
    Partition,
}

impl Poison {
    /// Stable name for metrics and dead letters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Timestamp => "timestamp",
            Self::Value => "value",
            Self::Partition => "partition",
        }
    }
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was read; its measurements were counted by outcome.
    Folded(Outcomes),
    /// It could not be read. The position has moved past it all the same.
    Poison(Poison),
}

/// Measurements of one record, or sums over many, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Folded into a window.
    pub accepted: u64,
    /// Behind the mark by more than the allowed lateness.
    pub late: u64,
    /// Ahead of the record's own log timestamp by more than the future bound.
    pub future: u64,
    /// Of a frame that had been accepted into the same window before.
    pub duplicate: u64,
    /// Of a window that may have lost input.
    pub quarantined: u64,
}

impl Outcomes {
    /// Adds the counts of another record.
    pub fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.late += other.late;
        self.future += other.future;
        self.duplicate += other.duplicate;
        self.quarantined += other.quarantined;
    }

    /// All measurements.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.accepted + self.late + self.future + self.duplicate + self.quarantined
    }
}

/// The owner in a record's key.
pub(crate) fn owner_of(record: &LogRecord<'_>) -> Result<Owner, Poison> {
    Owner::from_bytes(record.key).ok_or(Poison::Key)
}
