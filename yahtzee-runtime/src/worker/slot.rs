//! One slot: its partitions, what they have to write, and the writer that makes it durable.

use std::sync::Arc;

use yahtzee_core::commit::Commit;
use yahtzee_core::effect::{Effect, Emit};
use yahtzee_core::erased::AnyPartition;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_core::window::Window;

use crate::clock::wall_clock_ms;
use crate::log::{CommittedOffset, LogError, NewRecord, OffsetCommit, SlotWriter};

use super::letters;

/// An unchanged commit is written again after this time: the broker forgets offsets that nobody renews.
const RENEWAL_MS: u64 = 10 * 60 * 1_000;

/// One partition in the hands of the shell.
pub(super) struct Part {
    pub(super) partition: Partition,
    pub(super) core: Box<dyn AnyPartition>,
    pub(super) effects: Vec<Effect>,
    /// The newest acknowledged commit.
    pub(super) committed: Option<Commit>,
    /// Replay offset of the newest commit, or where reading started.
    pub(super) replay_offset: Offset,
    /// Monotonic milliseconds of the newest acknowledged commit, or of the start.
    pub(super) committed_at_ms: u64,
    /// Monotonic milliseconds at which the newest commit last said all there was to say, or of the start.
    pub(super) current_at_ms: u64,
}

/// Partitions that are fenced as one.
pub(super) struct Slot {
    pub(super) parts: Vec<Part>,
    writer: Box<dyn SlotWriter>,
    topics: Topics,
    records: Vec<NewRecord>,
}

/// The topics of a job.
#[derive(Clone)]
pub(super) struct Topics {
    pub(super) job: &'static str,
    pub(super) raw: String,
    pub(super) summary: Arc<str>,
    pub(super) dead_letters: Arc<str>,
    pub(super) late: Arc<str>,
    /// Partitions of all of them.
    pub(super) partitions: u32,
}

/// What one write made durable.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    pub(super) changes: u64,
    pub(super) finals: u64,
    pub(super) dead_letters: u64,
    pub(super) commits: u64,
}

impl Written {
    fn count(&mut self, effect: &Effect) {
        match effect {
            Effect::Emit(Emit { is_final: true, .. }) => self.finals += 1,
            Effect::Emit(_) => self.changes += 1,
            Effect::DeadLetter(_) => self.dead_letters += 1,
            Effect::Late(_) => {}
        }
    }
}

impl Slot {
    pub(super) fn new(parts: Vec<Part>, writer: Box<dyn SlotWriter>, topics: Topics) -> Self {
        Self { parts, writer, topics, records: Vec::new() }
    }

    /// Effects that wait to be written.
    pub(super) fn backlog(&self) -> usize {
        self.parts.iter().map(|part| part.effects.len()).sum()
    }

    /// Makes all waiting effects durable and commits what that allows.
    ///
    /// On error nothing is to be trusted but the log: the caller opens the slot anew.
    pub(super) fn write(&mut self, now_ms: u64) -> Result<Written, LogError> {
        let mut written = Written::default();
        // For the retention of the topic only.
        let timestamp_ms = wall_clock_ms();
        self.records.clear();
        let mut emitted = Vec::with_capacity(self.parts.len());
        for part in &mut self.parts {
            emitted.push(part.effects.len() as u64);
            for effect in part.effects.drain(..) {
                written.count(&effect);
                self.records.push(record(effect, &self.topics, part.partition, timestamp_ms));
            }
        }
        let acknowledged = self.writer.append(&self.records)?;
        let acknowledge = |(part, &count): (&mut Part, &u64)| part.core.acknowledged(count);
        let allowed: Vec<Option<Commit>> = self.parts.iter_mut().zip(&emitted).map(acknowledge).collect();
        let topic = self.topics.raw.as_str();
        let offsets = self.parts.iter().zip(&allowed).filter_map(|(part, commit)| {
            let (partition, committed) = part.offset_of(commit.as_ref()?, now_ms)?;
            Some(OffsetCommit { topic, partition, committed })
        });
        acknowledged.commit(&offsets.collect::<Vec<_>>())?;
        for (part, commit) in self.parts.iter_mut().zip(allowed) {
            if let Some(commit) = commit {
                part.current_at_ms = now_ms;
                written.commits += u64::from(part.committed(commit, now_ms));
            }
        }
        Ok(written)
    }
}

impl Part {
    /// The offset to be written for a commit that is allowed, if it says anything new or is to be renewed.
    fn offset_of(&self, commit: &Commit, now_ms: u64) -> Option<(Partition, CommittedOffset)> {
        let metadata = || commit.metadata(self.core.identity());
        self.is_due(commit, now_ms).then(|| {
            (self.partition, CommittedOffset { offset: commit.replay_offset(), metadata: metadata() })
        })
    }

    fn is_due(&self, commit: &Commit, now_ms: u64) -> bool {
        now_ms >= self.committed_at_ms + RENEWAL_MS || self.committed.as_ref() != Some(commit)
    }

    /// Notes that an allowed commit is durable; tells whether it was written just now.
    fn committed(&mut self, commit: Commit, now_ms: u64) -> bool {
        let is_written = self.is_due(&commit, now_ms);
        if is_written {
            self.name_incomplete(&commit);
            self.replay_offset = commit.replay_offset();
            self.committed = Some(commit);
            self.committed_at_ms = now_ms;
        }
        is_written
    }

    /// Says which windows have lost input, once.
    fn name_incomplete(&self, commit: &Commit) {
        let before = self.committed.as_ref().map(Commit::incomplete);
        if commit.incomplete().is_empty() || before == Some(commit.incomplete()) {
            return;
        }
        let start_ms = |window: Window| window.start_ms(self.core.identity().window_length_ms);
        let windows_ms: Vec<i64> = commit.incomplete().windows().map(start_ms).collect();
        let through_ms = commit.incomplete().reach_through().map(start_ms);
        tracing::warn!(
            partition = %self.partition, through_ms, ?windows_ms,
            "these windows have lost input and are not published; `yahtzee commits` names them too"
        );
    }
}

fn record(effect: Effect, topics: &Topics, partition: Partition, timestamp_ms: i64) -> NewRecord {
    match effect {
        Effect::Emit(emit) => NewRecord {
            topic: Arc::clone(&topics.summary),
            partition: emit.owner.partition(topics.partitions),
            timestamp_ms,
            key: emit.key,
            value: emit.value,
            headers: Vec::new(),
        },
        Effect::DeadLetter(letter) => letters::dead_letter(letter, topics, partition, timestamp_ms),
        Effect::Late(late) => letters::late(late, topics, partition, timestamp_ms),
    }
}
