//! Files and pipes of `--input`, and how far each has been written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use yahtzee_core::owner::Owner;
use yahtzee_ingress::recording::RecordingChunk;
use yahtzee_ingress::{LineNames, Recording, derived_owner};
use yahtzee_runtime::shutdown::StopSignal;

use crate::pipe::PipeReader;
use crate::report::UnreadableInput;
use crate::source::Recorded;

/// A file or pipe of `--input`.
pub(crate) struct InputFile {
    path: PathBuf,
    /// Name of the app in the report.
    pub(crate) name: String,
    /// Owner of the lines that name none.
    pub(crate) owner: Owner,
}

impl InputFile {
    /// Reads `PATH` or `APP=PATH`, where `-` is standard input. Without a name the owner is derived from where the file is, so that two files of one name
    /// are two apps.
    ///
    /// # Errors
    /// If there is no such file.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (name, path) = match text.split_once('=') {
            Some((name, path)) if !Path::new(text).exists() => (Some(name), Path::new(path)),
            _ => (None, Path::new(text)),
        };
        let path = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
        let place = place(path).with_context(|| format!("cannot read --input {}", path.display()))?;
        let owner = match name {
            Some(name) => derived_owner(name.as_bytes()),
            None => derived_owner(place.as_os_str().as_encoded_bytes()),
        };
        let stem = || path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { path: path.to_owned(), name: name.map_or_else(stem, str::to_owned), owner })
    }

    /// Reads it to its end; a pipe, whose end may be far off, until `stop` at most.
    fn read(&self, recorded: &Mutex<Recorded>, stop: &StopSignal) -> io::Result<Recording> {
        if self.path.is_file() {
            return Recording::read(File::open(&self.path)?);
        }
        let mut pipe = PipeReader::open(self.path.clone(), stop.clone())?;
        let recording = Recording::read(&mut pipe);
        recorded.lock().unwrap_or_else(PoisonError::into_inner).ended_early |= pipe.was_stopped();
        recording
    }
}

/// Returns where a file is; the pipe of a shell's `<(command)` is nowhere else than under the name that it was given.
fn place(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize().or_else(|error| if path.exists() { Ok(path.to_owned()) } else { Err(error) })
}

/// A file that is being written to the raw topics.
pub(crate) struct Playback {
    pub(crate) owner: Owner,
    pub(crate) recording: Recording,
    /// Number of the next line of the recording.
    pub(crate) next: usize,
    /// Names of its lines, which do not depend on what else is read.
    pub(crate) names: LineNames,
}

impl Playback {
    /// Reads all inputs, pipes side by side: one process may write to several. One that cannot be read is noted, and costs the
    /// others nothing. They are returned and noted in the order in which they were named, whichever pipe ends first.
    pub(crate) fn open_all(inputs: &[InputFile], recorded: &Mutex<Recorded>, stop: &StopSignal) -> Vec<Self> {
        let opened = std::thread::scope(|scope| {
            let open = |input| Self::open(input, recorded, stop);
            let (files, pipes): (Vec<_>, Vec<_>) =
                inputs.iter().enumerate().partition(|(_, input)| input.path.is_file());
            let spawn = |(index, input)| (index, scope.spawn(move || open(input)));
            let pipes: Vec<_> = pipes.into_iter().map(spawn).collect();
            let mut opened: BTreeMap<usize, _> =
                files.into_iter().map(|(index, input)| (index, open(input))).collect();
            for (index, pipe) in pipes {
                opened.insert(index, pipe.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            opened
        });
        let noted = |unreadable| note_unreadable(recorded, unreadable);
        opened.into_values().filter_map(|opened| opened.map_err(noted).ok()).collect()
    }

    fn open(
        input: &InputFile,
        recorded: &Mutex<Recorded>,
        stop: &StopSignal,
    ) -> Result<Self, UnreadableInput> {
        let recording = input.read(recorded, stop).map_err(|error| UnreadableInput {
            file: input.path.display().to_string(),
            reason: error.to_string(),
        })?;
        {
            let mut recorded = recorded.lock().unwrap_or_else(PoisonError::into_inner);
            recorded.bad_lines += recording.bad_lines();
            recorded.readable_lines += recording.lines() as u64;
        }
        Ok(Self { owner: input.owner, recording, next: 0, names: LineNames::default() })
    }

    /// Returns the lines to be written next; `None` behind the last.
    pub(crate) fn chunk(&self) -> Option<RecordingChunk<'_>> {
        self.recording.chunk(self.next)
    }
}

fn note_unreadable(recorded: &Mutex<Recorded>, unreadable: UnreadableInput) {
    tracing::warn!(file = %unreadable.file, error = %unreadable.reason, "an input cannot be read");
    recorded.lock().unwrap_or_else(PoisonError::into_inner).unreadable_inputs.push(unreadable);
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
