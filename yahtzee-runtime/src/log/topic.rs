//! Topics, as wanted and as they are.

/// Cleanup of old records of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Records older than the retention are deleted.
    Delete,
    /// Only the newest record of a key is kept, and records older than the retention are deleted.
    CompactAndDelete,
}

impl Cleanup {
    /// Returns the value of Kafka's `cleanup.policy`.
    #[must_use]
    pub fn policy(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::CompactAndDelete => "compact,delete",
        }
    }
}

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// Number of partitions; never changes while the topic lives.
    pub partitions: u32,
    /// Copies of each partition (1 on one broker, 3 in production). The embedded log keeps one.
    pub replication: u32,
    /// Cleanup of old records.
    pub cleanup: Cleanup,
    /// Retention in milliseconds by the timestamps of records; `None` keeps them for ever.
    pub retention_ms: Option<i64>,
    /// Milliseconds by which the timestamp of a record may lie ahead of the log's clock; `None` for any number.
    pub timestamp_ahead_max_ms: Option<i64>,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Name.
    pub name: String,
    /// Unique per creation: a topic that was deleted and created again has another id.
    pub id: [u8; 16],
    /// Number of partitions.
    pub partitions: u32,
    /// Copies of each partition.
    pub replication: u32,
    /// Cleanup of old records.
    pub cleanup: Cleanup,
    /// Retention in milliseconds; `None` keeps for ever.
    pub retention_ms: Option<i64>,
    /// Milliseconds by which the timestamp of a record may lie ahead of the log's clock; `None` for any number.
    pub timestamp_ahead_max_ms: Option<i64>,
}

impl TopicDescription {
    /// Returns the differences from `wanted`, each as a part of a sentence; empty if the topic serves.
    #[must_use]
    pub fn differences(&self, wanted: &TopicSpec) -> Vec<String> {
        let mut found = Vec::new();
        if self.partitions != wanted.partitions {
            found.push(format!(
                "has {} partitions, configured are {} (the count of a live topic never changes: \
                 set `topics.partitions = {}` or move to a new `topics.version`)",
                self.partitions, wanted.partitions, self.partitions
            ));
        }
        if self.cleanup != wanted.cleanup {
            found.push(format!(
                "has cleanup.policy {}, needed is {} (set it: a topic is compacted only if a fence keeps its summaries in order)",
                self.cleanup.policy(),
                wanted.cleanup.policy()
            ));
        }
        if self.replication != wanted.replication {
            found.push(format!("has replication {}, configured is {}", self.replication, wanted.replication));
        }
        if self.retention_ms != wanted.retention_ms {
            found.push(format!(
                "keeps records {}, configured is {}",
                text_of(self.retention_ms),
                text_of(wanted.retention_ms)
            ));
        }
        if self.timestamp_ahead_max_ms != wanted.timestamp_ahead_max_ms {
            found.push(format!(
                "accepts timestamps {} ahead of its clock, configured is {} (set message.timestamp.after.max.ms of the \
                 topic to {}: one clock that is wrong makes all later records late)",
                text_of_ahead(self.timestamp_ahead_max_ms),
                text_of_ahead(wanted.timestamp_ahead_max_ms),
                wanted.timestamp_ahead_max_ms.unwrap_or(i64::MAX)
            ));
        }
        found
    }
}

fn text_of_ahead(ahead_max_ms: Option<i64>) -> String {
    ahead_max_ms.map_or_else(|| "any time".to_owned(), |ms| format!("up to {ms} ms"))
}

fn text_of(retention_ms: Option<i64>) -> String {
    retention_ms.map_or_else(|| "for ever".to_owned(), |ms| format!("for {ms} ms"))
}
