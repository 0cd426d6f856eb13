//! The one thread that writes: it takes the waiting requests, makes them durable with one `fdatasync`, and answers.
//!
//! While the disk works, the next turn gathers behind it, so the number of syncs follows the disk and not the
//! number of callers (group commit).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fjall::OwnedWriteBatch;

use super::EmbeddedShared;
use super::format::{PartitionId, PartitionState, commit_bytes, slot_key, tag};
use super::maintenance;
use super::queue::{Answer, KeyedCommit, LogWrite, TakenRequests, WriterRequest};
use super::retention_round::RetentionRound;
use super::times;
use super::topics;
use crate::cause::Cause;
use crate::clock::wall_clock_ms;
use crate::log::{LogError, SlotName, TopicDescription, TopicSpec};

/// Time between two rounds of retention and compaction.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(30);

/// Works until the queue is closed and empty.
pub(super) fn run(shared: &EmbeddedShared) {
    // Also when this thread panics: nobody may wait for an answer that never comes.
    let _abandon = AbandonOnDrop(shared);
    let maintain_at = Instant::now() + MAINTENANCE_INTERVAL;
    let mut writer = LogWriterThread { shared, failed: None, maintain_at, round: None };
    loop {
        match shared.queue.take(writer.maintain_at) {
            TakenRequests::Requests(requests) => writer.work(requests),
            TakenRequests::Nothing => {}
            TakenRequests::Closed => return,
        }
        writer.maintain_if_due();
    }
}

struct AbandonOnDrop<'a>(&'a EmbeddedShared);

impl Drop for AbandonOnDrop<'_> {
    fn drop(&mut self) {
        self.0.queue.abandon();
    }
}

struct LogWriterThread<'a> {
    shared: &'a EmbeddedShared,
    /// The first failed write: nothing is accepted after it.
    failed: Option<LogError>,
    maintain_at: Instant,
    /// The round of retention and compaction that has more to do.
    round: Option<RetentionRound>,
}

impl LogWriterThread<'_> {
    fn work(&mut self, requests: Vec<WriterRequest>) {
        let mut turn = WriteTurn::new(self.shared);
        for request in requests {
            match (request, &self.failed) {
                (request, Some(error)) => refuse(request, error),
                (WriterRequest::Write(write), None) => turn.write(write),
                (WriterRequest::OpenSlot { slot, answer }, None) => turn.open_slot(slot, answer),
                (WriterRequest::CreateTopic { spec, answer }, None) => turn.create_topic(&spec, answer),
                (WriterRequest::Maintain { now_ms, answer }, None) => {
                    self.finish(std::mem::replace(&mut turn, WriteTurn::new(self.shared)));
                    answer.give(self.maintain(&mut RetentionRound::asked(now_ms)));
                }
            }
        }
        self.finish(turn);
    }

    fn finish(&mut self, turn: WriteTurn<'_>) {
        if let Err(error) = turn.finish() {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: LogError) {
        tracing::error!(target: "yahtzee::log", %error, "the embedded log accepts nothing more");
        self.failed.get_or_insert(error);
    }

    fn maintain(&mut self, round: &mut RetentionRound) -> Result<maintenance::TurnOutcome, LogError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        maintenance::turn(self.shared, round).inspect_err(|error| self.fail(error.clone()))
    }

    fn maintain_if_due(&mut self) {
        if Instant::now() < self.maintain_at {
            return;
        }
        let newest_ms = || self.shared.published.lock().newest_ms();
        let begin = || RetentionRound::own(wall_clock_ms(), newest_ms());
        let mut round = self.round.take().unwrap_or_else(begin);
        let turned = self.maintain(&mut round);
        // What is left over is done turn by turn, and appends come in between.
        self.round = turned.is_ok_and(|turned| turned.is_unfinished).then_some(round);
        let pause = if self.round.is_some() { Duration::ZERO } else { MAINTENANCE_INTERVAL };
        self.maintain_at = Instant::now() + pause;
    }
}

fn refuse(request: WriterRequest, error: &LogError) {
    match request {
        WriterRequest::Write(LogWrite { answer, .. }) | WriterRequest::CreateTopic { answer, .. } => {
            answer.give(Err(error.clone()))
        }
        WriterRequest::OpenSlot { answer, .. } => answer.give(Err(error.clone())),
        WriterRequest::Maintain { answer, .. } => answer.give(Err(error.clone())),
    }
}

/// Requests that share one batch. Each sees what those before it have changed.
struct WriteTurn<'a> {
    shared: &'a EmbeddedShared,
    batch: OwnedWriteBatch,
    partitions: HashMap<PartitionId, PartitionState>,
    commits: Vec<KeyedCommit>,
    epochs: HashMap<SlotName, u64>,
    topics: Vec<TopicDescription>,
    answers: Vec<Answer<()>>,
}

impl<'a> WriteTurn<'a> {
    fn new(shared: &'a EmbeddedShared) -> Self {
        Self {
            shared,
            batch: shared.store.batch(),
            partitions: HashMap::new(),
            commits: Vec::new(),
            epochs: HashMap::new(),
            topics: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn write(&mut self, write: LogWrite) {
        if let Err(error) = self.check(&write) {
            return write.answer.give(Err(error));
        }
        for record in write.records {
            let id = record.partition;
            let state =
                self.partitions.entry(id).or_insert_with(|| self.shared.published.lock().partition(id));
            self.batch.insert(&self.shared.store.records, id.numbered(state.end), record.bytes);
            state.end += 1;
            state.newest_ms = state.newest_ms.max(record.timestamp_ms);
        }
        for commit in write.commits {
            let bytes = commit_bytes(&commit.committed);
            self.batch.insert(&self.shared.store.meta, commit.key.as_slice(), bytes);
            self.commits.push(commit);
        }
        self.answers.push(write.answer);
    }

    fn check(&self, write: &LogWrite) -> Result<(), LogError> {
        if write.expires.is_some_and(|expires| expires < Instant::now()) {
            return Err(too_slow());
        }
        match &write.fence {
            Some((slot, epoch)) if self.epoch(slot) != *epoch => Err(LogError::Fenced(slot.to_string())),
            _ => Ok(()),
        }
    }

    /// Returns the current epoch of a slot; 0 if it was never opened.
    fn epoch(&self, slot: &SlotName) -> u64 {
        let published = || self.shared.published.lock().epochs.get(slot).copied();
        self.epochs.get(slot).copied().or_else(published).unwrap_or(0)
    }

    fn open_slot(&mut self, slot: SlotName, answer: Answer<u64>) {
        let epoch = self.epoch(&slot) + 1;
        self.batch.insert(&self.shared.store.meta, slot_key(&slot), epoch.to_be_bytes());
        self.epochs.insert(slot, epoch);
        self.answers.push(Answer::new(Box::new(move |result| answer.give(result.map(|()| epoch)))));
    }

    fn create_topic(&mut self, spec: &TopicSpec, answer: Answer<()>) {
        let state = self.shared.published.lock();
        if state.topic(&spec.name).is_some() || self.topics.iter().any(|topic| topic.name == spec.name) {
            drop(state);
            return answer.give(Err(LogError::TopicExists(spec.name.clone())));
        }
        let number = state.next_number() as usize + self.topics.len();
        let number = u32::try_from(number).expect("a folder holds far fewer than 2^32 topics");
        let topic = topics::describe(spec);
        let key = [&[tag::TOPIC], number.to_be_bytes().as_slice()].concat();
        self.batch.insert(&self.shared.store.meta, key, topics::to_bytes(&topic));
        self.topics.push(topic);
        self.answers.push(answer);
    }

    /// Makes all of it durable, then visible, then known to the callers.
    fn finish(mut self) -> Result<(), LogError> {
        for (&id, state) in &self.partitions {
            let before = self.shared.published.lock().partition(id);
            times::note(&mut self.batch, &self.shared.store, id, &before, state);
            self.batch.insert(&self.shared.store.meta, id.meta_key(), state.to_bytes());
        }
        let result = self.batch.commit().map_err(|error| self.shared.store.unwritable(error));
        if result.is_ok() {
            self.shared.published.update(|state| {
                for (id, partition) in self.partitions {
                    *state.partition_mut(id).expect("partitions never disappear") = partition;
                }
                state.commits.extend(self.commits.into_iter().map(|commit| (commit.key, commit.committed)));
                state.epochs.extend(self.epochs);
                self.topics.into_iter().for_each(|topic| state.add_topic(topic));
            });
        }
        self.answers.into_iter().for_each(|answer| answer.give(result.clone()));
        result
    }
}

/// Returns the error of a record that had to wait for too long.
fn too_slow() -> LogError {
    let text = "the disk does not keep up, and the record was not written within its deadline";
    LogError::unavailable("the embedded log", Cause::new("deadline", text))
}
