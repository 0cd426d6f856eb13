//! The `yahtzee` command: one file per subcommand; the work is done by the library crates.
//!
//! It is a library so that a crate with its own jobs gets the whole command: its `main` passes its list to [`main`].

use std::process::ExitCode;
use std::sync::{Arc, LazyLock};
use yahtzee_runtime::errln;
use yahtzee_runtime::output::OutputError;

use anyhow::Result;
use clap::{Parser, Subcommand};
use error_text::error_text;
use yahtzee_core::erased::AnyJob;
pub use yahtzee_jobs::all as stock_jobs;

mod assign;
mod commits;
mod config;
#[cfg(feature = "demo")]
mod demo;
#[cfg(test)]
#[cfg(feature = "demo")]
mod documented_commands;
mod error_text;
mod ingress;
mod jobs;
mod new_job;
mod opening;
mod process;
mod quarantine;
mod replay;
mod retry;
mod run;
mod sink;
mod stores;
mod topics;
mod verify;

/// Windowed metric aggregation whose state is the log.
///
/// Try `yahtzee demo` first: it needs no server. In production each step is a process of its own:
/// `topics create`, then `ingress`, `run`, `sink` and, for PostgreSQL, `retry`, all with the same configuration file.
#[derive(Debug, Parser)]
#[command(name = "yahtzee", version = VERSION.as_str(), propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: process::GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

/// The version, and the logs of this build.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!("{} (logs: {})", env!("CARGO_PKG_VERSION"), yahtzee_runtime::log::KINDS.join(", "))
});

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch per-app, per-minute metrics come out of log-drain traffic: everything in one process
    ///
    /// It has a configuration of its own, with topics of 8 partitions in 2 slots, and reads no file; variables of the form
    /// `YAHTZEE_SECTION__KEY` apply. Other commands read what --data has kept when they are told so: `log.embedded.folder` is
    /// DIR/log, `sink.embedded.folder` DIR/store, `topics.partitions` 8 and `worker.slots` 2.
    #[cfg(feature = "demo")]
    Demo(yahtzee_demo::DemoOptions),
    /// Create the topics, or compare them with the configuration
    #[command(subcommand)]
    Topics(topics::TopicsCommand),
    /// Receive log drains over HTTP and write raw records
    Ingress,
    /// Run aggregation jobs: read raw records, write summaries
    Run(run::RunOptions),
    /// Write summaries from their topics into a store
    #[command(subcommand)]
    Sink(sink::SinkCommand),
    /// Write the summaries that a shard could not take once it can, or list the waiting ones
    #[command(subcommand)]
    Retry(retry::RetryCommand),
    /// List summaries that no store takes as they are; requeue or drop them
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    Commits(commits::CommitsOptions),
    Assign(assign::AssignOptions),
    Replay(replay::ReplayOptions),
    Verify(verify::VerifyOptions),
    /// List the jobs with their topics and policies
    Jobs(jobs::JobsOptions),
    /// Create a crate with a job of your own, its tests and this whole command
    NewJob(new_job::NewJobOptions),
    /// Show an example configuration, or check one
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// Exit code of a command whose reader has gone: 128 and the number of SIGPIPE.
const CLOSED_OUTPUT: u8 = 141;

/// Runs the command with these jobs.
#[must_use]
pub fn main(jobs: Vec<Arc<dyn AnyJob>>) -> ExitCode {
    let mut cli = Cli::parse();
    cli.global.jobs = jobs.into();
    match run_command(&cli.global, cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has what they wanted, as `head` does: the exit code that a signal for it would give.
        Err(error) if error.downcast_ref::<OutputError>().is_some_and(OutputError::is_closed) => {
            ExitCode::from(CLOSED_OUTPUT)
        }
        Err(error) => {
            errln!("error: {}", error_text(&error));
            ExitCode::FAILURE
        }
    }
}

fn run_command(global: &process::GlobalOptions, command: Command) -> Result<()> {
    global.jobs.check()?;
    match command {
        #[cfg(feature = "demo")]
        Command::Demo(options) => demo::demo(global, &options),
        Command::Topics(command) => topics::topics(global, &command),
        Command::Ingress => ingress::ingress(global),
        Command::Run(options) => run::run(global, &options),
        Command::Sink(command) => sink::sink(global, &command),
        Command::Retry(command) => retry::retry(global, &command),
        Command::Quarantine(command) => quarantine::quarantine(global, &command),
        Command::Commits(options) => commits::commits(global, &options),
        Command::Assign(options) => assign::assign(global, &options),
        Command::Replay(options) => replay::replay(global, &options),
        Command::Verify(options) => verify::verify(global, &options),
        Command::Jobs(options) => jobs::jobs(global, &options),
        Command::NewJob(options) => new_job::new_job(global, &options),
        Command::Config(command) => config::config(global, &command),
    }
}
