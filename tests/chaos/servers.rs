//! Servers as processes, as `cargo xtask services` has started them: signalled, killed, and started again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

/// Names the program that starts and stops servers.
const XTASK: &str = "YAHTZEE_XTASK";

/// A server that this run may take away.
pub(crate) struct ServerProcess {
    xtask: PathBuf,
    name: &'static str,
    address: String,
}

impl ServerProcess {
    /// The server of this name, if it is at `address` and `cargo xtask services` has started it.
    pub(crate) fn find(name: &'static str, address: &str) -> Result<Self> {
        let beside = || Ok(std::env::current_exe()?.with_file_name("xtask"));
        let xtask =
            std::env::var_os(XTASK).map_or_else(beside, |path| Ok::<_, anyhow::Error>(path.into()))?;
        if !xtask.exists() {
            let xtask = xtask.display();
            bail!("{xtask} is missing, and only it can start {name} again: `cargo build -p xtask`");
        }
        let server = Self { xtask, name, address: address.to_owned() };
        server.pid().with_context(|| {
            format!("this scenario kills {name}, so it must be the one of `cargo xtask services`")
        })?;
        Ok(server)
    }

    /// Sends its first process a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal).with_context(|| format!("cannot send {} a signal", self.name))
    }

    /// Ends all its processes without warning.
    pub(crate) fn kill(&self) -> Result<()> {
        self.ask(&["services", "kill", self.name]).map(drop)
    }

    /// Lets it stand still, however `meanwhile` ends.
    pub(crate) fn stand_still(&self, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
        self.signal(Signal::STOP)?;
        let ended = meanwhile();
        self.signal(Signal::CONT)?;
        ended
    }

    /// Starts it again on the same data and the same port, and waits until it answers.
    pub(crate) fn start_again(&self) -> Result<()> {
        self.ask(&["services", "start", self.name])?;
        self.pid().map(drop).with_context(|| format!("{} did not come back under its address", self.name))
    }

    /// The folder of its data.
    pub(crate) fn data(&self) -> Result<PathBuf> {
        let data_dir = self.status()?["data_dir"].as_str().map(PathBuf::from);
        data_dir.with_context(|| format!("{} has no folder of data", self.name))
    }

    fn status(&self) -> Result<Json> {
        let answer = self.ask(&["services", "status", "--json"])?;
        let mut status: Json = serde_json::from_str(&answer)?;
        Ok(status[self.name].take())
    }

    fn pid(&self) -> Result<Pid> {
        let server = self.status()?;
        if server["address"] != self.address.as_str() {
            let xtask = self.xtask.display();
            bail!("`{xtask} services status` knows no {} at {}", self.name, self.address);
        }
        let pid = server["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        pid.with_context(|| format!("{} has no process id", self.name))
    }

    /// Copies a folder with all owners and rights.
    ///
    /// # Errors
    /// What the system's own command says.
    pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
        let status = Command::new("cp").arg("-a").arg(from).arg(to).status().context("cannot run cp")?;
        if !status.success() {
            bail!("cannot copy {} to {}", from.display(), to.display());
        }
        Ok(())
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.xtask);
        let output = command.args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot run {}", self.xtask.display()))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!("`{} {}`: {text}", self.xtask.display(), arguments.join(" "));
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
