//! `[worker]` and the worker's index.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use yahtzee_core::assignment::WorkerIndex;

use super::environment::Environment;
use super::error::ConfigError;
use crate::topics::TopicLayout;
use crate::worker::{Guarantee, MemoryNeed, PoisonLimits};

/// Longest time that brokers allow a transaction by default, less what it outlives its records by, in milliseconds.
const WRITE_DEADLINE_MS_MAX: u64 = 890_000;

/// A worker waits for records for up to a part of this time, and must not take that for a pause.
const PAUSE_MS_MIN: u64 = 1_000;

/// The worker process.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSection {
    /// Groups of partitions that are fenced as one. Independent of the number of workers, at least as many as you
    /// will ever run; must not change while workers run.
    pub slots: u32,
    /// `fenced` (default) or `at-least-once`.
    pub guarantee: Guarantee,
    /// Milliseconds a summary may take to be acknowledged, before the job starts again from its last commit.
    pub write_deadline_ms: u64,
    /// Unusable records in a row that stop a job (1,000), before a bad deploy drains a topic into the DLQ.
    pub poison_run_max: u64,
    /// Unusable records per hundred that stop a job (50), over 10,000 records.
    pub poison_percent_max: u64,
    /// Milliseconds that a worker may stand still before it ends itself, because another may have taken over. At least 1,000.
    pub pause_max_ms: u64,
    /// Memory that windows may come to need by the caps of the jobs, in MiB; a worker that could need more does not
    /// start. 0 (default) for all of the machine's or the control group's.
    pub memory_max_mib: u64,
    /// What must fit into it: `usual` (default), what the caps come to at usual sizes of their states, or `greatest`, what no tenant
    /// can exceed.
    pub memory_need: MemoryNeed,
}

impl Default for WorkerSection {
    fn default() -> Self {
        Self {
            slots: 8,
            guarantee: Guarantee::Fenced,
            write_deadline_ms: 10_000,
            poison_run_max: 1_000,
            poison_percent_max: 50,
            pause_max_ms: 30_000,
            memory_max_mib: 0,
            memory_need: MemoryNeed::Usual,
        }
    }
}

/// Settings of the worker process.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Number of slots.
    pub slots: u32,
    /// Guarantee under which summaries and commits are written.
    pub guarantee: Guarantee,
    /// Greatest time until a summary is acknowledged.
    pub write_deadline: Duration,
    /// Limits of unusable input at which a job stops.
    pub poison: PoisonLimits,
    /// A worker that stood still for longer than this ends itself.
    pub pause_max: Duration,
    /// Memory that windows may come to need, in bytes; `None` for all of the machine's.
    pub memory_max_bytes: Option<u64>,
    /// What must fit into it at the start.
    pub memory_need: MemoryNeed,
}

impl WorkerSection {
    /// Checks the section.
    ///
    /// # Errors
    /// If there are no slots, or more than partitions, the deadline is none that brokers allow, the pause is shorter than a wait for
    /// records, or the memory is beyond any number of bytes.
    pub fn check(self, layout: &TopicLayout) -> Result<WorkerConfig, ConfigError> {
        if self.slots == 0 || self.slots > layout.partitions {
            return Err(ConfigError::Contradiction(format!(
                "worker.slots = {} must be at least 1 and at most topics.partitions = {}",
                self.slots, layout.partitions
            )));
        }
        let memory_max_bytes = self.memory_max_mib.checked_mul(1 << 20).ok_or_else(|| {
            let most_mib = u64::MAX >> 20;
            ConfigError::Contradiction(format!(
                "worker.memory_max_mib = {} must be at most {most_mib}; 0 for all of the machine's",
                self.memory_max_mib
            ))
        })?;
        if !(1..=WRITE_DEADLINE_MS_MAX).contains(&self.write_deadline_ms) {
            return Err(ConfigError::Contradiction(format!(
                "worker.write_deadline_ms = {} must be 1 to {WRITE_DEADLINE_MS_MAX}, since brokers refuse transactions of more \
                 than 15 minutes",
                self.write_deadline_ms
            )));
        }
        if self.pause_max_ms < PAUSE_MS_MIN {
            return Err(ConfigError::Contradiction(format!(
                "worker.pause_max_ms = {} must be at least {PAUSE_MS_MIN}, or a worker that waits for records ends itself",
                self.pause_max_ms
            )));
        }
        Ok(WorkerConfig {
            slots: self.slots,
            guarantee: self.guarantee,
            write_deadline: self.write_deadline(),
            poison: PoisonLimits { run_max: self.poison_run_max, percent_max: self.poison_percent_max },
            pause_max: Duration::from_millis(self.pause_max_ms),
            memory_max_bytes: (self.memory_max_mib > 0).then_some(memory_max_bytes),
            memory_need: self.memory_need,
        })
    }

    /// Returns the greatest time until a summary is acknowledged.
    #[must_use]
    pub fn write_deadline(&self) -> Duration {
        Duration::from_millis(self.write_deadline_ms)
    }
}

/// Process type of dynos that are workers; others may be called after it, as in `worker-errors`.
const WORKER_TYPE: &str = "worker";

/// Returns whether a process runs on a dyno that is no worker: one of another process type, or a one-off one.
#[must_use]
pub fn is_other_dyno(environment: &Environment) -> bool {
    environment.get("DYNO").is_some_and(|dyno| !is_worker_dyno(dyno))
}

fn is_worker_dyno(dyno: &str) -> bool {
    let process_type = dyno.rsplit_once('.').map_or(dyno, |(process_type, _)| process_type);
    process_type.strip_prefix(WORKER_TYPE).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

/// Returns the worker's index and count: from `argument` (`3/8`), else from the platform: `DYNO=worker.4` or a
/// StatefulSet's `HOSTNAME=worker-3`, each with `YAHTZEE_WORKERS=8`. Without any of them the worker is alone.
///
/// # Errors
/// If they cannot be read; the text says what to write.
pub fn worker_index_from(argument: Option<&str>, environment: &Environment) -> Result<WorkerIndex, String> {
    if let Some(text) = argument {
        let example = format!("worker `{text}` is not of the form INDEX/COUNT, as in `0/2`");
        let (index, count) = text.split_once('/').ok_or_else(|| example.clone())?;
        let (Ok(index), Ok(count)) = (index.trim().parse(), count.trim().parse()) else {
            return Err(example);
        };
        return WorkerIndex::new(index, count).map_err(|error| error.to_string());
    }
    let Some(workers) = environment.get("YAHTZEE_WORKERS") else { return Ok(WorkerIndex::ALONE) };
    let count: u32 = workers.parse().map_err(|_| format!("YAHTZEE_WORKERS=`{workers}` is not a number"))?;
    if let Some(dyno) = environment.get("DYNO").filter(|dyno| !is_worker_dyno(dyno)) {
        return Err(format!(
            "DYNO=`{dyno}` is no dyno of process type `{WORKER_TYPE}` (or `{WORKER_TYPE}-NAME`), so that its number says nothing about \
             which worker this is; run workers as that type, or use `--worker 0/{count}`"
        ));
    }
    let number_after = |variable: &str, separator: char| {
        environment.get(variable)?.rsplit_once(separator)?.1.parse::<u32>().ok()
    };
    let from_dyno = number_after("DYNO", '.').and_then(|number| number.checked_sub(1));
    let index = from_dyno.or_else(|| number_after("HOSTNAME", '-')).ok_or(
        "YAHTZEE_WORKERS is set, but neither DYNO (as in `worker.1`) nor HOSTNAME (as in `worker-0`) says \
         which worker this is; use `--worker 0/2`",
    )?;
    WorkerIndex::new(index, count).map_err(|error| error.to_string())
}
