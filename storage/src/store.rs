//! The one interface of all stores, in the vocabulary of the sink: what goes in, what became of it, what comes out.
//!
//! All calls block. A [`SummaryStore`] is shared; a [`ShardWriter`] belongs to one thread.

use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, SummaryKey};

mod day;
mod outcome;
mod summary;

pub use day::{Day, NotADay};
pub use outcome::{Fault, Outcome};
pub(crate) use summary::newest_by_key;
pub use summary::{DAYS_AHEAD_MAX, KEY_BYTES_MAX, OwnedSummary, Summary, UnusableSummary, VALUE_BYTES_MAX};

/// A store of summaries: one row per job, series and window, the newest revision wins.
///
/// One conformance suite (`tests/services/stores/`) holds every store to what is written here.
pub trait SummaryStore: Send + Sync {
    /// Short name, as in metrics, headers and the command line: `embedded`, `postgres`.
    fn name(&self) -> &'static str;

    /// Names of the shards, in the order of [`Shard`] numbers. At least one.
    fn shards(&self) -> Vec<String>;

    /// The shard that a summary belongs to: a pure function of its day and of the parts of its key that the shard map
    /// names, so that two processes with the same configuration agree.
    fn shard_of(&self, key: &SummaryKey) -> Shard;

    /// A writer for one shard. Does not connect: a shard that is down shows in the first write.
    fn writer(&self, shard: Shard) -> Box<dyn ShardWriter>;

    /// The rows of one owner and job with windows that start in `from_ms..to_ms` (milliseconds since 1970), in the
    /// order of their keys. Windows of dropped days are left out; [`Rows::floor`] says where they end.
    ///
    /// # Errors
    /// Where a shard that holds a part of the answer does not give it: never a part of the answer alone.
    fn range(&self, job: &str, owner: Owner, from_ms: i64, to_ms: i64) -> Result<Rows, StoreError>;

    /// The owners with most measurements in the window that starts at `window_start_ms`, over all their series,
    /// greatest first, equal ones by owner; `limit` of them at most.
    ///
    /// # Errors
    /// As [`Self::range`].
    fn top_owners(
        &self,
        job: &str,
        window_start_ms: i64,
        limit: usize,
    ) -> Result<Vec<OwnerCount>, StoreError>;

    /// Creates `first` to `last` for these jobs ahead of time, so that midnight is no event. Days that are there, or
    /// below the floor, are left alone.
    ///
    /// # Errors
    /// Where a shard cannot; days of other shards are created all the same.
    fn create_days(&self, jobs: &[&str], first: Day, last: Day) -> Result<(), StoreError>;

    /// Moves the floor up to `floor` on every shard, then drops the days below. A floor never goes down. Returns the
    /// dropped days, oldest first.
    ///
    /// # Errors
    /// Where a shard cannot; days of other shards are dropped all the same. Worth another try later: what is left
    /// is not seen by readers.
    fn drop_days_below(&self, floor: Day) -> Result<Vec<Day>, StoreError>;
}

/// Writes to one shard. Reconnects by itself.
pub trait ShardWriter: Send {
    /// Writes a batch, each row guarded by its revision, and says what became of each summary, in the order of
    /// `batch`. What is reported as settled survives a crash of the store.
    ///
    /// The same key may come more than once: the newest is written, the others are [`Outcome::Stale`]. A failure
    /// is told per summary: a poison row does not take its neighbours along.
    fn write(&mut self, batch: &[Summary<'_>]) -> Vec<Outcome>;
}

/// Number of a shard, from 0 in the order of [`SummaryStore::shards`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u32);

impl Shard {
    /// As an index into a list of all shards.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a read of a range found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// In the order of their keys.
    pub rows: Vec<Row>,
    /// Nothing before this day is kept: no row there means "dropped", not "no traffic".
    pub floor: Day,
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
    /// Summary value, provenance included: the bytes that the worker published.
    pub value: Vec<u8>,
}

/// Measurements of an owner in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerCount {
    /// The app.
    pub owner: Owner,
    /// Measurements of all its series.
    pub count: u64,
}

/// Why a store did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has the folder.
    #[error(
        "store folder {0} is in use by another process; stop it, or choose another with `sink.embedded.folder`"
    )]
    FolderInUse(String),
    /// Worth another try.
    #[error("{place}: {reason}; it is tried again, and the log still has everything")]
    Unavailable {
        /// Folder, or name of the shard.
        place: String,
        /// What the store or the operating system said.
        reason: String,
    },
    /// No try will do before somebody has mended something.
    #[error("{place}: {reason}")]
    Misconfigured {
        /// Folder, or name of the shard.
        place: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}
