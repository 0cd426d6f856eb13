//! The broker as the workers' writes see it: the summary topic, transactions, fences and committed offsets.
//!
//! Dead letters and late records share the summary topic's log here: what matters is that they are written in the
//! same transaction.

use std::collections::BTreeMap;

use yahtzee_core::record::Poison;
use yahtzee_core::summary::Provenance;

use crate::ops::Fault;
use crate::trace::Trace;

/// One record that a worker has written.
#[derive(Clone, Debug)]
pub(crate) struct OutRecord {
    /// Version of the fold that wrote it.
    pub(crate) generation: u32,
    /// Raw partition it was folded from.
    pub(crate) partition: u32,
    /// Life of that partition in which it was read.
    pub(crate) life: usize,
    pub(crate) body: Body,
    /// The transaction it belongs to, if any.
    transaction: Option<usize>,
    written: Moment,
    pub(crate) is_compacted: bool,
}

/// What was written.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Summary { key: Vec<u8>, value: Vec<u8>, provenance: Provenance },
    DeadLetter { offset: u64, reason: Poison },
    Late { offset: u64 },
}

impl OutRecord {
    pub(crate) fn new(generation: u32, partition: u32, body: Body) -> Self {
        Self {
            generation,
            partition,
            life: 0,
            body,
            transaction: None,
            written: Moment::default(),
            is_compacted: false,
        }
    }
}

/// Place in the order of everything that became durable, and simulated time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) sequence: u64,
    pub(crate) at_ms: i64,
}

/// A commit on its way, or stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetCommit {
    pub(crate) generation: u32,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) metadata: String,
    /// Position of the commit that its writer had started from.
    pub(crate) resumed_position: u64,
    /// Life of the partition that its writer had read.
    pub(crate) life: usize,
}

/// A transactional id: generation and slot, and whatever else a mistaken shell puts into it.
pub(crate) type ProducerId = (u32, u32, u64);

/// What a worker asks of the broker.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Append { fence: Option<(ProducerId, u32)>, records: Vec<OutRecord> },
    AddOffsets { fence: (ProducerId, u32), commits: Vec<OffsetCommit> },
    End { fence: (ProducerId, u32) },
    Commit(OffsetCommit),
}

/// What it learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    /// Someone else has the slot.
    Fenced,
    /// Not done, or perhaps done.
    Failed,
}

#[derive(Debug)]
struct Transaction {
    first: usize,
    started_ms: i64,
    state: TransactionState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransactionState {
    Open,
    Committed(Moment),
    Aborted,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u32,
    open: Option<usize>,
    offsets: Vec<OffsetCommit>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Broker {
    pub(crate) topic: Vec<OutRecord>,
    transactions: Vec<Transaction>,
    producers: BTreeMap<ProducerId, Producer>,
    offsets: BTreeMap<(u32, u32), (Moment, OffsetCommit)>,
    /// The same commits, made for the summary topic: they stay when the raw topic is deleted.
    offsets_beside: BTreeMap<(u32, u32), OffsetCommit>,
    /// Offsets that were forgotten because nobody had renewed them.
    pub(crate) forgotten: u64,
    /// Every commit that ever became durable, in order.
    pub(crate) commits: Vec<(Moment, OffsetCommit)>,
    /// Requests that were held up.
    pub(crate) network: Vec<Request>,
    pub(crate) has_foreign_subscriber: bool,
    sequence: u64,
    pub(crate) now_ms: i64,
    pub(crate) trace: Trace,
}

impl Broker {
    /// Fences every earlier writer of the id and settles its open transaction.
    pub(crate) fn init(&mut self, id: ProducerId) -> u32 {
        self.abort(id);
        let producer = self.producers.entry(id).or_default();
        producer.epoch += 1;
        producer.epoch
    }

    /// The committed offset of a partition.
    pub(crate) fn committed(&self, generation: u32, partition: u32) -> Option<&OffsetCommit> {
        self.offsets.get(&(generation, partition)).map(|(_, commit)| commit)
    }

    /// The committed offset that was made for the summary topic.
    pub(crate) fn committed_beside(&self, generation: u32, partition: u32) -> Option<&OffsetCommit> {
        self.offsets_beside.get(&(generation, partition))
    }

    /// Forgets a committed offset.
    pub(crate) fn expire(&mut self, generation: u32, partition: u32) {
        self.offsets.remove(&(generation, partition));
        self.offsets_beside.remove(&(generation, partition));
    }

    /// Forgets all offsets of the raw topic: it is deleted.
    pub(crate) fn delete_raw_topic(&mut self) {
        self.offsets.clear();
    }

    /// Forgets the offsets that have not been committed for so long.
    pub(crate) fn expire_old(&mut self, retention_ms: i64) {
        let before = self.offsets.len();
        self.offsets.retain(|_, (moment, _)| self.now_ms - moment.at_ms <= retention_ms);
        self.offsets_beside.retain(|key, _| self.offsets.contains_key(key));
        self.forgotten += (before - self.offsets.len()) as u64;
    }

    /// Carries a request to the log, or not, as the fault will have it.
    pub(crate) fn send(&mut self, request: Request, fault: Fault) -> Answer {
        match fault {
            Fault::None => self.apply(request),
            Fault::Lost => Answer::Failed,
            Fault::Unanswered => {
                self.apply(request);
                Answer::Failed
            }
            Fault::Cut => {
                self.apply(cut(request));
                Answer::Failed
            }
            Fault::Late => {
                self.network.push(request);
                Answer::Failed
            }
            Fault::Twice => {
                if matches!(request, Request::End { .. }) {
                    self.network.push(request.clone());
                }
                self.apply(request)
            }
        }
    }

    /// Applies a request that has arrived.
    pub(crate) fn apply(&mut self, request: Request) -> Answer {
        match request {
            Request::Append { fence: None, records } => {
                self.append(records, None);
                Answer::Done
            }
            Request::Append { fence: Some(fence), records } => {
                if !self.is_current(fence) {
                    return Answer::Fenced;
                }
                let transaction = self.open_transaction(fence.0);
                self.append(records, Some(transaction));
                Answer::Done
            }
            Request::AddOffsets { fence, commits } => {
                if !self.is_current(fence) {
                    return Answer::Fenced;
                }
                self.open_transaction(fence.0);
                self.producers.entry(fence.0).or_default().offsets.extend(commits);
                Answer::Done
            }
            Request::End { fence } if self.is_current(fence) => {
                self.commit_transaction(fence.0);
                Answer::Done
            }
            Request::End { .. } => Answer::Fenced,
            // A group with a member refuses plain commits from outside; those of transactions it takes.
            Request::Commit(_) if self.has_foreign_subscriber => Answer::Failed,
            Request::Commit(commit) => {
                self.store(commit);
                Answer::Done
            }
        }
    }

    fn is_current(&self, (id, epoch): (ProducerId, u32)) -> bool {
        self.producers.get(&id).is_some_and(|producer| producer.epoch == epoch)
    }

    fn open_transaction(&mut self, id: ProducerId) -> usize {
        let producer = self.producers.entry(id).or_default();
        *producer.open.get_or_insert_with(|| {
            let (first, started_ms) = (self.topic.len(), self.now_ms);
            self.transactions.push(Transaction { first, started_ms, state: TransactionState::Open });
            self.transactions.len() - 1
        })
    }

    fn append(&mut self, records: Vec<OutRecord>, transaction: Option<usize>) {
        for mut record in records {
            record.transaction = transaction;
            record.written = self.moment();
            self.trace.word(u64::from(record.partition));
            if let Body::Summary { key, value, .. } = &record.body {
                self.trace.bytes(key);
                self.trace.bytes(value);
            }
            self.topic.push(record);
        }
    }

    fn commit_transaction(&mut self, id: ProducerId) {
        let moment = self.moment();
        let producer = self.producers.entry(id).or_default();
        let Some(open) = producer.open.take() else { return };
        let offsets = std::mem::take(&mut producer.offsets);
        self.transactions[open].state = TransactionState::Committed(moment);
        offsets.into_iter().for_each(|commit| self.store(commit));
    }

    fn abort(&mut self, id: ProducerId) {
        let producer = self.producers.entry(id).or_default();
        producer.offsets.clear();
        if let Some(open) = producer.open.take() {
            self.transactions[open].state = TransactionState::Aborted;
        }
    }

    fn store(&mut self, commit: OffsetCommit) {
        self.trace.word(commit.offset);
        self.trace.bytes(commit.metadata.as_bytes());
        let moment = self.moment();
        let key = (commit.generation, commit.partition);
        self.offsets.insert(key, (moment, commit.clone()));
        self.offsets_beside.insert(key, commit.clone());
        self.commits.push((moment, commit));
    }

    fn moment(&mut self) -> Moment {
        self.sequence += 1;
        Moment { sequence: self.sequence, at_ms: self.now_ms }
    }

    /// Aborts transactions that have been open for too long, and fences their writers.
    pub(crate) fn time_out_transactions(&mut self, timeout_ms: i64) {
        let is_old = |open: usize| self.now_ms - self.transactions[open].started_ms > timeout_ms;
        let old = self.producers.iter().filter(|(_, producer)| producer.open.is_some_and(is_old));
        for id in old.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.init(id);
        }
    }

    /// Where a read-committed reader must stop.
    pub(crate) fn last_stable_offset(&self) -> usize {
        let open = self.producers.values().filter_map(|producer| producer.open);
        open.map(|open| self.transactions[open].first).min().unwrap_or(self.topic.len())
    }

    /// When a read-committed reader could see the record; `None` for never.
    pub(crate) fn visible_from(&self, record: &OutRecord) -> Option<Moment> {
        match record.transaction.map(|transaction| self.transactions[transaction].state) {
            None => Some(record.written),
            Some(TransactionState::Committed(moment)) => Some(moment),
            Some(TransactionState::Open | TransactionState::Aborted) => None,
        }
    }

    /// Keeps only the last visible record of every key below `end`. `record_key` gives the key of a summary of a generation.
    pub(crate) fn compact(&mut self, end: usize, record_key: impl Fn(&[u8], u32) -> Vec<u8>) {
        let mut last = BTreeMap::new();
        for index in 0..end.min(self.last_stable_offset()) {
            let record = &self.topic[index];
            if record.is_compacted || self.visible_from(record).is_none() {
                continue;
            }
            let Body::Summary { key, .. } = &record.body else { continue };
            if let Some(earlier) = last.insert(record_key(key, record.generation), index) {
                let earlier: usize = earlier;
                self.topic[earlier].is_compacted = true;
            }
        }
    }
}

/// What is left of a request that broke off half way; one that is too short for that arrives.
fn cut(request: Request) -> Request {
    match request {
        Request::Append { fence, mut records } => {
            records.truncate(records.len() / 2);
            Request::Append { fence, records }
        }
        Request::AddOffsets { fence, .. } => Request::AddOffsets { fence, commits: Vec::new() },
        other => other,
    }
}

#[cfg(test)]
mod tests;
