//! The folder: an fjall database with one keyspace per day, one for the store's own metadata, and one for marks.
//!
//! | keyspace       | key                    | value                                              |
//! |----------------|------------------------|----------------------------------------------------|
//! | `day-<number>` | as in [`super::row_key`] | summary value                                    |
//! | `meta`         | `format`               | version of this layout (4 bytes, big endian)       |
//! | `meta`         | `floor`                | number of the first day kept (8 bytes, big endian) |
//! | `settled`      | see [`super::marks`]   | mark of a source partition                         |
//!
//! The number of a day counts days since 1970. fjall opens every keyspace with the database and shares cache, journal,
//! file handles and threads among them; a further handle is a counted reference. So the number of open days needs no
//! limit here: retention limits it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use yahtzee_runtime::cause::Cause;
use yahtzee_runtime::fjall_folder::{self, FolderError, IfMissing};

use crate::store::Day;

/// Version of the layout.
const FORMAT: u32 = 2;

/// Blocks kept in memory, over all days.
const CACHE_BYTES: u64 = 64 << 20;

/// Memory per day before it is flushed to a table; small, because a replay writes to many days at once.
const DAY_MEMTABLE_BYTES: u64 = 16 << 20;
const META_MEMTABLE_BYTES: u64 = 1 << 20;

const DAY_PREFIX: &str = "day-";
const META: &str = "meta";
const SETTLED: &str = "settled";
const FORMAT_KEY: &[u8] = b"format";
const FLOOR_KEY: &[u8] = b"floor";

/// The open folder. Owned by the thread that changes it; readers hold a [`FolderView`].
pub(super) struct Folder {
    database: Database,
    meta: Keyspace,
    settled: Keyspace,
    view: Arc<FolderView>,
}

/// Snapshot for readers. Days that are dropped later stay readable for its holder.
#[derive(Clone)]
pub(super) struct FolderView {
    /// First day kept; days below it are dropped.
    pub(super) floor: Day,
    /// Keyspaces of the days that exist.
    pub(super) days: BTreeMap<Day, Keyspace>,
}

/// Reason why a folder was not opened.
pub(super) enum Refused {
    /// It holds rows of another layout version.
    Format,
    /// It could not be opened as a database.
    Folder(FolderError),
}

impl From<Refused> for Cause {
    fn from(refused: Refused) -> Self {
        let error = match refused {
            Refused::Format => {
                return Self::new(
                    "folder-format",
                    "written by another version of this program; delete it or choose another with \
                     `sink.embedded.folder`, and replay what is still in the log",
                );
            }
            Refused::Folder(error) => error,
        };
        let advice = match &error {
            FolderError::InUse => ", or still being read",
            FolderError::Missing => {
                "; compare its name with `sink.embedded.folder`: `yahtzee sink embedded` creates it, and \
                 `yahtzee verify --against topic` needs none"
            }
            FolderError::Foreign(_) | FolderError::Incomplete(_) => ": `sink.embedded.folder`",
            FolderError::Failed(_) => "; free or repair the disk, the log still has everything",
        };
        let cause = Self::from(error);
        let text = format!("{}{advice}", cause.text());
        cause.with_text(text)
    }
}

impl<E: Into<FolderError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Folder(error.into())
    }
}

impl Folder {
    /// Opens the folder and creates what is missing, or refuses a folder without a store.
    pub(super) fn open(path: &Path, if_missing: IfMissing) -> Result<Self, Refused> {
        let database = fjall_folder::open(path, if_missing, |builder| builder.cache_size(CACHE_BYTES))?;
        let meta = database.keyspace(META, || options(META_MEMTABLE_BYTES))?;
        let settled = database.keyspace(SETTLED, || options(META_MEMTABLE_BYTES))?;
        let floor =
            meta.get(FLOOR_KEY)?.and_then(|bytes| Some(i64::from_be_bytes((*bytes).try_into().ok()?)));
        let floor = floor.map_or(Day::MIN, Day);
        let view = Arc::new(FolderView { floor, days: BTreeMap::new() });
        let mut folder = Self { database, meta, settled, view };
        folder.check_format()?;
        for day in folder.numbers().into_iter().filter(|&day| day >= floor) {
            folder.create(day)?;
        }
        Ok(folder)
    }

    /// Writes the version into an empty folder; refuses a folder of another version.
    fn check_format(&self) -> Result<(), Refused> {
        match self.meta.get(FORMAT_KEY)? {
            Some(format) if *format == FORMAT.to_be_bytes() => Ok(()),
            None if self.numbers().is_empty() => Ok(self.write_meta(FORMAT_KEY, &FORMAT.to_be_bytes())?),
            _ => Err(Refused::Format),
        }
    }

    /// Returns the current view of readers.
    pub(super) fn view(&self) -> &Arc<FolderView> {
        &self.view
    }

    /// Returns the keyspace of the marks.
    pub(super) fn settled(&self) -> &Keyspace {
        &self.settled
    }

    /// Returns a batch that is on disk when its commit has returned.
    pub(super) fn batch(&self) -> OwnedWriteBatch {
        self.database.batch().durability(Some(PersistMode::SyncData))
    }

    /// Returns the keyspace of a day at or above the floor, created if missing.
    pub(super) fn create(&mut self, day: Day) -> fjall::Result<Keyspace> {
        if let Some(keyspace) = self.view.days.get(&day) {
            return Ok(keyspace.clone());
        }
        let keyspace = self.database.keyspace(&name(day), || options(DAY_MEMTABLE_BYTES))?;
        Arc::make_mut(&mut self.view).days.insert(day, keyspace.clone());
        Ok(keyspace)
    }

    /// Moves the floor up, on disk first, and hides the days below. Never moves it down.
    pub(super) fn raise_floor(&mut self, floor: Day) -> fjall::Result<()> {
        if floor <= self.view.floor {
            return Ok(());
        }
        self.write_meta(FLOOR_KEY, &floor.0.to_be_bytes())?;
        let view = Arc::make_mut(&mut self.view);
        view.floor = floor;
        view.days = view.days.split_off(&floor);
        Ok(())
    }

    /// Deletes the days below the floor, and those that an earlier call left. Their files are removed with the last
    /// view that holds them. Returns the days, oldest first.
    pub(super) fn delete_below_floor(&self) -> fjall::Result<Vec<Day>> {
        let mut days = self.numbers();
        days.retain(|&day| day < self.view.floor);
        for &day in &days {
            let keyspace = self.database.keyspace(&name(day), || options(DAY_MEMTABLE_BYTES))?;
            self.database.delete_keyspace(keyspace)?;
        }
        Ok(days)
    }

    /// Returns all days on disk, hidden ones included, in order.
    fn numbers(&self) -> Vec<Day> {
        let names = self.database.list_keyspace_names();
        let numbers = names.iter().filter_map(|name| name.strip_prefix(DAY_PREFIX)?.parse().ok());
        let mut days: Vec<Day> = numbers.map(Day).collect();
        days.sort_unstable();
        days
    }

    fn write_meta(&self, key: &[u8], value: &[u8]) -> fjall::Result<()> {
        let mut batch = self.batch();
        batch.insert(&self.meta, key, value);
        batch.commit()
    }
}

fn options(memtable_bytes: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes)
}

fn name(day: Day) -> String {
    format!("{DAY_PREFIX}{}", day.0)
}
