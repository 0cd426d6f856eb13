//! The log seam: all that Yahtzee needs of a durable, partitioned log, and nothing else.
//!
//! Two implementations: [`embedded`] (one folder, in process) and [`kafka`]. One conformance suite
//! (`tests/services/conformance.rs`) holds both to what is written here.
//!
//! All calls block. A reader and a slot writer belong to one thread each; a [`Log`] is shared.

pub mod embedded;
mod headers;
pub mod kafka;
mod page;
mod topic;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use headers::{Header, Headers};
pub use page::Page;
pub use topic::{Cleanup, TopicDescription, TopicSpec};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};

/// A cluster or a folder. Cheap to clone and safe to share.
pub type SharedLog = Arc<dyn Log>;

/// The durable log.
pub trait Log: Send + Sync {
    /// Opens a reader at explicit offsets; it never asks for committed ones.
    ///
    /// # Errors
    /// [`LogError::NoSuchTopic`] where the topic or one of the partitions does not exist.
    fn reader(
        &self,
        topic: &str,
        from: &[(Partition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn Reader>, LogError>;

    /// Opens an appender: idempotent, ordered per partition, acknowledged. Safe to share between threads.
    /// A record that is not durable after `deadline` fails with [`LogError::Unavailable`].
    ///
    /// # Errors
    /// Where the client cannot be created.
    fn appender(&self, deadline: Duration) -> Result<Arc<dyn Appender>, LogError>;

    /// Opens the writer of `slot` and fences every earlier writer of the same slot.
    ///
    /// Must come before [`Log::committed`]: offsets of a predecessor's open transaction are not readable.
    ///
    /// # Errors
    /// Where the predecessor could not be fenced.
    fn slot_writer(&self, slot: &SlotName) -> Result<Box<dyn SlotWriter>, LogError>;

    /// First offset still kept and the offset that the next record will get, per partition.
    ///
    /// # Errors
    /// [`LogError::NoSuchTopic`].
    fn bounds(&self, topic: &str, partitions: &[Partition]) -> Result<Vec<Bounds>, LogError>;

    /// Offset of the first record whose timestamp is `timestamp_ms` or later; the end offset where there is none.
    ///
    /// # Errors
    /// [`LogError::NoSuchTopic`].
    fn offset_for_time(
        &self,
        topic: &str,
        partition: Partition,
        timestamp_ms: i64,
    ) -> Result<Offset, LogError>;

    /// What `group` has committed, in the order of `partitions`.
    ///
    /// # Errors
    /// Where the log cannot answer. "Never committed" is `None`, not an error.
    fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError>;

    /// Commits offsets without a fence: whoever commits last wins.
    ///
    /// # Errors
    /// [`LogError::GroupInUse`] where somebody has subscribed with this group.
    fn commit(
        &self,
        group: &str,
        topic: &str,
        offsets: &[(Partition, CommittedOffset)],
    ) -> Result<(), LogError>;

    /// Creates a topic.
    ///
    /// # Errors
    /// [`LogError::TopicExists`] where a topic of this name exists, whatever its settings.
    fn create_topic(&self, topic: &TopicSpec) -> Result<(), LogError>;

    /// Describes a topic; `None` where it does not exist.
    ///
    /// # Errors
    /// Where the log cannot answer.
    fn describe_topic(&self, topic: &str) -> Result<Option<TopicDescription>, LogError>;
}

/// Reads the partitions it was opened with. Owned by one thread.
pub trait Reader: Send {
    /// Waits up to `wait` for records and lends what is there. An empty batch means the time is up.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] names a partition that cannot be read on; the others stay readable.
    fn poll(&mut self, wait: Duration) -> Result<Batch<'_>, LogError>;

    /// The newest known end offset of a partition, without asking the log; `None` before the first answer.
    fn known_end(&self, partition: Partition) -> Option<Offset>;
}

/// What one poll lends: items in offset order per partition. Records borrow from the batch's memory.
pub enum Batch<'a> {
    /// Records in an arena.
    Page(page::PageItems<'a>),
    /// Records in librdkafka's memory.
    Kafka(kafka::Messages<'a>),
}

/// One item of a batch.
#[derive(Debug)]
pub enum Item<'a> {
    /// A record of a partition.
    Record(Partition, LogRecord<'a>, Headers<'a>),
    /// Everything up to here was delivered: the next record of the partition has this offset or a greater one.
    /// Control records are invisible, so only this item tells that the end was reached.
    End(Partition, Offset),
}

impl<'a> Iterator for Batch<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            Self::Page(items) => items.next(),
            Self::Kafka(messages) => messages.next(),
        }
    }
}

/// Appends with acknowledgement.
pub trait Appender: Send + Sync {
    /// Appends the records and calls `done` once: when all are durable, or at the first failure.
    ///
    /// `done` may run on another thread and must not block. Order is kept per partition within one call and
    /// between calls of one thread.
    fn append(&self, records: Vec<NewRecord>, done: Box<dyn FnOnce(Result<(), LogError>) + Send>);
}

/// The fenced writer of one slot: summaries and commits become visible together, or not at all. Per partition, that
/// is: durable when the write returns, and seen by readers of committed records soon after.
pub trait SlotWriter: Send {
    /// Appends `records`, waits until they are acknowledged, asks `commit` what may be committed now, and makes
    /// both durable as one. On error nothing of it is visible and the writer must not be used again.
    ///
    /// # Errors
    /// [`LogError::Fenced`] where a successor has opened the slot.
    fn write(&mut self, records: &[NewRecord], commit: &mut CommitSource<'_>) -> Result<(), LogError>;
}

/// Answers an acknowledgement with the commits of one group that it allows: `(topic, partition, offset)`.
pub type CommitSource<'a> = dyn FnMut() -> Vec<(String, Partition, CommittedOffset)> + 'a;

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All records.
    Uncommitted,
    /// Only records whose transaction was committed, or that were written outside one.
    Committed,
}

/// A slot of a consumer group: what is fenced as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlotName {
    /// Consumer group whose offsets the slot commits.
    pub group: String,
    /// Index of the slot.
    pub slot: u32,
}

impl fmt::Display for SlotName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.slot-{}", self.group, self.slot)
    }
}

/// A record to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition, chosen by the caller.
    pub partition: Partition,
    /// Milliseconds since 1970 (Kafka's CreateTime).
    pub timestamp_ms: i64,
    /// Key; the identity under which a compacted topic keeps the newest.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
    /// Headers, in their order. Compaction does not look at them.
    pub headers: Vec<Header>,
}

/// A committed offset and what was stored with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Where to read on.
    pub offset: Offset,
    /// ASCII, below 4,096 bytes (the broker's `offset.metadata.max.bytes`).
    pub metadata: String,
}

/// The readable range of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// First offset still kept.
    pub start: Offset,
    /// Offset of the next record to be appended.
    pub end: Offset,
}

/// What can go wrong with a log. Each variant's text says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The topic, or a partition of it, does not exist.
    #[error(
        "topic {topic} (partition {partition:?}) does not exist; create the topics with `yahtzee topics create`"
    )]
    NoSuchTopic {
        /// Name.
        topic: String,
        /// Partition, where one was asked for.
        partition: Option<Partition>,
    },
    /// A topic of this name exists.
    #[error("topic {0} exists already; compare it with `yahtzee topics check`")]
    TopicExists(String),
    /// The offset to be read is not in the log.
    #[error("offset {offset} of {topic}/{partition} is not in the log any more: input was lost to retention")]
    OffsetOutOfRange {
        /// Topic.
        topic: String,
        /// Partition.
        partition: Partition,
        /// The offset asked for.
        offset: Offset,
    },
    /// A successor has opened the slot: this process must stop.
    #[error("fenced: another worker has taken over {0}; this one must stop writing")]
    Fenced(String),
    /// A consumer has joined the group by subscription, so that the broker refuses plain commits.
    #[error(
        "group {0} has a subscribed member, so its commits are refused; stop that consumer, it must use another group"
    )]
    GroupInUse(String),
    /// The data folder is locked by another process.
    #[error("data folder {0} is in use by another process; stop it or choose another folder with --data")]
    FolderInUse(String),
    /// No answer from the log: worth another try.
    #[error("no answer from {what}: {reason}; is the broker running and reachable?")]
    Unavailable {
        /// What was asked, of whom.
        what: String,
        /// Why there is no answer.
        reason: String,
    },
    /// Not accepted and never will be.
    #[error("{what} was refused: {reason}")]
    Refused {
        /// What was refused.
        what: String,
        /// Why.
        reason: String,
    },
}

impl LogError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
