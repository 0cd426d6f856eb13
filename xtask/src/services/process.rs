//! A process that outlives the command which started it: found again, checked and stopped safely.
//!
//! Process ids are reused, so an id alone is not enough to send a signal to. Together with the start time
//! from `/proc/PID/stat` (proc_pid_stat(5)) it names one process. Linux only.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

const POLL: Duration = Duration::from_millis(20);
/// SIGKILL needs no cooperation: a process that survives this long is stuck in the kernel.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// One process, distinguished from any later one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessHandle {
    pub(super) pid: i32,
    /// Start time in clock ticks since boot.
    pub(super) start_time: u64,
}

/// How a process ended after [`ProcessHandle::stop`] or [`ProcessHandle::kill`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It had ended before.
    AlreadyGone,
    /// It ended after it was asked to.
    Asked,
    /// It had to be killed.
    Killed,
}

impl ProcessHandle {
    /// The handle of a running process.
    ///
    /// # Errors
    /// If there is no such process or `/proc` cannot be read.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid).context("a process id above 2^31")?;
        let stat = read_stat(pid).with_context(|| format!("process {pid} ended as soon as it started"))?;
        Ok(Self { pid, start_time: stat.start_time })
    }

    /// Whether the process still runs.
    pub(super) fn is_running(self) -> bool {
        read_stat(self.pid).is_ok_and(|stat| stat.start_time == self.start_time && !stat.has_ended())
    }

    /// Asks the process to end by the signal `request`, and kills it if it has not after `grace`.
    ///
    /// # Errors
    /// If a signal may not be sent (another user's process) or the process survives SIGKILL.
    pub(super) fn stop(self, request: Signal, grace: Duration) -> Result<Stopped> {
        if !self.is_running() {
            return Ok(Stopped::AlreadyGone);
        }
        if self.signal_and_wait(request, grace)? {
            return Ok(Stopped::Asked);
        }
        self.kill()
    }

    /// Kills the process and waits until it is gone.
    ///
    /// # Errors
    /// If the signal may not be sent (another user's process) or the process survives it.
    pub(super) fn kill(self) -> Result<Stopped> {
        if !self.is_running() {
            return Ok(Stopped::AlreadyGone);
        }
        if self.signal_and_wait(Signal::KILL, KILL_GRACE)? {
            return Ok(Stopped::Killed);
        }
        bail!("process {} survived SIGKILL: look at `cat /proc/{}/stack`", self.pid, self.pid)
    }

    /// Whether the process ended within `grace` of the signal.
    fn signal_and_wait(self, signal: Signal, grace: Duration) -> Result<bool> {
        let pid = Pid::from_raw(self.pid).context("process id 0 names no process")?;
        match kill_process(pid, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot send {signal:?} to process {}", self.pid));
            }
        }
        let deadline = Instant::now() + grace;
        while self.is_running() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            thread::sleep(POLL);
        }
        Ok(true)
    }
}

/// The processes that run `program` with `folder` as their working directory, whoever their parent is.
///
/// Both paths must be absolute. Processes of other users are seen by root only.
pub(super) fn running_in(program: &Path, folder: &Path) -> Vec<ProcessHandle> {
    // Where a link leads is where the kernel says that a process is.
    let (Ok(program), Ok(folder)) = (fs::canonicalize(program), fs::canonicalize(folder)) else {
        return Vec::new();
    };
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_there = |pid: &u32| {
        let link = |name| fs::read_link(format!("/proc/{pid}/{name}")).ok();
        link("exe").as_ref() == Some(&program) && link("cwd").as_ref() == Some(&folder)
    };
    ids.filter(is_there).filter_map(|pid| ProcessHandle::of(pid).ok()).collect()
}

struct Stat {
    state: char,
    threads: u32,
    start_time: u64,
}

impl Stat {
    /// A zombie has ended and only waits for its parent, unless other threads of it are still going:
    /// until the last one is gone the process holds its ports and files.
    fn has_ended(&self) -> bool {
        self.state == 'X' || (self.state == 'Z' && self.threads <= 1)
    }
}

fn read_stat(pid: i32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text))
}

/// The name in field 2 may hold spaces and parentheses, so fields are counted from the last `)`.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let threads = fields.nth(20 - 4)?.parse().ok()?;
    let start_time = fields.nth(22 - 21)?.parse().ok()?;
    Some(Stat { state, threads, start_time })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Ends the child whatever the test does.
    struct Reaped(Child);

    impl Drop for Reaped {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A shell that has set up its trap by the time this returns: it says so on stdout.
    fn shell(script: &str) -> (Reaped, ProcessHandle) {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{script}; echo ready; read line")]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell can be started");
        let mut ready = [0; 5];
        let mut stdout = child.stdout.take().expect("stdout is piped");
        io::Read::read_exact(&mut stdout, &mut ready).expect("the shell says that it is ready");
        let handle = ProcessHandle::of(child.id()).unwrap();
        (Reaped(child), handle)
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let fields = (4..=52).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
        let stat = parse_stat(&format!("17 (a) b (c) S {fields}\n")).unwrap();
        assert_eq!((stat.state, stat.threads, stat.start_time), ('S', 20, 22));
    }

    #[test]
    fn a_process_has_ended_when_its_last_thread_has() {
        let check = |state, threads, expected| {
            assert_eq!(Stat { state, threads, start_time: 1 }.has_ended(), expected, "{state} {threads}");
        };
        check('R', 1, false);
        check('Z', 7, false);
        check('Z', 1, true);
        check('X', 1, true);
    }

    #[test]
    fn a_truncated_stat_is_refused() {
        assert!(parse_stat("17 (sh) S 1 2 3").is_none());
        assert!(parse_stat("").is_none());
    }

    #[test]
    fn stop_asks_first() {
        let (_child, handle) = shell(":");
        assert_eq!(handle.stop(Signal::TERM, Duration::from_secs(60)).unwrap(), Stopped::Asked);
        assert!(!handle.is_running());
        assert_eq!(handle.stop(Signal::TERM, Duration::ZERO).unwrap(), Stopped::AlreadyGone);
    }

    #[test]
    fn stop_kills_what_ignores_the_request() {
        let (_child, handle) = shell("trap '' TERM");
        assert_eq!(handle.stop(Signal::TERM, Duration::ZERO).unwrap(), Stopped::Killed);
    }

    #[test]
    fn a_killed_process_is_not_asked() {
        let (_child, handle) = shell("trap '' TERM");
        assert_eq!(handle.kill().unwrap(), Stopped::Killed);
        assert_eq!(handle.kill().unwrap(), Stopped::AlreadyGone);
    }

    #[test]
    fn processes_are_found_by_program_and_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (_child, handle) = shell(&format!("cd '{}'", folder.path().display()));
        let program = fs::read_link(format!("/proc/{}/exe", handle.pid)).unwrap();
        let check = |program: &Path, folder: &Path, expected: &[ProcessHandle]| {
            assert_eq!(
                running_in(program, folder),
                expected,
                "{} in {}",
                program.display(),
                folder.display()
            );
        };
        check(&program, folder.path(), &[handle]);
        check(Path::new("/no/such/program"), folder.path(), &[]);
        check(&program, &folder.path().join("missing"), &[]);
        check(&std::env::current_exe().unwrap(), folder.path(), &[]);
    }

    #[test]
    fn a_reused_process_id_is_left_alone() {
        let (_child, handle) = shell(":");
        let predecessor = ProcessHandle { start_time: handle.start_time - 1, ..handle };
        assert_eq!(predecessor.stop(Signal::TERM, Duration::ZERO).unwrap(), Stopped::AlreadyGone);
        assert!(handle.is_running());
    }
}
