//! The folder: an fjall database, opened, locked and read.
//!
//! Written only by the writer thread, one atomic batch at a time; read by everybody. fjall locks the folder
//! (`flock` on its file `lock`), so a second process, or a second opening in this one, is turned away.

use std::ops::Range;
use std::path::Path;

use fjall::{
    Database, DatabaseBuilder, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable,
    Snapshot, UserValue,
};
use yahtzee_core::record::LogRecord;

use super::format::{PartitionId, number_of, record_of};
use crate::cause::Cause;
use crate::fjall_folder::{self, FolderError, IfMissing, cause_of};
use crate::log::{Headers, LogError};

/// Blocks kept in memory: enough that readers near the end never touch the disk.
const CACHE_BYTES: u64 = 32 << 20;

/// Memory per keyspace before it goes to a table; records come in bulk, the rest is small.
const RECORDS_MEMTABLE_BYTES: u64 = 16 << 20;
const OTHER_MEMTABLE_BYTES: u64 = 4 << 20;

/// Journal kept on disk; it bounds the time of recovery too.
const JOURNAL_BYTES: u64 = 128 << 20;

/// The open folder. See [`super::format`] for what is in it.
pub(super) struct LogStore {
    database: Database,
    pub(super) records: Keyspace,
    pub(super) times: Keyspace,
    pub(super) newest: Keyspace,
    pub(super) meta: Keyspace,
    folder: String,
}

impl LogStore {
    /// Opens the folder and creates what is missing, or refuses a folder without a log.
    pub(super) fn open(folder: &Path, if_missing: IfMissing) -> Result<Self, LogError> {
        let name = folder.display().to_string();
        let refused = |cause: Cause| LogError::refused(format!("opening data folder {name}"), cause);
        let configure = |builder: DatabaseBuilder<Database>| {
            builder.cache_size(CACHE_BYTES).max_journaling_size(JOURNAL_BYTES)
        };
        let database = fjall_folder::open(folder, if_missing, configure).map_err(|error| match error {
            FolderError::InUse => LogError::FolderInUse(name.clone()),
            FolderError::Missing => LogError::NoFolder(name.clone()),
            error => refused(error.into()),
        })?;
        let keyspace = |keyspace: &str, bytes: u64| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(bytes);
            database.keyspace(keyspace, options).map_err(|error| refused(cause_of(error)))
        };
        Ok(Self {
            records: keyspace("records", RECORDS_MEMTABLE_BYTES)?,
            times: keyspace("times", OTHER_MEMTABLE_BYTES)?,
            newest: keyspace("newest", OTHER_MEMTABLE_BYTES)?,
            meta: keyspace("meta", OTHER_MEMTABLE_BYTES)?,
            database,
            folder: name,
        })
    }

    /// Returns a batch that is on disk when its commit has returned.
    pub(super) fn batch(&self) -> OwnedWriteBatch {
        self.database.batch().durability(Some(PersistMode::SyncData))
    }

    /// Returns a view in which nothing changes. Drop it soon: it holds back the clearing of old versions.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.database.snapshot()
    }

    /// Returns the kept records of a partition with offsets in the range, in order.
    pub(super) fn scan(
        &self,
        snapshot: &Snapshot,
        id: PartitionId,
        offsets: Range<u64>,
    ) -> impl Iterator<Item = Result<StoredRecord, LogError>> {
        let keys = id.numbered(offsets.start)..id.numbered(offsets.end.max(offsets.start));
        snapshot.range(&self.records, keys).map(|guard| {
            let (key, bytes) = guard.into_inner().map_err(|error| self.unreadable(error))?;
            let offset = number_of(&key).filter(|&offset| record_of(offset, &bytes).is_some());
            let offset = offset.ok_or_else(|| self.malformed("a record"))?;
            Ok(StoredRecord { offset, bytes })
        })
    }

    /// Returns the error of a failed read.
    pub(super) fn unreadable(&self, error: fjall::Error) -> LogError {
        LogError::unavailable(format!("data folder {}", self.folder), cause_of(error))
    }

    /// Returns the error of content that this version does not understand.
    pub(super) fn malformed(&self, what: &str) -> LogError {
        let what = format!("reading {what} in data folder {}", self.folder);
        LogError::refused(what, Cause::new("malformed", "malformed; restore the folder or choose another"))
    }

    /// Returns the error of a failed write. Later writes are refused too: after a failed `fsync` nobody knows which
    /// pages are on disk, and only the recovery of a new opening finds out.
    pub(super) fn unwritable(&self, error: fjall::Error) -> LogError {
        let cause = cause_of(error);
        let text = format!("{cause}; free or repair the disk, then restart: until then nothing is accepted");
        LogError::refused(format!("writing to data folder {}", self.folder), cause.with_text(text))
    }
}

/// A record in the store's memory.
pub(super) struct StoredRecord {
    offset: u64,
    bytes: UserValue,
}

impl StoredRecord {
    /// Bytes of the record as it is stored.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Lends the record.
    pub(super) fn record(&self) -> LogRecord<'_> {
        self.with_headers().0
    }

    /// Lends the record and its headers.
    pub(super) fn with_headers(&self) -> (LogRecord<'_>, Headers<'_>) {
        record_of(self.offset, &self.bytes).expect("the scan let only well-formed records pass")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_place_of_the_folder_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = LogStore::open(file.path(), IfMissing::Create).map(drop).unwrap_err();
        assert!(matches!(&error, LogError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
    }
}
