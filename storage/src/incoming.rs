//! A summary as it comes out of its topic, read and checked once, before any store sees it.

use std::fmt;

use yahtzee_core::summary::{Provenance, Revision, SummaryKey, UnreadableSummary};

use crate::day::Day;

/// Greatest value that is stored, in bytes. A dense distribution has 10 KiB; ten times ten of them is a mistake.
pub const VALUE_BYTES_MAX: usize = 256 << 10;

/// Greatest key that is stored, in bytes: what a PostgreSQL index entry can hold (a third of a page), with a margin.
pub const KEY_BYTES_MAX: usize = 2_048;

/// Days ahead of the wall clock that a window may lie: more is a broken clock, and would create days without end.
pub const DAYS_AHEAD_MAX: i64 = 2;

/// A checked summary on its way into a store.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    /// Name of the job.
    pub job: &'a str,
    /// Wire form of the key.
    pub key: &'a [u8],
    /// Value, provenance included.
    pub value: &'a [u8],
    /// The key, read.
    pub parts: SummaryKey,
    /// The value's provenance.
    pub provenance: Provenance,
}

impl<'a> Summary<'a> {
    /// Reads and checks a record of a summary topic. `today` is the wall clock's day.
    ///
    /// # Errors
    /// [`Unusable`] says what no store would take.
    pub fn read(job: &'a str, key: &'a [u8], value: &'a [u8], today: Day) -> Result<Self, Unusable> {
        if key.len() > KEY_BYTES_MAX {
            return Err(Unusable::Key { bytes: key.len() });
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(Unusable::Value { bytes: value.len() });
        }
        let parts = SummaryKey::decode(key)?;
        let provenance = Provenance::of_value(value)?;
        let summary = Self { job, key, value, parts, provenance };
        match summary.day() {
            day if day > today.plus(DAYS_AHEAD_MAX) => Err(Unusable::Ahead { day, today }),
            _ => Ok(summary),
        }
    }

    /// The day that its window starts on.
    #[must_use]
    pub fn day(&self) -> Day {
        Day::of_ms(self.parts.window_start_ms)
    }

    /// Its place among the summaries under the same key.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.provenance.revision()
    }
}

/// Why a record of a summary topic can be in no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
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
        /// Its day.
        day: Day,
        /// The wall clock's.
        today: Day,
    },
}

impl From<UnreadableSummary> for Unusable {
    fn from(unreadable: UnreadableSummary) -> Self {
        Self::Unreadable(unreadable)
    }
}

impl fmt::Display for Unusable {
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
                "the window starts on {day}, today is {today}, and at most {DAYS_AHEAD_MAX} days ahead are stored"
            ),
        }
    }
}

impl std::error::Error for Unusable {}

/// Of each key the newest of a batch, by (job, key) in ascending order: indices into `batch`. Stores write in this
/// order, so that two writers cannot wait for each other, and no statement meets a row twice.
#[must_use]
pub fn newest_by_key(batch: &[Summary<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..batch.len()).collect();
    let place = |&index: &usize| {
        let summary = &batch[index];
        (summary.job, summary.key, std::cmp::Reverse(summary.revision()))
    };
    order.sort_by(|left, right| place(left).cmp(&place(right)));
    order.dedup_by(|later, kept| {
        let (later, kept) = (&batch[*later], &batch[*kept]);
        (later.job, later.key) == (kept.job, kept.key)
    });
    order
}

#[cfg(test)]
mod tests;
