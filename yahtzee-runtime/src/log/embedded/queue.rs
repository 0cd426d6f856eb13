//! The queue of the writer thread: in order, bounded by bytes, closed with the last handle.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use super::format::PartitionId;
use super::maintenance::TurnOutcome;
use crate::cause::Cause;
use crate::log::{CommittedOffset, LogError, SlotName, TopicSpec};

/// Bytes of records that may wait for the writer; what is beyond waits for room or is refused.
pub(super) const MAX_WAITING_BYTES: usize = 32 << 20;

/// Bytes of records that one turn of the writer takes; it bounds the memory of a batch and the wait of those behind it.
const TURN_BYTES: usize = 8 << 20;

/// Something to be made durable.
pub(super) enum WriterRequest {
    /// Records and commits, all or nothing.
    Write(LogWrite),
    /// A new epoch of a slot.
    OpenSlot { slot: SlotName, answer: Answer<u64> },
    /// A new topic.
    CreateTopic { spec: TopicSpec, answer: Answer<()> },
    /// One turn of retention and compaction, as of the given time.
    Maintain { now_ms: i64, answer: Answer<TurnOutcome> },
}

/// Records and commits that become durable as one.
pub(super) struct LogWrite {
    pub(super) records: Vec<EncodedRecord>,
    pub(super) commits: Vec<KeyedCommit>,
    /// Only while the slot has this epoch.
    pub(super) fence: Option<(SlotName, u64)>,
    /// Not after this.
    pub(super) expires: Option<Instant>,
    pub(super) answer: Answer<()>,
}

/// A record but for its offset.
pub(super) struct EncodedRecord {
    pub(super) partition: PartitionId,
    pub(super) timestamp_ms: i64,
    /// Value in `records`.
    pub(super) bytes: Vec<u8>,
}

/// A commit under its key in `meta`.
pub(super) struct KeyedCommit {
    pub(super) key: Vec<u8>,
    pub(super) committed: CommittedOffset,
}

/// Answers once; at the latest when it is dropped, so that nobody waits for ever.
pub(super) struct Answer<T>(Option<AnswerCallback<T>>);

type AnswerCallback<T> = Box<dyn FnOnce(Result<T, LogError>) + Send>;

impl<T> Answer<T> {
    /// Creates an answer that calls `reply`, perhaps on another thread.
    pub(super) fn new(reply: AnswerCallback<T>) -> Self {
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
    /// Creates an answer that is sent to the receiver.
    pub(super) fn channel() -> (Self, Receiver<Result<T, LogError>>) {
        let (sender, receiver) = mpsc::sync_channel(1);
        // Nobody may be waiting any more: then the answer is of no interest.
        (Self::new(Box::new(move |result| drop(sender.send(result)))), receiver)
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            let ended = Cause::new("writer-ended", "its writer thread has ended; restart the process");
            reply(Err(LogError::refused("writing to the log", ended)));
        }
    }
}

impl WriterRequest {
    fn bytes(&self) -> usize {
        match self {
            Self::Write(write) => write.records.iter().map(|record| record.bytes.len()).sum(),
            Self::OpenSlot { .. } | Self::CreateTopic { .. } | Self::Maintain { .. } => 0,
        }
    }
}

/// Outcome of [`RequestQueue::take`].
pub(super) enum TakenRequests {
    /// Requests, one at least.
    Requests(Vec<WriterRequest>),
    /// No request came in time.
    Nothing,
    /// No request is left and none will come.
    Closed,
}

/// The queue itself.
#[derive(Default)]
pub(super) struct RequestQueue {
    waiting: Mutex<WaitingRequests>,
    filled: Condvar,
    drained: Condvar,
}

#[derive(Default)]
struct WaitingRequests {
    requests: VecDeque<WriterRequest>,
    bytes: usize,
    is_closed: bool,
}

impl RequestQueue {
    /// Puts a request behind the others; waits for room until `until`. Returns a request for
    /// which there is no room. A closed queue drops it, which answers it.
    pub(super) fn push(&self, request: WriterRequest, until: Option<Instant>) -> Result<(), WriterRequest> {
        let bytes = request.bytes();
        let mut waiting = self.lock();
        while waiting.bytes + bytes > MAX_WAITING_BYTES && !waiting.requests.is_empty() && !waiting.is_closed
        {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            waiting = match left {
                Some(left) if left.is_zero() => return Err(request),
                Some(left) => {
                    self.drained.wait_timeout(waiting, left).expect("nothing panics holding the queue").0
                }
                None => self.drained.wait(waiting).expect("nothing panics holding the queue"),
            };
        }
        if waiting.is_closed {
            drop(waiting);
            drop(request);
            return Ok(());
        }
        waiting.bytes += bytes;
        waiting.requests.push_back(request);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes the requests of one turn; blocks for the first until `until`.
    pub(super) fn take(&self, until: Instant) -> TakenRequests {
        let mut waiting = self.lock();
        while waiting.requests.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if waiting.is_closed {
                return TakenRequests::Closed;
            } else if left.is_zero() {
                return TakenRequests::Nothing;
            }
            waiting = self.filled.wait_timeout(waiting, left).expect("nothing panics holding the queue").0;
        }
        let mut bytes = 0;
        let mut requests = Vec::new();
        while let Some(request) =
            waiting.requests.pop_front_if(|request| bytes == 0 || bytes + request.bytes() <= TURN_BYTES)
        {
            bytes += request.bytes();
            requests.push(request);
        }
        waiting.bytes -= bytes;
        self.drained.notify_all();
        TakenRequests::Requests(requests)
    }

    /// Closes the queue for new requests; those that wait are still done.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_all();
        self.drained.notify_all();
    }

    /// Closes and drops all requests that wait: nobody is there to do them.
    pub(super) fn abandon(&self) {
        self.close();
        let requests = std::mem::take(&mut self.lock().requests);
        drop(requests);
    }

    fn lock(&self) -> MutexGuard<'_, WaitingRequests> {
        self.waiting.lock().expect("nothing panics holding the queue")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use yahtzee_core::owner::Partition;

    use super::*;

    type Answered = Receiver<Result<(), LogError>>;

    fn write(bytes: usize) -> (WriterRequest, Answered) {
        let (answer, answered) = Answer::channel();
        let partition = PartitionId { topic: 0, partition: Partition(0) };
        let records = vec![EncodedRecord { partition, timestamp_ms: 0, bytes: vec![0; bytes] }];
        let commits = Vec::new();
        (WriterRequest::Write(LogWrite { records, commits, fence: None, expires: None, answer }), answered)
    }

    fn is_refused(answered: &Answered) -> bool {
        matches!(answered.recv(), Ok(Err(LogError::Refused { .. })))
    }

    fn taken(queue: &RequestQueue) -> usize {
        match queue.take(Instant::now()) {
            TakenRequests::Requests(requests) => requests.len(),
            TakenRequests::Nothing | TakenRequests::Closed => 0,
        }
    }

    #[test]
    fn gives_a_job_back_when_there_is_no_room_in_time() {
        let queue = RequestQueue::default();
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
    fn who_waits_for_room_goes_on_as_soon_as_there_is_some() {
        let (queue, began, long) = (RequestQueue::default(), Instant::now(), Duration::from_secs(20));
        std::thread::scope(|scope| {
            scope.spawn(|| (0..20).for_each(|_| drop(queue.take(began + long))));
            for number in 0..20 {
                let pushed = queue.push(write(MAX_WAITING_BYTES).0, Some(began + long));
                assert!(pushed.is_ok(), "request {number}");
            }
        });
        assert!(began.elapsed() < long, "a turn that has taken all wakes nobody");
    }

    #[test]
    fn a_turn_is_bounded_and_never_empty() {
        let queue = RequestQueue::default();
        for bytes in [TURN_BYTES + 1, TURN_BYTES - 1, 1, 0, 1] {
            assert!(queue.push(write(bytes).0, None).is_ok());
        }
        assert_eq!([taken(&queue), taken(&queue), taken(&queue), taken(&queue)], [1, 3, 1, 0]);
    }

    #[test]
    fn a_closed_queue_is_emptied_and_takes_nothing_more() {
        let queue = RequestQueue::default();
        let (early, _) = write(1);
        assert!(queue.push(early, None).is_ok());
        queue.close();
        let (late, answered) = write(1);
        assert!(queue.push(late, None).is_ok());
        assert!(is_refused(&answered));
        assert_eq!(taken(&queue), 1);
        assert!(matches!(queue.take(Instant::now()), TakenRequests::Closed));
    }

    #[test]
    fn abandoned_jobs_are_answered() {
        let queue = RequestQueue::default();
        let (request, answered) = write(1);
        assert!(queue.push(request, None).is_ok());
        queue.abandon();
        assert!(is_refused(&answered));
    }
}
