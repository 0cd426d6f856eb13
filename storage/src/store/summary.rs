//! A summary read from its topic and checked once, before it is written to any store.

use std::fmt;
use std::sync::Arc;

use yahtzee_core::summary::{Provenance, Revision, SummaryKey, UnreadableSummary};

use super::day::Day;
use super::outcome::Outcome;

/// Maximum size of a value, in bytes. A dense distribution has 10 KiB; a hundred times as much is a mistake.
pub const VALUE_BYTES_MAX: usize = 256 << 10;

/// Maximum size of a key, in bytes: what a PostgreSQL index entry can hold (a third of a page), with a margin.
pub const KEY_BYTES_MAX: usize = 2_048;

/// Maximum number of days that a window may lie ahead of the clocks of those who write and store it: more means a broken clock, and would create
/// days without end.
pub const DAYS_AHEAD_MAX: i64 = 2;

/// A checked summary on its way into a store, parsed once and borrowed by every write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedSummary {
    /// Name of the job.
    pub job: Arc<str>,
    /// Wire form of the key.
    pub key: Vec<u8>,
    /// Value, provenance included.
    pub value: Vec<u8>,
    /// The parsed key.
    pub parts: SummaryKey,
    /// The value's provenance.
    pub provenance: Provenance,
}

/// A borrowed [`OwnedSummary`], as stores take it.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// Name of the job.
    pub job: &'a str,
    /// Wire form of the key.
    pub key: &'a [u8],
    /// Value, provenance included.
    pub value: &'a [u8],
    /// The parsed key.
    pub parts: &'a SummaryKey,
    /// The value's provenance.
    pub provenance: Provenance,
}

impl OwnedSummary {
    /// Reads, checks and copies a record of a summary topic. `today` is the day of the wall clock or of the record's stamp,
    /// whichever is later: of a store's clock that is behind no summary may suffer.
    ///
    /// # Errors
    /// If no store would take it; [`UnusableSummary`] is the reason.
    pub fn read(job: &Arc<str>, key: &[u8], value: &[u8], today: Day) -> Result<Self, UnusableSummary> {
        Self::checked(job, key, value, Provenance::of_value(value), today)
    }

    /// Does what [`Self::read`] does with the key of [`yahtzee_core::summary::key_of_record`], and looks at the provenance
    /// once for both.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub fn read_record(
        job: &Arc<str>,
        record_key: &[u8],
        value: &[u8],
        today: Day,
    ) -> Result<Self, UnusableSummary> {
        let provenance = Provenance::of_value(value);
        let named = provenance.map(|provenance| provenance.generation.to_be_bytes());
        let key = named.ok().and_then(|named| record_key.strip_suffix(&named));
        Self::checked(job, key.unwrap_or(record_key), value, provenance, today)
    }

    fn checked(
        job: &Arc<str>,
        key: &[u8],
        value: &[u8],
        provenance: Result<Provenance, UnreadableSummary>,
        today: Day,
    ) -> Result<Self, UnusableSummary> {
        if key.len() > KEY_BYTES_MAX {
            return Err(UnusableSummary::Key { bytes: key.len() });
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(UnusableSummary::Value { bytes: value.len() });
        }
        let parts = SummaryKey::decode(key)?;
        let provenance = provenance?;
        let (job, key, value) = (Arc::clone(job), key.to_vec(), value.to_vec());
        let summary = Self { job, key, value, parts, provenance };
        match summary.lend().day() {
            day if day > today.plus(DAYS_AHEAD_MAX) => Err(UnusableSummary::Ahead { day, today }),
            _ => Ok(summary),
        }
    }

    /// Returns the summary as stores take it.
    #[must_use]
    pub fn lend(&self) -> Summary<'_> {
        let Self { job, key, value, parts, provenance } = self;
        Summary { job, key, value, parts, provenance: *provenance }
    }

    /// Returns its revision, which orders the summaries under the same key.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.provenance.revision()
    }

    /// Returns the size of key and value.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

impl Summary<'_> {
    /// Returns the day that its window starts on.
    #[must_use]
    pub fn day(&self) -> Day {
        Day::of_ms(self.parts.window_start_ms)
    }

    /// Returns its revision, which orders the summaries under the same key.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.provenance.revision()
    }

    /// Returns whether another summary of its key, with this revision and value, cannot be right as well: equal revisions
    /// have equal bytes.
    pub(crate) fn contradicts(&self, revision: Revision, value: &[u8]) -> bool {
        self.revision() == revision && self.value != value
    }
}

/// Reason why a record of a summary topic cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableSummary {
    /// Key or value are not those of a summary.
    Unreadable(UnreadableSummary),
    /// The key is too large.
    Key {
        /// Its size.
        bytes: usize,
    },
    /// The value is too large.
    Value {
        /// Its size.
        bytes: usize,
    },
    /// The window lies too far in the future.
    Ahead {
        /// Day of the window.
        day: Day,
        /// Current day by the wall clock, or day of the record's stamp if that is later.
        today: Day,
    },
}

impl From<UnreadableSummary> for UnusableSummary {
    fn from(unreadable: UnreadableSummary) -> Self {
        Self::Unreadable(unreadable)
    }
}

impl fmt::Display for UnusableSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(unreadable) => fmt::Display::fmt(unreadable, formatter),
            Self::Key { bytes } => {
                write!(formatter, "the key has {bytes} bytes, {KEY_BYTES_MAX} at most are stored")
            }
            Self::Value { bytes } => {
                write!(formatter, "the value has {bytes} bytes, {VALUE_BYTES_MAX} at most are stored")
            }
            Self::Ahead { day, today } => write!(
                formatter,
                "the window starts on {day}, it was written on {today}, and at most {DAYS_AHEAD_MAX} days ahead are stored"
            ),
        }
    }
}

impl std::error::Error for UnusableSummary {}

/// Returns the indices into `batch` of the newest summary of each key, by (job, key) in ascending order. Stores write
/// in this order, so that two writers cannot wait for each other, and no statement contains a row twice. Reports in
/// `outcomes` the stale ones that have the revision of the newest one and other bytes.
#[must_use]
pub(crate) fn newest_by_key(batch: &[Summary<'_>], outcomes: &mut [Outcome]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..batch.len()).collect();
    let place = |&index: &usize| {
        let summary = &batch[index];
        (summary.job, summary.key, std::cmp::Reverse(summary.revision()))
    };
    order.sort_by(|left, right| place(left).cmp(&place(right)));
    order.dedup_by(|later, kept| {
        let (index, later, kept) = (*later, &batch[*later], &batch[*kept]);
        let is_same_key = (later.job, later.key) == (kept.job, kept.key);
        if is_same_key && later.contradicts(kept.revision(), kept.value) && outcomes[index] == Outcome::Stale
        {
            outcomes[index] = Outcome::StaleAgainstChain;
        }
        is_same_key
    });
    order
}

#[cfg(test)]
mod tests;
