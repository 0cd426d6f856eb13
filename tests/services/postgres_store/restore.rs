//! Databases that are set back to an earlier point, under a sink that reads a real embedded log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use yahtzee_core::owner::Partition;
use yahtzee_runtime::health::{Condition, Health};
use yahtzee_runtime::log::embedded::EmbeddedLog;
use yahtzee_runtime::log::{Cleanup, NewRecord, SharedLog, TopicSpec};
use yahtzee_runtime::shutdown::StopSignal;
use yahtzee_runtime::topics::TopicLayout;
use yahtzee_storage::delivery::{DeliveryPlan, DeliveryRole, DeliverySettings, DeliveryTask};
use yahtzee_storage::job_topics::{JobTopics, sink_group};
use yahtzee_storage::postgres::shard_map::ShardKey;
use yahtzee_storage::store::SummaryStore;

use super::support::{DAY, Database, Entry, JOB, store_of, table};

const VERSION: &str = "v1";
const PARTITIONS: u32 = 4;
/// Far beyond what a test needs; reached only by one that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A log, two databases, and a sink between them whenever it is run.
struct Pipeline {
    log: SharedLog,
    topics: JobTopics,
    databases: [Database; 2],
    _folder: tempfile::TempDir,
}

impl Pipeline {
    fn new() -> Option<Self> {
        let databases = [Database::create()?, Database::create()?];
        let folder = tempfile::tempdir().unwrap();
        let log: SharedLog = Arc::new(EmbeddedLog::open(folder.path()).unwrap());
        let layout = TopicLayout { partitions: PARTITIONS, ..TopicLayout::default() };
        let topics = JobTopics::new(JOB, "ERROR", &layout);
        for name in [&topics.summary, &topics.retry, &topics.quarantine] {
            let (name, cleanup) = (name.to_string(), Cleanup::Delete);
            let (partitions, retention_ms, timestamp_ahead_max_ms) = (PARTITIONS, None, None);
            let spec =
                TopicSpec { name, partitions, replication: 1, cleanup, retention_ms, timestamp_ahead_max_ms };
            log.create_topic(&spec).unwrap();
        }
        Some(Self { log, topics, databases, _folder: folder })
    }

    /// Publishes one summary of each of these owners.
    fn publish(&self, owners: std::ops::Range<u32>, last_offset: u64) {
        let record = |owner: u32| {
            let entry = Entry::of(owner, 0, last_offset);
            let (topic, partition) = (Arc::clone(&self.topics.summary), Partition(owner % PARTITIONS));
            let (key, value) = (entry.summary().key.to_vec(), entry.summary().value.to_vec());
            NewRecord { topic, partition, timestamp_ms: DAY.start_ms(), key, value, headers: Vec::new() }
        };
        let records: Vec<NewRecord> = owners.map(record).collect();
        self.log.appender(PATIENCE).unwrap().append_and_wait(&records).unwrap();
    }

    fn store(&self) -> Arc<dyn SummaryStore> {
        let shards = ["a", "b"].into_iter().zip(&self.databases);
        let shards: Vec<(&str, String)> = shards.map(|(name, it)| (name, it.url(None, None))).collect();
        Arc::new(store_of(&shards, ShardKey::Owner))
    }

    fn start(&self) -> (DeliveryTask, StopSignal, Health) {
        let (stop, health) = (StopSignal::new(), Health::default());
        let settings = DeliverySettings { commit_interval: Duration::ZERO, ..DeliverySettings::of_sink() };
        let (jobs, version) = (vec![self.topics.clone()], VERSION.to_owned());
        let role = DeliveryRole::Sink { has_retry: true };
        let plan = DeliveryPlan { jobs, version, role, settings, observer: None };
        let task = DeliveryTask::start(plan, &self.log, &self.store(), &health, &stop).unwrap();
        (task, stop, health)
    }

    /// Runs a sink until it has settled all that is published, and has caught up.
    fn settle(&self) {
        let (task, stop, health) = self.start();
        let is_ready = || health.parts().get(&format!("sink-{JOB}")) == Some(&Condition::Ready);
        wait("all to be settled", || is_ready() && self.is_settled());
        stop.stop();
        task.join().unwrap();
    }

    fn is_settled(&self) -> bool {
        let (group, partitions) = (sink_group("postgres", JOB, VERSION), self.topics.all_partitions());
        let committed = self.log.committed(&group, &self.topics.summary, &partitions).unwrap();
        let bounds = self.log.bounds(&self.topics.summary, &partitions).unwrap();
        let is_settled = |(committed, end)| committed == Some(end);
        committed
            .into_iter()
            .map(|it| it.map(|it| it.offset))
            .zip(bounds.iter().map(|it| it.end))
            .all(is_settled)
    }

    /// Last offset and number of rows over both databases.
    fn rows(&self) -> Vec<(u64, usize)> {
        let rows = self.store().range(JOB, None, i64::MIN, i64::MAX).unwrap().rows;
        let mut counts = std::collections::BTreeMap::new();
        rows.iter().for_each(|row| *counts.entry(row.provenance.last_offset).or_default() += 1);
        counts.into_iter().collect()
    }
}

fn wait(what: &str, reached: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < until, "waited for: {what}");
        std::thread::yield_now();
    }
}

impl Database {
    /// Keeps rows and marks as they are now, beside them.
    fn back_up(&self) {
        self.run(&format!(
            "CREATE SCHEMA backup; CREATE TABLE backup.rows AS TABLE {0}; CREATE TABLE backup.settled AS TABLE yahtzee.settled",
            table()
        ));
    }

    /// Sets rows and marks back to what was kept, in one transaction.
    fn restore(&self) {
        self.run(&format!(
            "BEGIN; DELETE FROM {0}; INSERT INTO {0} TABLE backup.rows; \
             DELETE FROM yahtzee.settled; INSERT INTO yahtzee.settled TABLE backup.settled; COMMIT",
            table()
        ));
    }
}

#[test]
fn a_restored_database_gets_what_it_has_lost_and_the_other_one_nothing_new() {
    let Some(pipeline) = Pipeline::new() else { return };
    pipeline.publish(0..200, 1);
    pipeline.settle();
    pipeline.databases[0].back_up();
    pipeline.publish(100..300, 2);
    pipeline.settle();
    let expected = [(1, 100), (2, 200)];
    assert_eq!(pipeline.rows(), expected);
    pipeline.databases[0].restore();
    assert_ne!(pipeline.rows(), expected);
    pipeline.settle();
    assert_eq!(pipeline.rows(), expected);
}

#[test]
fn a_sink_at_work_notices_at_its_next_write() {
    let Some(pipeline) = Pipeline::new() else { return };
    let (task, stop, _) = pipeline.start();
    pipeline.publish(0..200, 1);
    wait("all to be settled", || pipeline.is_settled());
    pipeline.databases[0].back_up();
    pipeline.publish(0..200, 2);
    wait("all to be settled", || pipeline.is_settled());
    pipeline.databases[0].restore();
    pipeline.publish(200..300, 3);
    wait("all rows", || pipeline.rows() == [(2, 200), (3, 100)]);
    stop.stop();
    task.join().unwrap();
}

/// Everything is gone, the bookkeeping as well.
#[test]
fn a_new_database_gets_all_that_the_log_keeps() {
    let Some(pipeline) = Pipeline::new() else { return };
    pipeline.publish(0..200, 1);
    pipeline.settle();
    let day = table();
    let (schema, _) = day.split_once('.').unwrap();
    pipeline.databases[1].run(&format!("DROP SCHEMA yahtzee CASCADE; DROP SCHEMA {schema} CASCADE"));
    pipeline.settle();
    assert_eq!(pipeline.rows(), [(1, 200)]);
}

/// Takes something from the table of marks as a version without it would have left it, and compares, after the next writes, what
/// `question` finds in each database.
fn check_completed(breaking: &str, question: &str) {
    let Some(pipeline) = Pipeline::new() else { return };
    pipeline.publish(0..200, 1);
    pipeline.settle();
    for database in &pipeline.databases {
        database.run(breaking);
    }
    pipeline.publish(0..200, 2);
    pipeline.settle();
    assert_eq!(pipeline.rows(), [(2, 200)]);
    for database in &pipeline.databases {
        assert_eq!(database.run(question), [PARTITIONS.to_string()]);
    }
}

/// As in a database of a version that kept no marks: the first write creates the table.
#[test]
fn a_database_without_the_table_of_marks_gets_it_with_its_next_write() {
    check_completed("DROP TABLE yahtzee.settled", "SELECT count(*) FROM yahtzee.settled");
}

/// As in a database of a version that kept less: the first write adds what is missing.
#[test]
fn a_table_of_marks_without_writers_gets_them_with_the_next_write() {
    check_completed(
        "ALTER TABLE yahtzee.settled DROP COLUMN writers, DROP COLUMN numbers, ADD COLUMN written_end bigint NOT NULL DEFAULT 0",
        "SELECT count(*) FROM yahtzee.settled WHERE cardinality(writers) > 0 AND cardinality(numbers) = cardinality(writers)",
    );
}
