//! A worker: one thread per job, each with one reader and one fenced writer per slot.
//!
//! Any failed write ends a thread's run, and the next run starts from the last commit: recovery from a broken
//! transaction, an unreachable broker and a crash are one and the same path. Old bytes are never sent again.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use yahtzee_core::assignment::{WorkerIndex, partitions_of, slots_of};
use yahtzee_core::erased::AnyJob;
use yahtzee_core::log_tail::RecordPrint;
use yahtzee_core::owner::Partition;
use yahtzee_core::partition::ResumeError;
use yahtzee_core::record::Offset;
use yahtzee_core::slot::{PartitionRefused, SlotFailure, SlotMachine, SlotSettings, WriteMax};
use yahtzee_core::window::Policy;

use crate::back_off::{self, BackOff};
use crate::clock::MonotonicClock;
use crate::health::{Condition, Health};
use crate::log::{LogError, SharedLog, TopicSpec};
use crate::metric_names;
use crate::shutdown::StopSignal;
use crate::standstill::StandstillWatch;
use crate::threads::{self, TaskFailure};
use crate::topics::TopicLayout;

mod clock_alarm;
mod dead_letters;
mod late_owners;
mod memory;
mod metrics;
mod open;
mod pause;
mod poison_limit;
mod progress;
mod run;
mod topic_check;
mod worker_topics;
mod write;
mod writer;

pub use memory::{MemoryBound, MemoryNeed, memory_of_machine};
pub use open::{committed, committed_below};
pub use poison_limit::PoisonLimits;
pub use progress::{JobProgress, Progress};

/// Settings that all jobs of a worker share.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Index of this worker and number of workers.
    pub worker: WorkerIndex,
    /// Number of slots the partitions are grouped into; never depends on the number of workers.
    pub slots: u32,
    /// Names and sizes of topics.
    pub layout: TopicLayout,
    /// Guarantee with which summaries and commits are written.
    pub guarantee: Guarantee,
    /// Differs between two processes with the same index; part of commit metadata.
    pub incarnation: u32,
    /// Time within which a summary must be acknowledged.
    pub write_deadline: Duration,
    /// Limits on unusable input.
    pub poison: PoisonLimits,
    /// Memory that the windows of all jobs may take, in bytes, and what they have to write: a worker that needs more ends.
    pub memory_max_bytes: Option<u64>,
    /// A process that stood still for longer than this ends itself: another one may have taken over. `None` where
    /// that cannot be.
    pub pause_max: Option<Duration>,
}

/// The guarantee of a worker's writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Summaries and commit become visible together, and a predecessor that is still running is fenced.
    #[default]
    Fenced,
    /// Summaries first, then a plain commit. Readers rely on revisions alone.
    AtLeastOnce,
}

/// A job with the policy that is in force.
#[derive(Clone)]
pub struct JobPlan {
    /// The job.
    pub job: Arc<dyn AnyJob>,
    /// Its policy after configuration.
    pub policy: Policy,
    /// Its generation after configuration: that of its code, or a greater one.
    pub generation: u32,
}

/// Why a job stopped. Texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum JobFailure {
    /// The log failed.
    #[error("{0}")]
    Log(#[from] LogError),
    /// A partition must not be worked on.
    #[error("partition {partition} of {topic}: {refusal}")]
    Refused {
        /// Raw topic.
        topic: String,
        /// Partition.
        partition: Partition,
        /// Why.
        refusal: ResumeError,
    },
    /// Too much input cannot be used.
    #[error(
        "{what}, last at {topic}/{partition} offset {offset}; look into the DLQ topic, then deploy a job that reads \
         them: nothing after the last commit is lost"
    )]
    TooMuchPoison {
        /// Which limit was passed.
        what: String,
        /// Raw topic.
        topic: String,
        /// Partition.
        partition: Partition,
        /// Offset of the last one.
        offset: Offset,
    },
    /// The job's code panicked on a record.
    #[error("the job panicked on {topic}/{partition} offset {}; the record goes to the DLQ", .record.offset)]
    Panicked {
        /// Raw topic.
        topic: String,
        /// Partition.
        partition: Partition,
        /// The record.
        record: RecordPrint,
    },
    /// The process stood still.
    #[error(
        "this process stood still for {0:?}; another worker may have taken over, so it ends without writing"
    )]
    Paused(Duration),
    /// The windows need more memory than allowed.
    #[error(
        "the windows of this worker take {} MiB, {} of them this job's, and {} MiB are allowed; run more workers, raise \
         `worker.memory_max_mib`, or lower `series_max` of the jobs with a new generation",
        .all_bytes >> 20, .job_bytes >> 20, .max_bytes >> 20
    )]
    OutOfMemory {
        /// Bytes of all jobs.
        all_bytes: u64,
        /// Bytes of the job that has ended.
        job_bytes: u64,
        /// Bytes allowed.
        max_bytes: u64,
    },
    /// The job's thread panicked context of any record.
    #[error("the job's thread has panicked; its message is in the log of the process")]
    ThreadPanicked,
}

impl TaskFailure for JobFailure {
    fn is_transient(&self) -> bool {
        self.kind().opens_again()
    }

    fn is_unanswered(&self) -> bool {
        matches!(self, Self::Log(error) if error.is_transient())
    }
}

impl JobFailure {
    fn refused(topic: &str, refused: &PartitionRefused) -> Self {
        let PartitionRefused { partition, reason } = *refused;
        Self::Refused { topic: topic.to_owned(), partition, refusal: reason }
    }

    /// Returns what the failure means for the slots of the job.
    fn kind(&self) -> SlotFailure {
        match self {
            Self::Log(LogError::OffsetOutOfRange { .. }) => SlotFailure::InputLost,
            Self::Log(LogError::Fenced(_)) => SlotFailure::Fenced,
            Self::Log(error) if error.is_transient() => SlotFailure::Unanswered,
            Self::Panicked { partition, record, .. } => {
                SlotFailure::Panicked { partition: *partition, record: *record }
            }
            Self::Log(_) | Self::Refused { .. } => SlotFailure::Refused,
            Self::TooMuchPoison { .. }
            | Self::Paused(_)
            | Self::OutOfMemory { .. }
            | Self::ThreadPanicked => SlotFailure::Refused,
        }
    }
}

/// The running threads of a worker.
#[derive(Debug)]
pub struct Worker {
    threads: Vec<(&'static str, JoinHandle<Result<(), JobFailure>>)>,
}

impl Worker {
    /// Starts one thread per job. A job without a slot here starts none and says so.
    #[must_use]
    pub fn start(
        plans: Vec<JobPlan>,
        log: &SharedLog,
        settings: &WorkerSettings,
        context: &ProcessContext,
    ) -> Self {
        if slots_of(settings.worker, settings.slots).next().is_none() {
            tracing::warn!(
                worker = %settings.worker, slots = settings.slots,
                "more workers than slots: this worker has no partition and stays idle"
            );
            plans.iter().for_each(|plan| context.health.set(plan.job.name(), Condition::Ready));
            return Self { threads: Vec::new() };
        }
        let start = |plan: JobPlan| {
            let name = plan.job.name();
            let (log, settings, context) = (Arc::clone(log), settings.clone(), context.clone());
            let (health, stop) = (context.health.clone(), context.stop.clone());
            let thread =
                threads::spawn(name, &health, &stop, move || supervise(&plan, &log, &settings, &context));
            (name, thread)
        };
        let mut threads: Vec<_> = plans.into_iter().map(start).collect();
        if settings.pause_max.is_some() {
            threads.push((STANDSTILL, watch_standstills(context)));
        }
        Self { threads }
    }

    /// Waits for all threads and returns the first failure.
    ///
    /// # Errors
    /// The name of the first job that failed, and why.
    pub fn join(self) -> Result<(), (&'static str, JobFailure)> {
        let mut first = Ok(());
        for (name, thread) in self.threads {
            let ended = thread.join().unwrap_or(Err(JobFailure::ThreadPanicked));
            if let (Err(failure), Ok(())) = (ended, &first) {
                first = Err((name, failure));
            }
        }
        first
    }
}

/// Thread that notes standstills.
const STANDSTILL: &str = "standstill";

fn watch_standstills(context: &ProcessContext) -> JoinHandle<Result<(), JobFailure>> {
    let (health, stop, clock) = (context.health.clone(), context.stop.clone(), context.clock.clone());
    let standstills = context.standstills.clone();
    threads::spawn(STANDSTILL, &health, &context.stop, move || {
        standstills.run(&clock, &stop);
        Ok(())
    })
}

/// Handles that a job's thread shares with the rest of the process.
#[derive(Clone, Debug, Default)]
pub struct ProcessContext {
    /// Given when the process ends; a job that fails for good gives it too.
    pub stop: StopSignal,
    /// Health of the process, to which the job reports its state.
    pub health: Health,
    /// Figures of the jobs, which the job keeps current.
    pub progress: Progress,
    /// The time that intervals and pauses are measured by.
    pub clock: MonotonicClock,
    /// Knows when the process stood still.
    pub standstills: StandstillWatch,
}

/// First and greatest wait before a job starts again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Runs a job until the process stops, starting again from the last commit after every failure that may pass.
fn supervise(
    plan: &JobPlan,
    log: &SharedLog,
    settings: &WorkerSettings,
    context: &ProcessContext,
) -> Result<(), JobFailure> {
    let name = plan.job.name();
    let back_off = BackOff::new(BACK_OFF.0, BACK_OFF.1, back_off::seed());
    let mut runs = JobRuns::new(plan, settings, context);
    threads::supervise(name, &context.health, &context.stop, back_off, |back_off| {
        context.health.set(name, Condition::Starting("opening its slots".to_owned()));
        let committed_before = context.progress.commits(name);
        let ended = runs.run(plan, log, settings, context);
        if context.progress.commits(name) > committed_before {
            back_off.reset();
        }
        if let Err(JobFailure::Panicked { .. }) = &ended {
            // The record is left out of the next run, which therefore gets further: many of them must not wait long each.
            back_off.reset();
        }
        if ended.as_ref().is_err_and(JobFailure::is_transient) {
            metric_names::JOB_RESTARTS.with(&[name]).increment(1);
        }
        ended
    })
    .map(|_| ())
}

/// The runs of a job, one after the other, and what outlives each.
struct JobRuns {
    slots: Vec<JobSlot>,
    /// When the last one ended.
    ended_at_ms: u64,
}

impl JobRuns {
    fn new(plan: &JobPlan, settings: &WorkerSettings, context: &ProcessContext) -> Self {
        Self { slots: job_slots(plan, settings), ended_at_ms: context.clock.now_ms() }
    }

    fn run(
        &mut self,
        plan: &JobPlan,
        log: &SharedLog,
        settings: &WorkerSettings,
        context: &ProcessContext,
    ) -> Result<(), JobFailure> {
        let ended = run::run(plan, log, settings, context, &mut self.slots, self.ended_at_ms);
        self.ended_at_ms = context.clock.now_ms();
        if let Err(failure) = &ended {
            self.slots.iter_mut().for_each(|slot| slot.machine.failed(failure.kind()));
        }
        ended
    }
}

/// Effects of a slot that may wait in memory before they are written without waiting for a tick.
const BACKLOG_MAX: usize = 10_000;

/// What one write may have: a broker that takes 2,000 records or 2 MiB a second ends it within the transaction's time.
const WRITE_MAX: WriteMax = WriteMax { effects: 20_000, bytes: 16 << 20 };

/// Effects of a slot that may wait before nothing is read any more.
const READ_BACKLOG_MAX: usize = 5 * WRITE_MAX.effects;

/// The same in bytes, of all slots of a job together.
const READ_BACKLOG_BYTES_MAX: usize = 5 * WRITE_MAX.bytes;

/// Bytes of a slot's effects that may wait before they are written without waiting for a tick, where a job has `slots` of them: where
/// all together hold up reading, one at least writes.
fn backlog_bytes_max(slots: usize) -> usize {
    WRITE_MAX.bytes.min(READ_BACKLOG_BYTES_MAX.div_ceil(slots.max(1)))
}

/// A slot of a job on this worker. It outlives failures, so that a record is not tried a third time after the job has
/// panicked on it.
struct JobSlot {
    slot: u32,
    machine: SlotMachine,
}

fn job_slots(plan: &JobPlan, settings: &WorkerSettings) -> Vec<JobSlot> {
    let backlog_bytes_max = backlog_bytes_max(slots_of(settings.worker, settings.slots).count());
    let slot = |slot| {
        let partitions = partitions_of(slot, settings.slots, settings.layout.partitions).collect();
        let machine = SlotMachine::new(SlotSettings {
            partitions,
            policy: plan.policy,
            backlog_max: BACKLOG_MAX,
            backlog_bytes_max,
            write_max: WRITE_MAX,
        });
        JobSlot { slot, machine }
    };
    slots_of(settings.worker, settings.slots).map(slot).collect()
}

impl JobPlan {
    /// Creates the plan of a job that is not configured.
    #[must_use]
    pub fn new(job: Arc<dyn AnyJob>) -> Self {
        let (policy, generation) = (job.policy(), job.generation());
        Self { job, policy, generation }
    }

    /// The topics of the job, as configured, the raw topic first.
    #[must_use]
    pub fn topics(&self, layout: &TopicLayout) -> Vec<TopicSpec> {
        layout.specs(self.job.measurement(), self.job.summary(), self.policy.publishes_late)
    }
}

#[cfg(test)]
mod tests;
