//! `cargo xtask simulate`: builds the simulator and runs it, once or in two processes that must agree.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::shell::command_line;

#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Runs the same seeds in two processes and compares the hashes of their traces
    #[arg(long)]
    check_determinism: bool,
    /// Options of the simulator, as in `--seeds 100000 --mutant NAME`; see --help
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    simulator: Vec<String>,
}

/// The part of the simulator's report that two processes must agree on.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Traces {
    from: u64,
    seeds: u64,
    trace_hash: String,
}

/// Runs the simulator.
///
/// # Errors
/// If it cannot be built, a promise is broken, or two processes disagree.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.check_determinism {
        let mut simulator = simulator(&arguments.simulator);
        let line = command_line(&simulator);
        let status = simulator.status().with_context(|| format!("cannot run `{line}`"))?;
        if !status.success() {
            bail!("`{line}` ended with {status}");
        }
        return Ok(());
    }
    let first = traces(&arguments.simulator, &[])?;
    let from = first.from.to_string();
    // A seed or a first seed that was asked for is there already.
    let is_chosen =
        arguments.simulator.iter().any(|option| ["--from", "--seed"].contains(&option_name(option)));
    let repeated: &[&str] = if is_chosen { &[] } else { &["--from", &from] };
    let second = traces(&arguments.simulator, repeated)?;
    if first != second {
        bail!("two processes disagree: {first:?}, then {second:?}");
    }
    let Traces { from, seeds, trace_hash } = first;
    println!("{seeds} seeds from {from} give the same traces in two processes: {trace_hash}");
    Ok(())
}

/// The name of `--name=value`.
fn option_name(option: &str) -> &str {
    option.split_once('=').map_or(option, |(name, _)| name)
}

/// Runs the simulator in a process of its own and returns what its report says of the traces.
fn traces(options: &[String], repeated: &[&str]) -> Result<Traces> {
    let mut simulator = simulator(options);
    simulator.args(repeated).arg("--json").stdout(Stdio::piped());
    let line = command_line(&simulator);
    let output = simulator.spawn().and_then(std::process::Child::wait_with_output);
    let output = output.with_context(|| format!("cannot run `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stdout));
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("`{line}` printed no report"))
}

/// The optimised simulator: a world takes a tenth of the time.
fn simulator(options: &[String]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args([
        "run",
        "--quiet",
        "--locked",
        "--release",
        "--package",
        "yahtzee-sim",
        "--bin",
        "simulate",
        "--",
    ]);
    cargo.args(options).current_dir(crate::repository_root());
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulator_is_run_with_the_options_of_the_caller() {
        let line = command_line(&simulator(&["--seed".to_owned(), "7".to_owned()]));
        assert!(line.ends_with("--package yahtzee-sim --bin simulate -- --seed 7"), "{line}");
    }

    #[test]
    fn a_first_seed_is_recognised_in_both_spellings() {
        let check = |option, expected| assert_eq!(option_name(option), expected);
        check("--from", "--from");
        check("--from=7", "--from");
        check("7", "7");
    }
}
