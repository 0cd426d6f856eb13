//! The subcommands: which cases, in how many rounds, each in a process of its own.

use std::process::{ExitCode, Stdio};
use std::{env, io};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};

use super::all;
use super::table::Table;
use crate::sheet::{Bench, Scale, Setting, Sheet};

/// Hidden subcommand that runs one case and prints its [`Sheet`] as JSON: `run-figures NAME SETTING`.
const RUN_FIGURES: &str = "run-figures";

/// Names the server that may be filled with databases.
pub(super) const POSTGRES: &str = "YAHTZEE_TEST_POSTGRES";

/// Suites of figures with goals.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Memory, wire size, speed and error of the accumulators
    Accumulators(Options),
    /// Reading the values of records: logfmt and JSON
    Readers(Options),
    /// Stores, and the sink and retry processes before them
    Store(Options),
    /// Runs one case in this process and prints JSON
    #[command(hide = true, name = RUN_FIGURES)]
    RunFigures {
        /// Its name.
        case: String,
        /// [`Setting`] as JSON.
        setting: String,
    },
}

/// Which cases of a suite, and how often.
#[derive(Debug, Args)]
pub struct Options {
    /// Only this case, by its name in the table; may be given several times
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// Rounds; every case runs once in each, those without times in the first only
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Input of the size that tests use: the figures say nothing
    #[arg(long)]
    small: bool,
    /// Prints JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Command {
    /// Runs what was asked for and prints it.
    ///
    /// # Errors
    /// Where there is no such case, or one does not come to an end.
    pub fn run(&self) -> Result<ExitCode> {
        match self {
            Self::Accumulators(options) => options.run(&["accumulators/"]),
            Self::Readers(options) => options.run(&["readers/"]),
            Self::Store(options) => options.run(&["store/", "sink/", "retry/"]),
            Self::RunFigures { case, setting } => {
                let bench = named(case)?;
                serde_json::to_writer(io::stdout(), &bench.run(&serde_json::from_str(setting)?)?)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Options {
    fn run(&self, suites: &[&str]) -> Result<ExitCode> {
        let scale = if self.small { Scale::Small } else { Scale::Full };
        let postgres = env::var(POSTGRES).ok().filter(|url| !url.is_empty());
        let benches = self.selected(suites, postgres.is_some())?;
        let setting = Setting { scale, postgres };
        let mut table = Table::default();
        for round in 1..=self.rounds {
            for bench in benches.iter().filter(|bench| round == 1 || !bench.is_steady) {
                eprintln!("round {round} of {}: {}", self.rounds, bench.name);
                table.add(bench.name, run_in_child(bench, &setting).context(bench.name)?);
            }
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&table)?);
        } else {
            println!("{table}");
        }
        Ok(if table.is_void() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// The cases asked for, without those that need a server where there is none.
    fn selected(&self, suites: &[&str], has_postgres: bool) -> Result<Vec<Bench>> {
        let is_in = |bench: &Bench| suites.iter().any(|suite| bench.name.starts_with(suite));
        let mut benches: Vec<_> = all().filter(is_in).collect();
        if !self.cases.is_empty() {
            self.cases.iter().try_for_each(|name| named(name).map(drop))?;
            benches.retain(|bench| self.cases.iter().any(|name| name == bench.name));
        }
        let before = benches.len();
        benches.retain(|bench| has_postgres || !bench.needs_postgres);
        if benches.len() < before {
            eprintln!(
                "NOT MEASURED: {} cases on PostgreSQL. Run `eval \"$(cargo xtask services up postgres)\"`, which \
                 exports {POSTGRES}, and then this again.",
                before - benches.len()
            );
        }
        ensure!(!benches.is_empty(), "nothing is left to be measured");
        Ok(benches)
    }
}

fn named(name: &str) -> Result<Bench> {
    let names = || all().map(|bench| bench.name).collect::<Vec<_>>().join(", ");
    all()
        .find(|bench| bench.name == name)
        .with_context(|| format!("there is no case {name}; there are {}", names()))
}

fn run_in_child(bench: &Bench, setting: &Setting) -> Result<Sheet> {
    let mut child = std::process::Command::new(env::current_exe()?);
    child.arg(RUN_FIGURES).arg(bench.name).arg(serde_json::to_string(setting)?).stderr(Stdio::inherit());
    let output = child.output()?;
    ensure!(output.status.success(), "the run ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}
