//! Folders of fjall databases, such as those of the embedded log and the embedded store: looked at before anything is
//! written, opened, created whole or not at all; and errors in words.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use fjall::{Database, DatabaseBuilder};

use crate::cause::Cause;

/// Returns the error under the kind and the text of the operating system, if it gave them, else under fjall's.
#[must_use]
pub fn cause_of(error: fjall::Error) -> Cause {
    let io = sources(&error).find_map(|source| source.downcast_ref::<io::Error>());
    let code = io.map_or_else(|| "fjall".to_owned(), |io| format!("io:{:?}", io.kind()));
    let text = sources(&error).last().map_or_else(|| error.to_string(), ToString::to_string);
    Cause::new(code, text).with_source(error)
}

/// The error and what is behind it.
fn sources(error: &fjall::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |&error| error.source())
}

/// What to do about a folder that is missing or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// Create a database in it.
    Create,
    /// Refuse it: for what only reads, so that a mistyped name does not become a new database.
    Refuse,
}

/// Reason why a folder was not opened.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process, or another opening in this one, has it open.
    #[error("in use by another process")]
    InUse,
    /// There is no database, and none was to be created.
    #[error("there is no database in it")]
    Missing,
    /// There is something else than a database, or one without its version marker. Nothing was written.
    #[error(
        "it holds `{0}`, but no readable version marker of a database; restore the whole folder, or choose one that \
         is missing or empty (what was never in use may be emptied)"
    )]
    Foreign(String),
    /// A part is missing that every database has. Nothing was written.
    #[error(
        "`{0}` of its database is missing; restore the whole folder, or choose one that is missing or empty"
    )]
    Incomplete(&'static str),
    /// Error of fjall or the operating system.
    #[error(transparent)]
    Failed(fjall::Error),
}

impl From<fjall::Error> for FolderError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::InUse,
            error => Self::Failed(error),
        }
    }
}

impl From<io::Error> for FolderError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::InUse,
            _ => Self::Failed(error.into()),
        }
    }
}

impl From<FolderError> for Cause {
    fn from(error: FolderError) -> Self {
        let text = error.to_string();
        match error {
            FolderError::InUse => Self::new("folder-in-use", text),
            FolderError::Missing => Self::new("no-folder", text),
            FolderError::Foreign(_) => Self::new("folder-foreign", text),
            FolderError::Incomplete(_) => Self::new("folder-incomplete", text),
            FolderError::Failed(error) => cause_of(error),
        }
    }
}

/// File that is in the folder while its database is created: without it, files without a version marker are somebody's.
const CREATING: &str = "creating";

/// Files of fjall. It writes the version last when it creates a database, and the journals and keyspaces before.
const VERSION: &str = "version";
const JOURNAL: &str = "0.jnl";
const LOCK: &str = "lock";
const KEYSPACES: &str = "keyspaces";

/// What the version marker begins with; one byte follows that tells the version.
const MAGIC: &[u8] = b"FJL";

/// Content of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FolderContent {
    Nothing,
    /// What a process left that was killed while it created the database. Nothing was stored by then.
    Unfinished,
    Database,
}

/// Opens the database of a folder; creates it if the folder is missing or empty, or if a process was killed that created
/// it.
///
/// # Errors
/// [`FolderError`]. A folder with anything else than a whole database is left as it is.
pub fn open(
    folder: &Path,
    if_missing: IfMissing,
    configure: impl FnOnce(DatabaseBuilder<Database>) -> DatabaseBuilder<Database>,
) -> Result<Database, FolderError> {
    let creation = match content(folder)? {
        FolderContent::Database => None,
        _ if if_missing == IfMissing::Refuse => return Err(FolderError::Missing),
        FolderContent::Nothing | FolderContent::Unfinished => Some(begin_creation(folder)?),
    };
    let database = configure(Database::builder(folder)).open()?;
    // Before anything is stored, so that what is stored is never taken for a creation that was cut short.
    remove(folder, CREATING)?;
    drop(creation);
    Ok(database)
}

/// Marks the folder as being created, for this process alone, and removes what is left of an earlier try. The mark stays
/// if this process is killed or fails.
fn begin_creation(folder: &Path) -> Result<File, FolderError> {
    fs::create_dir_all(folder)?;
    let creating = File::options().create(true).truncate(false).write(true).open(folder.join(CREATING))?;
    creating.try_lock().map_err(io::Error::from)?;
    sync(folder)?;
    // Another process may have created it meanwhile.
    match content(folder) {
        Ok(FolderContent::Nothing | FolderContent::Unfinished) => {
            remove(folder, JOURNAL)?;
            remove(folder, VERSION)?;
        }
        Ok(FolderContent::Database) => remove(folder, CREATING)?,
        Err(error) => {
            remove(folder, CREATING)?;
            return Err(error);
        }
    }
    Ok(creating)
}

/// Looks what is in the folder.
fn content(folder: &Path) -> Result<FolderContent, FolderError> {
    let is_finished =
        || version(folder).map(|version| version.len() > MAGIC.len() && version.starts_with(MAGIC));
    let was_finished = is_finished()?;
    let names = names(folder)?;
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let Some(first) = names.first() else {
        return Ok(FolderContent::Nothing);
    };
    if was_finished {
        let has_journal = names.iter().any(|name| Path::new(name).extension().is_some_and(|it| it == "jnl"));
        return match (has_journal, has(KEYSPACES)) {
            (true, true) => Ok(FolderContent::Database),
            (false, _) => Err(FolderError::Incomplete("*.jnl")),
            (true, false) => Err(FolderError::Incomplete(KEYSPACES)),
        };
    }
    let mut foreign = (!has(CREATING)).then_some(first);
    for name in &names {
        if foreign.is_none() && !is_of_creation(folder, name)? {
            foreign = Some(name);
        }
    }
    match foreign {
        None => Ok(FolderContent::Unfinished),
        // Another process has finished it since the first look.
        Some(_) if is_finished()? => content(folder),
        Some(name) => Err(FolderError::Foreign(name.to_string_lossy().into_owned())),
    }
}

/// Returns whether a creation leaves this: a file or folder of its own, without content.
fn is_of_creation(folder: &Path, name: &OsStr) -> io::Result<bool> {
    let path = folder.join(name);
    let is = |wanted: &str| name == wanted;
    Ok(if is(CREATING) {
        true
    } else if is(LOCK) {
        fs::metadata(path)?.len() == 0
    } else if is(VERSION) {
        MAGIC.starts_with(&version(folder)?)
    } else if is(KEYSPACES) {
        names(&path)?.is_empty()
    } else {
        is(JOURNAL) && has_zeros_only(&path)?
    })
}

/// Returns whether the file has nothing but the zeros that fjall allocates for a new journal.
fn has_zeros_only(path: &Path) -> io::Result<bool> {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    let (mut file, mut read) = (File::open(path)?, vec![0; ZEROS.len()]);
    loop {
        match file.read(&mut read)? {
            0 => return Ok(true),
            bytes if read[..bytes] != ZEROS[..bytes] => return Ok(false),
            _ => {}
        }
    }
}

/// Returns the beginning of the version marker; nothing if there is none.
fn version(folder: &Path) -> io::Result<Vec<u8>> {
    let mut version = Vec::new();
    match File::open(folder.join(VERSION)) {
        Ok(file) => file.take(MAGIC.len() as u64 + 1).read_to_end(&mut version).map(|_| version),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(version),
        Err(error) => Err(error),
    }
}

/// Returns the names of what is in the folder, in order; none if there is no folder.
fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names: Vec<OsString> = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}

/// Removes a file, if it is there, so that it stays away after a power loss.
fn remove(folder: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(folder.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync(folder)),
    }
}

/// Brings the names in the folder to the disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_operating_system_gives_code_and_text_if_it_is_behind_the_error() {
        let check = |error: fjall::Error, code: &str, text: &str| {
            let cause = cause_of(error);
            assert_eq!((cause.code(), cause.text()), (code, text));
            assert!(cause.source().is_some_and(|source| source.is::<fjall::Error>()));
        };
        let full = io::Error::from(io::ErrorKind::StorageFull);
        check(full.into(), "io:StorageFull", "no storage space");
        check(fjall::Error::Locked, "fjall", &fjall::Error::Locked.to_string());
    }

    /// What is in a folder: names with contents, a slash behind those of folders.
    type Files = BTreeMap<String, Vec<u8>>;

    fn files(folder: &Path) -> Files {
        let mut files = Files::new();
        for name in names(folder).unwrap() {
            let (path, name) = (folder.join(&name), name.into_string().unwrap());
            match path.is_dir() {
                true => drop(files.insert(format!("{name}/"), Vec::new())),
                false => drop(files.insert(name, fs::read(path).unwrap())),
            }
        }
        files
    }

    fn folder_of(entries: &[(&str, &[u8])]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in entries {
            match name.strip_suffix('/') {
                Some(name) => fs::create_dir_all(folder.path().join(name)).unwrap(),
                None => fs::write(folder.path().join(name), content).unwrap(),
            }
        }
        folder
    }

    fn opened(folder: &Path, if_missing: IfMissing) -> Result<Database, FolderError> {
        open(folder, if_missing, |builder| builder)
    }

    /// Every state that a kill leaves, in order.
    #[test]
    fn a_creation_that_was_cut_short_is_begun_again() {
        let zeros: &[u8] = &[0; 100_000];
        let check = |left: &[(&str, &[u8])]| {
            let folder = folder_of(left);
            let refused = opened(folder.path(), IfMissing::Refuse).map(drop);
            assert!(matches!(refused, Err(FolderError::Missing)), "{left:?}: {refused:?}");
            for _ in 0..2 {
                opened(folder.path(), IfMissing::Create).unwrap_or_else(|error| panic!("{left:?}: {error}"));
            }
            assert!(!folder.path().join(CREATING).exists());
        };
        check(&[]);
        check(&[(CREATING, b"")]);
        check(&[(CREATING, b""), (LOCK, b"")]);
        check(&[(CREATING, b""), (LOCK, b""), ("keyspaces/", b"")]);
        check(&[(CREATING, b""), (LOCK, b""), ("keyspaces/", b""), (JOURNAL, b"")]);
        check(&[(CREATING, b""), (LOCK, b""), ("keyspaces/", b""), (JOURNAL, zeros)]);
        check(&[(CREATING, b""), (LOCK, b""), ("keyspaces/", b""), (JOURNAL, zeros), (VERSION, b"")]);
        check(&[(CREATING, b""), (LOCK, b""), ("keyspaces/", b""), (JOURNAL, zeros), (VERSION, b"FJ")]);
    }

    #[test]
    fn what_is_no_whole_database_is_refused_and_left_as_it_is() {
        let check = |found: &[(&str, &[u8])], named: &str| {
            let folder = folder_of(found);
            let before = files(folder.path());
            for if_missing in [IfMissing::Create, IfMissing::Refuse] {
                let error = opened(folder.path(), if_missing).map(drop).unwrap_err().to_string();
                assert!(error.contains(&format!("`{named}`")), "{found:?}: {error}");
                assert!(files(folder.path()) == before, "{found:?} was written to");
            }
        };
        check(&[("notes.txt", b"precious")], "notes.txt");
        check(&[(JOURNAL, b"precious")], JOURNAL);
        check(&[(JOURNAL, b""), (LOCK, b"")], JOURNAL);
        check(&[(JOURNAL, b"records"), ("keyspaces/", b""), (LOCK, b""), (VERSION, b"")], JOURNAL);
        check(&[(VERSION, b"1.2.3")], VERSION);
        check(&[(CREATING, b""), (JOURNAL, b"\0\0precious")], JOURNAL);
        check(&[(CREATING, b""), ("notes.txt", b"precious")], "notes.txt");
        check(&[(LOCK, b""), (VERSION, b"FJL\x03"), ("keyspaces/", b"")], "*.jnl");
        check(&[(LOCK, b""), (VERSION, b"FJL\x03"), (JOURNAL, b"records")], KEYSPACES);
    }

    /// A backup that is copied back file by file, with somebody looking after each.
    #[test]
    fn a_database_that_is_looked_at_while_it_is_restored_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let database = opened(folder.path(), IfMissing::Create).unwrap();
        let keyspace = |database: &Database| database.keyspace("some", Default::default).unwrap();
        keyspace(&database).insert("key", "value").unwrap();
        database.persist(fjall::PersistMode::SyncAll).unwrap();
        drop(database);
        let away = tempfile::tempdir().unwrap();
        let move_file =
            |name: &str, from: &Path, to: &Path| fs::rename(from.join(name), to.join(name)).unwrap();
        for name in [VERSION, JOURNAL, KEYSPACES] {
            move_file(name, folder.path(), away.path());
            for if_missing in [IfMissing::Create, IfMissing::Refuse] {
                assert!(opened(folder.path(), if_missing).is_err(), "without {name}");
            }
            move_file(name, away.path(), folder.path());
        }
        let database = opened(folder.path(), IfMissing::Refuse).unwrap();
        assert_eq!(keyspace(&database).get("key").unwrap().as_deref(), Some(&b"value"[..]));
    }

    #[test]
    fn a_folder_that_another_process_creates_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let creation = begin_creation(folder.path()).unwrap();
        assert!(matches!(opened(folder.path(), IfMissing::Create), Err(FolderError::InUse)));
        drop(creation);
        let _database = opened(folder.path(), IfMissing::Create).unwrap();
        assert!(matches!(opened(folder.path(), IfMissing::Create), Err(FolderError::InUse)));
    }
}
