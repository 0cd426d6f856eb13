//! The topics of one job that sink, retry process and quarantine use.

use std::sync::Arc;

use yahtzee_core::owner::Partition;
use yahtzee_runtime::topics::TopicLayout;

use crate::store::Shard;

/// Names of the topics of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobTopics {
    /// Name of the job.
    pub job: Arc<str>,
    /// Name of the topic of its summaries.
    pub summary: Arc<str>,
    /// Name of the topic of summaries that a shard could not take; deleted by age alone.
    pub retry: Arc<str>,
    /// Name of the topic of summaries that no shard takes as they are, and of what operators did with them.
    pub quarantine: Arc<str>,
    /// Number of partitions of each of the three.
    pub partitions: u32,
}

impl JobTopics {
    /// Returns the topics of `job`, which publishes under the stem `summary`.
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

    /// Returns the partition of RETRY in which summaries wait for a shard: one per shard while there are enough.
    #[must_use]
    pub fn retry_partition(&self, shard: Shard) -> Partition {
        Partition(shard.0 % self.partitions)
    }

    /// Returns all partitions.
    #[must_use]
    pub fn all_partitions(&self) -> Vec<Partition> {
        (0..self.partitions).map(Partition).collect()
    }
}

/// Returns the consumer group of a job's sink: never shared, and used for commits only, not to subscribe.
#[must_use]
pub fn sink_group(store: &str, job: &str, version: &str) -> String {
    format!("yahtzee.sink.{store}.{job}.{version}")
}

/// Returns the consumer group of the retry process of a store, over the RETRY topics of all jobs.
#[must_use]
pub fn retry_group(store: &str, version: &str) -> String {
    format!("yahtzee.retry.{store}.{version}")
}
