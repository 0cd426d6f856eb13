//! Clocks that are wrong: of processes, through a preloaded library, and of who writes raw records.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::generator::{Clock, Generator};
use crate::rig::Rig;

/// Shared with the tests of the command line.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/tests/clock_shift.c");

/// Within this time a record is refused, or it is not.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// The wall clock of a process, off by some seconds.
#[derive(Clone)]
pub(crate) struct WrongClock {
    library: PathBuf,
    seconds: i64,
}

/// What was found where clocks are wrong, and what happened.
#[derive(Default)]
pub(crate) struct Clocks {
    pub(crate) findings: ClockZeros,
    pub(crate) figures: ClockFigures,
}

/// What may not happen where clocks are wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ClockZeros {
    /// Raw records in the log whose stamps were further ahead of the true time than clocks may be.
    pub(crate) stamps_ahead: u64,
    /// Raw records stamped further ahead that were acknowledged.
    pub(crate) accepted_ahead: u64,
    /// Raw records stamped ahead, but not too far, that were refused.
    pub(crate) refused_within: u64,
    /// Final summaries that came before any clock that is right enough can have closed their window.
    pub(crate) closed_early: u64,
    /// Looks at an ingress whose clock is far ahead that did not find it unready for its clock.
    pub(crate) ready_ahead: u64,
}

/// What happened where clocks are wrong.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct ClockFigures {
    /// Raw records stamped too far ahead, all of them refused.
    pub(crate) refused_ahead: u64,
    /// Raw records stamped ahead, but not too far.
    pub(crate) accepted_within: u64,
    /// Processes that ran with a wrong clock.
    pub(crate) wrong_clocks: u64,
}

impl WrongClock {
    /// Builds the library that is preloaded.
    pub(crate) fn compile(folder: &Path) -> Result<Self> {
        let library = folder.join("clock_shift.so");
        let mut compiler = Command::new("cc");
        let compiler = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).args([SOURCE, "-ldl"]);
        let status = compiler.status().context("cannot run cc, the C compiler")?;
        if !status.success() {
            bail!("cc cannot build {SOURCE}");
        }
        Ok(Self { library, seconds: 0 })
    }

    /// A clock that is ahead by so much, or behind.
    pub(crate) fn off_by(&self, seconds: i64) -> Self {
        Self { library: self.library.clone(), seconds }
    }

    /// Makes the clock of a process wrong that is to be started.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("SHIFT_S", self.seconds.to_string());
    }
}

impl Rig {
    /// Begins to write raw records beside the generator of the run, with a clock that is ahead.
    pub(crate) fn start_fast_generator(&mut self, ahead: Duration, rate: u32) -> Result<Generator> {
        let pace = (self.rng.bits(), rate);
        Generator::start(&self.cluster.log, &self.cluster.raw(), pace, Clock::ahead(ahead), ANSWERED_WITHIN)
    }
}
