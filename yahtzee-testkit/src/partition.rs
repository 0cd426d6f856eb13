//! One partition of a bench: a log, a summary topic, a commit, and the core that may be gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use yahtzee_core::commit::{Identity, OwnerTag};
use yahtzee_core::effect::Effect;
use yahtzee_core::job::Job;
use yahtzee_core::owner::Partition;
use yahtzee_core::partition::{History, PartitionCore};
use yahtzee_core::record::{LogRecord, MeasurementCounts, Offset, RecordOutcome};
use yahtzee_core::summary::Provenance;
use yahtzee_core::window::Policy;

/// A record of the log.
pub(crate) struct LogEntry {
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// The number of writes that still succeed before the process dies; `None` for all.
pub(crate) type Fuse = Option<usize>;

/// The process died at a write.
#[derive(Debug)]
pub(crate) struct Died;

pub(crate) struct BenchPartition<J: Job> {
    job: Arc<J>,
    policy: Policy,
    identity: Identity,
    partition: Partition,
    log: Vec<LogEntry>,
    core: Option<PartitionCore<J>>,
    next: usize,
    pending: Vec<Effect>,
    committed: Option<(Offset, String)>,
    /// Newest summary by key, as a compacted topic keeps it.
    pub(crate) topic: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Outcomes of all measurements since the last start.
    pub(crate) outcomes: MeasurementCounts,
    pub(crate) poison: u64,
}

impl<J: Job> BenchPartition<J> {
    pub(crate) fn new(job: Arc<J>, policy: Policy, partition: Partition, partition_count: u32) -> Self {
        let identity = Identity {
            generation: J::GENERATION,
            topic_id: [0; 16],
            partition_count,
            window_length_ms: policy.length_ms,
            acceptance: None,
            owner_tag: OwnerTag::default(),
        };
        let mut this = Self {
            job,
            policy,
            identity,
            partition,
            log: Vec::new(),
            core: None,
            next: 0,
            pending: Vec::new(),
            committed: None,
            topic: BTreeMap::new(),
            outcomes: MeasurementCounts::default(),
            poison: 0,
        };
        this.start();
        this
    }

    pub(crate) fn append(&mut self, entry: LogEntry) {
        self.log.push(entry);
        self.read();
    }

    /// Loses what only the process knew.
    pub(crate) fn crash(&mut self) {
        self.core = None;
        self.pending.clear();
    }

    /// Opens the partition from its last commit and reads up to the end of the log.
    pub(crate) fn start(&mut self) {
        let end = Offset(self.log.len() as u64);
        let history = History {
            partition: self.partition,
            start: self.committed.as_ref().map(|(offset, text)| (*offset, text.as_str())).into(),
            log_start: Offset(0),
            log_end: end,
            poisoned: &[],
            losses: &[],
        };
        let opened = PartitionCore::open(Arc::clone(&self.job), self.policy, self.identity, history);
        let opened = opened.expect("a bench keeps topic, partition count and window length");
        self.next = usize::try_from(opened.read_from.0).expect("offsets of a bench are small");
        self.core = Some(opened.core);
        self.outcomes = MeasurementCounts::default();
        self.poison = 0;
        self.read();
    }

    fn read(&mut self) {
        let Some(core) = &mut self.core else { return };
        while let Some(LogEntry { timestamp_ms, key, value }) = self.log.get(self.next) {
            let offset = Offset(self.next as u64);
            let record = LogRecord { offset, timestamp_ms: *timestamp_ms, key, value };
            match core.ingest(record, &mut self.pending) {
                RecordOutcome::Folded(outcomes) => self.outcomes.add(outcomes),
                RecordOutcome::Poison(_) => self.poison += 1,
                RecordOutcome::OtherLog => unreachable!("the log of a bench loses nothing"),
            }
            self.next += 1;
        }
        core.reached(Offset(self.next as u64)).expect("the log of a bench loses nothing");
    }

    /// Lets a flush interval pass: emits what has changed, writes it and commits.
    pub(crate) fn flush(&mut self, now_ms: u64, fuse: &mut Fuse) -> Result<(), Died> {
        let Some(core) = &mut self.core else { return Ok(()) };
        core.tick(now_ms, &mut self.pending);
        let written = self.pending.len() as u64;
        for effect in std::mem::take(&mut self.pending) {
            burn(fuse)?;
            self.write(effect);
        }
        let core = self.core.as_mut().expect("still running");
        if let Some(commit) = core.acknowledged(written) {
            burn(fuse)?;
            self.committed = Some((commit.replay_offset(), commit.metadata(&self.identity)));
        }
        Ok(())
    }

    /// Appends to the summary topic.
    ///
    /// # Panics
    /// If the new summary is older than the one a reader sees, or cannot have come after it.
    fn write(&mut self, effect: Effect) {
        let Effect::Emit(emit) = effect else { return };
        let provenance = |value: &[u8]| Provenance::of_value(value).expect("the core writes provenance");
        let newer = provenance(&emit.value);
        if let Some(before) = self.topic.get(&emit.key) {
            let older = provenance(before);
            assert!(
                older.revision() <= newer.revision(),
                "a reader saw a summary go back: {older:?} to {newer:?}"
            );
            assert!(older.can_be_followed_by(&newer), "a window was rebuilt in part: {older:?} to {newer:?}");
            let is_same = older.revision() != newer.revision() || *before == emit.value;
            assert!(is_same, "two different summaries with one revision: {newer:?}");
        }
        self.topic.insert(emit.key, emit.value);
    }

    /// Series (owner and dimensions as in a summary key, with the window) and accumulators, open windows only.
    pub(crate) fn core(&self) -> Option<&PartitionCore<J>> {
        self.core.as_ref()
    }
}

fn burn(fuse: &mut Fuse) -> Result<(), Died> {
    match fuse {
        Some(0) => {
            *fuse = None;
            Err(Died)
        }
        Some(left) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}
