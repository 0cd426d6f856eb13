//! The embedded store: one folder, one process, one keyspace per day of event time.
//!
//! A writer locks the [`Folder`], one at a time; readers keep the view that was current when they began. After a failed
//! write it is unknown what is on disk, so the folder is opened again before the next write: recovery determines it.

mod folder;
mod marks;
mod read;
mod row_key;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use yahtzee_core::delivery::SettledMark;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::SummaryKey;
use yahtzee_runtime::cause::Cause;
use yahtzee_runtime::fjall_folder::{FolderError, IfMissing, cause_of};

use self::folder::{Folder, FolderView, Refused};
use self::read::UnreadableRow;
use crate::store::{Day, Summary, next_floor};
use crate::store::{Marked, Settling, SourcePartition, WrittenBatch};
use crate::store::{Outcome, OwnerCount, Row, Rows, Shard, ShardWriter, StoreError, SummaryStore};

const NAME: &str = "embedded";

/// The open store.
pub struct EmbeddedStore(Arc<SharedFolder>);

struct SharedFolder {
    path: PathBuf,
    /// The folder; `None` if it could not be opened again after a failed write.
    folder: Mutex<Option<Folder>>,
    /// The view that readers take; `None` as above.
    view: RwLock<Option<Arc<FolderView>>>,
}

impl EmbeddedStore {
    /// Opens the folder, or creates it.
    ///
    /// # Errors
    /// If another process has the folder open ([`StoreError::FolderInUse`]), or it cannot be used as it is
    /// ([`StoreError::Misconfigured`]), as one that holds something else: then it is left as it is.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_or(folder, IfMissing::Create)
    }

    /// Opens the folder as [`Self::open`] does, and creates none.
    ///
    /// # Errors
    /// [`StoreError::Misconfigured`] if there is no store; the others of [`Self::open`].
    pub fn open_existing(folder: &Path) -> Result<Self, StoreError> {
        Self::open_or(folder, IfMissing::Refuse)
    }

    fn open_or(folder: &Path, if_missing: IfMissing) -> Result<Self, StoreError> {
        let opened = Folder::open(folder, if_missing).map_err(|refused| unusable(folder, refused))?;
        let view = RwLock::new(Some(Arc::clone(opened.view())));
        Ok(Self(Arc::new(SharedFolder { path: folder.to_owned(), folder: Mutex::new(Some(opened)), view })))
    }

    /// Calls `each` with every row, by day, job and owner.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn scan(&self, each: impl FnMut(Row)) -> Result<(), StoreError> {
        self.0.read(|view| read::scan(view, each))
    }
}

impl SummaryStore for EmbeddedStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn shards(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }

    fn shard_of(&self, _key: &SummaryKey) -> Shard {
        Shard(0)
    }

    fn writer(&self, _shard: Shard) -> Box<dyn ShardWriter> {
        Box::new(EmbeddedWriter(Arc::clone(&self.0)))
    }

    fn marks(&self, of: &[SourcePartition]) -> Vec<Result<Vec<Option<SettledMark>>, StoreError>> {
        vec![self.0.change(|folder| of.iter().map(|of| marks::mark(folder.settled(), of)).collect())]
    }

    fn range(&self, job: &str, owner: Option<Owner>, from_ms: i64, to_ms: i64) -> Result<Rows, StoreError> {
        self.0.read(|view| read::range(view, job, owner, from_ms..to_ms)).map(Rows::of_newest_generation)
    }

    fn top_owners(
        &self,
        job: &str,
        window_start_ms: i64,
        limit: usize,
    ) -> Result<Vec<OwnerCount>, StoreError> {
        self.0.read(|view| read::top_owners(view, job, window_start_ms, limit))
    }

    fn create_days(&self, _jobs: &[&str], first: Day, last: Day) -> Result<(), StoreError> {
        self.0.change(|folder| {
            let first = first.max(folder.view().floor);
            (first.0..=last.0).try_for_each(|day| folder.create(Day(day)).map(drop))
        })
    }

    fn drop_days_below(&self, floor: Day, days_max: Option<u32>) -> Result<Vec<Day>, StoreError> {
        // Two changes, so that readers see the floor before the first day is gone.
        self.0.change(|folder| {
            let FolderView { floor: current, days } = &**folder.view();
            let first_held = days.keys().next().copied();
            folder.raise_floor(next_floor(*current, first_held, floor, days_max))
        })?;
        self.0.change(|folder| folder.delete_below_floor())
    }
}

struct EmbeddedWriter(Arc<SharedFolder>);

impl ShardWriter for EmbeddedWriter {
    fn write_and_settle(&mut self, batch: &[Summary<'_>], settling: &[Settling]) -> WrittenBatch {
        self.0.try_change(|folder| write::write(folder, batch, settling)).unwrap_or_else(|cause| {
            let error = self.0.unavailable(cause.clone());
            let outcome = Outcome::Retryable(cause.with_text(error.to_string()));
            WrittenBatch {
                outcomes: vec![outcome; batch.len()],
                marks: vec![Marked::Unknown; settling.len()],
                is_in_doubt: true,
            }
        })
    }
}

impl SharedFolder {
    /// As [`Self::try_change`], with the failure as readers and operators get it.
    fn change<T>(&self, change: impl FnOnce(&mut Folder) -> fjall::Result<T>) -> Result<T, StoreError> {
        self.try_change(change).map_err(|cause| self.unavailable(cause))
    }

    /// Changes the folder and publishes the result to readers. Opens the folder again first if the previous change
    /// failed.
    fn try_change<T>(&self, change: impl FnOnce(&mut Folder) -> fjall::Result<T>) -> Result<T, Cause> {
        let mut slot = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let mut folder = match slot.take() {
            Some(folder) => folder,
            None => Folder::open(&self.path, IfMissing::Create)?,
        };
        let result = change(&mut folder);
        // What has failed is closed, readers included, so that it can be opened again.
        *slot = result.is_ok().then_some(folder);
        let view = slot.as_ref().map(|folder| Arc::clone(folder.view()));
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
        result.map_err(cause_of)
    }

    fn read<T>(&self, read: impl FnOnce(&FolderView) -> Result<T, UnreadableRow>) -> Result<T, StoreError> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner).clone();
        let closed =
            || self.unavailable(Cause::new("closed", "closed by a failed write, which is tried again"));
        let view = view.ok_or_else(closed)?;
        read(&view).map_err(|unreadable| match unreadable {
            UnreadableRow::Failed(error) => self.unavailable(cause_of(error)),
            UnreadableRow::Malformed(day) => StoreError::Misconfigured {
                place: self.place(),
                cause: Cause::new(
                    "malformed",
                    format!("{day} holds a row that this version does not understand"),
                ),
            },
        })
    }

    fn place(&self) -> String {
        place(&self.path)
    }

    fn unavailable(&self, cause: Cause) -> StoreError {
        StoreError::Unavailable { place: self.place(), cause }
    }
}

fn place(folder: &Path) -> String {
    format!("store folder {}", folder.display())
}

/// Converts the reason why a folder was not opened into the error that ends the process.
fn unusable(folder: &Path, refused: Refused) -> StoreError {
    if let Refused::Folder(FolderError::InUse) = refused {
        return StoreError::FolderInUse(folder.display().to_string());
    }
    StoreError::Misconfigured { place: place(folder), cause: refused.into() }
}

#[cfg(test)]
mod tests;
