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

impl LogRecord<'_> {
    /// Whether this is a heartbeat: a record without key and value. Ingress writes one to every partition now and
    /// then; it moves the watermark on, so that the windows of a partition without traffic close too.
    #[must_use]
    pub fn is_heartbeat(&self) -> bool {
        self.key.is_empty() && self.value.is_empty()
    }

    /// Whether the record has a stamp. One without is poison and moves no watermark.
    #[must_use]
    pub fn has_stamp(&self) -> bool {
        self.timestamp_ms >= 0
    }
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

/// What a window remembers a frame by: owner, then frame id. Two owners in one frame are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameKey(pub(crate) [u8; Self::BYTES]);

impl FrameKey {
    pub(crate) const BYTES: usize = Owner::BYTES + 16;

    /// Returns the key of `frame` for `owner`.
    #[must_use]
    pub fn new(owner: Owner, frame: FrameId) -> Self {
        let mut key = [0; Self::BYTES];
        key[..Owner::BYTES].copy_from_slice(&owner.0);
        key[Owner::BYTES..].copy_from_slice(&frame.0);
        Self(key)
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
    /// The job panicked on it.
    Panic,
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
            Self::Panic => "panic",
        }
    }
}

/// The outcome of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It was read; its measurements were counted by outcome.
    Folded(MeasurementCounts),
    /// It could not be read. The position has moved past it all the same.
    Poison(Poison),
    /// It is not the record that was read here before the last commit. Nothing was made of it, and nothing must be made of
    /// what follows: [`crate::partition::ResumeError::OtherLog`].
    OtherLog,
}

/// Upper ends of the classes that late measurements are counted in, in milliseconds beyond the allowed lateness.
pub const LATE_CLASSES_MS: [i64; 4] = [60_000, 600_000, 3_600_000, i64::MAX];

/// Measurements of one record, or sums over many, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeasurementCounts {
    /// Folded into a window.
    pub accepted: u64,
    /// Behind the watermark by more than the allowed lateness, by how much more: see [`LATE_CLASSES_MS`].
    pub late: [u64; LATE_CLASSES_MS.len()],
    /// Ahead of the record's own log timestamp by more than the future bound.
    pub future: u64,
    /// Of a frame that had been accepted into the same window before.
    pub duplicate: u64,
    /// Of a window that may have lost input.
    pub incomplete: u64,
    /// Of a window whose room for series is used up.
    pub capped: u64,
    /// Frames accepted into a window that has no room to remember them: a repetition would count again. Not of the sum.
    pub frames_forgotten: u64,
    /// The most that a late one was beyond the allowed lateness, in windows; 0 if none was.
    pub latest_windows: u64,
}

impl MeasurementCounts {
    /// Adds the counts of another record.
    pub fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.late.iter_mut().zip(other.late).for_each(|(sum, late)| *sum += late);
        self.future += other.future;
        self.duplicate += other.duplicate;
        self.incomplete += other.incomplete;
        self.capped += other.capped;
        self.frames_forgotten += other.frames_forgotten;
        self.latest_windows = self.latest_windows.max(other.latest_windows);
    }

    /// Late ones of all classes.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late.iter().sum()
    }

    /// All measurements.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.accepted + self.late() + self.future + self.duplicate + self.incomplete + self.capped
    }

    /// Counts a measurement that is `windows` windows behind the oldest open one.
    pub(crate) fn count_late(&mut self, windows: i64, length_ms: u32) {
        let late_ms = windows.saturating_mul(i64::from(length_ms));
        let class =
            LATE_CLASSES_MS.iter().position(|&end_ms| late_ms <= end_ms).unwrap_or(LATE_CLASSES_MS.len() - 1);
        self.late[class] += 1;
        self.latest_windows = self.latest_windows.max(windows.unsigned_abs());
    }
}

/// The owner in a record's key.
pub(crate) fn owner_of(record: &LogRecord<'_>) -> Result<Owner, Poison> {
    Owner::from_bytes(record.key).ok_or(Poison::Key)
}
