//! Files of `--input`, and how far each has been written.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use yahtzee_core::owner::Owner;
use yahtzee_ingress::recording::RecordingChunk;
use yahtzee_ingress::{LineNames, Recording, derived_owner};

use crate::report::UnreadableInput;
use crate::source::Recorded;

/// A file of `--input`.
pub(crate) struct InputFile {
    path: PathBuf,
    /// Name of the app in the report.
    pub(crate) name: String,
    /// Owner of the lines that name none.
    pub(crate) owner: Owner,
}

impl InputFile {
    /// Reads `PATH` or `APP=PATH`. Without a name the owner is derived from where the file is, so that two files of one name
    /// are two apps.
    ///
    /// # Errors
    /// If there is no such file.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (name, path) = match text.split_once('=') {
            Some((name, path)) if !Path::new(text).exists() => (Some(name), Path::new(path)),
            _ => (None, Path::new(text)),
        };
        let place = place(path).with_context(|| format!("cannot read --input {}", path.display()))?;
        let owner = match name {
            Some(name) => derived_owner(name.as_bytes()),
            None => derived_owner(place.as_os_str().as_encoded_bytes()),
        };
        let stem = || path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { path: path.to_owned(), name: name.map_or_else(stem, str::to_owned), owner })
    }
}

/// Returns where a file is; the pipe of a shell's `<(command)` is nowhere else than under the name that it was given.
fn place(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize().or_else(|error| if path.exists() { Ok(path.to_owned()) } else { Err(error) })
}

/// A file that is being written to the raw topics.
pub(crate) struct Playback {
    pub(crate) owner: Owner,
    path: PathBuf,
    /// The file if it is none that can be read whole: a pipe, whose end may be far off.
    stream: Option<BufReader<File>>,
    /// The beginning of a line of it.
    rest: Vec<u8>,
    pub(crate) recording: Recording,
    /// Number of the next line of the recording.
    pub(crate) next: usize,
    /// Names of its lines, which do not depend on what else is read.
    pub(crate) names: LineNames,
    is_counted: bool,
}

impl Playback {
    /// Opens a file; one that cannot be read is noted, and costs the others nothing.
    pub(crate) fn open(input: &InputFile, recorded: &Mutex<Recorded>) -> Option<Self> {
        Self::try_open(input).inspect_err(|error| note_unreadable(recorded, &input.path, error)).ok()
    }

    fn try_open(input: &InputFile) -> io::Result<Self> {
        let InputFile { path, owner, .. } = input;
        let file = File::open(path)?;
        let (recording, stream) = match file.metadata()?.is_file() {
            true => (Recording::read(file)?, None),
            false => (Recording::of(Vec::new()), Some(BufReader::new(file))),
        };
        Ok(Self {
            owner: *owner,
            path: path.clone(),
            stream,
            rest: Vec::new(),
            recording,
            next: 0,
            names: LineNames::default(),
            is_counted: false,
        })
    }

    /// Returns whether everything was read and written.
    pub(crate) fn is_finished(&self) -> bool {
        self.stream.is_none() && self.chunk().is_none()
    }

    /// Returns the lines to be written next.
    pub(crate) fn chunk(&self) -> Option<RecordingChunk<'_>> {
        self.recording.chunk(self.next)
    }

    /// Reads on in a pipe if all that was read from it is written; blocks until there is more, or the end.
    pub(crate) fn load(&mut self, recorded: &Mutex<Recorded>) {
        self.count(recorded);
        while self.chunk().is_none() && self.stream.is_some() {
            match self.read_on() {
                Ok(text) => {
                    (self.recording, self.next, self.is_counted) = (Recording::of(text), 0, false);
                    self.count(recorded);
                }
                Err(error) => {
                    self.stream = None;
                    note_unreadable(recorded, &self.path, &error);
                }
            }
        }
    }

    /// Adds the lines that could not be read, once.
    fn count(&mut self, recorded: &Mutex<Recorded>) {
        if !std::mem::replace(&mut self.is_counted, true) {
            let mut recorded = recorded.lock().unwrap_or_else(PoisonError::into_inner);
            recorded.bad_lines += self.recording.bad_lines();
            recorded.readable_lines += self.recording.lines() as u64;
        }
    }

    /// Returns the whole lines that have arrived.
    fn read_on(&mut self) -> io::Result<Vec<u8>> {
        let Some(stream) = &mut self.stream else { return Ok(Vec::new()) };
        let arrived = stream.fill_buf()?;
        let length = arrived.len();
        self.rest.extend_from_slice(arrived);
        stream.consume(length);
        if length == 0 {
            self.stream = None;
            return Ok(std::mem::take(&mut self.rest));
        }
        let whole = self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        Ok(self.rest.drain(..whole).collect())
    }
}

fn note_unreadable(recorded: &Mutex<Recorded>, path: &Path, error: &io::Error) {
    tracing::warn!(file = %path.display(), %error, "an input cannot be read");
    let input = UnreadableInput { file: path.display().to_string(), reason: error.to_string() };
    recorded.lock().unwrap_or_else(PoisonError::into_inner).unreadable_inputs.push(input);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_an_app_of_its_own_unless_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |folder_name: &str, name: &str| {
            std::fs::create_dir_all(folder.path().join(folder_name)).unwrap();
            let path = folder.path().join(folder_name).join(name);
            std::fs::write(&path, "").unwrap();
            path.display().to_string()
        };
        let (one, other, odd) = (file("a", "app.log"), file("b", "app.log"), file("a", "x=y.log"));
        let parse = |text: &str| InputFile::parse(text).unwrap();
        assert_ne!(parse(&one).owner, parse(&other).owner);
        assert_eq!(
            parse(&one).owner,
            parse(&format!("{}/../a/app.log", folder.path().join("b").display())).owner
        );
        assert_eq!((parse(&one).name.as_str(), parse(&odd).name.as_str()), ("app", "x=y"));
        let (first, second) = (parse(&format!("shop={one}")), parse(&format!("shop={other}")));
        assert_eq!((first.owner, first.name.as_str()), (second.owner, "shop"));
        assert!(InputFile::parse("nothing.log").is_err());
    }
}
