//! What all servers have in common: started to outlive the command, asked until they answer, stopped, killed.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::artefacts::remove_folder;
use super::process::{ProcessHandle, Stopped};
use super::service_dir;
use super::state::{self, ServiceDir};

/// The slowest start takes 3 s on an idle machine; a busy one gets sixty times that.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// The slowest clean stop takes about 2 s.
const STOP_GRACE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);
const LOG_TAIL_LINES: usize = 20;

/// One server, and what is particular about it.
pub(crate) trait Server: Sync {
    /// The name on the command line, and of its folder.
    fn name(&self) -> &'static str;

    /// Tells tests where it is.
    fn variable(&self) -> &'static str;

    /// What tests find in that variable.
    fn locator(&self, address: SocketAddr) -> String;

    /// The server that must be up for this one to be of use.
    fn needs(&self) -> Option<&'static dyn Server> {
        None
    }

    /// How to get the program if it is not there.
    fn hint(&self) -> &'static str;

    /// Sees to the program.
    ///
    /// # Errors
    /// If it cannot be had.
    fn fetch(&self, dir: &ServiceDir) -> Result<()>;

    /// Writes settings, creates data if there is none, and returns what runs the server in the foreground.
    ///
    /// # Errors
    /// If something cannot be written or prepared.
    fn prepare(&self, start: &Start<'_>) -> Result<Command>;

    /// Whether the one at `address` serves clients: an open port is not enough.
    fn is_ready(&self, address: SocketAddr) -> bool;

    /// Asks for a clean stop that does not wait for clients.
    fn stop_signal(&self) -> Signal {
        Signal::TERM
    }

    /// Ends whatever outlives the server's first process, and removes what would keep the next one from starting.
    ///
    /// # Errors
    /// If that is impossible.
    fn clear_leftovers(&self, _dir: &ServiceDir) -> Result<()> {
        Ok(())
    }
}

/// What [`Server::prepare`] has to go by.
pub(crate) struct Start<'a> {
    pub(super) dir: &'a ServiceDir,
    /// The port to listen on; held until the server is started, so that nothing else gets it meanwhile.
    pub(super) port: u16,
    log: PathBuf,
}

/// A server that was started: how to reach it, and how to find it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Daemon {
    /// Where clients connect: `127.0.0.1:PORT`.
    pub(crate) address: SocketAddr,
    #[serde(flatten)]
    process: ProcessHandle,
    data_dir: PathBuf,
    log: PathBuf,
}

/// The outcome of [`up`].
#[derive(Debug, Serialize)]
pub(crate) struct Up {
    /// Whether the server was up before.
    pub(crate) already_up: bool,
    #[serde(flatten)]
    pub(crate) daemon: Daemon,
}

/// How a server is now.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(crate) enum State {
    /// None was started, or it was stopped.
    Down,
    /// It answers.
    Up(Daemon),
    /// Its process runs but does not answer: it is starting, or stuck.
    Unresponsive(Daemon),
    /// Its process ended without `down`.
    Died(Daemon),
}

/// A server and how it is, as one line for a person.
pub(crate) struct Status {
    pub(crate) name: &'static str,
    pub(crate) state: State,
}

/// Starts the server and waits until it answers, or finds it up already.
///
/// One that died comes back on its port if that is free, and with `keep` on its data; otherwise data starts empty.
///
/// # Errors
/// If the program cannot be had, or the server does not come up.
pub(crate) fn up(server: &dyn Server, keep: bool) -> Result<Up> {
    let name = server.name();
    let dir = ServiceDir::lock(service_dir(name))?;
    let previous: Option<Daemon> = state::load(dir.path())?;
    // A running server may still be starting: the command that started it can have been interrupted.
    if let Some(daemon) = previous.clone()
        && answers(server, &daemon)?
    {
        eprintln!("{name}: already up at {} (pid {})", daemon.address, daemon.process.pid);
        return Ok(Up { already_up: true, daemon });
    }
    server.fetch(&dir)?;
    let started_at = Instant::now();
    let daemon = start(server, &dir, keep, previous.map(|daemon| daemon.address.port()))?;
    if !answers(server, &daemon).inspect_err(|_| stop_after_failure(server, &daemon))? {
        bail!("{name} ended while starting; {}", log_tail(name, &daemon.log));
    }
    let seconds = started_at.elapsed().as_secs_f64();
    let Daemon { address, process, log, .. } = &daemon;
    eprintln!("{name}: up at {address} after {seconds:.1} s (pid {}, log {})", process.pid, log.display());
    Ok(Up { already_up: false, daemon })
}

/// Starts a server that was killed or died, on the same data and the same port.
///
/// # Errors
/// If there was none, it does not come up, or something else has taken the port.
pub(crate) fn start_again(server: &dyn Server) -> Result<Up> {
    let name = server.name();
    let Some(before) = state::load::<Daemon>(&service_dir(name))? else {
        bail!("there is no {name} to start again: `cargo xtask services up {name}` starts a new one");
    };
    let up = up(server, true)?;
    if up.daemon.address != before.address {
        let (now, before) = (up.daemon.address, before.address);
        bail!(
            "{name} is up with its data, but at {now}: {before} was taken; \
             tell its clients, or free the port, `cargo xtask services kill {name}` and `start {name}`"
        );
    }
    Ok(up)
}

/// Stops the server if it is up, and removes its data; the log stays.
///
/// # Errors
/// If it cannot be stopped.
pub(crate) fn down(server: &dyn Server) -> Result<()> {
    let name = server.name();
    let dir = ServiceDir::lock(service_dir(name))?;
    let Some(daemon) = state::load::<Daemon>(dir.path())? else {
        eprintln!("{name}: not up");
        return Ok(());
    };
    let how = match daemon.process.stop(server.stop_signal(), STOP_GRACE)? {
        Stopped::AlreadyGone => "had ended before".to_owned(),
        Stopped::Asked => "stopped".to_owned(),
        Stopped::Killed => format!("killed: it did not stop within {} s", STOP_GRACE.as_secs()),
    };
    eprintln!("{name}: {how} (pid {}, log {})", daemon.process.pid, daemon.log.display());
    server.clear_leftovers(&dir)?;
    remove_folder(&dir.data())?;
    dir.clear()
}

/// Kills every process of the server, as a crash would. Its data and its port wait for [`start_again`].
///
/// # Errors
/// If there is none, or it may not be killed.
pub(crate) fn kill(server: &dyn Server) -> Result<()> {
    let name = server.name();
    let dir = ServiceDir::lock(service_dir(name))?;
    let Some(daemon) = state::load::<Daemon>(dir.path())? else {
        bail!("there is no {name} to kill: `cargo xtask services up {name}` starts one");
    };
    let how = match daemon.process.kill()? {
        Stopped::AlreadyGone => "had ended before",
        Stopped::Asked | Stopped::Killed => "killed",
    };
    server.clear_leftovers(&dir)?;
    let pid = daemon.process.pid;
    eprintln!("{name}: {how} (pid {pid}); `cargo xtask services start {name}` starts it on the same data");
    Ok(())
}

/// How the server is now; asks it.
///
/// # Errors
/// If the state file cannot be read.
pub(crate) fn status(server: &dyn Server) -> Result<Status> {
    let daemon: Option<Daemon> = state::load(&service_dir(server.name()))?;
    let state = match daemon {
        None => State::Down,
        Some(daemon) if !daemon.process.is_running() => State::Died(daemon),
        Some(daemon) if server.is_ready(daemon.address) => State::Up(daemon),
        Some(daemon) => State::Unresponsive(daemon),
    };
    Ok(Status { name: server.name(), state })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        let (word, daemon, next) = match &self.state {
            State::Down => return write!(f, "{name}: down"),
            State::Up(daemon) => ("up", daemon, String::new()),
            State::Unresponsive(daemon) => {
                let next = format!("; starting, or stop it with `cargo xtask services down {name}`");
                ("not answering", daemon, next)
            }
            State::Died(daemon) => {
                ("died", daemon, format!("; start it again with `cargo xtask services start {name}`"))
            }
        };
        let Daemon { address, process, log, .. } = daemon;
        write!(f, "{name}: {word} at {address} (pid {}, log {}){next}", process.pid, log.display())
    }
}

impl Start<'_> {
    /// Lets `command` run in the server's folder and write to its log.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub(super) fn log_output(&self, command: &mut Command) -> Result<()> {
        let output = File::options().create(true).append(true).open(&self.log);
        let output = output.with_context(|| format!("cannot write {}", self.log.display()))?;
        let errors = output.try_clone().context("cannot share the log file")?;
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(output).stderr(errors);
        Ok(())
    }

    /// Runs a step of the preparation, with its output in the log.
    ///
    /// # Errors
    /// If the program is missing (`hint` says how to get it) or fails.
    pub(super) fn run_step(&self, server: &dyn Server, command: &mut Command) -> Result<()> {
        let program = command.get_program().to_owned();
        self.log_output(command)?;
        let status = command.status();
        let status =
            status.with_context(|| format!("cannot run `{}`: {}", program.display(), server.hint()))?;
        if !status.success() {
            let tail = log_tail(server.name(), &self.log);
            bail!("`{}` failed with {status}; {tail}", program.display());
        }
        Ok(())
    }
}

/// A port that is free and held until the listener is dropped: `preferred`, or any.
///
/// # Errors
/// If there is none.
pub(super) fn free_port(preferred: Option<u16>) -> io::Result<TcpListener> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    preferred.and_then(|port| bind(port).ok()).map_or_else(|| bind(0), Ok)
}

/// Starts the process and remembers it before anything else can fail.
fn start(server: &dyn Server, dir: &ServiceDir, keep: bool, port_before: Option<u16>) -> Result<Daemon> {
    server.clear_leftovers(dir)?;
    let (data_dir, log) = (dir.data(), dir.path().join("server.log"));
    if !keep {
        remove_folder(&data_dir)?;
        fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
    }
    let held = free_port(port_before).context("cannot find a free port on 127.0.0.1")?;
    let address = held.local_addr().context("a bound port has an address")?;
    let start = Start { dir, port: address.port(), log: log.clone() };
    let mut command = server.prepare(&start)?;
    start.log_output(&mut command)?;
    drop(held);
    // A process group of its own: Ctrl-C in the terminal is for the command, not for the server.
    let child = command.process_group(0).spawn();
    let child = child
        .with_context(|| format!("cannot run `{}`: {}", command.get_program().display(), server.hint()))?;
    let daemon = Daemon { address, process: ProcessHandle::of(child.id())?, data_dir, log };
    dir.save(&daemon)?;
    Ok(daemon)
}

/// Waits for an answer of the server; `false` if its process has ended instead.
fn answers(server: &dyn Server, daemon: &Daemon) -> Result<bool> {
    let deadline = Instant::now() + START_TIMEOUT;
    while daemon.process.is_running() {
        if server.is_ready(daemon.address) {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            let Daemon { address, process, log, .. } = daemon;
            let (seconds, tail) = (START_TIMEOUT.as_secs(), log_tail(server.name(), log));
            bail!("pid {} does not answer on {address} after {seconds} s; {tail}", process.pid);
        }
        thread::sleep(POLL);
    }
    Ok(false)
}

/// A server that did not come up is of no use to anyone; the failure itself is what the caller reports.
fn stop_after_failure(server: &dyn Server, daemon: &Daemon) {
    if let Err(error) = daemon.process.stop(server.stop_signal(), STOP_GRACE) {
        eprintln!("{}: {error:#}", server.name());
    }
}

/// The end of the log and what to do next, as the second half of an error message.
fn log_tail(name: &str, log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_else(|error| format!("(unreadable: {error})"));
    let lines: Vec<_> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n  ");
    format!(
        "the end of {}:\n  {tail}\nnext: `cargo xtask services down {name}`, then `up` again for a fresh start",
        log.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preferred_port_is_used_only_if_it_is_free() {
        let taken = free_port(None).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(free_port(Some(port)).unwrap().local_addr().unwrap().port(), port);
        drop(taken);
        assert_eq!(free_port(Some(port)).unwrap().local_addr().unwrap().port(), port);
    }

    #[test]
    fn the_state_names_everything_a_person_needs() {
        let process = ProcessHandle { pid: 7, start_time: 8 };
        let (data_dir, log) = ("/data".into(), "/log".into());
        let daemon = Daemon { address: ([127, 0, 0, 1], 9092).into(), process, data_dir, log };
        let json = serde_json::to_value(State::Died(daemon)).unwrap();
        let expected = serde_json::json!({
            "state": "died", "address": "127.0.0.1:9092", "pid": 7, "start_time": 8, "data_dir": "/data", "log": "/log",
        });
        assert_eq!(json, expected);
    }
}
