//! The traits that a log implements.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use super::batch::Batch;
use super::error::LogError;
use super::record::{Bounds, CommittedOffset, Isolation, NewRecord, OffsetCommit, SlotName};
use super::topic::{TopicDescription, TopicSpec};
use crate::cause::Cause;

/// A cluster or a folder. Cheap to clone and safe to share.
pub type SharedLog = Arc<dyn Log>;

/// The durable log.
pub trait Log: Send + Sync {
    /// Opens a reader at explicit offsets; it never asks for committed ones.
    ///
    /// # Errors
    /// [`LogError::NoSuchTopic`] if the topic or one of the partitions does not exist.
    fn reader(
        &self,
        topic: &str,
        from: &[(Partition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn LogReader>, LogError>;

    /// Opens a reader as [`Self::reader`] does, for one who reads for long and mostly waits: records come as soon, but the log
    /// is asked less often whether there are any, and an end may be told half a second later.
    ///
    /// # Errors
    /// Those of [`Self::reader`].
    fn tail(
        &self,
        topic: &str,
        from: &[(Partition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn LogReader>, LogError> {
        self.reader(topic, from, isolation)
    }

    /// Opens an appender: idempotent, ordered per partition, acknowledged. Safe to share between threads.
    /// A record that is not durable after `deadline` fails with [`LogError::Unavailable`].
    ///
    /// # Errors
    /// If the client cannot be created.
    fn appender(&self, deadline: Duration) -> Result<Arc<dyn Appender>, LogError>;

    /// Opens the writer of `slot` and fences every earlier writer of the same slot.
    ///
    /// # Errors
    /// If the predecessor could not be fenced.
    fn slot_writer(&self, slot: &SlotName) -> Result<Box<dyn SlotWriter>, LogError>;

    /// Returns the first offset still kept and the offset that the next record will get, per partition.
    ///
    /// # Errors
    /// [`LogError::NoSuchTopic`] if the topic or one of the partitions does not exist.
    fn bounds(&self, topic: &str, partitions: &[Partition]) -> Result<Vec<Bounds>, LogError>;

    /// Returns the offset of the first record whose timestamp is `timestamp_ms` or later; the end offset if there
    /// is none.
    ///
    /// # Errors
    /// [`LogError::NoSuchTopic`] if the topic or the partition does not exist.
    fn offset_for_time(
        &self,
        topic: &str,
        partition: Partition,
        timestamp_ms: i64,
    ) -> Result<Offset, LogError>;

    /// Returns what `group` has committed, in the order of `partitions`. Who is to write to a slot asks its writer.
    ///
    /// # Errors
    /// If the log cannot answer, as it cannot while a transaction with offsets of these partitions is open. "Never
    /// committed" is `None`, not an error.
    fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError>;

    /// Returns what `group` had committed before whatever transaction is open, in the order of `partitions`. This is answered also
    /// while a transaction hangs, and by nobody who would end it.
    ///
    /// # Errors
    /// If the log cannot answer. "Never committed" is `None`, not an error.
    fn committed_below_open_transactions(
        &self,
        group: &str,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.committed(group, topic, partitions)
    }

    /// Returns the names of the groups that have committed anything, in any order.
    ///
    /// # Errors
    /// If the log cannot answer.
    fn groups(&self) -> Result<Vec<String>, LogError>;

    /// Commits offsets of any topics and partitions in one request, without a fence: whoever commits last wins.
    ///
    /// # Errors
    /// [`LogError::GroupInUse`] if a consumer has subscribed with this group.
    fn commit(&self, group: &str, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError>;

    /// Creates a topic.
    ///
    /// # Errors
    /// [`LogError::TopicExists`] if a topic of this name exists, whatever its settings.
    fn create_topic(&self, topic: &TopicSpec) -> Result<(), LogError>;

    /// Describes a topic; `None` if it does not exist.
    ///
    /// # Errors
    /// If the log cannot answer.
    fn describe_topic(&self, topic: &str) -> Result<Option<TopicDescription>, LogError>;

    /// Returns the identity of a topic, which another one of the same name does not have; `None` if it does not exist.
    ///
    /// # Errors
    /// If the log cannot answer.
    fn topic_id(&self, topic: &str) -> Result<Option<[u8; 16]>, LogError> {
        Ok(self.describe_topic(topic)?.map(|found| found.id))
    }
}

/// Reads the partitions it was opened with. Owned by one thread.
pub trait LogReader: Send {
    /// Blocks up to `wait` for records and lends what is there. An empty batch means the time is up.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] names a partition that cannot be read on; the others stay readable.
    fn poll(&mut self, wait: Duration) -> Result<Batch<'_>, LogError>;

    /// Returns the newest known end offset of a partition without a request; `None` before the first answer.
    fn known_end(&self, partition: Partition) -> Option<Offset>;

    /// Reads these partitions of the topic from now on, and no others. Returns false if this reader cannot be moved: then it
    /// stays where it is, and the caller opens another. Worth it where a reader has connections to lose.
    ///
    /// # Errors
    /// [`LogError::NoSuchTopic`] if one of the partitions does not exist.
    fn move_to(&mut self, _from: &[(Partition, Offset)]) -> Result<bool, LogError> {
        Ok(false)
    }
}

/// Called once with the outcome of an append, perhaps on another thread. Must not block.
pub type AppendCallback = Box<dyn FnOnce(Result<(), LogError>) + Send>;

/// Appends with acknowledgement.
pub trait Appender: Send + Sync {
    /// Appends the records and calls `done` once: when all are durable, or at the first failure.
    ///
    /// Never blocks, so that async code may call it: if too much waits for its acknowledgement already, `done` gets
    /// [`LogError::Unavailable`] at once. Order is kept per partition within one call and between calls of one
    /// thread.
    fn append(&self, records: &[NewRecord], done: AppendCallback);

    /// Appends the records and blocks until all are durable.
    ///
    /// # Errors
    /// If a record is refused or not durable in time: the first failure.
    fn append_and_wait(&self, records: &[NewRecord]) -> Result<(), LogError> {
        if records.is_empty() {
            return Ok(());
        }
        let (sender, outcome) = mpsc::sync_channel(1);
        // The receiver waits below; it is gone only if this thread has panicked.
        self.append(records, Box::new(move |result| drop(sender.send(result))));
        outcome.recv().unwrap_or_else(|_| {
            let closed = Cause::new("appender-closed", "the appender was closed");
            Err(LogError::unavailable("the acknowledgement of an append", closed))
        })
    }
}

/// The fenced writer of one slot: records and commits become visible together, or not at all. Per partition, that
/// is: durable when the commit returns, and seen by readers of committed records soon after.
pub trait SlotWriter: Send {
    /// Returns what the slot's group has committed, in the order of `partitions`, once nothing that an earlier writer of
    /// the slot has begun is open any more. Comes before the first append.
    ///
    /// # Errors
    /// If the log cannot answer. "Never committed" is `None`, not an error.
    fn committed(
        &mut self,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError>;

    /// Begins a transaction, appends `records` and blocks until they are acknowledged. Nothing of it is visible
    /// before [`Acknowledged::commit`]. After an error the writer refuses every further append.
    ///
    /// # Errors
    /// [`LogError::Fenced`] if a successor has opened the slot.
    fn append(&mut self, records: &[NewRecord]) -> Result<Acknowledged<'_>, LogError>;
}

/// Records that are acknowledged but not yet visible. Only this value can commit; dropping it aborts.
#[must_use = "dropping it aborts the transaction"]
pub struct Acknowledged<'a> {
    open: Option<&'a mut dyn Transaction>,
}

/// The open transaction of a slot writer. Implemented by logs, called by [`Acknowledged`] alone.
pub trait Transaction {
    /// Makes the records and `offsets`, all of the slot's group, durable and visible as one.
    ///
    /// # Errors
    /// [`LogError::Fenced`] if a successor has opened the slot.
    fn commit(&mut self, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError>;

    /// Discards the records.
    fn abort(&mut self);
}

impl<'a> Acknowledged<'a> {
    /// Creates the guard of a transaction that has all its records acknowledged.
    pub fn new(open: &'a mut dyn Transaction) -> Self {
        Self { open: Some(open) }
    }

    /// Makes the records and `offsets`, all of the slot's group, durable and visible as one.
    ///
    /// # Errors
    /// [`LogError::Fenced`] if a successor has opened the slot. Nothing is visible after an error, unless the log
    /// did not answer: then the outcome is unknown until the slot is opened again.
    pub fn commit(mut self, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        let open = self.open.take().expect("taken only here and in drop");
        open.commit(offsets)
    }
}

impl Drop for Acknowledged<'_> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            open.abort();
        }
    }
}
