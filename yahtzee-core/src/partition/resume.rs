//! The start of a partition: from which offset, and with which knowledge.

use std::fmt;

use crate::commit::{Commit, Identity, IdentityMismatch, Unreadable};
use crate::incomplete::IncompleteWindows;
use crate::log_tail::{LogTail, RecordPrint};
use crate::lost_tail::LostTail;
use crate::owner::Partition;
use crate::record::Offset;
use crate::rules::Rules;
use crate::summary::JOB_FIELDS_FROM;
use crate::window::{PolicyError, Window};

use super::losses::LossWatch;
use super::tail::TailCheck;

/// Everything known of a partition before its first record is read.
///
/// | commit             | log start   | reads from                      | incomplete                                  |
/// |--------------------|-------------|---------------------------------|---------------------------------------------|
/// | none               | 0           | 0                               | nothing                                     |
/// | none               | above 0     | log start                       | what the first record tells                 |
/// | not ours, or moved | any         | its offset, log start at least  | what the first record tells                 |
/// | a time             | at most its offset | its offset               | all before the first window                 |
/// | `(c, h, M)`        | at most `c` | `c`, the tail at most           | as committed                                |
/// | `(c, h, M)`        | `c` to `h`  | log start                       | also windows whose first record is gone     |
/// | `(c, h, M)`        | above `h`   | log start                       | what the first record tells                 |
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// The partition itself.
    pub partition: Partition,
    /// What the partition starts from.
    pub start: Start<'a>,
    /// First offset that the log still keeps.
    pub log_start: Offset,
    /// End of the log, read *after* every earlier writer was fenced. Until it is reached only final summaries go
    /// out, so that no reader sees a dip.
    pub log_end: Offset,
    /// Records on which the job has panicked.
    pub poisoned: &'a [RecordPrint],
    /// What the log has lost from its end: for who starts from a commit all that it says, and more; nothing if there is no more.
    pub losses: &'a [LostTail],
}

/// What a partition starts from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Nothing was ever committed: the log's beginning.
    Beginning,
    /// The newest commit, as it is stored.
    Commit {
        /// The committed offset.
        offset: Offset,
        /// The text stored with it: [`Commit::metadata`].
        metadata: &'a str,
    },
    /// An offset from which on records may belong to windows of interest; no earlier one does. For recomputing a range.
    Time {
        /// The offset.
        offset: Offset,
        /// The first window of interest; all before it are incomplete.
        first_window: Window,
    },
}

impl<'a> From<Option<(Offset, &'a str)>> for Start<'a> {
    fn from(committed: Option<(Offset, &'a str)>) -> Self {
        committed.map_or(Self::Beginning, |(offset, metadata)| Self::Commit { offset, metadata })
    }
}

/// A partition ready to be read.
#[derive(Debug)]
pub struct Opened<C> {
    /// The partition.
    pub core: C,
    /// The offset to read on from.
    pub read_from: Offset,
    /// How a partition resumes, by what commit and log say about lost input.
    pub verdict: ResumeKind,
}

/// How a partition resumes, by what commit and log say about lost input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeKind {
    /// Nothing was ever committed, and the log still has everything.
    Fresh,
    /// Resumed from a commit, nothing is missing.
    Resumed,
    /// The log starts after the commit's replay offset: the incomplete windows have lost input.
    Truncated,
    /// There is no usable commit and the log has lost its beginning, or its offset was set by hand.
    Unknown,
}

/// Why a partition must not be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeError {
    /// The commit was written by a newer Yahtzee.
    Unreadable(Unreadable),
    /// The commit belongs to something else.
    Mismatch(IdentityMismatch),
    /// The log ends before what was read: it has lost records, and gives their offsets a second time.
    ShorterLog {
        /// Next offset that had not been read at the commit.
        position: Offset,
        /// End of the log.
        log_end: Offset,
    },
    /// The log has another record than the one that was read before the commit: it has lost records, and has given their
    /// offsets to others.
    OtherLog {
        /// Offset at which this shows.
        offset: Offset,
    },
    /// Another process has committed since this one had the partition open.
    TakenOver,
    /// The policy cannot be worked with.
    Policy(PolicyError),
    /// The job's summary message has a field of the framework: see [`reserved_field`](crate::summary::reserved_field).
    ReservedField {
        /// Its number.
        number: u32,
    },
}

impl fmt::Display for ResumeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(reason) => reason.fmt(formatter),
            Self::Mismatch(mismatch) => mismatch.fmt(formatter),
            Self::ShorterLog { position, log_end } => write!(
                formatter,
                "the raw log ends at offset {log_end}, and up to {position} was read before the last commit: it has lost \
                 records whose measurements are in published summaries, and gives their offsets again; find out why (an \
                 unclean election, a lost disk), then give the job a greater `generation` in `[jobs.NAME]`: it folds anew \
                 what the log keeps, and names the windows that lack records"
            ),
            Self::OtherLog { offset } => write!(
                formatter,
                "at offset {offset} the raw log has another record than the one that was read before the last commit: it has \
                 lost records whose measurements are in published summaries, and has given their offsets to others; find out \
                 why (an unclean election, a lost disk), then give the job a greater `generation` in `[jobs.NAME]`: it folds \
                 anew what the log keeps, and names the windows that lack records"
            ),
            Self::TakenOver => formatter.write_str(
                "another worker has taken over while this one stood still or was cut off; this one must stop writing",
            ),
            Self::Policy(error) => error.fmt(formatter),
            Self::ReservedField { number } => write!(
                formatter,
                "the job's summary message has field {number}, and fields below {JOB_FIELDS_FROM} are the framework's: \
                 give the job's fields numbers from {JOB_FIELDS_FROM} on"
            ),
        }
    }
}

impl std::error::Error for ResumeError {}

pub(super) struct Resume {
    pub(super) read_from: Offset,
    pub(super) position: Offset,
    pub(super) watermark_ms: Option<i64>,
    pub(super) incomplete: IncompleteWindows,
    pub(super) verdict: ResumeKind,
    /// The end of what was read before.
    pub(super) tail: LogTail,
    pub(super) tail_check: TailCheck,
    pub(super) losses: LossWatch,
}

impl Resume {
    pub(super) fn from<R: Rules>(history: &History<'_>, identity: &Identity) -> Result<Self, ResumeError> {
        let mut resume = Self::from_start::<R>(history, identity)?;
        // What the log had lost is told of the log as it is now, but for what a commit tells.
        if matches!(history.start, Start::Commit { .. }) {
            resume.losses.end_at(history.log_end);
        }
        Ok(resume)
    }

    fn from_start<R: Rules>(history: &History<'_>, identity: &Identity) -> Result<Self, ResumeError> {
        let log_start = history.log_start;
        match history.start {
            Start::Beginning if log_start == Offset(0) => Ok(Self::fresh().passing(history.losses)),
            Start::Beginning => Ok(Self::after_unknown_gap(log_start).passing(history.losses)),
            Start::Time { offset, .. } if offset < log_start => {
                Ok(Self::after_unknown_gap(log_start).passing(history.losses))
            }
            Start::Time { offset, first_window } => {
                Ok(Self::from_time(offset, first_window, history.losses).passing(history.losses))
            }
            Start::Commit { offset, metadata } => match Commit::read(offset, metadata) {
                Ok((commit, committed)) => {
                    if let Some(&mismatch) = identity.mismatches(&committed).first() {
                        return Err(ResumeError::Mismatch(mismatch));
                    }
                    let losses = if history.losses.is_empty() { commit.losses() } else { history.losses };
                    Ok(Self::from_commit::<R>(&commit, losses, log_start))
                }
                Err(newer @ Unreadable::NewerFormat(_)) => Err(ResumeError::Unreadable(newer)),
                Err(_) => Ok(Self::after_unknown_gap(offset.max(log_start)).passing(history.losses)),
            },
        }
    }

    /// Adds the losses that lie ahead.
    fn passing(self, losses: &[LostTail]) -> Self {
        let ahead = losses.iter().filter(|loss| loss.kept_before >= self.read_from);
        let losses = LossWatch::of(ahead.map(|loss| loss.pending()).collect());
        Self { losses, ..self }
    }

    fn from_time(offset: Offset, first_window: Window, losses: &[LostTail]) -> Self {
        let mut incomplete = IncompleteWindows::through(first_window.minus(1));
        let behind = losses.iter().filter(|loss| loss.kept_before < offset);
        behind.filter_map(|loss| loss.windows).for_each(|(first, last)| {
            incomplete.add_range(first.max(first_window), last);
        });
        Self { incomplete, verdict: ResumeKind::Resumed, ..Self::after_unknown_gap(offset) }
    }

    fn fresh() -> Self {
        Self {
            read_from: Offset(0),
            position: Offset(0),
            watermark_ms: None,
            incomplete: IncompleteWindows::none(),
            verdict: ResumeKind::Fresh,
            tail: LogTail::Empty,
            tail_check: TailCheck::none(),
            losses: LossWatch::default(),
        }
    }

    fn after_unknown_gap(read_from: Offset) -> Self {
        Self {
            read_from,
            position: read_from,
            watermark_ms: None,
            incomplete: IncompleteWindows::until_first_record(),
            verdict: ResumeKind::Unknown,
            tail: LogTail::Unknown,
            tail_check: TailCheck::none(),
            losses: LossWatch::default(),
        }
    }

    fn from_commit<R: Rules>(commit: &Commit, losses: &[LostTail], log_start: Offset) -> Self {
        let watermark_ms = commit.watermark_ms();
        if log_start > commit.position() {
            return Self { watermark_ms, ..Self::after_unknown_gap(log_start).passing(losses) };
        }
        let lost = commit.open().iter().filter(|&&(_, first)| R::has_lost_input(first, log_start));
        let lost: Vec<Window> = lost.map(|&(window, _)| window).collect();
        let is_whole = lost.is_empty();
        let expected = R::expected_tail(commit.tail());
        Self {
            read_from: expected.replay_from(commit.replay_offset()).max(log_start),
            position: commit.position(),
            watermark_ms,
            incomplete: commit.incomplete().clone().and(lost),
            verdict: if is_whole { ResumeKind::Resumed } else { ResumeKind::Truncated },
            tail: commit.tail(),
            tail_check: TailCheck::new(expected, commit.position(), watermark_ms, log_start),
            losses: LossWatch::from_commit(losses, log_start),
        }
    }
}
