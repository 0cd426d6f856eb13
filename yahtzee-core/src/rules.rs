//! Every decision that the promises rest on, each in one small function.
//!
//! Free functions are decisions that others ask for too. [`Rules`] has those that the simulator replaces by plausible
//! mistakes, one at a time, in the very [`crate::partition::PartitionCore`] that ships, and must then notice: that is how we
//! know that each is needed and that each is tested. [`Production`] takes them all as they are here. The proofs are in
//! `docs/commit-rule.md`.

use crate::log_tail::LogTail;
use crate::owner::Owner;
use crate::record::{FrameId, FrameKey, LogRecord, Offset};
use crate::window::{Policy, Window};

/// Returns the oldest window that is open under a watermark: `minute(M) - L`.
#[must_use]
pub fn open_from(watermark_ms: Option<i64>, policy: &Policy) -> Window {
    let open_from =
        |watermark_ms| Window::of_ms(watermark_ms, policy.length_ms).minus(policy.lateness_windows);
    watermark_ms.map_or(Window(i64::MIN), open_from)
}

/// Returns the last window that a gap of unknown length may have hit, which the first record after it decides: earlier
/// records were received no later than a clock difference after this one, and reach no further than `F` ahead.
#[must_use]
pub fn gap_reaches(log_timestamp_ms: i64, policy: &Policy) -> Window {
    let skewed_ms = log_timestamp_ms.saturating_add(i64::from(policy.clock_skew_ms));
    Window::of_ms(skewed_ms, policy.length_ms).plus(policy.future_windows)
}

pub(crate) mod sealed {
    /// Keeps [`super::Rules`] and [`crate::slot::rules::SlotRules`] to this crate and the simulator's mistakes.
    pub trait Sealed {}
}

/// What a planted mistake implements to be a set of [`Rules`], or of [`crate::slot::rules::SlotRules`].
#[cfg(feature = "planted-mistakes")]
pub use sealed::Sealed as PlantedMistake;

/// The decisions that a partition takes. The default of every function is the right one; nobody but the simulator
/// implements others.
#[doc(hidden)]
pub trait Rules: sealed::Sealed + Send + 'static {
    /// `M(o)`: the running maximum of the log timestamps. Tenant event time never moves it.
    #[must_use]
    fn watermark(before_ms: Option<i64>, log_timestamp_ms: i64) -> i64 {
        before_ms.map_or(log_timestamp_ms, |before_ms| before_ms.max(log_timestamp_ms))
    }

    /// Whether a record is a heartbeat: it moves the watermark, and is no dead letter. One that has a value has lost its key.
    #[must_use]
    fn is_heartbeat(record: &LogRecord<'_>) -> bool {
        record.is_heartbeat()
    }

    /// See [`open_from`].
    #[must_use]
    fn open_from(watermark_ms: Option<i64>, policy: &Policy) -> Window {
        open_from(watermark_ms, policy)
    }

    /// Returns the oldest and the newest window that a record may put measurements into: `minute(M) - L` and
    /// `minute(log timestamp) + F`.
    ///
    /// The newest one is of the record's own stamp. Judged by the watermark, a replay, which has restored a greater one,
    /// would accept what the first run had rejected.
    #[must_use]
    fn accepts(watermark_ms: Option<i64>, log_timestamp_ms: i64, policy: &Policy) -> (Window, Window) {
        let newest = Window::of_ms(log_timestamp_ms, policy.length_ms).plus(policy.future_windows);
        (Self::open_from(watermark_ms, policy), newest)
    }

    /// Returns the key a window remembers a frame by; `None` for a record that counts as often as it is delivered.
    #[must_use]
    fn frame_key(owner: Owner, frame: Option<FrameId>) -> Option<FrameKey> {
        frame.map(|frame| FrameKey::new(owner, frame))
    }

    /// Whether a window takes one more series of an owner. What it does not take is folded into the owner's `other` series.
    ///
    /// What owners open beyond their shares has half of the room at most, so that an owner with few series finds room
    /// whatever those with many do. Counts are of this window alone: a cap over several windows would make a replay, which
    /// has forgotten the older ones, decide otherwise.
    #[must_use]
    fn takes_series(open: &OpenSeries, policy: &Policy) -> bool {
        let is_within_share = open.of_owner < policy.series_share();
        open.in_window < policy.series_max
            && open.of_owner < policy.series_per_owner_max
            && (is_within_share || open.beyond_shares < policy.series_beyond_shares_max())
    }

    /// `c`: the smallest first-accepted offset over all open windows, or `h` if none is open. `c + 1` would lose a
    /// record, and a younger window can have an earlier first record than the oldest one.
    #[must_use]
    fn replay_offset(position: Offset, open: &[(Window, Offset)]) -> Offset {
        open.iter().map(|&(_, first)| first).min().unwrap_or(position)
    }

    /// Returns the end of the log that must be found again before anything goes on from a commit: what the commit says. A log
    /// that has lost it gives its offsets to other records, and may be longer than before by now.
    #[must_use]
    fn expected_tail(committed: LogTail) -> LogTail {
        committed
    }

    /// Whether a window lost input to a log that now starts at `log_start`, which is at most `h`.
    #[must_use]
    fn has_lost_input(first_offset: Offset, log_start: Offset) -> bool {
        first_offset < log_start
    }

    /// See [`gap_reaches`].
    #[must_use]
    fn gap_reaches(log_timestamp_ms: i64, policy: &Policy) -> Window {
        gap_reaches(log_timestamp_ms, policy)
    }

    /// Whether a record with this stamp can have been appended after a loss, before which `watermark_ms` was read: it is then no
    /// earlier than that by more than clocks differ.
    #[must_use]
    fn may_follow_loss(watermark_ms: i64, log_timestamp_ms: i64, policy: &Policy) -> bool {
        log_timestamp_ms >= watermark_ms.saturating_sub(i64::from(policy.clock_skew_ms))
    }

    /// Whether changes, and not only final summaries, may go out: readers must not see what an earlier incarnation
    /// had published being built up again.
    #[must_use]
    fn may_emit_changes(position: Offset, log_end_at_start: Offset) -> bool {
        position >= log_end_at_start
    }

    /// Whether a commit may be made.
    #[must_use]
    fn may_commit(gate: &CommitGate) -> bool {
        gate.acknowledged >= gate.required && !gate.is_gap_unknown && gate.position >= gate.resumed_position
    }

    /// Whether what happened at this offset was made durable by an earlier incarnation: its commit at
    /// `resumed_position` vouches for it.
    #[must_use]
    fn is_done_before(offset: Offset, resumed_position: Offset) -> bool {
        offset < resumed_position
    }
}

/// The series of a window that [`Rules::takes_series`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSeries {
    /// All series of the window, `other` ones included.
    pub in_window: usize,
    /// Those of the owner that is to get one more.
    pub of_owner: usize,
    /// Those that their owners opened when they had used up their shares ([`Policy::series_share`]).
    pub beyond_shares: usize,
}

/// The state that [`Rules::may_commit`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitGate {
    /// Effects acknowledged so far.
    pub acknowledged: u64,
    /// Effects up to and including the last one that a commit vouches for: a final summary or a dead letter.
    pub required: u64,
    /// Whether the extent of a gap waits for the first record. A commit now would lose the fact that there is one.
    pub is_gap_unknown: bool,
    /// Next offset to be read.
    pub position: Offset,
    /// Position of the commit this incarnation started from. A commit before it is reached would take it back.
    pub resumed_position: Offset,
}

/// The rules as they ship.
#[derive(Clone, Copy, Debug)]
pub struct Production;

impl sealed::Sealed for Production {}

impl Rules for Production {}
