//! `cargo xtask chaos NAME`: builds the program and what breaks things around it, and runs them on real servers.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::services::SERVERS;
use crate::services::daemon::Server;
use crate::shell::command_line;
use crate::test_command::servers::Servers;

/// Names the program with which scenarios start a server again.
const XTASK_VARIABLE: &str = "YAHTZEE_XTASK";

#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Builds optimised programs
    #[arg(long)]
    release: bool,
    /// The scenario and its options, as in `C1 --for 60s --json`; see --list and --help
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "NAME and options")]
    chaos: Vec<String>,
}

/// Runs one scenario, or shows what there is.
///
/// # Errors
/// If something cannot be built or started, or the scenario fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let programs = build(arguments.release)?;
    let mut servers = Servers::default();
    servers.start_these(servers_for(&arguments.chaos))?;
    let mut chaos = Command::new(programs.join("chaos"));
    chaos.args(&arguments.chaos).env(XTASK_VARIABLE, env::current_exe()?).envs(servers.environment());
    let line = command_line(&chaos);
    let status = chaos.stdin(Stdio::null()).status().with_context(|| format!("cannot run `{line}`"))?;
    drop(servers);
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

/// The servers that a scenario needs: C those of the pipeline, S all. None for those who only ask.
fn servers_for(arguments: &[String]) -> &'static [&'static dyn Server] {
    let asks = ["--list", "--help", "-h"];
    if arguments.iter().any(|argument| asks.contains(&argument.as_str())) {
        return &[];
    }
    match arguments.iter().any(|argument| argument.starts_with(['S', 's'])) {
        true => &SERVERS,
        false => &SERVERS[..1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_of_storage_need_all_servers() {
        let check = |line: &str, expected: &[&str]| {
            let arguments: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
            let names: Vec<_> = servers_for(&arguments).iter().map(|server| server.name()).collect();
            assert_eq!(names, expected, "{line}");
        };
        check("C1 --for 60s", &["kafka"]);
        check("--for 60s s11 --json", &["kafka", "postgres-1", "postgres-2", "pgbouncer"]);
        check("--list", &[]);
        check("S1 --help", &[]);
    }
}
