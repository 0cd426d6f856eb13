//! Chores of the repository: `cargo xtask services` runs the real servers that tests talk to, and
//! `cargo xtask test` is everything CI runs.

mod chaos;
mod services;
mod shell;
mod simulate;
mod test_command;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the Yahtzee repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts, stops and shows the real servers that tests talk to
    Services(services::Arguments),
    /// Breaks things around running workers, and compares what they publish with one pass over the raw topic
    Chaos(chaos::Arguments),
    /// Runs the production core in a simulated world of crashes, zombies and failures, under seeds nobody has seen
    Simulate(simulate::Arguments),
    /// Runs everything CI runs, in order, up to the first failure
    Test(test_command::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Services(arguments) => services::run(&arguments),
        Command::Chaos(arguments) => chaos::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Test(arguments) => test_command::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository: the folder above this crate's.
fn repository_root() -> PathBuf {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().expect("the crate lives in a folder of the repository").to_owned()
}
