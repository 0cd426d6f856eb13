//! The interface of all stores: writing summaries, their outcomes, and reading rows.
//!
//! All calls block. A [`SummaryStore`] is shared; a [`ShardWriter`] belongs to one thread.

use yahtzee_core::delivery::SettledMark;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_runtime::cause::Cause;

mod day;
mod generations;
mod outcome;
mod settled;
mod summary;

pub(crate) use day::next_floor;
pub use day::{Day, NotADay};
pub use generations::Generations;
pub(crate) use generations::NewestCounts;
pub use outcome::Outcome;
pub use settled::{Marked, Settling, SourcePartition, WrittenBatch};
pub(crate) use summary::newest_by_key;
pub use summary::{DAYS_AHEAD_MAX, KEY_BYTES_MAX, OwnedSummary, Summary, UnusableSummary, VALUE_BYTES_MAX};

/// A store of summaries: one row per job, series and window, the newest revision wins.
///
/// One conformance suite (`tests/services/stores/`) checks every store against this documentation.
pub trait SummaryStore: Send + Sync {
    /// Returns the short name, as in metrics, headers and the command line: `embedded`, `postgres`.
    fn name(&self) -> &'static str;

    /// Returns the names of the shards, in the order of [`Shard`] numbers. At least one.
    fn shards(&self) -> Vec<String>;

    /// Returns the shard that a summary belongs to: a pure function of its day and of the parts of its key that the
    /// shard map names, so that two processes with the same configuration agree.
    fn shard_of(&self, key: &SummaryKey) -> Shard;

    /// Creates a writer for one shard. Does not connect: a shard that is down shows in the first write.
    fn writer(&self, shard: Shard) -> Box<dyn ShardWriter>;

    /// Returns the marks that the shards keep of these partitions, by shard: `None` where a shard has none. A shard that
    /// fails delays the others by its timeouts at most.
    fn marks(&self, of: &[SourcePartition]) -> Vec<Result<Vec<Option<SettledMark>>, StoreError>>;

    /// Returns the rows of a job with windows that start in `from_ms..to_ms` (milliseconds since 1970), of one owner or,
    /// for `None`, of all, in the order of their keys, without those that a newer generation has replaced
    /// ([`Generations`]). Windows of dropped days are left out; [`Rows::floor`] is the first day kept.
    ///
    /// # Errors
    /// If a shard that holds a part of the answer fails: a partial answer is never returned.
    fn range(&self, job: &str, owner: Option<Owner>, from_ms: i64, to_ms: i64) -> Result<Rows, StoreError>;

    /// Returns the owners with most measurements in the window that starts at `window_start_ms`, over all their series of
    /// the newest generation, greatest first, ties by owner; at most `limit` of them.
    ///
    /// # Errors
    /// If [`Self::range`] would fail.
    fn top_owners(
        &self,
        job: &str,
        window_start_ms: i64,
        limit: usize,
    ) -> Result<Vec<OwnerCount>, StoreError>;

    /// Creates the days `first` to `last` for these jobs ahead of time, so that midnight causes no burst of work. Days
    /// that exist, or lie below the floor, are left alone.
    ///
    /// # Errors
    /// If a shard cannot; days of other shards are created all the same.
    fn create_days(&self, jobs: &[&str], first: Day, last: Day) -> Result<(), StoreError>;

    /// Moves the floor up to `floor` on every shard, then drops the days below. A floor never goes down, and with
    /// `days_max` moves by so many days at most, counted from the first day that the shard holds. Returns the dropped
    /// days, oldest first.
    ///
    /// # Errors
    /// If a shard cannot; days of other shards are dropped all the same, but for `days_max`, for which all shards must say
    /// first what they hold. Call it again later: readers do not see the days that are left.
    fn drop_days_below(&self, floor: Day, days_max: Option<u32>) -> Result<Vec<Day>, StoreError>;
}

/// A writer to one shard. Reconnects by itself.
pub trait ShardWriter: Send {
    /// Writes a batch, each row guarded by its revision, and returns the outcome of each summary, in the order of
    /// `batch`. A row that is reported as settled survives a crash of the store.
    ///
    /// The same key may occur more than once: the newest is written, the others are [`Outcome::Stale`]. Failures are
    /// reported per summary: a poison row does not fail its neighbours.
    ///
    /// Each transaction moves the marks of the partitions that the batch comes from, so that a database which is
    /// restored to an earlier point says by its marks what it has lost.
    fn write_and_settle(&mut self, batch: &[Summary<'_>], settling: &[Settling]) -> WrittenBatch;

    /// Writes a batch that comes from no partition, as [`Self::write_and_settle`].
    fn write(&mut self, batch: &[Summary<'_>]) -> Vec<Outcome> {
        self.write_and_settle(batch, &[]).outcomes
    }
}

/// Number of a shard, from 0 in the order of [`SummaryStore::shards`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u32);

impl Shard {
    /// Returns the number as an index into a list of all shards.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Rows {
    /// Leaves out what a newer generation has replaced.
    pub(crate) fn of_newest_generation(mut self) -> Self {
        let mut generations = Generations::default();
        self.rows.iter().for_each(|row| generations.add(&row.key, row.provenance.generation));
        self.rows.retain(|row| !generations.is_replaced(&row.key, row.provenance.generation));
        self
    }
}

/// Result of reading a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Rows in the order of their keys.
    pub rows: Vec<Row>,
    /// First day kept. Before it, the absence of a row means "dropped", not "no traffic".
    pub floor: Day,
}

/// One stored summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the job.
    pub job: String,
    /// Owner, series and window.
    pub key: SummaryKey,
    /// Provenance of the summary.
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

/// Codes of the operating system's errors where there is no room for what is written: of the disk, of the user, or of one file.
const FULL: [&str; 3] = ["io:StorageFull", "io:QuotaExceeded", "io:FileTooLarge"];

/// Reason why a store failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The folder is in use by another process.
    #[error(
        "store folder {0} is in use by another process; stop it, or choose another with `sink.embedded.folder`"
    )]
    FolderInUse(String),
    /// A temporary failure: try again.
    #[error("{place}: {cause}; it is tried again, and the log still has everything")]
    Unavailable {
        /// Folder, or name of the shard.
        place: String,
        /// What the store or the operating system said.
        #[source]
        cause: Cause,
    },
    /// A permanent failure: every try fails until an operator has corrected the configuration.
    #[error("{place}: {cause}")]
    Misconfigured {
        /// Folder, or name of the shard.
        place: String,
        /// What is wrong, and what to do.
        #[source]
        cause: Cause,
    },
}

impl StoreError {
    /// Returns whether the disk has no room: whoever frees some needs to do nothing else.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::FolderInUse(_) => false,
            Self::Unavailable { cause, .. } | Self::Misconfigured { cause, .. } => {
                FULL.contains(&cause.code())
            }
        }
    }
}
