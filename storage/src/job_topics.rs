//! The topics of one job that sink, retry process and quarantine have to do with.

use std::sync::Arc;

use yahtzee_core::owner::Partition;
use yahtzee_runtime::topics::TopicLayout;

use crate::store::Shard;

/// Names of the topics of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobTopics {
    /// Name of the job.
    pub job: Arc<str>,
    /// Its summaries.
    pub summary: Arc<str>,
    /// Summaries that a shard could not take; deleted by age alone.
    pub retry: Arc<str>,
    /// Summaries that no shard will take as they are, and what operators did with them.
    pub quarantine: Arc<str>,
    /// Partitions of each of the three.
    pub partitions: u32,
}

impl JobTopics {
    /// The topics of `job`, which publishes under the stem `summary`.
    #[must_use]
    pub fn new(job: &str, summary: &str, layout: &TopicLayout) -> Self {
        Self {
            job: job.into(),
            summary: layout.summary(summary).into(),
            retry: layout.retry(summary).into(),
            quarantine: layout.quarantine(summary).into(),
            partitions: layout.partitions,
        }
    }

    /// Where the summaries of a shard wait for it: a partition of its own while there are enough of them.
    #[must_use]
    pub fn retry_partition(&self, shard: Shard) -> Partition {
        Partition(shard.0 % self.partitions)
    }

    /// All partitions.
    #[must_use]
    pub fn all_partitions(&self) -> Vec<Partition> {
        (0..self.partitions).map(Partition).collect()
    }
}

/// Consumer group of a job's sink: never shared, never subscribed with.
#[must_use]
pub fn sink_group(store: &str, job: &str, version: &str) -> String {
    format!("yahtzee.sink.{store}.{job}.{version}")
}

/// Consumer group of the retry process of a store, over the RETRY topics of all jobs.
#[must_use]
pub fn retry_group(store: &str, version: &str) -> String {
    format!("yahtzee.retry.{store}.{version}")
}
