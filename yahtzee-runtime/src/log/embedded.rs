//! The embedded log: one folder, one process, the same promises as a broker.
//!
//! It serves `yahtzee demo`, the tests of job authors, and a laptop. It is not a broker:
//! the folder belongs to one process, and several machines need [`super::kafka`].
//!
//! - Offsets count from 0 per partition and are never given twice; compaction leaves gaps.
//! - What is acknowledged is on disk (`fdatasync`) and survives `kill -9` and power loss. Concurrent appends share
//!   a sync.
//! - Nothing is ever open or half visible, so both [`Isolation`]s see the same.
//! - A record is at most 1 MiB, as on a broker with default settings.
//! - After a failed write nothing is accepted any more until the folder is opened again.
//!
//! One thread writes (`writer.rs`); callers read the store (`store.rs`, fjall) and the state in memory
//! (`state.rs`) directly. The thread ends, and the folder is free, when the log and all readers, appenders and
//! slot writers made from it are dropped.

mod append;
mod commits;
mod format;
mod maintenance;
#[cfg(test)]
mod model_tests;
mod queue;
mod reader;
mod retention_round;
mod state;
mod store;
mod times;
mod topics;
mod writer;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use self::append::{EmbeddedAppender, EmbeddedSlotWriter, submit};
use self::format::group_of_commit;
use self::queue::{Answer, LogWrite, RequestQueue, WriterRequest};
use self::reader::EmbeddedReader;
use self::state::{LogState, PublishedState};
use self::store::LogStore;
use super::{
    Appender, Bounds, CommittedOffset, Isolation, Log, LogError, LogReader, OffsetCommit, SlotName,
    SlotWriter, TopicDescription, TopicSpec,
};
use crate::cause::Cause;
use crate::fjall_folder::IfMissing;

/// A log in a folder. Clones share the folder.
#[derive(Clone)]
pub struct EmbeddedLog {
    handle: Arc<EmbeddedHandle>,
}

/// Keeps the writer thread alive.
struct EmbeddedHandle {
    shared: Arc<EmbeddedShared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// State that the writer thread and the callers share.
struct EmbeddedShared {
    store: LogStore,
    published: PublishedState,
    queue: RequestQueue,
}

impl EmbeddedShared {
    /// Returns what `group` has committed, in the order of `partitions`.
    fn committed(&self, group: &str, topic: &str, partitions: &[Partition]) -> Vec<Option<CommittedOffset>> {
        let state = self.published.lock();
        let committed = |&partition: &Partition| {
            let (id, _) = state.find(topic, partition).ok()?;
            state.commits.get(&id.commit_key(group)).cloned()
        };
        partitions.iter().map(committed).collect()
    }
}

/// Numbers of records that one call of [`EmbeddedLog::maintain`] has deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Records older than their topic's retention.
    pub expired: u64,
    /// Records of compacted topics with a newer one of the same key.
    pub superseded: u64,
}

impl EmbeddedLog {
    /// Opens the folder, or creates it if it does not exist, and recovers what was acknowledged.
    ///
    /// # Errors
    /// [`LogError::FolderInUse`] if a process, this one included, has it open; [`LogError::Refused`] if it
    /// cannot be read, written or understood, or holds something else: then it is left as it is.
    pub fn open(folder: &Path) -> Result<Self, LogError> {
        Self::open_or(folder, IfMissing::Create)
    }

    /// Opens the folder as [`Self::open`] does, and creates none.
    ///
    /// # Errors
    /// [`LogError::NoFolder`] if there is no log; the others of [`Self::open`].
    pub fn open_existing(folder: &Path) -> Result<Self, LogError> {
        Self::open_or(folder, IfMissing::Refuse)
    }

    fn open_or(folder: &Path, if_missing: IfMissing) -> Result<Self, LogError> {
        let store = LogStore::open(folder, if_missing)?;
        let published = PublishedState::new(LogState::load(&store)?);
        let shared = Arc::new(EmbeddedShared { store, published, queue: RequestQueue::default() });
        let of_thread = Arc::clone(&shared);
        let writer = thread::Builder::new().name("embedded-log".to_owned());
        let writer = writer.spawn(move || writer::run(&of_thread)).map_err(|error| {
            let cause = Cause::new(format!("io:{:?}", error.kind()), error.to_string());
            LogError::refused("starting the writer thread of the embedded log", cause.with_source(error))
        })?;
        Ok(Self { handle: Arc::new(EmbeddedHandle { shared, writer: Mutex::new(Some(writer)) }) })
    }

    /// Applies retention and compaction as of `now_ms` (milliseconds since 1970) until nothing is left to do.
    ///
    /// The log does this by itself every 30 s by the wall clock; a call is for tests and for tools.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub fn maintain(&self, now_ms: i64) -> Result<Maintained, LogError> {
        let mut maintained = Maintained::default();
        loop {
            let turned = self.ask(|answer| WriterRequest::Maintain { now_ms, answer })?;
            maintained.expired += turned.expired;
            maintained.superseded += turned.superseded;
            if !turned.is_unfinished {
                return Ok(maintained);
            }
        }
    }

    /// Hands a request to the writer thread and blocks until it is answered.
    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(Answer<T>) -> WriterRequest,
    ) -> Result<T, LogError> {
        let (answer, answered) = Answer::channel();
        // Without a deadline the queue takes every request, or answers it by dropping it.
        drop(self.handle.shared.queue.push(request(answer), None));
        answered.recv().expect("every request is answered")
    }
}

impl Log for EmbeddedLog {
    fn reader(
        &self,
        topic: &str,
        from: &[(Partition, Offset)],
        _isolation: Isolation,
    ) -> Result<Box<dyn LogReader>, LogError> {
        Ok(Box::new(EmbeddedReader::open(Arc::clone(&self.handle), topic, from)?))
    }

    fn appender(&self, deadline: Duration) -> Result<Arc<dyn Appender>, LogError> {
        Ok(Arc::new(EmbeddedAppender { handle: Arc::clone(&self.handle), deadline }))
    }

    fn slot_writer(&self, slot: &SlotName) -> Result<Box<dyn SlotWriter>, LogError> {
        commits::check_group(&slot.group)?;
        let epoch = self.ask(|answer| WriterRequest::OpenSlot { slot: slot.clone(), answer })?;
        Ok(Box::new(EmbeddedSlotWriter::new(Arc::clone(&self.handle), slot.clone(), epoch)))
    }

    fn bounds(&self, topic: &str, partitions: &[Partition]) -> Result<Vec<Bounds>, LogError> {
        let state = self.handle.shared.published.lock();
        partitions.iter().map(|&partition| Ok(state.find(topic, partition)?.1.bounds())).collect()
    }

    fn offset_for_time(
        &self,
        topic: &str,
        partition: Partition,
        timestamp_ms: i64,
    ) -> Result<Offset, LogError> {
        let (id, state) = self.handle.shared.published.lock().find(topic, partition)?;
        times::find(&self.handle.shared.store, id, state.bounds(), timestamp_ms)
    }

    fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        Ok(self.handle.shared.committed(group, topic, partitions))
    }

    fn groups(&self) -> Result<Vec<String>, LogError> {
        let state = self.handle.shared.published.lock();
        let groups: BTreeSet<&[u8]> = state.commits.keys().filter_map(|key| group_of_commit(key)).collect();
        Ok(groups.into_iter().map(|group| String::from_utf8_lossy(group).into_owned()).collect())
    }

    fn commit(&self, group: &str, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        commits::check_group(group)?;
        let shared = &self.handle.shared;
        let commits = commits::encode_all(&shared.published.lock(), group, offsets)?;
        let (answer, answered) = Answer::channel();
        let write = LogWrite { records: Vec::new(), commits, fence: None, expires: None, answer };
        submit(shared, write, None);
        answered.recv().expect("every request is answered")
    }

    fn create_topic(&self, topic: &TopicSpec) -> Result<(), LogError> {
        topics::check(topic)?;
        self.ask(|answer| WriterRequest::CreateTopic { spec: topic.clone(), answer })
    }

    fn describe_topic(&self, topic: &str) -> Result<Option<TopicDescription>, LogError> {
        Ok(self.handle.shared.published.lock().topic(topic).map(|topic| topic.description.clone()))
    }
}

impl Drop for EmbeddedHandle {
    fn drop(&mut self) {
        self.shared.queue.close();
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // An answer may drop the last handle on the writer thread itself, which cannot wait for its own end.
        if let Some(writer) = writer.filter(|writer| writer.thread().id() != thread::current().id()) {
            // A panic has been printed, and its requests were answered.
            drop(writer.join());
        }
    }
}
