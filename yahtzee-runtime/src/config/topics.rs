//! `[topics]`: names and sizes of topics.

use serde::{Deserialize, Serialize};

use super::error::ConfigError;
use crate::topics::TopicLayout;
use crate::worker::Guarantee;

/// librdkafka's partitions are signed 32-bit; a topic with more than this is a typing error.
const PARTITIONS_MAX: u32 = 100_000;

/// Kafka's copies are signed 16-bit.
const REPLICATION_MAX: u32 = 32_767;

/// Longest version, so that every topic keeps within the 249 bytes that Kafka allows.
const VERSION_BYTES_MAX: usize = 64;

/// Names and sizes of topics.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicsSection {
    /// Last part of topic names. A new version replaces topics whose partition count must change.
    pub version: String,
    /// Partitions of every topic. Never changes while a version lives.
    pub partitions: u32,
    /// Copies of every partition: 3 in production, 1 on one broker.
    pub replication: u32,
    /// Hours raw records are kept; 0 keeps for ever (recorded input). At least 48 in production.
    pub raw_retention_hours: u32,
    /// Days summaries are kept in their topic, and records in RETRY and DLQ topics; 0 keeps for ever.
    pub summary_retention_days: u32,
    /// Milliseconds by which stamps of ingress may lie ahead of the log's clock (60,000): the difference that clocks of
    /// honest processes may have. 0 for any number (recorded input).
    pub timestamp_ahead_max_ms: u32,
}

impl Default for TopicsSection {
    fn default() -> Self {
        Self {
            version: "v1".to_owned(),
            partitions: 32,
            replication: 1,
            raw_retention_hours: 48,
            summary_retention_days: 7,
            timestamp_ahead_max_ms: 60_000,
        }
    }
}

impl TopicsSection {
    /// Checks the section. Stores keep summaries for `store_retention_days`, 0 for ever; workers write them under
    /// `guarantee`.
    ///
    /// # Errors
    /// If a value is out of range.
    pub fn check(self, store_retention_days: u32, guarantee: Guarantee) -> Result<TopicLayout, ConfigError> {
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            return Err(ConfigError::Contradiction(format!(
                "topics.partitions = {} must be 1 to {PARTITIONS_MAX}",
                self.partitions
            )));
        }
        if !(1..=REPLICATION_MAX).contains(&self.replication) {
            return Err(ConfigError::Contradiction(format!(
                "topics.replication = {} must be 1 to {REPLICATION_MAX}",
                self.replication
            )));
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_length = (1..=VERSION_BYTES_MAX).contains(&self.version.len());
        if !is_length || !self.version.bytes().all(is_name) {
            return Err(ConfigError::Contradiction(format!(
                "topics.version = {:?} must be 1 to {VERSION_BYTES_MAX} letters, digits, - or _",
                self.version
            )));
        }
        let milliseconds = |count: u32, unit_ms: i64| (count > 0).then(|| i64::from(count) * unit_ms);
        Ok(TopicLayout {
            version: self.version,
            partitions: self.partitions,
            replication: self.replication,
            raw_retention_ms: milliseconds(self.raw_retention_hours, 3_600_000),
            summary_retention_ms: milliseconds(self.summary_retention_days, 86_400_000),
            store_retention_ms: milliseconds(store_retention_days, 86_400_000),
            compacts_summaries: guarantee == Guarantee::Fenced,
            timestamp_ahead_max_ms: milliseconds(self.timestamp_ahead_max_ms, 1),
        })
    }
}
