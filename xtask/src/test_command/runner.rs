//! Runs one command at a time and ends it when the run itself is interrupted.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::shell::command_line;

const POLL: Duration = Duration::from_millis(50);

/// Runs commands in the repository's root until SIGINT or SIGTERM arrives.
pub(super) struct Runner {
    interrupted: Arc<AtomicBool>,
}

impl Runner {
    /// From here on SIGINT and SIGTERM end the present command instead of this process, so that what was
    /// started can be stopped.
    ///
    /// # Errors
    /// If the signals cannot be caught.
    pub(super) fn new() -> Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted)).context("cannot catch signals")?;
        }
        Ok(Self { interrupted })
    }

    /// Shows the command's line and runs it to its end.
    ///
    /// # Errors
    /// If it cannot be started, fails or is interrupted.
    pub(super) fn run(&self, command: &mut Command) -> Result<()> {
        let line = command_line(command);
        eprintln!("$ {line}");
        // In a group of its own, so that an interruption reaches the test processes below cargo as well.
        command.current_dir(crate::repository_root()).stdin(Stdio::null()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot run `{line}`"))?;
        let status = self.wait(&mut child).with_context(|| format!("cannot wait for `{line}`"))?;
        if self.interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        if !status.success() {
            bail!("`{line}` ended with {status}");
        }
        Ok(())
    }

    /// Whether a quick command succeeds; its output is not shown.
    pub(super) fn succeeds(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus> {
        let group = Pid::from_child(child);
        let mut is_signalled = false;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if self.interrupted.load(Ordering::Relaxed) && !is_signalled {
                kill_process_group(group, Signal::TERM)?;
                is_signalled = true;
            }
            thread::sleep(POLL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, interrupted: bool) -> Result<(), String> {
        let runner = Runner { interrupted: Arc::new(AtomicBool::new(interrupted)) };
        runner.run(Command::new("sh").args(["-c", script])).map_err(|error| error.to_string())
    }

    #[test]
    fn a_failure_names_the_line_and_the_status() {
        assert_eq!(run("exit 0", false), Ok(()));
        let message = run("exit 3", false).unwrap_err();
        assert!(message.contains("sh -c 'exit 3'") && message.contains('3'), "{message}");
    }

    #[test]
    fn an_interruption_ends_the_command_and_what_it_runs() {
        // Without the signal the inner `cat` would wait for the fifo for ever.
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let message = run(&format!("cat {}; true", fifo.display()), true).unwrap_err();
        assert_eq!(message, "interrupted");
    }
}
