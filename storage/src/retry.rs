//! The retry process: carries what waits in the RETRY topics into its shards, for as long as it takes.
//!
//! One thread per shard, each with its own partition of the RETRY topics of all jobs, so that a dead shard delays
//! nobody else. A thread reads ahead, keeps of each key the newest revision, and writes batch by batch. A shard
//! that takes nothing of a batch is tried again with one batch per back-off, until it works.
//!
//! Every record leaves RETRY in exactly one way, counted by outcome: `stored`, `stale`, `expired`, `superseded` (a
//! newer revision of its key is at hand), `requeued` (to the end of its partition), `moved` (to the partition of
//! another shard, after the shard map has changed), `quarantined`, `foreign` (of another store).

mod lane;
mod pending;
mod session;
mod shard;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use yahtzee_core::owner::Partition;
use yahtzee_runtime::health::Health;
use yahtzee_runtime::log::{Appender, LogError, SharedLog};
use yahtzee_runtime::shutdown::StopSignal;
use yahtzee_runtime::threads;

use self::lane::Lane;
use crate::job_topics::{JobTopics, retry_group};
use crate::store::{Shard, SummaryStore};

/// What a retry process carries, and how.
#[derive(Clone, Debug)]
pub struct RetryPlan {
    /// Jobs whose RETRY topics are read. All have the same number of partitions.
    pub jobs: Vec<JobTopics>,
    /// Version of the topics, as in `v1`: part of the name of the consumer group.
    pub version: String,
    /// Only this shard, and those that share its partition; `None` is all shards.
    pub shard: Option<Shard>,
    /// Bounds and times.
    pub settings: RetrySettings,
}

/// Bounds and times of a retry process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Summaries per write at most.
    pub batch_max: usize,
    /// Summaries in the memory of one thread, after which it reads no further. One more poll may lie across it.
    pub ahead_max: usize,
    /// Their keys and values in bytes, likewise.
    pub ahead_bytes_max: usize,
    /// First and greatest bound of the wait between tries of a shard that is down.
    pub back_off: (Duration, Duration),
    /// First and greatest bound of the wait between tries of a configuration that is wrong.
    pub mending: (Duration, Duration),
    /// How long the log may take to acknowledge a record.
    pub append_deadline: Duration,
    /// Time between lines that tell the progress.
    pub report_interval: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            batch_max: 1_024,
            ahead_max: 8 * 1_024,
            ahead_bytes_max: 32 << 20,
            back_off: (Duration::from_millis(200), Duration::from_secs(60)),
            mending: (Duration::from_secs(10), Duration::from_secs(300)),
            append_deadline: Duration::from_secs(30),
            report_interval: Duration::from_secs(10),
        }
    }
}

/// Why a retry process stopped.
#[derive(Debug, thiserror::Error)]
#[error("retry of shard {shard}: {error}")]
pub struct RetryFailure {
    /// Name of the shard, or of the shards that share a partition.
    pub shard: String,
    /// What the log said.
    pub error: LogError,
}

/// A running retry process.
pub struct Retry(Vec<JoinHandle<Result<(), RetryFailure>>>);

/// What the threads of a retry process share.
struct Shared {
    log: SharedLog,
    store: Arc<dyn SummaryStore>,
    shard_names: Vec<String>,
    jobs: Vec<JobTopics>,
    group: String,
    appender: Arc<dyn Appender>,
    settings: RetrySettings,
    health: Health,
    stop: StopSignal,
}

impl Retry {
    /// Starts one thread per shard. They run until `stop` is given; one that fails for good gives it.
    ///
    /// # Errors
    /// Where the log gives no appender.
    pub fn start(
        plan: RetryPlan,
        log: &SharedLog,
        store: &Arc<dyn SummaryStore>,
        health: &Health,
        stop: &StopSignal,
    ) -> Result<Self, LogError> {
        let RetryPlan { jobs, version, shard, settings } = plan;
        let partitions = jobs.iter().map(|job| job.partitions).min().unwrap_or(1);
        let shared = Arc::new(Shared {
            log: Arc::clone(log),
            store: Arc::clone(store),
            shard_names: store.shards(),
            jobs,
            group: retry_group(store.name(), &version),
            appender: log.appender(settings.append_deadline)?,
            settings,
            health: health.clone(),
            stop: stop.clone(),
        });
        let mut places = places(shared.shard_names.len(), partitions);
        places.retain(|place| shard.is_none_or(|shard| place.shards.contains(&shard)));
        let lane = |place: Place| {
            let lane = Lane::new(&shared, place);
            threads::spawn(&format!("retry-{}", lane.name), health, stop, move || lane.run())
        };
        Ok(Self(places.into_iter().map(lane).collect()))
    }

    /// Waits for the stop and returns the first failure.
    ///
    /// # Errors
    /// Where a thread has failed for good.
    pub fn join(self) -> Result<(), RetryFailure> {
        let ended: Vec<_> = self.0.into_iter().map(threads::join).collect();
        ended.into_iter().collect()
    }
}

/// What one thread has to do with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// More than one only where there are fewer partitions than shards.
    shards: Vec<Shard>,
    /// The partition of the shards, and some of those without a shard: a changed shard map may have left something.
    partitions: Vec<Partition>,
}

/// Divides shards and partitions among threads: every shard and every partition belongs to exactly one, and a shard
/// to the same thread as its partition.
fn places(shards: usize, partitions: u32) -> Vec<Place> {
    let shards = u32::try_from(shards).expect("shards are few");
    let threads = shards.min(partitions).max(1);
    let place = |thread: u32| Place {
        shards: (0..shards).filter(|shard| shard % partitions == thread).map(Shard).collect(),
        partitions: (0..partitions)
            .filter(|partition| partition % threads == thread)
            .map(Partition)
            .collect(),
    };
    (0..threads).map(place).collect()
}

#[cfg(test)]
mod tests;
