//! The way to the writer thread: in order, bounded by bytes, closed with the last handle.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use super::format::PartitionId;
use super::maintenance::Turned;
use crate::log::{CommittedOffset, LogError, SlotName, TopicSpec};

/// Records that may wait for the writer; an append beyond it blocks.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// Records that one turn of the writer takes; it bounds the memory of a batch and the wait of those behind it.
const TURN_BYTES: usize = 8 << 20;

/// Something to be made durable.
pub(super) enum Job {
    /// Records and commits, all or nothing.
    Write(Write),
    /// A new epoch of a slot.
    OpenSlot { slot: SlotName, answer: Answer<u64> },
    /// A new topic.
    CreateTopic { spec: TopicSpec, answer: Answer<()> },
    /// One turn of retention and compaction, as of the given time.
    Maintain { now_ms: i64, answer: Answer<Turned> },
}

/// Records and commits that become durable as one.
pub(super) struct Write {
    pub(super) records: Vec<Draft>,
    pub(super) commits: Vec<Commit>,
    /// Only while the slot has this epoch.
    pub(super) fence: Option<(SlotName, u64)>,
    /// Not after this.
    pub(super) expires: Option<Instant>,
    pub(super) answer: Answer<()>,
}

/// A record but for its offset.
pub(super) struct Draft {
    pub(super) partition: PartitionId,
    pub(super) timestamp_ms: i64,
    /// As in `records`.
    pub(super) bytes: Vec<u8>,
}

/// A commit under its key in `meta`.
pub(super) struct Commit {
    pub(super) key: Vec<u8>,
    pub(super) committed: CommittedOffset,
}

/// Answers once; at the latest when it is dropped, so that nobody waits for ever.
pub(super) struct Answer<T>(Option<Reply<T>>);

type Reply<T> = Box<dyn FnOnce(Result<T, LogError>) + Send>;

impl<T> Answer<T> {
    /// Answers by a call, which may happen on another thread.
    pub(super) fn new(reply: Reply<T>) -> Self {
        Self(Some(reply))
    }

    /// Gives the answer.
    pub(super) fn give(mut self, result: Result<T, LogError>) {
        if let Some(reply) = self.0.take() {
            reply(result);
        }
    }
}

impl<T: Send + 'static> Answer<T> {
    /// Answers to whoever waits at the receiver.
    pub(super) fn channel() -> (Self, Receiver<Result<T, LogError>>) {
        let (sender, receiver) = mpsc::sync_channel(1);
        // Nobody may be waiting any more: then the answer is of no interest.
        (Self::new(Box::new(move |result| drop(sender.send(result)))), receiver)
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply(Err(LogError::Refused {
                what: "writing to the log".to_owned(),
                reason: "its writer thread has ended; restart the process".to_owned(),
            }));
        }
    }
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Write(write) => write.records.iter().map(|record| record.bytes.len()).sum(),
            Self::OpenSlot { .. } | Self::CreateTopic { .. } | Self::Maintain { .. } => 0,
        }
    }
}

/// What the writer finds.
pub(super) enum Taken {
    /// At least one job.
    Jobs(Vec<Job>),
    /// None came in time.
    Nothing,
    /// None is left and none will come.
    Closed,
}

/// The queue itself.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    drained: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    /// Puts a job behind the others; waits for room until `until`. A job for which there is no room is given
    /// back. In a closed queue it is dropped, and thereby answered.
    pub(super) fn push(&self, job: Job, until: Option<Instant>) -> Result<(), Job> {
        let bytes = job.bytes();
        let mut waiting = self.lock();
        while waiting.bytes + bytes > MAX_WAITING_BYTES && !waiting.jobs.is_empty() && !waiting.is_closed {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            waiting = match left {
                Some(left) if left.is_zero() => return Err(job),
                Some(left) => {
                    self.drained.wait_timeout(waiting, left).expect("nothing panics holding the queue").0
                }
                None => self.drained.wait(waiting).expect("nothing panics holding the queue"),
            };
        }
        if waiting.is_closed {
            drop(waiting);
            drop(job);
            return Ok(());
        }
        waiting.bytes += bytes;
        waiting.jobs.push_back(job);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes what one turn can do; waits for it until `until`.
    pub(super) fn take(&self, until: Instant) -> Taken {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if waiting.is_closed {
                return Taken::Closed;
            } else if left.is_zero() {
                return Taken::Nothing;
            }
            waiting = self.filled.wait_timeout(waiting, left).expect("nothing panics holding the queue").0;
        }
        let mut bytes = 0;
        let mut jobs = Vec::new();
        while let Some(job) = waiting.jobs.pop_front_if(|job| bytes == 0 || bytes + job.bytes() <= TURN_BYTES)
        {
            bytes += job.bytes();
            jobs.push(job);
        }
        waiting.bytes -= bytes;
        self.drained.notify_all();
        Taken::Jobs(jobs)
    }

    /// No job may follow; those that wait are still done.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_all();
        self.drained.notify_all();
    }

    /// Closes and drops all jobs that wait: nobody is there to do them.
    pub(super) fn abandon(&self) {
        self.close();
        let jobs = std::mem::take(&mut self.lock().jobs);
        drop(jobs);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nothing panics holding the queue")
    }
}

#[cfg(test)]
mod tests {
    use yahtzee_core::owner::Partition;

    use super::*;

    type Answered = Receiver<Result<(), LogError>>;

    fn write(bytes: usize) -> (Job, Answered) {
        let (answer, answered) = Answer::channel();
        let partition = PartitionId { topic: 0, partition: Partition(0) };
        let records = vec![Draft { partition, timestamp_ms: 0, bytes: vec![0; bytes] }];
        let commits = Vec::new();
        (Job::Write(Write { records, commits, fence: None, expires: None, answer }), answered)
    }

    fn is_refused(answered: &Answered) -> bool {
        matches!(answered.recv(), Ok(Err(LogError::Refused { .. })))
    }

    fn taken(queue: &Queue) -> usize {
        match queue.take(Instant::now()) {
            Taken::Jobs(jobs) => jobs.len(),
            Taken::Nothing | Taken::Closed => 0,
        }
    }

    #[test]
    fn gives_a_job_back_when_there_is_no_room_in_time() {
        let queue = Queue::default();
        let check = |bytes: usize, has_room: bool| {
            assert_eq!(queue.push(write(bytes).0, Some(Instant::now())).is_ok(), has_room, "{bytes} bytes");
        };
        check(MAX_WAITING_BYTES + 1, true);
        check(1, false);
        assert_eq!(taken(&queue), 1);
        check(MAX_WAITING_BYTES - 1, true);
        check(2, false);
        check(1, true);
    }

    #[test]
    fn a_turn_is_bounded_and_never_empty() {
        let queue = Queue::default();
        for bytes in [TURN_BYTES + 1, TURN_BYTES - 1, 1, 0, 1] {
            assert!(queue.push(write(bytes).0, None).is_ok());
        }
        assert_eq!([taken(&queue), taken(&queue), taken(&queue), taken(&queue)], [1, 3, 1, 0]);
    }

    #[test]
    fn a_closed_queue_is_emptied_and_takes_nothing_more() {
        let queue = Queue::default();
        let (early, _) = write(1);
        assert!(queue.push(early, None).is_ok());
        queue.close();
        let (late, answered) = write(1);
        assert!(queue.push(late, None).is_ok());
        assert!(is_refused(&answered));
        assert_eq!(taken(&queue), 1);
        assert!(matches!(queue.take(Instant::now()), Taken::Closed));
    }

    #[test]
    fn abandoned_jobs_are_answered() {
        let queue = Queue::default();
        let (job, answered) = write(1);
        assert!(queue.push(job, None).is_ok());
        queue.abandon();
        assert!(is_refused(&answered));
    }
}
