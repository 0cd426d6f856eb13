//! Runs one command at a time, and perhaps one beside it, and ends them when the run itself is interrupted.

use std::fs::File;
use std::io::{self, Seek as _};
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

/// A command that runs, and its line.
struct Started {
    child: Child,
    line: String,
}

/// A command that runs beside others.
pub(super) struct Beside {
    started: Option<Started>,
    output: File,
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(Started { mut child, .. }) = self.started.take() {
            // It may have ended by itself.
            let _ = kill_process_group(Pid::from_child(&child), Signal::TERM);
            let _ = child.wait();
        }
    }
}

/// In a group of its own, so that an interruption reaches the test processes below cargo as well.
fn spawn(command: &mut Command, line: &str) -> Result<Child> {
    command.current_dir(crate::repository_root()).stdin(Stdio::null()).process_group(0);
    command.spawn().with_context(|| format!("cannot run `{line}`"))
}

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
        let started = Started { child: spawn(command, &line)?, line };
        self.end(started)
    }

    /// Runs a command beside others, which come first. What it prints is shown by [`Self::finish`]; dropped before, it is ended.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start_beside(&self, command: &mut Command) -> Result<Beside> {
        let line = command_line(command);
        eprintln!("$ {line} &");
        let output = tempfile::tempfile().context("cannot create a temporary file")?;
        let mut last = Command::new("nice");
        last.args(["-n", "19"]).arg(command.get_program()).args(command.get_args());
        last.stdout(output.try_clone()?).stderr(output.try_clone()?);
        Ok(Beside { started: Some(Started { child: spawn(&mut last, &line)?, line }), output })
    }

    /// Waits for what runs beside, and shows what it has printed.
    ///
    /// # Errors
    /// As those of [`Self::run`].
    pub(super) fn finish(&self, mut beside: Beside) -> Result<()> {
        let Some(started) = beside.started.take() else { return Ok(()) };
        eprintln!("$ wait  # for `{}`", started.line);
        let ended = self.end(started);
        beside.output.rewind()?;
        io::copy(&mut beside.output, &mut io::stderr())?;
        ended
    }

    fn end(&self, Started { mut child, line }: Started) -> Result<()> {
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
    fn what_runs_beside_others_is_waited_for_and_can_fail() {
        let check = |script: &str, interrupted: bool, expected: Option<&str>| {
            let runner = Runner { interrupted: Arc::new(AtomicBool::new(interrupted)) };
            let beside = runner.start_beside(Command::new("sh").args(["-c", script])).unwrap();
            let error = runner.finish(beside).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), expected.is_some(), "{error:?}");
            assert!(error.unwrap_or_default().contains(expected.unwrap_or_default()));
        };
        check("echo printed", false, None);
        check("exit 3", false, Some("`sh -c 'exit 3'` ended with exit status: 3"));
        check("exit 0", true, Some("interrupted"));
    }

    /// As where a command fails that runs at the same time.
    #[test]
    fn what_runs_beside_others_ends_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let runner = Runner { interrupted: Arc::default() };
        let script = format!("cat {}; true", fifo.display());
        drop(runner.start_beside(Command::new("sh").args(["-c", &script])).unwrap());
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
