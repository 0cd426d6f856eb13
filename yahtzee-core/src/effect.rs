//! Effects: what the shell must write on behalf of a partition.

use crate::owner::Owner;
use crate::record::{LogRecord, MeasurementCounts, Offset, Poison};
use crate::summary::Provenance;

/// Something to be written. Order matters, and so does that none is left out: a commit waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A summary, for the summary topic.
    Emit(Emit),
    /// A record that could not be used, for the DLQ topic.
    DeadLetter(DeadLetter),
    /// A record with measurements that came too late or too early, for the LATE topic.
    Late(Late),
    /// A series that the job could not summarise, for the DLQ topic.
    Failed(FailedSummary),
}

/// The kind of topic that an effect is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The summary topic.
    Summaries,
    /// The DLQ topic.
    DeadLetters,
    /// The LATE topic.
    Late,
}

impl Effect {
    /// Returns the memory that it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let (key, value) = match self {
            Self::Emit(Emit { key, value, .. }) | Self::DeadLetter(DeadLetter { key, value, .. }) => {
                (key.len(), value.len())
            }
            Self::Late(Late { value, .. }) => (0, value.len()),
            Self::Failed(FailedSummary { key, .. }) => (key.len(), 0),
        };
        size_of::<Self>() + key + value
    }

    /// Returns the kind of topic that the effect is written to.
    #[must_use]
    pub fn destination(&self) -> Destination {
        match self {
            Self::Emit(_) => Destination::Summaries,
            Self::DeadLetter(_) | Self::Failed(_) => Destination::DeadLetters,
            Self::Late(_) => Destination::Late,
        }
    }
}

/// A summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emit {
    /// Decides the partition of the summary topic.
    pub owner: Owner,
    /// Wire form of a [`crate::summary::SummaryKey`].
    pub key: Vec<u8>,
    /// Provenance and the job's summary message.
    pub value: Vec<u8>,
    /// Whether this is the window's last word.
    pub is_final: bool,
}

/// A series whose summary the job's code has panicked on. The other series and the partition go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedSummary {
    /// The owner of the series.
    pub owner: Owner,
    /// Wire form of its [`crate::summary::SummaryKey`].
    pub key: Vec<u8>,
    /// Provenance that the summary would have had.
    pub provenance: Provenance,
}

/// Bytes of a dead letter's key and of its value that are kept.
pub const DEAD_LETTER_BYTES: usize = 4_096;

/// A record that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its offset in the raw partition.
    pub offset: Offset,
    /// Its log timestamp, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Why it could not be used.
    pub reason: Poison,
    /// The first [`DEAD_LETTER_BYTES`] of its key.
    pub key: Vec<u8>,
    /// The first [`DEAD_LETTER_BYTES`] of its value.
    pub value: Vec<u8>,
    /// Length of the whole value.
    pub value_bytes: usize,
}

impl DeadLetter {
    pub(crate) fn of(record: &LogRecord<'_>, reason: Poison) -> Self {
        let start = |bytes: &[u8]| bytes[..bytes.len().min(DEAD_LETTER_BYTES)].to_vec();
        Self {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            reason,
            key: start(record.key),
            value: start(record.value),
            value_bytes: record.value.len(),
        }
    }
}

/// A record with measurements that came too late or too early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// Its offset in the raw partition.
    pub offset: Offset,
    /// Its log timestamp, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The owner in its key.
    pub owner: Owner,
    /// Its measurements by what became of them, and by how much the latest was too late.
    pub outcomes: MeasurementCounts,
    /// The whole value: no measurement is lost to a bound.
    pub value: Vec<u8>,
}
