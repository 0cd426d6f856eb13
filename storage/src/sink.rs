//! The sink: carries the summaries of all jobs from the log into the shards of a store.
//!
//! ```text
//! summary topic ─▶ reader (a thread per job) ─▶ queue per shard ─▶ writer (a thread per shard) ─▶ store
//!                     │ commits the lowest            │ shard is down        │ row is poison
//!                     ▼ offset not settled            ▼                      ▼
//!                  group's offsets                  RETRY               QUARANTINE
//! ```
//!
//! A record is settled when it is stored, stale, expired, or acknowledged in RETRY or QUARANTINE; only then may a
//! commit pass it. After a crash some records come again; revisions make that harmless. What waits for somebody to
//! mend the configuration is held: it stays in the log, is in no memory, and is read again once a probe works.

mod counting;
mod handover;
mod job;
mod queue;
mod reader;
mod shard;

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use yahtzee_runtime::health::Health;
use yahtzee_runtime::log::{LogError, SharedLog};
use yahtzee_runtime::shutdown::StopSignal;
use yahtzee_runtime::threads;

use self::counting::ShardGauges;
use self::handover::Handover;
use self::job::Job;
use self::queue::Queue;
use self::reader::Session;
use self::shard::ShardThread;
use crate::job_topics::{JobTopics, sink_group};
use crate::store::{Shard, SummaryStore};

/// What a sink process carries, and how.
#[derive(Clone)]
pub struct SinkPlan {
    /// Jobs whose summaries are stored.
    pub jobs: Vec<JobTopics>,
    /// Version of the topics, as in `v1`: part of the names of the consumer groups.
    pub version: String,
    /// Whether a retry process stands behind this sink. If not, a shard that is down is waited for in place: right
    /// for a store with one shard in the same process, which has no other shard to hold up.
    pub has_retry: bool,
    /// Bounds and times.
    pub settings: SinkSettings,
    /// Told of every summary after it was stored.
    pub tap: Option<Arc<Tap>>,
}

/// Told of a stored summary: name of the job, wire form of the key, value. Must not block.
pub type Tap = dyn Fn(&str, &[u8], &[u8]) + Send + Sync;

/// Bounds and times of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// Summaries per write at most.
    pub batch_max: usize,
    /// How long a summary waits for company in its batch at most.
    pub linger: Duration,
    /// Summaries that wait for one shard at most.
    pub queue_max: usize,
    /// Their keys and values in bytes at most.
    pub queue_bytes_max: usize,
    /// Offsets between the lowest record that is not settled and the read position of a partition at most: what a
    /// restart reads again.
    pub span_max: u64,
    /// How long a write may take before what does not fit into the queue goes to RETRY.
    pub patience: Duration,
    /// How long a shard may be down before all its summaries go to RETRY.
    pub retry_after: Duration,
    /// First and greatest bound of the wait between tries of a shard that is down.
    pub back_off: (Duration, Duration),
    /// First and greatest bound of the wait between tries of a configuration that is wrong.
    pub mending: (Duration, Duration),
    /// Time between commits.
    pub commit_interval: Duration,
    /// How long the log may take to acknowledge RETRY and QUARANTINE records.
    pub append_deadline: Duration,
    /// How long stopping may take.
    pub stop_deadline: Duration,
}

impl Default for SinkSettings {
    fn default() -> Self {
        Self {
            batch_max: 1_024,
            linger: Duration::from_millis(50),
            queue_max: 8 * 1_024,
            queue_bytes_max: 32 << 20,
            span_max: 100_000,
            patience: Duration::from_millis(500),
            retry_after: Duration::from_secs(2),
            back_off: (Duration::from_millis(200), Duration::from_secs(10)),
            mending: (Duration::from_secs(10), Duration::from_secs(300)),
            commit_interval: Duration::from_millis(250),
            append_deadline: Duration::from_secs(30),
            stop_deadline: Duration::from_secs(10),
        }
    }
}

/// Why a sink stopped.
#[derive(Debug, thiserror::Error)]
#[error("sink of {job}: {error}")]
pub struct SinkFailure {
    /// Name of the job.
    pub job: String,
    /// What the log said.
    pub error: LogError,
}

/// A running sink.
pub struct Sink {
    shared: Arc<Shared>,
    readers: Vec<JoinHandle<Result<Option<Session>, SinkFailure>>>,
    shards: Vec<JoinHandle<()>>,
    /// Disconnected when the last shard thread has ended.
    shards_ended: mpsc::Receiver<()>,
}

/// What the threads of a sink share.
struct Shared {
    log: SharedLog,
    store: Arc<dyn SummaryStore>,
    settings: SinkSettings,
    has_retry: bool,
    tap: Option<Arc<Tap>>,
    /// By index, as in tickets.
    jobs: Arc<[Job]>,
    /// By number of the shard.
    queues: Vec<Queue>,
    handover: Handover,
    health: Health,
    stop: StopSignal,
}

impl Sink {
    /// Starts a thread per job and one per shard. They run until `stop` is given; a job that fails for good gives it.
    ///
    /// # Errors
    /// Where the log gives no appender.
    pub fn start(
        plan: SinkPlan,
        log: &SharedLog,
        store: &Arc<dyn SummaryStore>,
        health: &Health,
        stop: &StopSignal,
    ) -> Result<Self, LogError> {
        let shared = Arc::new(Shared::new(plan, log, store, health, stop)?);
        let reader = |index: usize| {
            let of_thread = Arc::clone(&shared);
            let name = format!("sink-{}", shared.jobs[index].topics.job);
            threads::spawn(&name, health, stop, move || reader::run(&of_thread, index))
        };
        let readers = (0..shared.jobs.len()).map(reader).collect();
        let (running, shards_ended) = mpsc::channel::<()>();
        let shard = |(number, name): (u32, String)| {
            let thread = ShardThread::new(&shared, Shard(number), &name);
            let running = running.clone();
            threads::spawn(&format!("shard-{name}"), health, stop, move || {
                thread.run();
                drop(running);
            })
        };
        let shards = (0..).zip(store.shards()).map(shard).collect();
        Ok(Self { shared, readers, shards, shards_ended })
    }

    /// Waits for the stop, writes what is read where that goes at once, commits, and returns the first failure.
    ///
    /// Takes at most the deadline of the settings from the stop on, and what the log takes to commit. A thread in a
    /// write that does not come back is left behind: its records were not committed.
    ///
    /// # Errors
    /// Where a job has failed for good.
    pub fn join(self) -> Result<(), SinkFailure> {
        let ended: Vec<_> = self.readers.into_iter().map(threads::join).collect();
        let until = Instant::now() + self.shared.settings.stop_deadline;
        for queue in &self.shared.queues {
            queue.close(until);
        }
        let left = || until.saturating_duration_since(Instant::now());
        match self.shards_ended.recv_timeout(left()) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                tracing::warn!(
                    "a shard does not answer: its last batch is written again after the next start"
                );
            }
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                self.shards.into_iter().for_each(threads::join);
            }
        }
        self.shared.handover.wait_until_idle(left());
        let mut first = Ok(());
        for ended in ended {
            match ended {
                Ok(Some(session)) => session.close(),
                Ok(None) => {}
                Err(failure) => first = first.and(Err(failure)),
            }
        }
        first
    }
}

impl Shared {
    fn new(
        plan: SinkPlan,
        log: &SharedLog,
        store: &Arc<dyn SummaryStore>,
        health: &Health,
        stop: &StopSignal,
    ) -> Result<Self, LogError> {
        let SinkPlan { jobs, version, has_retry, settings, tap } = plan;
        let job = |topics: JobTopics| {
            let group = sink_group(store.name(), &topics.job, &version);
            Job::new(topics, group)
        };
        let jobs: Arc<[Job]> = jobs.into_iter().map(job).collect();
        let appender = log.appender(settings.append_deadline)?;
        let gauges = |shard: &String| ShardGauges::new(store.name(), shard);
        let queue = |shard: &String| Queue::new(settings, has_retry, gauges(shard));
        Ok(Self {
            log: Arc::clone(log),
            store: Arc::clone(store),
            settings,
            has_retry,
            tap,
            queues: store.shards().iter().map(queue).collect(),
            handover: Handover::new(appender, Arc::clone(&jobs), &**store, stop),
            jobs,
            health: health.clone(),
            stop: stop.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
