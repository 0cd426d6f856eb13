//! What every folder of a fjall database needs: to be opened after a creation cut short, and errors in words.

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The operating system's words where there are some, else the store's.
#[must_use]
pub fn reason_of(error: &fjall::Error) -> String {
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Removes what a process left that was killed while it created the folder: fjall refuses a folder with a journal
/// but without its version marker, which is written last. Nothing was stored by then.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] where a process is just about it, and those of the file system.
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
