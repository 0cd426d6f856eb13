//! Folders of fjall databases, such as those of the embedded log and the embedded store: opened after a creation that
//! was cut short, and errors in words.

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Returns the operating system's text if it gave one, else fjall's.
#[must_use]
pub fn reason_of(error: &fjall::Error) -> String {
    sources(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Returns the kind of the operating system's error, as in `io:StorageFull`, if there is one behind it.
#[must_use]
pub fn io_code_of(error: &fjall::Error) -> Option<String> {
    let io = sources(error).find_map(|source| source.downcast_ref::<io::Error>())?;
    Some(format!("io:{:?}", io.kind()))
}

/// The error and what is behind it.
fn sources(error: &fjall::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |&error| error.source())
}

/// Removes what a process left that was killed while it created the folder: fjall refuses a folder with a journal
/// but without its version marker, which is written last. Nothing was stored by then.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if a process is just creating it, and those of the file system.
pub fn clear_unfinished_creation(folder: &Path) -> io::Result<()> {
    let (marker, journal) = (folder.join("version"), folder.join("0.jnl"));
    let is_finished = || fs::metadata(&marker).is_ok_and(|marker| marker.len() > 0);
    if is_finished() || !journal.try_exists()? {
        return Ok(());
    }
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    lock.try_lock()?;
    if is_finished() {
        return Ok(());
    }
    for file in [journal, marker] {
        fs::remove_file(file).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
    }
    Ok(())
}
