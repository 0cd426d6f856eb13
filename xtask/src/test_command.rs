//! `cargo xtask test`: every check of the repository, in order, up to the first failure.

mod report;
mod runner;
pub(crate) mod servers;
mod step;

use anyhow::{Result, bail};
use clap::Args;

use report::Report;
use runner::Runner;
use servers::Servers;
use step::Step;

use crate::shell::command_line;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Runs only these steps, still in their usual order
    #[arg(long, value_delimiter = ',', value_name = "STEP,...")]
    only: Vec<Step>,
}

/// How a step that did not fail ended.
enum Outcome {
    Passed,
    /// Why nothing was checked.
    Skipped(&'static str),
}

/// Runs the steps and prints a table of them.
///
/// # Errors
/// If a step failed or the run was interrupted.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runner = Runner::new()?;
    let mut servers = Servers::default();
    let mut report = Report::new(&step::selected(&arguments.only));
    let failure = report.run_in_order(|step| run_step(step, &runner, &mut servers));
    drop(servers);
    eprintln!("\n{report}");
    match failure {
        None => Ok(()),
        Some((step, error)) => bail!(
            "{step} failed: {error:#}\n`cargo xtask test --only {}` repeats this step alone",
            step.asked_for_as()
        ),
    }
}

fn run_step(step: Step, runner: &Runner, servers: &mut Servers) -> Result<Outcome> {
    eprintln!("\n==> {step}");
    match step {
        Step::Servers => {
            eprintln!("$ {}", command_line(&step.command()));
            servers.start()?;
        }
        Step::Test => {
            let environment = servers.environment();
            runner.run(step.command().arg("--no-run"))?;
            runner.run(step::simulator().arg("--no-run"))?;
            let simulator = runner.start_beside(&mut step::simulator())?;
            runner.run(step.command().envs(environment))?;
            runner.finish(simulator)?;
        }
        Step::Deny if !runner.succeeds("cargo", &["deny", "--version"]) => {
            return Ok(Outcome::Skipped("cargo-deny is not installed: `cargo install cargo-deny --locked`"));
        }
        Step::Fmt | Step::Clippy | Step::ClippyEmbedded | Step::Doc | Step::Deny => {
            runner.run(&mut step.command())?
        }
    }
    Ok(Outcome::Passed)
}
