//! Rounds: every case once per round, each in a process of its own, one after the other.
//!
//! Interleaved, because a machine that is busy for a minute then disturbs all cases alike; a process each, because
//! CPU time and peak memory are counted per process.

use std::env;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::case::{Case, Run, Source};
use crate::oracle::{self, Output};
use crate::site::{LogSite, Site, Store, copy_folder};
use crate::traffic::{Shape, records};

/// Hidden subcommand that runs one case and prints its [`Run`] as JSON: `run-case NAME SITE`.
pub const RUN_CASE: &str = "run-case";

/// Where the processes of a case run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Each run in a child process.
    Process,
    /// All in this process, for profilers; peak memory is then that of all runs so far.
    None,
}

/// All runs of one case.
#[derive(Clone, Debug)]
pub struct Runs {
    /// The case.
    pub case: Case,
    /// Measurements that one pass goes through.
    pub measurements: u64,
    /// What every run must have found.
    pub expected: Output,
    /// One run per round.
    pub runs: Vec<Run>,
}

impl Runs {
    /// Runs whose output is wrong. They are void, and so is the case.
    #[must_use]
    pub fn void(&self) -> usize {
        self.runs.iter().filter(|run| run.output != self.expected).count()
    }
}

/// The inputs of all cases, and a folder for logs.
pub struct Bed {
    frames: usize,
    folder: TempDir,
    brokers: Option<String>,
    /// Last part of the topics' names on a broker that earlier runs may have filled.
    version: String,
    generation: u32,
}

impl Bed {
    /// A bed for runs of `frames` frames; `brokers` for the cases on Kafka.
    ///
    /// # Errors
    /// Where there is no room for a temporary folder.
    pub fn new(frames: usize, brokers: Option<String>) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let version = format!("bench-{}-{}", std::process::id(), now.as_millis());
        Ok(Self { frames, folder: tempfile::tempdir()?, brokers, version, generation: 0 })
    }

    /// Fills the logs and runs the cases in rounds; tells `progress` what is being done.
    ///
    /// # Errors
    /// Where a log cannot be filled or a run ends without a result.
    pub fn run(
        &mut self,
        cases: &[Case],
        rounds: usize,
        isolation: Isolation,
        progress: impl Fn(&str),
    ) -> Result<Vec<Runs>> {
        let mut all = self.prepare(cases, &progress)?;
        for round in 1..=rounds {
            for runs in &mut all {
                progress(&format!("round {round} of {rounds}: {}", runs.case.name()));
                let site = self.site(&runs.case)?;
                let run = match isolation {
                    Isolation::None => runs.case.run(&site),
                    Isolation::Process => run_in_child(&runs.case, &site),
                };
                runs.runs.push(run.with_context(|| runs.case.name())?);
            }
        }
        Ok(all)
    }

    /// Makes the input of each shape once: into the logs, and into what is expected of every case.
    fn prepare(&self, cases: &[Case], progress: &impl Fn(&str)) -> Result<Vec<Runs>> {
        let mut all = Vec::new();
        for shape in Shape::ALL {
            let of_shape: Vec<_> = cases.iter().filter(|case| case.shape == shape).copied().collect();
            if of_shape.is_empty() {
                continue;
            }
            progress(&format!("making input: {shape}"));
            let records = records(shape, self.frames);
            for source in [Source::Embedded, Source::Kafka] {
                if of_shape.iter().any(|case| case.source == source) {
                    self.log_site(source, shape)?.fill(&records).context("filling the log")?;
                }
            }
            let measurements = oracle::measurements(&records);
            all.extend(of_shape.into_iter().map(|case| {
                let expected = case.expected(&records);
                Runs { case, measurements, expected, runs: Vec::new() }
            }));
        }
        all.sort_by_key(|runs| cases.iter().position(|case| *case == runs.case));
        Ok(all)
    }

    /// A place for the next run, with the log as it was filled.
    fn site(&mut self, case: &Case) -> Result<Site> {
        if case.source == Source::Memory {
            return Ok(Site::Memory { frames: self.frames });
        }
        self.generation += 1;
        let mut site = self.log_site(case.source, case.shape)?;
        if let Store::Embedded(filled) = &mut site.store {
            let copy = self.folder.path().join("run");
            if copy.exists() {
                fs::remove_dir_all(&copy)?;
            }
            copy_folder(filled, &copy)?;
            *filled = copy;
        }
        Ok(Site::Log(site))
    }

    fn log_site(&self, source: Source, shape: Shape) -> Result<LogSite> {
        let version = format!("{}-{shape}", self.version);
        let store = match source {
            Source::Memory | Source::Embedded => Store::Embedded(self.folder.path().join(&version)),
            Source::Kafka => Store::Kafka(self.brokers.clone().context("a case on Kafka needs a broker")?),
        };
        Ok(LogSite { store, version, generation: self.generation })
    }
}

fn run_in_child(case: &Case, site: &Site) -> Result<Run> {
    let mut child = Command::new(env::current_exe()?);
    child.arg(RUN_CASE).arg(case.name()).arg(serde_json::to_string(site)?).stderr(Stdio::inherit());
    let output = child.output()?;
    ensure!(output.status.success(), "the run ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}
