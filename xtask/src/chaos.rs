//! `cargo xtask chaos NAME`: builds the program and what breaks things around it, and runs them on a real broker.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::services::daemon;
use crate::services::kafka::{self, Kafka};
use crate::shell::command_line;

/// Tells the scenarios how to start the broker again.
const XTASK_VARIABLE: &str = "YAHTZEE_XTASK";

#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Builds optimised programs
    #[arg(long)]
    release: bool,
    /// The scenario and its options, as in `C1 --for 60s --json`; --list and --help tell more
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "NAME and options")]
    chaos: Vec<String>,
}

/// Runs one scenario, or shows what there is.
///
/// # Errors
/// If something cannot be built or started, or the scenario fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let programs = build(arguments.release)?;
    let asks = ["--list", "--help", "-h"];
    let needs_broker = !arguments.chaos.iter().any(|argument| asks.contains(&argument.as_str()));
    let broker = if needs_broker { Some(Broker::start()?) } else { None };
    let mut chaos = Command::new(programs.join("chaos"));
    chaos.args(&arguments.chaos).env(XTASK_VARIABLE, env::current_exe()?);
    if let Some(Broker { address: Some(address), .. }) = &broker {
        chaos.env(kafka::ADDRESS_VARIABLE, address);
    }
    let line = command_line(&chaos);
    let status = chaos.stdin(Stdio::null()).status().with_context(|| format!("cannot run `{line}`"))?;
    drop(broker);
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Builds both programs in one profile, and returns the folder they are in.
fn build(release: bool) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--locked", "-p", "yahtzee-cli", "-p", "yahtzee-tests", "--bins"]);
    if release {
        cargo.arg("--release");
    }
    let line = command_line(&cargo);
    let status = cargo.current_dir(crate::repository_root()).status();
    if !status.with_context(|| format!("cannot run `{line}`"))?.success() {
        bail!("`{line}` failed: its own message is above");
    }
    let this = env::current_exe()?;
    let target = this.parent().and_then(Path::parent).context("xtask is not where cargo builds")?;
    Ok(target.join(if release { "release" } else { "debug" }))
}

/// The broker of a run: the one the environment names, or one that is started and, when dropped, stopped.
struct Broker {
    address: Option<String>,
    is_ours: bool,
}

impl Broker {
    fn start() -> Result<Self> {
        if env::var_os(kafka::ADDRESS_VARIABLE).is_some_and(|address| !address.is_empty()) {
            return Ok(Self { address: None, is_ours: false });
        }
        let kafka = daemon::up(&Kafka, false)?;
        Ok(Self { address: Some(kafka.daemon.address.to_string()), is_ours: !kafka.already_up })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = daemon::down(&Kafka)
        {
            eprintln!("error: {error:#}");
        }
    }
}
