//! Fixtures of this crate's tests: a real embedded log, a store with scripted faults, and summaries.
//!
//! Nothing here sleeps: a waiting test is woken by a bell that the log and the store ring.

mod bell;
mod model_store;
pub(crate) mod summaries;
mod watched_log;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use yahtzee_core::delivery::WaitBounds;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::health::Health;
use yahtzee_runtime::log::embedded::EmbeddedLog;
use yahtzee_runtime::log::{Cleanup, Log, NewRecord, SharedLog, TopicSpec};
use yahtzee_runtime::shutdown::StopSignal;
use yahtzee_runtime::topics::TopicLayout;

pub(crate) use self::bell::Bell;
pub(crate) use self::model_store::{Backup, Mode, ModelStore};
use self::summaries::{key, value};
pub(crate) use self::watched_log::WatchedLog;
use crate::dead_letter::headers::FailureHeaders;
use crate::delivery::{DeliveryPlan, DeliveryRole, DeliverySettings, DeliveryTask, StoredObserver};
use crate::job_topics::{JobTopics, retry_group, sink_group};
use crate::store::SummaryStore;
use yahtzee_runtime::log::scan::{scan, whole};

pub(crate) const VERSION: &str = "v1";

/// Retention of the topics of a world: nothing expires until a test says so.
const RETENTION_MS: i64 = i64::MAX / 2;

/// A summary by series and revision.
pub(crate) type Id = (u8, u64);

/// A log, a store, and jobs between them.
pub(crate) struct World {
    pub(crate) log: Arc<WatchedLog>,
    embedded: EmbeddedLog,
    pub(crate) store: Arc<ModelStore>,
    pub(crate) jobs: Vec<JobTopics>,
    pub(crate) bell: Bell,
    pub(crate) health: Health,
    pub(crate) folder: TempDir,
}

impl World {
    /// Creates a world with one partition per shard and the given jobs.
    pub(crate) fn new(shards: u32, jobs: &[&str]) -> Self {
        Self::with_partitions(shards, shards, jobs)
    }

    pub(crate) fn with_partitions(shards: u32, partitions: u32, jobs: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bell = Bell::default();
        let embedded = EmbeddedLog::open(&folder.path().join("log")).unwrap();
        let log = Arc::new(WatchedLog::new(Arc::new(embedded.clone()), bell.clone()));
        let store = Arc::new(ModelStore::new("model", shards, bell.clone()));
        let layout = TopicLayout { partitions, ..TopicLayout::default() };
        let jobs: Vec<JobTopics> = jobs.iter().map(|job| JobTopics::new(job, job, &layout)).collect();
        for name in jobs.iter().flat_map(|job| [&job.summary, &job.retry, &job.quarantine]) {
            let cleanup = Cleanup::Delete;
            let (name, replication, retention_ms) = (name.to_string(), 1, Some(RETENTION_MS));
            log.create_topic(&TopicSpec {
                name,
                partitions,
                replication,
                cleanup,
                retention_ms,
                timestamp_ahead_max_ms: None,
            })
            .unwrap();
        }
        Self { log, embedded, store, jobs, bell, health: Health::default(), folder }
    }

    pub(crate) fn shared_log(&self) -> SharedLog {
        Arc::clone(&self.log) as SharedLog
    }

    pub(crate) fn shared_store(&self) -> Arc<dyn SummaryStore> {
        Arc::clone(&self.store) as Arc<dyn SummaryStore>
    }

    /// Appends summaries of the first job to its summary topic.
    pub(crate) fn publish(&self, summaries: &[Id]) {
        let records =
            summaries.iter().map(|&(series, revision)| self.record(0, &key(series), value(revision)));
        self.append(records.collect());
    }

    pub(crate) fn record(&self, job: usize, key: &[u8], value: Vec<u8>) -> NewRecord {
        let topics = &self.jobs[job];
        let partition = Partition(u32::from(key.first().copied().unwrap_or(0)) % topics.partitions);
        let topic = Arc::clone(&topics.summary);
        NewRecord { topic, partition, timestamp_ms: 1, key: key.to_vec(), value, headers: Vec::new() }
    }

    /// Appends records, bypassing any fault the log is scripted to have.
    pub(crate) fn append(&self, records: Vec<NewRecord>) {
        self.log.inner.appender(Duration::from_secs(10)).unwrap().append_and_wait(&records).unwrap();
    }

    /// Lets retention delete all records that are in the log now.
    pub(crate) fn expire_records(&self) {
        self.embedded.maintain(i64::MAX).unwrap();
    }

    /// Starts a sink with quick settings. `change` adjusts the plan.
    pub(crate) fn sink(&self, change: impl FnOnce(&mut DeliveryPlan)) -> Running {
        self.sink_into(&self.shared_store(), change)
    }

    /// Starts a sink as [`Self::sink`], into another store.
    pub(crate) fn sink_into(
        &self,
        store: &Arc<dyn SummaryStore>,
        change: impl FnOnce(&mut DeliveryPlan),
    ) -> Running {
        self.start(DeliveryRole::Sink { has_retry: true }, quick(DeliverySettings::of_sink()), store, change)
    }

    /// Starts a retry process with quick settings. `change` adjusts the plan.
    pub(crate) fn retry(&self, change: impl FnOnce(&mut DeliveryPlan)) -> Running {
        let settings = quick(DeliverySettings::of_retry());
        self.start(DeliveryRole::Retry { shard: None }, settings, &self.shared_store(), change)
    }

    /// Returns a plan for all jobs, without an observer.
    pub(crate) fn plan(&self, role: DeliveryRole, settings: DeliverySettings) -> DeliveryPlan {
        let (jobs, version) = (self.jobs.clone(), VERSION.to_owned());
        DeliveryPlan { jobs, version, role, settings, observer: None }
    }

    fn start(
        &self,
        role: DeliveryRole,
        settings: DeliverySettings,
        store: &Arc<dyn SummaryStore>,
        change: impl FnOnce(&mut DeliveryPlan),
    ) -> Running {
        let mut plan = self.plan(role, settings);
        change(&mut plan);
        let stop = StopSignal::new();
        let task = DeliveryTask::start(plan, &self.shared_log(), store, &self.health, &stop).unwrap();
        Running { task, stop }
    }

    pub(crate) fn wait(&self, what: &str, reached: impl Fn() -> bool) {
        self.bell.wait(what, reached);
    }

    /// Returns whether the sink of every job has committed all records.
    pub(crate) fn is_all_settled(&self) -> bool {
        self.is_all_settled_by("model")
    }

    /// Returns the same as [`Self::is_all_settled`], for the sink into another store.
    pub(crate) fn is_all_settled_by(&self, store: &str) -> bool {
        let group = |job: &JobTopics| sink_group(store, &job.job, VERSION);
        self.jobs.iter().all(|job| self.uncommitted(&group(job), &job.summary) == 0)
    }

    /// Returns whether the retry process has committed all records.
    pub(crate) fn is_drained(&self) -> bool {
        let group = retry_group("model", VERSION);
        self.jobs.iter().all(|job| self.uncommitted(&group, &job.retry) == 0)
    }

    fn uncommitted(&self, group: &str, topic: &str) -> u64 {
        let partitions = self.jobs[0].all_partitions();
        let committed = self.log.committed(group, topic, &partitions).unwrap();
        let bounds = self.log.bounds(topic, &partitions).unwrap();
        let offset = committed.iter().map(|it| it.as_ref().map_or(0, |it| it.offset.0));
        bounds.iter().zip(offset).map(|(bounds, offset)| bounds.end.0 - offset).sum()
    }

    /// Returns the offset that the sink of the first job has committed of a partition.
    pub(crate) fn committed(&self, partition: u32) -> Option<Offset> {
        let (job, group) = (&self.jobs[0], sink_group("model", &self.jobs[0].job, VERSION));
        self.log.committed(&group, &job.summary, &[Partition(partition)]).unwrap()[0]
            .as_ref()
            .map(|it| it.offset)
    }

    /// Returns the records of a topic by partition and offset.
    pub(crate) fn records(&self, topic: &str) -> BTreeMap<(Partition, Offset), Letter> {
        let stretches = whole(&*self.log, topic, &self.jobs[0].all_partitions()).unwrap();
        let mut found = BTreeMap::new();
        scan(&*self.log, topic, &stretches, |partition, record, headers| {
            let (key, value) = (record.key.to_vec(), record.value.to_vec());
            found.insert(
                (partition, record.offset),
                Letter { key, value, trail: FailureHeaders::read(headers.iter()) },
            );
        })
        .unwrap();
        found
    }

    /// Returns the summaries in RETRY of the first job.
    pub(crate) fn in_retry(&self) -> Vec<Id> {
        let letters = self.records(&self.jobs[0].retry).into_values();
        letters.map(|letter| summaries::id(&letter.key, &letter.value)).collect()
    }
}

/// A record of RETRY or QUARANTINE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) trail: FailureHeaders,
}

/// A sink or a retry process at work.
pub(crate) struct Running {
    pub(crate) task: DeliveryTask,
    pub(crate) stop: StopSignal,
}

impl Running {
    pub(crate) fn end(self) {
        self.stop.stop();
        self.task.join().unwrap();
    }
}

/// Shortens all waits to milliseconds, so that tests need not wait for the product's seconds. No test depends on their
/// length.
pub(crate) fn quick(settings: DeliverySettings) -> DeliverySettings {
    let waits = WaitBounds { base: Duration::from_millis(1), cap: Duration::from_millis(5) };
    DeliverySettings {
        linger: Duration::from_millis(1),
        patience: Duration::ZERO,
        retry_after: Duration::ZERO,
        back_off: waits,
        repair_back_off: waits,
        commit_interval: Duration::ZERO,
        report_interval: Duration::ZERO,
        ..settings
    }
}

/// Returns an observer that records its calls.
pub(crate) fn recording_observer() -> (Arc<StoredObserver>, Arc<std::sync::Mutex<Vec<Id>>>) {
    let observed = Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = Arc::clone(&observed);
    let observer =
        move |_: &str, key: &[u8], value: &[u8]| keep.lock().unwrap().push(summaries::id(key, value));
    (Arc::new(observer), observed)
}
