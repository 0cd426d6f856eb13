//! A log that rings a bell at every commit and append, and fails by script.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::cause::Cause;
use yahtzee_runtime::log::{
    AppendCallback, Appender, Bounds, CommittedOffset, Isolation, Log, LogError, LogReader, NewRecord,
    OffsetCommit, SharedLog, SlotName, SlotWriter, TopicDescription, TopicSpec,
};

use super::Bell;

/// Number of commits and appends that work unless a test limits them.
const FOR_EVER: u64 = u64::MAX / 2;

pub(crate) struct WatchedLog {
    pub(crate) inner: SharedLog,
    /// Where partitions end, if before their real ends.
    ends: Mutex<Option<Offset>>,
    life: Arc<Life>,
}

/// Number of commits and appends that still work.
struct Life {
    left: AtomicU64,
    /// Number of appends refused while commits worked; `None` if appends are not refused.
    refused: Mutex<Option<u64>>,
    bell: Bell,
}

impl WatchedLog {
    pub(crate) fn new(inner: SharedLog, bell: Bell) -> Self {
        Self {
            inner,
            ends: Mutex::new(None),
            life: Arc::new(Life { left: AtomicU64::new(FOR_EVER), refused: Mutex::new(None), bell }),
        }
    }

    /// Lets every partition end here, as if an older copy of the log had been put back.
    pub(crate) fn end_at(&self, offset: Offset) {
        *self.ends.lock().unwrap() = Some(offset);
    }

    /// Lets `operations` more commits and appends work, then none: as if the process had crashed there.
    pub(crate) fn dies_after(&self, operations: u64) {
        self.life.left.store(operations, Ordering::SeqCst);
    }

    pub(crate) fn revive(&self) {
        self.dies_after(FOR_EVER);
    }

    /// Sets whether appends are refused. Commits still work.
    pub(crate) fn refuse_appends(&self, is_refused: bool) {
        *self.life.refused.lock().unwrap() = is_refused.then_some(0);
    }

    /// Returns the number of refused appends.
    pub(crate) fn refused(&self) -> u64 {
        self.life.refused.lock().unwrap().unwrap_or(0)
    }

    /// Returns whether the log works no longer.
    pub(crate) fn is_dead(&self) -> bool {
        self.life.left.load(Ordering::SeqCst) == 0
    }
}

impl Life {
    fn spend(&self) -> Result<(), LogError> {
        let spent = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        self.bell.ring();
        spent.map(drop).map_err(|_| LogError::unavailable("the log", Cause::new("dead", "dead")))
    }

    fn spend_on_append(&self) -> Result<(), LogError> {
        if let Some(refused) = &mut *self.refused.lock().unwrap() {
            *refused += 1;
            self.bell.ring();
            return Err(LogError::unavailable("the log", Cause::new("refused", "takes no record")));
        }
        self.spend()
    }
}

struct WatchedAppender {
    inner: Arc<dyn Appender>,
    life: Arc<Life>,
}

impl Appender for WatchedAppender {
    fn append(&self, records: &[NewRecord], done: AppendCallback) {
        if let Err(error) = self.life.spend_on_append() {
            return done(Err(error));
        }
        let life = Arc::clone(&self.life);
        let done = move |result| {
            done(result);
            life.bell.ring();
        };
        self.inner.append(records, Box::new(done));
    }
}

impl Log for WatchedLog {
    fn reader(
        &self,
        topic: &str,
        from: &[(Partition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn LogReader>, LogError> {
        self.inner.reader(topic, from, isolation)
    }

    fn appender(&self, deadline: Duration) -> Result<Arc<dyn Appender>, LogError> {
        let inner = self.inner.appender(deadline)?;
        Ok(Arc::new(WatchedAppender { inner, life: Arc::clone(&self.life) }))
    }

    fn slot_writer(&self, slot: &SlotName) -> Result<Box<dyn SlotWriter>, LogError> {
        self.inner.slot_writer(slot)
    }

    fn bounds(&self, topic: &str, partitions: &[Partition]) -> Result<Vec<Bounds>, LogError> {
        let ends = self.ends.lock().unwrap().unwrap_or(Offset(u64::MAX));
        let bounds = self.inner.bounds(topic, partitions)?.into_iter();
        Ok(bounds.map(|bounds| Bounds { end: bounds.end.min(ends), ..bounds }).collect())
    }

    fn offset_for_time(
        &self,
        topic: &str,
        partition: Partition,
        timestamp_ms: i64,
    ) -> Result<Offset, LogError> {
        self.inner.offset_for_time(topic, partition, timestamp_ms)
    }

    fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.inner.committed(group, topic, partitions)
    }

    fn groups(&self) -> Result<Vec<String>, LogError> {
        self.inner.groups()
    }

    fn commit(&self, group: &str, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        self.life.spend()?;
        let committed = self.inner.commit(group, offsets);
        self.life.bell.ring();
        committed
    }

    fn create_topic(&self, topic: &TopicSpec) -> Result<(), LogError> {
        self.inner.create_topic(topic)
    }

    fn describe_topic(&self, topic: &str) -> Result<Option<TopicDescription>, LogError> {
        self.inner.describe_topic(topic)
    }
}
