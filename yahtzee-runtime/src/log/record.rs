//! Records, items, offsets and commits.

use std::fmt;
use std::sync::Arc;

use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};
pub use yahtzee_core::slot::{Bounds, CommittedOffset};

use super::header::{Header, Headers};

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

/// One item of a [`Batch`](super::Batch).
#[derive(Debug)]
pub enum Item<'a> {
    /// A record of a partition.
    Record(Partition, LogRecord<'a>, Headers<'a>),
    /// Everything up to here was delivered: the next record of the partition has this offset or a greater one.
    /// Control records are invisible, so only this item shows that the end was reached.
    End(Partition, Offset),
}

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All records.
    Uncommitted,
    /// Only records of committed transactions, and those written outside one.
    Committed,
}

/// An offset to be committed for one partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommit<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: Partition,
    /// Offset and metadata.
    pub committed: CommittedOffset,
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
