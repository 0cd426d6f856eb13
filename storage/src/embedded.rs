//! The embedded store: one folder, one process, one keyspace per day of event time.
//!
//! | keyspace      | key                                                                        | value         |
//! |---------------|----------------------------------------------------------------------------|---------------|
//! | `day-<number>`| job length (1), job, then the summary key as in `yahtzee_core::summary`     | summary value |
//!
//! The number of a day is its days since 1970. A row is replaced only by a greater revision, so batches may come in
//! any order and any number of times.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, SummaryKey};

const CACHE_BYTES: u64 = 64 << 20;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const DAY_PREFIX: &str = "day-";

/// One summary on its way into the store.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// Name of the job.
    pub job: &'a str,
    /// Wire form of the summary key.
    pub key: &'a [u8],
    /// Summary value.
    pub value: &'a [u8],
}

/// What became of one summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored; nothing newer was there.
    Stored,
    /// As [`Self::Stored`], but the row it replaced can not have come before it: see
    /// [`Provenance::can_be_followed_by`].
    StoredAgainstChain,
    /// The same or a newer revision was there.
    Stale,
    /// Key or value are not those of a summary.
    Unreadable,
}

/// One stored summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the job.
    pub job: String,
    /// Whose, which series, which window.
    pub key: SummaryKey,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Summary value.
    pub value: Vec<u8>,
}

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the folder.
    #[error(
        "store folder {0} is in use by another process; stop it, or choose another with `sink.embedded.folder`"
    )]
    FolderInUse(String),
    /// The folder cannot be read or written.
    #[error(
        "store folder {folder}: {reason}; free or repair the disk and start again, the log still has everything"
    )]
    Failed {
        /// Path.
        folder: String,
        /// What the store or the operating system said.
        reason: String,
    },
}

/// The open store.
pub struct EmbeddedStore {
    database: Database,
    folder: String,
    days: Mutex<BTreeMap<i64, Keyspace>>,
}

impl EmbeddedStore {
    /// Opens the folder, or creates it.
    ///
    /// # Errors
    /// [`StoreError::FolderInUse`] where another process has it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let name = folder.display().to_string();
        let opened = Database::builder(folder).cache_size(CACHE_BYTES).open();
        let database = opened.map_err(|error| match error {
            fjall::Error::Locked => StoreError::FolderInUse(name.clone()),
            error => failed(&name, &error),
        })?;
        Ok(Self { database, folder: name, days: Mutex::new(BTreeMap::new()) })
    }

    /// Writes a batch durably: what is reported as stored survives a crash. Outcomes are in the order of `batch`.
    ///
    /// # Errors
    /// Where the folder cannot be written. Nothing of the batch is stored then.
    pub fn write(&self, batch: &[Summary<'_>]) -> Result<Vec<Outcome>, StoreError> {
        let mut pending = Pending::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for summary in batch {
            outcomes.push(self.decide(summary, &mut pending)?);
        }
        let mut writes = self.database.batch().durability(Some(PersistMode::SyncData));
        for ((day, row_key), (_, value)) in pending {
            writes.insert(&self.day(day)?, row_key, value);
        }
        writes.commit().map_err(|error| failed(&self.folder, &error))?;
        Ok(outcomes)
    }

    /// Compares a summary with the stored row, or with an earlier one of the same batch.
    fn decide<'a>(&self, summary: &Summary<'a>, pending: &mut Pending<'a>) -> Result<Outcome, StoreError> {
        let (Ok(key), Ok(provenance)) =
            (SummaryKey::decode(summary.key), Provenance::of_value(summary.value))
        else {
            return Ok(Outcome::Unreadable);
        };
        let day = key.window_start_ms.div_euclid(DAY_MS);
        let row = (day, row_key(summary.job, summary.key));
        let before = match pending.get(&row) {
            Some(&(provenance, _)) => Some(provenance),
            None => self.provenance_of(day, &row.1)?,
        };
        let outcome = match before {
            Some(before) if before.revision() >= provenance.revision() => return Ok(Outcome::Stale),
            Some(before) if !before.can_be_followed_by(&provenance) => Outcome::StoredAgainstChain,
            _ => Outcome::Stored,
        };
        pending.insert(row, (provenance, summary.value));
        Ok(outcome)
    }

    fn provenance_of(&self, day: i64, row_key: &[u8]) -> Result<Option<Provenance>, StoreError> {
        let stored = self.day(day)?.get(row_key).map_err(|error| failed(&self.folder, &error))?;
        Ok(stored.and_then(|value| Provenance::of_value(&value).ok()))
    }

    /// All rows of an owner with windows that start in `from_ms..to_ms`, by day, job and series.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn rows_of(
        &self,
        owner: Owner,
        jobs: &[&str],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for (day, keyspace) in self.days_between(from_ms, to_ms)? {
            for job in jobs {
                let prefix = row_key(job, &owner.0);
                for guard in keyspace.prefix(&prefix) {
                    let (key, value) = guard.into_inner().map_err(|error| failed(&self.folder, &error))?;
                    let row = row(&key, &value).ok_or_else(|| self.malformed(day))?;
                    if (from_ms..to_ms).contains(&row.key.window_start_ms) {
                        rows.push(row);
                    }
                }
            }
        }
        Ok(rows)
    }

    /// Calls `each` with every row, by day, job, owner and series.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn scan(&self, mut each: impl FnMut(Row)) -> Result<(), StoreError> {
        for (day, keyspace) in self.days_between(i64::MIN, i64::MAX)? {
            for guard in keyspace.iter() {
                let (key, value) = guard.into_inner().map_err(|error| failed(&self.folder, &error))?;
                each(row(&key, &value).ok_or_else(|| self.malformed(day))?);
            }
        }
        Ok(())
    }

    /// The keyspace of a day, created if missing.
    fn day(&self, day: i64) -> Result<Keyspace, StoreError> {
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keyspace) = days.get(&day) {
            return Ok(keyspace.clone());
        }
        let name = format!("{DAY_PREFIX}{day}");
        let opened = self.database.keyspace(&name, KeyspaceCreateOptions::default);
        let keyspace = opened.map_err(|error| failed(&self.folder, &error))?;
        days.insert(day, keyspace.clone());
        Ok(keyspace)
    }

    fn days_between(&self, from_ms: i64, to_ms: i64) -> Result<Vec<(i64, Keyspace)>, StoreError> {
        let names = self.database.list_keyspace_names();
        let numbers = names.iter().filter_map(|name| name.strip_prefix(DAY_PREFIX)?.parse().ok());
        let (first, last) = (from_ms.div_euclid(DAY_MS), to_ms.saturating_sub(1).div_euclid(DAY_MS));
        let mut days: Vec<i64> = numbers.filter(|day| (first..=last).contains(day)).collect();
        days.sort_unstable();
        days.into_iter().map(|day| Ok((day, self.day(day)?))).collect()
    }

    fn malformed(&self, day: i64) -> StoreError {
        let reason = format!("keyspace {DAY_PREFIX}{day} holds a row that this version does not understand");
        StoreError::Failed { folder: self.folder.clone(), reason }
    }
}

/// What a batch is about to write: by day and row key, the newest summary so far.
type Pending<'a> = BTreeMap<(i64, Vec<u8>), (Provenance, &'a [u8])>;

fn row_key(job: &str, summary_key: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + job.len() + summary_key.len());
    key.push(u8::try_from(job.len()).expect("names of jobs are short"));
    key.extend_from_slice(job.as_bytes());
    key.extend_from_slice(summary_key);
    key
}

fn row(key: &[u8], value: &[u8]) -> Option<Row> {
    let (&length, rest) = key.split_first()?;
    let (job, summary_key) = rest.split_at_checked(usize::from(length))?;
    Some(Row {
        job: String::from_utf8(job.to_vec()).ok()?,
        key: SummaryKey::decode(summary_key).ok()?,
        provenance: Provenance::of_value(value).ok()?,
        value: value.to_vec(),
    })
}

/// The operating system's words where there are some, else the store's.
fn failed(folder: &str, error: &fjall::Error) -> StoreError {
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    StoreError::Failed { folder: folder.to_owned(), reason: deepest.to_string() }
}

#[cfg(test)]
mod tests;
