//! Appending, with and without a fence.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commits;
use super::format::record_bytes;
use super::queue::{Answer, Draft, Job, Write};
use super::writer::too_slow;
use super::{Handle, Shared};
use crate::log::{Appender, CommitSource, LogError, NewRecord, SlotName, SlotWriter, headers};

/// Key, value and headers of one record. A broker's default limit is 1 MiB and 12 bytes for a whole batch, so what fits
/// here nearly always fits there.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// Appends all records of a call, or none.
pub(super) struct EmbeddedAppender {
    pub(super) handle: Arc<Handle>,
    pub(super) deadline: Duration,
}

impl Appender for EmbeddedAppender {
    /// The deadline bounds the wait for the writer thread. A sync that hangs in the disk cannot be taken back and
    /// is waited for.
    fn append(&self, records: Vec<NewRecord>, done: Box<dyn FnOnce(Result<(), LogError>) + Send>) {
        let answer = Answer::new(done);
        let expires = Instant::now().checked_add(self.deadline);
        match drafts(&self.handle.shared, &records) {
            Ok(records) => {
                let write = Write { records, commits: Vec::new(), fence: None, expires, answer };
                submit(&self.handle.shared, write);
            }
            Err(error) => answer.give(Err(error)),
        }
    }
}

/// Writes for one epoch of a slot.
pub(super) struct EmbeddedSlotWriter {
    pub(super) handle: Arc<Handle>,
    pub(super) slot: SlotName,
    pub(super) epoch: u64,
    /// What ended this writer.
    pub(super) failed: Option<LogError>,
}

impl SlotWriter for EmbeddedSlotWriter {
    /// Here the acknowledgement is the batch itself: records and commits are on disk as one or not at all. So the
    /// commit is asked for as soon as nothing but the disk or a fence can fail, and "commit only what is
    /// acknowledged" holds because a commit without its records never exists.
    fn write(&mut self, records: &[NewRecord], commit: &mut CommitSource<'_>) -> Result<(), LogError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.try_write(records, commit).inspect_err(|error| self.failed = Some(error.clone()))
    }
}

impl EmbeddedSlotWriter {
    fn try_write(&self, records: &[NewRecord], commit: &mut CommitSource<'_>) -> Result<(), LogError> {
        let shared = &self.handle.shared;
        let records = drafts(shared, records)?;
        if shared.published.lock().epochs.get(&self.slot) != Some(&self.epoch) {
            return Err(LogError::Fenced(self.slot.to_string()));
        }
        let committed = commit();
        let state = shared.published.lock();
        let commits = committed.into_iter().map(|(topic, partition, committed)| {
            commits::draft(&state, &self.slot.group, &topic, partition, committed)
        });
        let commits = commits.collect::<Result<_, _>>()?;
        drop(state);
        let (answer, answered) = Answer::channel();
        let fence = Some((self.slot.clone(), self.epoch));
        submit(shared, Write { records, commits, fence, expires: None, answer });
        answered.recv().expect("every job is answered")
    }
}

/// Hands a write to the writer thread; waits while too much is waiting already.
pub(super) fn submit(shared: &Shared, write: Write) {
    let expires = write.expires;
    if let Err(Job::Write(write)) = shared.queue.push(Job::Write(write), expires) {
        write.answer.give(Err(too_slow()));
    }
}

/// Finds the partitions and checks what a broker would check.
fn drafts(shared: &Shared, records: &[NewRecord]) -> Result<Vec<Draft>, LogError> {
    records.iter().map(|record| draft(shared, record)).collect()
}

fn draft(shared: &Shared, record: &NewRecord) -> Result<Draft, LogError> {
    let (partition, _) = shared.published.lock().find(&record.topic, record.partition)?;
    let length = record.key.len() + record.value.len() + headers::encoded_length(&record.headers);
    let reason = if length > MAX_RECORD_BYTES {
        format!(
            "key, value and headers have {length} bytes, the limit is {MAX_RECORD_BYTES}; split the record"
        )
    } else if record.timestamp_ms < 0 {
        format!("its timestamp {} lies before 1970", record.timestamp_ms)
    } else if let Some(flaw) = headers::flaw(&record.headers) {
        flaw
    } else {
        let headers = headers::encoded(&record.headers);
        let bytes = record_bytes(record.timestamp_ms, &record.key, &record.value, &headers);
        return Ok(Draft { partition, timestamp_ms: record.timestamp_ms, bytes });
    };
    Err(LogError::Refused { what: format!("a record for {}/{}", record.topic, record.partition), reason })
}
