//! Appending, with and without a fence.

use std::sync::Arc;
use std::time::{Duration, Instant};

use yahtzee_core::owner::Partition;

use super::commits;
use super::format::{PartitionId, record_bytes};
use super::queue::{Answer, EncodedRecord, LogWrite, WriterRequest};
use super::{EmbeddedHandle, EmbeddedShared};
use crate::cause::Cause;
use crate::clock::wall_clock_ms;
use crate::log::{
    Acknowledged, AppendCallback, Appender, CommittedOffset, LogError, NewRecord, OffsetCommit, SlotName,
    SlotWriter, TIMESTAMP_AHEAD, TopicDescription, Transaction, header,
};

/// Key, value and headers of one record. A broker's default limit is 1 MiB and 12 bytes for a whole batch, so what fits
/// here nearly always fits there.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// Appends all records of a call, or none.
pub(super) struct EmbeddedAppender {
    pub(super) handle: Arc<EmbeddedHandle>,
    pub(super) deadline: Duration,
}

impl Appender for EmbeddedAppender {
    /// The deadline bounds the wait for the writer thread. A sync that hangs in the disk cannot be taken back and
    /// is waited for.
    fn append(&self, records: &[NewRecord], done: AppendCallback) {
        self.submit(records, Answer::new(done), Some(Instant::now()));
    }

    /// Waits for room in the queue until the deadline, unlike [`Appender::append`].
    fn append_and_wait(&self, records: &[NewRecord]) -> Result<(), LogError> {
        let (answer, answered) = Answer::channel();
        self.submit(records, answer, Instant::now().checked_add(self.deadline));
        answered.recv().expect("every request is answered")
    }
}

impl EmbeddedAppender {
    fn submit(&self, records: &[NewRecord], answer: Answer<()>, room_until: Option<Instant>) {
        let expires = Instant::now().checked_add(self.deadline);
        match encode_all(&self.handle.shared, records) {
            Ok(records) => {
                let write = LogWrite { records, commits: Vec::new(), fence: None, expires, answer };
                submit(&self.handle.shared, write, room_until);
            }
            Err(error) => answer.give(Err(error)),
        }
    }
}

/// Writes for one epoch of a slot.
pub(super) struct EmbeddedSlotWriter {
    handle: Arc<EmbeddedHandle>,
    slot: SlotName,
    epoch: u64,
    /// Records of the open transaction.
    open: Vec<EncodedRecord>,
    /// The error that ended this writer.
    failed: Option<LogError>,
}

impl EmbeddedSlotWriter {
    pub(super) fn new(handle: Arc<EmbeddedHandle>, slot: SlotName, epoch: u64) -> Self {
        Self { handle, slot, epoch, open: Vec::new(), failed: None }
    }

    fn check_and_encode(&self, records: &[NewRecord]) -> Result<Vec<EncodedRecord>, LogError> {
        let shared = &self.handle.shared;
        let records = encode_all(shared, records)?;
        if shared.published.lock().epochs.get(&self.slot) != Some(&self.epoch) {
            return Err(LogError::Fenced(self.slot.to_string()));
        }
        Ok(records)
    }

    fn write(&mut self, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        let (shared, records) = (&self.handle.shared, std::mem::take(&mut self.open));
        let commits = commits::encode_all(&shared.published.lock(), &self.slot.group, offsets)?;
        let (answer, answered) = Answer::channel();
        let fence = Some((self.slot.clone(), self.epoch));
        submit(shared, LogWrite { records, commits, fence, expires: None, answer }, None);
        answered.recv().expect("every request is answered")
    }
}

impl SlotWriter for EmbeddedSlotWriter {
    fn committed(
        &mut self,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        Ok(self.handle.shared.committed(&self.slot.group, topic, partitions))
    }

    /// Here the acknowledgement is the batch itself: records and commits are on disk as one or not at all. So the
    /// records count as acknowledged as soon as nothing but the disk or a fence can fail, and "commit only what is
    /// acknowledged" holds because a commit without its records never exists.
    fn append(&mut self, records: &[NewRecord]) -> Result<Acknowledged<'_>, LogError> {
        let checked = match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.check_and_encode(records),
        };
        self.open = checked.inspect_err(|error| self.failed = Some(error.clone()))?;
        Ok(Acknowledged::new(self))
    }
}

impl Transaction for EmbeddedSlotWriter {
    fn commit(&mut self, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        self.write(offsets).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn abort(&mut self) {
        self.open.clear();
    }
}

/// Hands a write to the writer thread. If too much is waiting already, waits for room until `room_until`.
pub(super) fn submit(shared: &EmbeddedShared, write: LogWrite, room_until: Option<Instant>) {
    if let Err(WriterRequest::Write(write)) = shared.queue.push(WriterRequest::Write(write), room_until) {
        let text = "too much waits to be written: the disk does not keep up";
        write.answer.give(Err(LogError::unavailable("the embedded log", Cause::new("queue-full", text))));
    }
}

/// Encodes records after the checks that a broker would make. Records of a topic that follow each other look for it once.
fn encode_all(shared: &EmbeddedShared, records: &[NewRecord]) -> Result<Vec<EncodedRecord>, LogError> {
    let mut encoded = Vec::with_capacity(records.len());
    for of_topic in records.chunk_by(|one, next| one.topic == next.topic) {
        let target = TopicTarget::find(shared, &of_topic[0].topic)?;
        for record in of_topic {
            encoded.push(target.encode(record)?);
        }
    }
    Ok(encoded)
}

/// What decides whether a topic takes a record.
struct TopicTarget {
    number: u32,
    partitions: u32,
    timestamp_max_ms: Option<i64>,
}

impl TopicTarget {
    fn find(shared: &EmbeddedShared, name: &str) -> Result<Self, LogError> {
        let state = shared.published.lock();
        let topic = state.require_topic(name)?;
        let TopicDescription { partitions, timestamp_ahead_max_ms, .. } = topic.description;
        let timestamp_max_ms =
            timestamp_ahead_max_ms.map(|ahead_ms| wall_clock_ms().saturating_add(ahead_ms));
        Ok(Self { number: topic.number, partitions, timestamp_max_ms })
    }

    fn encode(&self, record: &NewRecord) -> Result<EncodedRecord, LogError> {
        if record.partition.0 >= self.partitions {
            let topic = record.topic.to_string();
            return Err(LogError::NoSuchTopic { topic, partition: Some(record.partition) });
        }
        match self.flaw(record)? {
            Some(reason) => Err(LogError::refused(what(record), Cause::new("invalid-record", reason))),
            None => {
                let headers = header::encoded(&record.headers);
                let bytes = record_bytes(record.timestamp_ms, &record.key, &record.value, &headers);
                let partition = PartitionId { topic: self.number, partition: record.partition };
                Ok(EncodedRecord { partition, timestamp_ms: record.timestamp_ms, bytes })
            }
        }
    }

    /// Returns why a record can be in no topic.
    ///
    /// # Errors
    /// If its stamp lies too far ahead for this one.
    fn flaw(&self, record: &NewRecord) -> Result<Option<String>, LogError> {
        let length = record.key.len() + record.value.len() + header::encoded_length(&record.headers);
        if length > MAX_RECORD_BYTES {
            return Ok(Some(format!(
                "key, value and headers have {length} bytes, the limit is {MAX_RECORD_BYTES}; split the record"
            )));
        }
        if record.timestamp_ms < 0 {
            return Ok(Some(format!("its timestamp {} lies before 1970", record.timestamp_ms)));
        }
        match self.timestamp_max_ms {
            Some(max_ms) if record.timestamp_ms > max_ms => {
                let ahead_ms = record.timestamp_ms - max_ms;
                let text =
                    format!("its timestamp lies {ahead_ms} ms beyond what the topic accepts by this clock");
                Err(LogError::refused(what(record), Cause::new(TIMESTAMP_AHEAD, text)))
            }
            _ => Ok(header::flaw(&record.headers)),
        }
    }
}

fn what(record: &NewRecord) -> String {
    format!("a record for {}/{}", record.topic, record.partition)
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use yahtzee_core::owner::Partition;
    use yahtzee_core::record::Offset;

    use super::super::EmbeddedLog;
    use super::super::queue::{MAX_WAITING_BYTES, RequestQueue};
    use super::super::state::{LogState, PublishedState};
    use super::super::store::LogStore;
    use super::super::topics;
    use super::*;
    use crate::fjall_folder::IfMissing;
    use crate::log::{Bounds, Cleanup, CommittedOffset, Log as _, TopicSpec};

    fn spec() -> TopicSpec {
        TopicSpec {
            name: "topic".to_owned(),
            partitions: 1,
            replication: 1,
            cleanup: Cleanup::Delete,
            retention_ms: None,
            timestamp_ahead_max_ms: None,
        }
    }

    fn record(value: Vec<u8>) -> NewRecord {
        NewRecord {
            topic: "topic".into(),
            partition: Partition(0),
            timestamp_ms: 1,
            key: Vec::new(),
            value,
            headers: Vec::new(),
        }
    }

    fn slot() -> SlotName {
        SlotName { group: "group".into(), slot: 0 }
    }

    fn log() -> (tempfile::TempDir, EmbeddedLog) {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path()).unwrap();
        log.create_topic(&spec()).unwrap();
        (folder, log)
    }

    fn assert_empty(log: &EmbeddedLog) {
        let bounds = Bounds { start: Offset(0), end: Offset(0) };
        assert_eq!(log.bounds("topic", &[Partition(0)]).unwrap(), [bounds]);
    }

    #[test]
    fn a_writer_whose_slot_has_a_successor_appends_nothing() {
        let (_folder, log) = log();
        let mut former = log.slot_writer(&slot()).unwrap();
        let _successor = log.slot_writer(&slot()).unwrap();
        let outcome = former.append(&[record(Vec::new())]).map(drop);
        assert_eq!(outcome, Err(LogError::Fenced(slot().to_string())));
        assert_empty(&log);
    }

    /// The successor comes between the append and the commit.
    #[test]
    fn a_successor_fences_a_transaction_that_is_open() {
        let (_folder, log) = log();
        let mut former = log.slot_writer(&slot()).unwrap();
        let acknowledged = former.append(&[record(Vec::new())]).unwrap();
        let _successor = log.slot_writer(&slot()).unwrap();
        assert_eq!(acknowledged.commit(&[]), Err(LogError::Fenced(slot().to_string())));
        assert_empty(&log);
    }

    #[test]
    fn after_a_failed_commit_a_writer_refuses_every_append() {
        let (_folder, log) = log();
        let mut writer = log.slot_writer(&slot()).unwrap();
        let committed = CommittedOffset { offset: Offset(1), metadata: String::new() };
        let offsets = [OffsetCommit { topic: "missing", partition: Partition(0), committed }];
        let failure = writer.append(&[record(Vec::new())]).unwrap().commit(&offsets).unwrap_err();
        assert!(matches!(failure, LogError::NoSuchTopic { .. }), "{failure:?}");
        for _ in 0..2 {
            assert_eq!(writer.append(&[record(Vec::new())]).map(drop), Err(failure.clone()));
        }
        assert_empty(&log);
    }

    /// The callback of an append runs on the writer thread, and stands for any mistake there.
    #[test]
    fn a_writer_thread_that_panics_has_everything_refused_and_nobody_waiting() {
        let (_folder, log) = log();
        let appender = log.appender(Duration::from_secs(3_600)).unwrap();
        let mut slot_writer = log.slot_writer(&slot()).unwrap();
        let panic = |_| std::panic::resume_unwind(Box::new("as planned"));
        appender.append(&[record(Vec::new())], Box::new(panic));

        let ended = LogError::refused(
            "writing to the log",
            Cause::new("writer-ended", "its writer thread has ended; restart the process"),
        );
        assert_eq!(appender.append_and_wait(&[record(Vec::new())]), Err(ended.clone()));
        assert_eq!(slot_writer.append(&[]).unwrap().commit(&[]), Err(ended.clone()));
        assert_eq!(log.slot_writer(&slot()).map(drop), Err(ended.clone()));
        assert_eq!(log.maintain(0), Err(ended));
        let bounds = log.bounds("topic", &[Partition(0)]).unwrap();
        assert!(bounds[0].end >= Offset(1), "what is durable can be read: {bounds:?}");
    }

    /// Nobody writes, so what is appended waits for ever: beyond the queue's size an append is refused, not parked.
    #[test]
    fn an_append_is_refused_when_too_much_is_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = LogState::default();
        state.add_topic(topics::describe(&spec()));
        let store = LogStore::open(folder.path(), IfMissing::Create).unwrap();
        let shared =
            EmbeddedShared { store, published: PublishedState::new(state), queue: RequestQueue::default() };
        let handle = Arc::new(EmbeddedHandle { shared: Arc::new(shared), writer: Mutex::new(None) });
        let appender = EmbeddedAppender { handle: Arc::clone(&handle), deadline: Duration::from_secs(3_600) };

        let record = record(vec![0; MAX_RECORD_BYTES]);
        let (sender, outcomes) = mpsc::channel();
        for _ in 0..=MAX_WAITING_BYTES / MAX_RECORD_BYTES {
            let sender = sender.clone();
            appender
                .append(std::slice::from_ref(&record), Box::new(move |result| sender.send(result).unwrap()));
        }
        assert_eq!(
            outcomes.try_iter().filter(|result| matches!(result, Err(error) if error.is_transient())).count(),
            2
        );
        handle.shared.queue.abandon();
        let abandoned = MAX_WAITING_BYTES / MAX_RECORD_BYTES - 1;
        assert_eq!(outcomes.try_iter().filter(Result::is_err).count(), abandoned);
    }
}
