//! Effects: what the shell must write on behalf of a partition.

use crate::accumulate::Accumulator;
use crate::owner::Owner;
use crate::record::{LogRecord, MeasurementCounts, Offset, Poison};
use crate::summary::{Provenance, summary_key_bytes_max};

/// Something to be written. Order matters, and so does that none is left out: a commit waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A summary, for the summary topic.
    Emit(Emit),
    /// A record that could not be used, for the DLQ topic.
    DeadLetter(DeadLetter),
    /// A record with measurements that came too late or too early, for the LATE topic.
    Late(Late),
    /// A summary that cannot be published, for the DLQ topic.
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
            Self::Failed(FailedSummary { key, reason, .. }) => match reason {
                SummaryFailure::Panic => (key.len(), 0),
                SummaryFailure::TooLarge { value, .. } => (key.len(), value.len()),
            },
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

/// A summary that cannot be published. The other series and the partition go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedSummary {
    /// The owner of the series.
    pub owner: Owner,
    /// Wire form of its [`crate::summary::SummaryKey`].
    pub key: Vec<u8>,
    /// Provenance of the summary.
    pub provenance: Provenance,
    /// Why.
    pub reason: SummaryFailure,
}

/// Why a summary cannot be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SummaryFailure {
    /// The job's code has panicked on it.
    Panic,
    /// It has more bytes than [`summary_bytes_max`].
    TooLarge {
        /// The first [`DEAD_LETTER_BYTES`] of the value.
        value: Vec<u8>,
        /// Length of the whole value in bytes.
        value_bytes: usize,
    },
}

impl SummaryFailure {
    /// Returns the reason as metrics name it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::TooLarge { .. } => "too_large",
        }
    }
}

/// Bytes of a dead letter's key and of its value that are kept.
pub const DEAD_LETTER_BYTES: usize = 4_096;

/// Greatest size of a key and value that is written. Logs take 1 MiB for a record and what surrounds it.
pub const RECORD_BYTES_MAX: usize = 1_000_000;

/// Bytes of a summary beside its key and what its accumulator holds: provenance, counts, texts; or of one that cannot be published.
const SUMMARY_BYTES_BESIDE: usize = DEAD_LETTER_BYTES;

/// Returns the greatest size of a summary, key and value, that a series with this accumulator and so many dimensions may have: the
/// longest key, a fourth more than the accumulator can take in memory, and 4 KiB, so that what waits to be written is bounded as the
/// state is; in any case [`RECORD_BYTES_MAX`].
#[must_use]
pub const fn summary_bytes_max<A: Accumulator>(dimensions: usize) -> usize {
    let Some(heap_bytes) = A::HEAP_BYTES_MAX else { return RECORD_BYTES_MAX };
    let accumulator = size_of::<A>().saturating_add(heap_bytes);
    let beside = summary_key_bytes_max(dimensions).saturating_add(SUMMARY_BYTES_BESIDE);
    let bytes = (accumulator / 4).saturating_mul(5).saturating_add(beside);
    if bytes < RECORD_BYTES_MAX { bytes } else { RECORD_BYTES_MAX }
}

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
