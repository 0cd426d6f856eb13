//! What a server's folder remembers between commands: a lock file and a state file.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

const STATE_FILE: &str = "state.json";

/// One server's folder, held by this process alone until the value is dropped.
pub(crate) struct ServiceDir {
    path: PathBuf,
    _lock: File,
}

impl ServiceDir {
    /// Creates the folder if need be and waits for any other xtask working in it.
    ///
    /// # Errors
    /// If the folder or its lock file cannot be created.
    pub(super) fn lock(path: PathBuf) -> Result<Self> {
        let cannot = || format!("cannot lock {}: is the folder writable?", path.display());
        fs::create_dir_all(&path).with_context(cannot)?;
        let lock = File::create(path.join("lock")).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another xtask working in {}", path.display());
                lock.lock().with_context(cannot)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        Ok(Self { path, _lock: lock })
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the server keeps its data; not there before the first start and after `down`.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Replaces the state in one step: a reader sees the old one or the new one, never half of it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn save<T: Serialize>(&self, state: &T) -> Result<()> {
        let text = serde_json::to_string_pretty(state).expect("a state has string keys and finite numbers");
        let temporary = self.path.join("state.json.new");
        let path = self.path.join(STATE_FILE);
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Forgets the state.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub(super) fn clear(&self) -> Result<()> {
        let path = self.path.join(STATE_FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// What [`ServiceDir::save`] wrote last in `folder`, if anything. Needs no lock: a save is atomic.
///
/// # Errors
/// If there is a state file that cannot be read as a `T`.
pub(super) fn load<T: DeserializeOwned>(folder: &Path) -> Result<Option<T>> {
    let path = folder.join(STATE_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let state = serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is not a state file of this version: stop the server it names and delete it",
            path.display()
        )
    })?;
    Ok(Some(state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service_dir() -> (tempfile::TempDir, ServiceDir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = ServiceDir::lock(folder.path().join("server")).unwrap();
        (folder, dir)
    }

    #[test]
    fn state_is_remembered_replaced_and_forgotten() {
        let (_folder, dir) = service_dir();
        assert_eq!(load::<u32>(dir.path()).unwrap(), None);
        dir.save(&1).unwrap();
        dir.save(&2).unwrap();
        assert_eq!(load::<u32>(dir.path()).unwrap(), Some(2));
        dir.clear().unwrap();
        dir.clear().unwrap();
        assert_eq!(load::<u32>(dir.path()).unwrap(), None);
    }

    #[test]
    fn an_unreadable_state_is_an_error_that_names_the_file() {
        let (_folder, dir) = service_dir();
        dir.save(&"not a number").unwrap();
        let message = format!("{:#}", load::<u32>(dir.path()).unwrap_err());
        assert!(message.contains("state.json"), "{message}");
    }

    #[test]
    fn the_folder_is_held_until_the_value_is_dropped() {
        let (folder, dir) = service_dir();
        let other = File::create(folder.path().join("server/lock")).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(dir);
        other.try_lock().unwrap();
    }
}
