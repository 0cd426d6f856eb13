//! Delivery: carries the summaries of all jobs out of the log into the shards of a store.
//!
//! ```text
//! source (a thread each) ── read ──▶ queue per shard ──▶ writer (a thread per shard) ──▶ store
//!   │ commits the lowest                 │ shard is down        │ row is poison
//!   ▼ offset not settled                 ▼                      ▼
//! group's offsets                      RETRY               QUARANTINE
//! ```
//!
//! One kind of task runs with two kinds of sources. The **sink** reads the summary topics, one source per job; a shard
//! that is down for long does not delay the others, because its summaries go to RETRY. The **retry process** reads the
//! RETRY topics, one source per shard with its own partition of all of them; it keeps the newest row of every key and
//! waits for its shard for as long as it takes.
//!
//! A record is settled when it is stored, stale, expired, superseded, or acknowledged in RETRY or QUARANTINE; only then
//! may a commit pass it. After a crash some records are read again; revisions make that harmless. A record that the
//! store refuses because of its configuration is held: it stays in the log, is dropped from memory, and is read again
//! once a probe succeeds. [`yahtzee_core::delivery`] makes these decisions; this module runs the threads and calls the
//! log and the store.

mod assignment;
mod batch;
mod dead_letter_writer;
mod generation_watch;
mod metrics;
mod opening;
mod queue;
mod row;
mod session;
mod settings;
mod shard;
mod source;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use yahtzee_core::delivery::rules::ProductionDelivery;
use yahtzee_runtime::health::Health;
use yahtzee_runtime::log::{GROUP_MOVING, LogError, SharedLog};
use yahtzee_runtime::shutdown::StopSignal;
use yahtzee_runtime::threads;

use self::dead_letter_writer::DeadLetterWriter;
use self::metrics::{Endings, ShardMetrics};
use self::queue::SharedQueue;
use self::session::Session;
pub use self::settings::DeliverySettings;
use self::shard::ShardThread;
use self::source::Source;
use crate::job_topics::JobTopics;
use crate::store::{Shard, SummaryStore};

/// Configuration of a delivery task: what it carries, and how.
#[derive(Clone)]
pub struct DeliveryPlan {
    /// Jobs to carry the summaries of. In a retry process all of them must have the same number of partitions.
    pub jobs: Vec<JobTopics>,
    /// Version of the topics, as in `v1`: part of the names of the consumer groups.
    pub version: String,
    /// Topics to read from.
    pub role: DeliveryRole,
    /// Limits and timeouts.
    pub settings: DeliverySettings,
    /// Observer that is called with every summary after it was stored.
    pub observer: Option<Arc<StoredObserver>>,
}

/// Callback for a stored summary: name of the job, wire form of the key, value. Must not block.
pub type StoredObserver = dyn Fn(&str, &[u8], &[u8]) + Send + Sync;

/// Topics that a task reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryRole {
    /// Reads the summary topics.
    Sink {
        /// Whether a retry process empties RETRY for this sink. If not, the sink waits for a shard that is down: right
        /// for a store with one shard in the same process, where no other shard is delayed.
        has_retry: bool,
    },
    /// Reads the RETRY topics.
    Retry {
        /// Limits the process to this shard, and those that share its partition; `None` selects all shards.
        shard: Option<Shard>,
    },
}

/// Failure that stopped a process.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{task}: {error}")]
pub struct DeliveryFailure {
    /// Task that failed, as in `sink of errors` or `retry of shard s1`.
    pub task: String,
    /// Error of the log.
    #[source]
    pub error: LogError,
}

/// Retention may overtake a reader: summaries that it has deleted are counted as lost.
impl threads::TaskFailure for DeliveryFailure {
    fn is_transient(&self) -> bool {
        self.error.is_transient() || matches!(self.error, LogError::OffsetOutOfRange { .. })
    }

    fn is_unanswered(&self) -> bool {
        self.error.is_transient()
    }

    fn is_usual_at_start(&self) -> bool {
        self.error.code() == GROUP_MOVING
    }
}

/// A running sink or retry process.
pub struct DeliveryTask {
    shared: Arc<TaskContext>,
    readers: Vec<JoinHandle<Result<Option<Session>, DeliveryFailure>>>,
    shards: Vec<JoinHandle<()>>,
    /// Disconnected when the last shard thread has ended.
    shards_ended: mpsc::Receiver<()>,
}

/// State that the threads of a task share.
struct TaskContext {
    log: SharedLog,
    store: Arc<dyn SummaryStore>,
    settings: DeliverySettings,
    role: DeliveryRole,
    observer: Option<Arc<StoredObserver>>,
    /// Jobs by index, as pending rows refer to them.
    jobs: Vec<JobTopics>,
    /// Sources by index, as tickets refer to them.
    sources: Arc<[Source]>,
    /// Queues by number of the shard.
    queues: Vec<SharedQueue>,
    shard_names: Vec<String>,
    dead_letters: DeadLetterWriter,
    endings: Arc<Endings>,
    /// Shards whose marks had no room in a commit, at most.
    unmarked: AtomicUsize,
    health: Health,
    stop: StopSignal,
    started: Instant,
}

impl DeliveryTask {
    /// Starts a thread per source and one per shard. They run until `stop` is raised; a source that fails for good
    /// raises it.
    ///
    /// # Errors
    /// If the log cannot create an appender.
    pub fn start(
        plan: DeliveryPlan,
        log: &SharedLog,
        store: &Arc<dyn SummaryStore>,
        health: &Health,
        stop: &StopSignal,
    ) -> Result<Self, LogError> {
        let shared = Arc::new(TaskContext::new(plan, log, store, health, stop)?);
        let reader = |index: usize| {
            let of_thread = Arc::clone(&shared);
            threads::spawn(&shared.sources[index].part, health, stop, move || session::run(&of_thread, index))
        };
        let readers = (0..shared.sources.len()).map(reader).collect();
        let (running, shards_ended) = mpsc::channel::<()>();
        let shard = |(shard, name): (Shard, &String)| {
            let thread = ShardThread::new(&shared, shard, name);
            let running = running.clone();
            threads::spawn(&format!("shard-{name}"), health, stop, move || {
                thread.run();
                drop(running);
            })
        };
        let all = (0..).map(Shard).zip(&shared.shard_names);
        let shards = all.filter(|(number, _)| shared.is_fed(*number)).map(shard).collect();
        Ok(Self { shared, readers, shards, shards_ended })
    }

    /// Waits for the stop, writes the rows already read if their shard takes them without delay, commits, and returns
    /// the first failure.
    ///
    /// Returns within the deadline of the settings after the stop, plus the time that the log takes to commit. A thread
    /// whose write does not return is abandoned: its records were not committed.
    ///
    /// # Errors
    /// If a source has failed for good.
    pub fn join(self) -> Result<(), DeliveryFailure> {
        let ended: Vec<_> = self.readers.into_iter().map(threads::join).collect();
        let until = self.shared.now() + self.shared.settings.stop_deadline;
        self.shared.queues.iter().for_each(|queue| queue.close(until));
        let time = || until.saturating_sub(self.shared.now());
        match self.shards_ended.recv_timeout(time()) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                tracing::warn!(
                    "a shard does not answer: its last batch is written again after the next start"
                );
            }
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                self.shards.into_iter().for_each(threads::join);
            }
        }
        self.shared.dead_letters.wait_until_idle(time());
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

impl TaskContext {
    fn new(
        plan: DeliveryPlan,
        log: &SharedLog,
        store: &Arc<dyn SummaryStore>,
        health: &Health,
        stop: &StopSignal,
    ) -> Result<Self, LogError> {
        let DeliveryPlan { jobs, version, role, settings, observer } = plan;
        let shard_names = store.shards();
        let sources: Arc<[Source]> =
            assignment::sources(&jobs, role, &version, store.name(), &shard_names).into();
        let endings = Arc::new(Endings::new(role, store.name()));
        let appender = log.appender(settings.append_deadline)?;
        let policy = settings.policy(role);
        let queue = |shard: &String| {
            let metrics = ShardMetrics::new(role, store.name(), shard);
            SharedQueue::new(policy, &ProductionDelivery, metrics)
        };
        Ok(Self {
            log: Arc::clone(log),
            store: Arc::clone(store),
            settings,
            role,
            observer,
            jobs,
            queues: shard_names.iter().map(queue).collect(),
            shard_names,
            dead_letters: DeadLetterWriter::new(appender, &sources, &endings, stop),
            sources,
            endings,
            unmarked: AtomicUsize::new(0),
            health: health.clone(),
            stop: stop.clone(),
            started: Instant::now(),
        })
    }

    /// Returns the time since the start.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns whether any source of this task feeds the shard.
    fn is_fed(&self, shard: Shard) -> bool {
        self.sources.iter().any(|source| source.feeds(shard))
    }
}

#[cfg(test)]
mod tests;
