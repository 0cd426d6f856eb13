//! Processes under test: the real `yahtzee` program, started, signalled and watched.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use yahtzee_core::assignment::{WorkerIndex, partitions_of, slots_of};
use yahtzee_core::owner::Partition;

use crate::clocks::WrongClock;
use crate::lifetime;
use crate::policy::{JOB, PARTITIONS, SLOTS};

const POLL: Duration = Duration::from_millis(10);
/// Lines of a process's log that are shown where it has ended as it should not.
const TAIL_LINES: usize = 5;
/// For commands that an operator waits for.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);

/// How processes are started.
pub(crate) struct Launcher {
    program: PathBuf,
    /// Folder of the run: the configuration file and a log file per process.
    pub(crate) folder: PathBuf,
    started: u32,
    /// The clock of the processes that are started, if it is wrong.
    pub(crate) clock: Option<WrongClock>,
    /// The most memory that any worker was seen to use, kilobytes.
    pub(crate) rss_max_kb: u64,
}

/// One process. Killed when dropped.
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) log: PathBuf,
    child: Child,
}

/// A worker process and its place among the workers.
pub(crate) struct Worker {
    pub(crate) place: WorkerIndex,
    pub(crate) process: Process,
}

impl Launcher {
    /// Starts `yahtzee`, found beside this program.
    pub(crate) fn new(folder: PathBuf) -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("yahtzee");
        if !program.exists() {
            bail!(
                "{} is missing: build it with `cargo build -p yahtzee-cli`, in the same profile",
                program.display()
            );
        }
        Ok(Self { program, folder, started: 0, clock: None, rss_max_kb: 0 })
    }

    /// Starts worker `index` of `count`.
    pub(crate) fn worker(&mut self, index: u32, count: u32) -> Result<Worker> {
        let place = WorkerIndex::new(index, count)?;
        let name = format!("worker-{index}-of-{count}");
        let process = self.start(&name, &["run", "--worker", &place.to_string(), JOB])?;
        Ok(Worker { place, process })
    }

    /// Starts a process that carries summaries into `store`.
    pub(crate) fn sink(&mut self, store: &str) -> Result<Process> {
        self.start("sink", &["sink", store, JOB])
    }

    /// Starts the process that carries what PostgreSQL could not take.
    pub(crate) fn retry(&mut self) -> Result<Process> {
        self.start("retry", &["retry", "postgres"])
    }

    /// Starts the process that receives drains.
    pub(crate) fn ingress(&mut self) -> Result<Process> {
        self.start("ingress", &["ingress"])
    }

    /// Runs an operator's command to its end, and returns what it has written.
    pub(crate) fn command(&mut self, arguments: &[&str]) -> Result<String> {
        let mut process = self.start(&arguments.join("-"), arguments)?;
        match process.wait(COMMAND_WITHIN)? {
            Some(status) if status.success() => Ok(process.log_text()),
            ended => bail!("`yahtzee {}` ended with {ended:?}: {}", arguments.join(" "), process.log_text()),
        }
    }

    fn start(&mut self, name: &str, arguments: &[&str]) -> Result<Process> {
        self.started += 1;
        let name = format!("{:03}-{name}", self.started);
        let log = self.folder.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let config = self.folder.join("yahtzee.toml");
        let mut command = lifetime::child(self.program.as_os_str())?;
        command.arg("--config").arg(config).args(arguments).env_clear().current_dir(&self.folder);
        self.clock.iter().for_each(|clock| clock.apply(&mut command));
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot run {}", self.program.display()))?;
        Ok(Process { name, log, child })
    }

    /// Notes how much memory a process has used at most so far.
    pub(crate) fn note_memory(&mut self, process: &Process) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()));
        let peak_kb = status.ok().and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        });
        self.rss_max_kb = self.rss_max_kb.max(peak_kb.unwrap_or(0));
    }
}

impl Worker {
    /// The partitions it works on.
    pub(crate) fn partitions(&self) -> Vec<Partition> {
        let slots = slots_of(self.place, SLOTS);
        slots.flat_map(|slot| partitions_of(slot, SLOTS, PARTITIONS)).collect()
    }
}

impl Process {
    /// Sends a signal; a process that has ended does not mind.
    pub(crate) fn signal(&self, signal: Signal) {
        // Not waited for yet, so that the number is still this child's.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Ends it at once, whatever it is doing.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.end_now()
    }

    fn end_now(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The operating system's number for it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Whether it has ended though nobody has asked it to, which is reported.
    pub(crate) fn has_ended_by_itself(&mut self) -> Result<bool> {
        let ended = self.ended()?;
        if let Some(status) = ended {
            eprintln!("chaos: {} ended by itself with {status}: {}", self.name, self.stderr_tail());
        }
        Ok(ended.is_some())
    }

    /// Waits for the end; `None` if it takes longer.
    pub(crate) fn wait(&mut self, at_most: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + at_most;
        loop {
            match self.ended()? {
                None if Instant::now() < deadline => std::thread::sleep(POLL),
                ended => return Ok(ended),
            }
        }
    }

    /// Everything it has logged.
    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of what it has written to standard output and error.
    pub(crate) fn stderr_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        match lines.len().saturating_sub(TAIL_LINES) {
            _ if lines.is_empty() => "it has written nothing".to_owned(),
            from => lines[from..].join("\n    "),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.end_now();
    }
}
