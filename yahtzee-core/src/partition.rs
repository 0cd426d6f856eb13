//! The four stages tied together for one partition of one job: the only stateful public type of the core.

use std::fmt;
use std::sync::Arc;

use prost::Message;

use crate::commit::{Commit, Identity, Unreadable};
use crate::job::Job;
use crate::owner::{Owner, Partition};
use crate::quarantine::Quarantine;
use crate::record::{Fate, FrameId, LogRecord, Offset, Outcomes, Poison, owner_of};
use crate::summary::{Provenance, encode_key, encode_value};
use crate::window::{Bounds, Intake, Policy, SeriesState, Window, WindowState, Windows};

/// What the shell must write: a summary. Order matters, and so does that none is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emit {
    /// Decides the partition of the summary topic.
    pub owner: Owner,
    /// Wire form of a [`crate::summary::SummaryKey`].
    pub key: Vec<u8>,
    /// Provenance and the job's summary message.
    pub value: Vec<u8>,
    /// Whether this is the window's last word.
    pub is_final: bool,
}

/// What is known of a partition before its first record is read.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// The partition itself.
    pub partition: Partition,
    /// Committed offset and its metadata, if any was ever committed.
    pub committed: Option<(Offset, &'a str)>,
    /// First offset that the log still keeps.
    pub log_start: Offset,
    /// End of the log, read *after* every earlier writer was fenced. Until it is reached only final summaries go
    /// out, so that no reader sees a dip.
    pub log_end: Offset,
}

/// A partition ready to be read.
#[derive(Debug)]
pub struct Opened<C> {
    /// The partition.
    pub core: C,
    /// Where to read on.
    pub read_from: Offset,
    /// What the commit and the log's range say about lost input.
    pub history: HistoryVerdict,
}

/// What the commit and the log's range say about lost input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryVerdict {
    /// Nothing was ever committed, and the log still has everything.
    Fresh,
    /// Resumed from a commit, nothing is missing.
    Resumed,
    /// The log starts after the commit's replay offset: the windows quarantined have lost input.
    Truncated,
    /// There is no usable commit and the log has lost its beginning, or its offset was set by hand.
    Unknown,
}

/// Why a partition must not be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The commit was written by a newer Yahtzee.
    Unreadable(Unreadable),
    /// The commit belongs to another topic of the same name.
    OtherTopic,
    /// The commit was made under another number of partitions.
    OtherPartitionCount {
        /// In the commit.
        committed: u32,
        /// Now.
        current: u32,
    },
    /// The commit was made under another window length.
    OtherWindowLength {
        /// In the commit, milliseconds.
        committed_ms: u32,
        /// Now, milliseconds.
        current_ms: u32,
    },
    /// The commit was made by another version of the fold.
    OtherGeneration {
        /// In the commit.
        committed: u32,
        /// Now.
        current: u32,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(reason) => reason.fmt(formatter),
            Self::OtherTopic => formatter.write_str(
                "the raw topic was deleted and created again since the last commit, so offsets mean other records; \
                 raise the job's generation, or move to a new topic version",
            ),
            Self::OtherPartitionCount { committed, current } => write!(
                formatter,
                "the raw topic had {committed} partitions at the last commit and has {current} now, so owners have \
                 moved; restore the count, or move to a new topic version"
            ),
            Self::OtherWindowLength { committed_ms, current_ms } => write!(
                formatter,
                "windows had {committed_ms} ms at the last commit and have {current_ms} ms now; restore the length, \
                 or raise the job's generation"
            ),
            Self::OtherGeneration { committed, current } => write!(
                formatter,
                "the last commit was made by generation {committed} of the job, this is generation {current}; \
                 every generation needs a consumer group of its own"
            ),
        }
    }
}

impl std::error::Error for Refusal {}

/// A partition whose job's types are not visible. [`PartitionCore`] is the one implementation.
pub trait PartitionState: Send {
    /// See [`PartitionCore::ingest`].
    fn ingest(&mut self, record: LogRecord<'_>, out: &mut Vec<Emit>) -> Fate;
    /// See [`PartitionCore::reached`].
    fn reached(&mut self, next: Offset);
    /// See [`PartitionCore::tick`].
    fn tick(&mut self, now_ms: u64, out: &mut Vec<Emit>);
    /// See [`PartitionCore::acknowledged`].
    fn acknowledged(&mut self, emits: u64) -> Option<Commit>;
    /// See [`PartitionCore::status`].
    fn status(&self) -> Status;
    /// See [`PartitionCore::identity`].
    fn identity(&self) -> &Identity;
}

/// A partition seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Next offset to be read.
    pub position: Offset,
    /// Running maximum of the log timestamps, milliseconds since 1970.
    pub mark_ms: Option<i64>,
    /// Whether the end that was read at the start has been reached.
    pub is_caught_up: bool,
    /// Open windows.
    pub open_windows: usize,
    /// Series over all open windows.
    pub series: usize,
    /// Windows that may have lost input.
    pub quarantine: Quarantine,
}

/// One partition of one job, owned by one thread.
///
/// Call [`Self::ingest`] with every record in offset order, [`Self::reached`] at the end of the partition and
/// [`Self::tick`] as time passes. All three append to the shell's list of what is to be written. When the shell has
/// written, [`Self::acknowledged`] may answer with a commit: there is no other way to one, so that nothing is
/// committed before what it promises is durable.
#[derive(Debug)]
pub struct PartitionCore<J: Job> {
    job: Arc<J>,
    policy: Policy,
    identity: Identity,
    partition: Partition,
    position: Offset,
    mark_ms: Option<i64>,
    windows: Windows<J::Accumulator>,
    quarantine: Quarantine,
    barrier: Offset,
    /// Position of the commit this incarnation started from: nothing is committed before it is reached again.
    resumed_position: Offset,
    emitted: u64,
    acknowledged: u64,
    /// Value of `emitted` after the last final summary.
    last_final: u64,
    fresh: Vec<Window>,
    series_key: Vec<u8>,
}

impl<J: Job> PartitionCore<J> {
    /// Opens a partition at what its last commit and the log's range allow.
    ///
    /// | commit                | log start        | reads from | quarantine                                      |
    /// |-----------------------|------------------|------------|-------------------------------------------------|
    /// | none                  | 0                | 0          | nothing                                         |
    /// | none, or not ours     | above 0          | its offset, at least log start | what the first record tells |
    /// | `(c, h, M)`           | at most `c`      | `c`        | as committed                                    |
    /// | `(c, h, M)`           | `c` to `h`       | log start  | also windows whose first offset is gone         |
    /// | `(c, h, M)`           | above `h`        | log start  | what the first record tells                     |
    ///
    /// # Errors
    /// [`Refusal`] where the commit belongs to another topic, partition count, window length or generation.
    pub fn open(
        job: Arc<J>,
        policy: Policy,
        identity: Identity,
        history: History<'_>,
    ) -> Result<Opened<Self>, Refusal> {
        let resume = Resume::from(&history, &identity)?;
        let core = Self {
            job,
            policy,
            identity,
            partition: history.partition,
            position: resume.read_from,
            mark_ms: resume.mark_ms,
            windows: Windows::default(),
            quarantine: resume.quarantine,
            barrier: history.log_end,
            resumed_position: resume.position,
            emitted: 0,
            acknowledged: 0,
            last_final: 0,
            fresh: Vec::new(),
            series_key: Vec::new(),
        };
        Ok(Opened { core, read_from: resume.read_from, history: resume.verdict })
    }

    /// Folds one record. Closes windows that its log timestamp pushes out of the open range first; their final
    /// summaries go to `out`.
    pub fn ingest(&mut self, record: LogRecord<'_>, out: &mut Vec<Emit>) -> Fate {
        self.position = record.offset.next();
        match self.fold(&record, out) {
            Ok(outcomes) => Fate::Folded(outcomes),
            Err(poison) => Fate::Poison(poison),
        }
    }

    fn fold(&mut self, record: &LogRecord<'_>, out: &mut Vec<Emit>) -> Result<Outcomes, Poison> {
        if record.timestamp_ms < 0 {
            return Err(Poison::Timestamp);
        }
        self.advance_mark(record.timestamp_ms, out);
        let owner = owner_of(record)?;
        if owner.partition(self.identity.partition_count) != self.partition {
            return Err(Poison::Partition);
        }
        let message = J::Record::decode(record.value).map_err(|_| Poison::Value)?;
        let length_ms = self.policy.length_ms;
        self.fresh.clear();
        let mut intake = Intake {
            windows: &mut self.windows,
            quarantine: &self.quarantine,
            bounds: Bounds {
                open_from: open_from(self.mark_ms, &self.policy),
                open_through: Window::of_ms(record.timestamp_ms, length_ms).plus(self.policy.future),
            },
            length_ms,
            offset: record.offset,
            owner,
            frame: FrameId::from_bytes(J::frame_id(&message)),
            fresh: &mut self.fresh,
            series_key: &mut self.series_key,
            outcomes: Outcomes::default(),
        };
        self.job.fold(&message, &mut intake);
        Ok(intake.outcomes)
    }

    /// Raises the mark to `timestamp_ms` if that is greater, and closes what then lies below the open range.
    fn advance_mark(&mut self, timestamp_ms: i64, out: &mut Vec<Emit>) {
        if self.quarantine.is_open_ended() {
            let skewed_ms = timestamp_ms.saturating_add(i64::from(self.policy.clock_skew_ms));
            let last = Window::of_ms(skewed_ms, self.policy.length_ms).plus(self.policy.future);
            self.quarantine.first_record(last);
        }
        if self.mark_ms.is_some_and(|mark_ms| timestamp_ms <= mark_ms) {
            return;
        }
        self.mark_ms = Some(timestamp_ms);
        let open_from = open_from(self.mark_ms, &self.policy);
        while let Some((window, state)) = self.windows.pop_closed(open_from) {
            self.emit_final(window, &state, out);
        }
        self.quarantine.forget_before(open_from);
    }

    fn emit_final(&mut self, window: Window, state: &WindowState<J::Accumulator>, out: &mut Vec<Emit>) {
        for series in &state.states {
            out.push(summary_of(&*self.job, &self.identity, window, series, true));
        }
        self.emitted += state.states.len() as u64;
        self.last_final = self.emitted;
    }

    /// Notes that every record below `next` was delivered. Offsets of control records are skipped only this way.
    pub fn reached(&mut self, next: Offset) {
        self.position = self.position.max(next);
    }

    /// Emits what has changed and is due at the monotonic time `now_ms`; nothing while catching up.
    ///
    /// Windows become due together, at multiples of the flush interval, newest first.
    pub fn tick(&mut self, now_ms: u64, out: &mut Vec<Emit>) {
        if !self.is_caught_up() {
            return;
        }
        let interval_ms = self.policy.flush_interval_ms.max(1);
        for (&window, state) in self.windows.0.iter_mut().rev() {
            if !state.is_dirty() || now_ms < state.due_ms {
                continue;
            }
            state.due_ms = (now_ms / interval_ms + 1) * interval_ms;
            let (job, identity) = (&*self.job, &self.identity);
            let before = out.len();
            state.drain_dirty(|series| out.push(summary_of(job, identity, window, series, false)));
            self.emitted += (out.len() - before) as u64;
        }
    }

    /// The first `emits` summaries not yet acknowledged are durable. Answers with the commit that this allows.
    ///
    /// No commit while a final summary is unacknowledged, while the extent of a gap is unknown, or before the
    /// position of the commit this incarnation started from is reached again.
    #[must_use = "a commit that is not written is work that a restart repeats"]
    pub fn acknowledged(&mut self, emits: u64) -> Option<Commit> {
        self.acknowledged += emits;
        debug_assert!(self.acknowledged <= self.emitted, "acknowledged more than was emitted");
        let is_allowed = self.acknowledged >= self.last_final
            && !self.quarantine.is_open_ended()
            && self.position >= self.resumed_position;
        is_allowed.then(|| {
            let open = self.windows.first_offsets();
            Commit::at(self.position, self.mark_ms, open, self.quarantine.clone())
        })
    }

    /// Whether the end of the log at the start has been reached.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.position >= self.barrier
    }

    /// The partition seen from outside.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            position: self.position,
            mark_ms: self.mark_ms,
            is_caught_up: self.is_caught_up(),
            open_windows: self.windows.0.len(),
            series: self.windows.0.values().map(|state| state.states.len()).sum(),
            quarantine: self.quarantine.clone(),
        }
    }

    /// What its commits belong to.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl<J: Job> PartitionState for PartitionCore<J> {
    fn ingest(&mut self, record: LogRecord<'_>, out: &mut Vec<Emit>) -> Fate {
        self.ingest(record, out)
    }

    fn reached(&mut self, next: Offset) {
        self.reached(next);
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<Emit>) {
        self.tick(now_ms, out);
    }

    fn acknowledged(&mut self, emits: u64) -> Option<Commit> {
        self.acknowledged(emits)
    }

    fn status(&self) -> Status {
        self.status()
    }

    fn identity(&self) -> &Identity {
        self.identity()
    }
}

/// Oldest window that is open under a mark: `minute(M) - L`.
fn open_from(mark_ms: Option<i64>, policy: &Policy) -> Window {
    mark_ms
        .map_or(Window(i64::MIN), |mark_ms| Window::of_ms(mark_ms, policy.length_ms).minus(policy.lateness))
}

fn summary_of<J: Job>(
    job: &J,
    identity: &Identity,
    window: Window,
    series: &SeriesState<J::Accumulator>,
    is_final: bool,
) -> Emit {
    let provenance = Provenance {
        generation: identity.generation,
        first_offset: series.first_offset.0,
        last_offset: series.last_offset.0,
        count: series.count,
        is_final,
    };
    let owner = Owner::from_bytes(&series.series[..16]).expect("a series starts with its owner");
    Emit {
        owner,
        key: encode_key(&series.series, window, identity.window_length_ms),
        value: encode_value(provenance, &job.summarize(&series.accumulator)),
        is_final,
    }
}

/// Where and with what knowledge a partition starts.
struct Resume {
    read_from: Offset,
    position: Offset,
    mark_ms: Option<i64>,
    quarantine: Quarantine,
    verdict: HistoryVerdict,
}

impl Resume {
    fn from(history: &History<'_>, identity: &Identity) -> Result<Self, Refusal> {
        let Some((offset, text)) = history.committed else {
            let is_whole = history.log_start == Offset(0);
            return Ok(if is_whole { Self::fresh() } else { Self::after_unknown_gap(history.log_start) });
        };
        match Commit::read(offset, text) {
            Ok((commit, committed)) => {
                refuse_if_other(&committed, identity)?;
                Ok(Self::from_commit(commit, history.log_start))
            }
            Err(newer @ Unreadable::NewerFormat(_)) => Err(Refusal::Unreadable(newer)),
            Err(_) => Ok(Self::after_unknown_gap(offset.max(history.log_start))),
        }
    }

    fn fresh() -> Self {
        Self {
            read_from: Offset(0),
            position: Offset(0),
            mark_ms: None,
            quarantine: Quarantine::none(),
            verdict: HistoryVerdict::Fresh,
        }
    }

    fn after_unknown_gap(read_from: Offset) -> Self {
        Self {
            read_from,
            position: read_from,
            mark_ms: None,
            quarantine: Quarantine::until_first_record(),
            verdict: HistoryVerdict::Unknown,
        }
    }

    fn from_commit(commit: Commit, log_start: Offset) -> Self {
        let replay_offset = commit.replay_offset();
        let mark_ms = commit.mark_ms;
        if log_start > commit.position {
            return Self { mark_ms, ..Self::after_unknown_gap(log_start) };
        }
        let hit: Vec<Window> = commit.windows_hit(log_start).collect();
        let verdict = if hit.is_empty() { HistoryVerdict::Resumed } else { HistoryVerdict::Truncated };
        Self {
            read_from: replay_offset.max(log_start),
            position: commit.position,
            mark_ms,
            quarantine: commit.quarantine.and(hit),
            verdict,
        }
    }
}

fn refuse_if_other(committed: &Identity, current: &Identity) -> Result<(), Refusal> {
    if committed.topic_id != current.topic_id {
        return Err(Refusal::OtherTopic);
    }
    if committed.partition_count != current.partition_count {
        let (committed, current) = (committed.partition_count, current.partition_count);
        return Err(Refusal::OtherPartitionCount { committed, current });
    }
    if committed.window_length_ms != current.window_length_ms {
        let (committed_ms, current_ms) = (committed.window_length_ms, current.window_length_ms);
        return Err(Refusal::OtherWindowLength { committed_ms, current_ms });
    }
    if committed.generation != current.generation {
        let (committed, current) = (committed.generation, current.generation);
        return Err(Refusal::OtherGeneration { committed, current });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
