//! Folders of fjall databases, such as those of the embedded log and the embedded store: opened after a creation that
//! was cut short, and errors in words.

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::log::LogCause;

/// Returns the error under the kind and the text of the operating system, if it gave them, else under fjall's.
#[must_use]
pub fn cause_of(error: fjall::Error) -> LogCause {
    let io = sources(&error).find_map(|source| source.downcast_ref::<io::Error>());
    let code = io.map_or_else(|| "fjall".to_owned(), |io| format!("io:{:?}", io.kind()));
    let text = sources(&error).last().map_or_else(|| error.to_string(), ToString::to_string);
    LogCause::new(code, text).with_source(error)
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

#[cfg(test)]
mod tests {
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
}
