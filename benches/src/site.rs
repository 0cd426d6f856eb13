//! Where a run finds its input: in memory, or in a log that was filled before.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use yahtzee_core::job::Job;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_jobs::router_latency::RouterLatency;
use yahtzee_runtime::log::embedded::EmbeddedLog;
use yahtzee_runtime::log::kafka::{KafkaLog, KafkaSettings};
use yahtzee_runtime::log::{Log, NewRecord, SharedLog};
use yahtzee_runtime::topics::TopicLayout;

use crate::traffic::{PARTITIONS, RawRecord};

/// Records per append while a log is filled.
const FILL_RECORDS: usize = 10_000;
const FILL_DEADLINE: Duration = Duration::from_secs(60);

/// Where a run finds its input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Site {
    /// Made in the memory of the process.
    Memory {
        /// Number of frames; see [`crate::traffic::records`].
        frames: usize,
    },
    /// In a log.
    Log(LogSite),
}

/// A filled log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSite {
    /// Which log.
    pub store: Store,
    /// Last part of the topics' names; names the input.
    pub version: String,
    /// Generation that a worker gives its job: another one starts from the beginning.
    pub generation: u32,
}

/// Which log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    /// The embedded log in a folder.
    Embedded(PathBuf),
    /// A cluster by its bootstrap brokers.
    Kafka(String),
}

impl LogSite {
    /// Opens the log.
    ///
    /// # Errors
    /// Where the folder cannot be opened, or no broker answers.
    pub fn open(&self) -> Result<SharedLog> {
        Ok(match &self.store {
            Store::Embedded(folder) => Arc::new(EmbeddedLog::open(folder)?),
            Store::Kafka(brokers) => Arc::new(KafkaLog::connect(KafkaSettings::new(brokers))?),
        })
    }

    /// Names of its topics. They are kept for ever: the traffic's timestamps are years old.
    #[must_use]
    pub fn layout(&self) -> TopicLayout {
        TopicLayout {
            version: self.version.clone(),
            partitions: PARTITIONS,
            replication: 1,
            raw_retention_ms: None,
            summary_retention_ms: None,
            store_retention_ms: None,
            compacts_summaries: true,
            timestamp_ahead_max_ms: None,
        }
    }

    /// The topic with the input.
    #[must_use]
    pub fn raw_topic(&self) -> String {
        self.layout().raw(RouterLatency::MEASUREMENT)
    }

    /// Creates the topics and appends the records.
    ///
    /// # Errors
    /// Where the log cannot be opened or written.
    pub fn fill(&self, records: &[RawRecord]) -> Result<()> {
        let log = self.open()?;
        for topic in self.layout().specs(RouterLatency::MEASUREMENT, RouterLatency::SUMMARY, false) {
            log.create_topic(&topic).with_context(|| format!("creating {}", topic.name))?;
        }
        let topic: Arc<str> = self.raw_topic().into();
        let new = |record: &RawRecord| NewRecord {
            topic: Arc::clone(&topic),
            partition: record.partition,
            timestamp_ms: record.timestamp_ms,
            key: record.key.to_vec(),
            value: record.value.clone(),
            headers: Vec::new(),
        };
        append(&*log, records.iter().map(new))
    }
}

/// Appends records and waits until all are durable.
pub(crate) fn append(log: &dyn Log, records: impl IntoIterator<Item = NewRecord>) -> Result<()> {
    let appender = log.appender(FILL_DEADLINE)?;
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        appender.append_and_wait(&records.by_ref().take(FILL_RECORDS).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// All partitions.
pub(crate) fn partitions() -> Vec<Partition> {
    (0..PARTITIONS).map(Partition).collect()
}

/// End offsets of all partitions of a topic.
pub(crate) fn ends(log: &dyn Log, topic: &str) -> Result<Vec<(Partition, Offset)>> {
    let partitions = partitions();
    let bounds = log.bounds(topic, &partitions)?;
    Ok(partitions.into_iter().zip(bounds.into_iter().map(|bounds| bounds.end)).collect())
}

/// Copies a folder and everything in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
