//! Every decision that the promises rest on, each in one small function.
//!
//! [`Production`] takes them all as they stand here. The simulator runs the same [`crate::partition::PartitionCore`]
//! with one of them replaced by a plausible mistake, and must notice: that is how we know that each is needed
//! and that each is tested. The proofs are in `docs/commit-rule.md`.

use crate::incomplete::IncompleteWindows;
use crate::owner::Owner;
use crate::record::{FrameId, Offset};
use crate::window::{Policy, Window};

/// The decisions. The default of every function is the right one.
pub trait Rules: Send + 'static {
    /// `M(o)`: the running maximum of the log timestamps. Tenant event time never moves it.
    #[must_use]
    fn watermark(before_ms: Option<i64>, log_timestamp_ms: i64) -> i64 {
        before_ms.map_or(log_timestamp_ms, |before_ms| before_ms.max(log_timestamp_ms))
    }

    /// Oldest window that is open under a watermark: `minute(M) - L`.
    #[must_use]
    fn open_from(watermark_ms: Option<i64>, policy: &Policy) -> Window {
        let open_from =
            |watermark_ms| Window::of_ms(watermark_ms, policy.length_ms).minus(policy.lateness_windows);
        watermark_ms.map_or(Window(i64::MIN), open_from)
    }

    /// Newest window that a record may reach: `minute(log timestamp) + F`.
    ///
    /// Of the record's own stamp. Judged by the watermark, a replay, whose restored watermark is greater, would accept what
    /// the first run had rejected.
    #[must_use]
    fn open_through(log_timestamp_ms: i64, _watermark_ms: Option<i64>, policy: &Policy) -> Window {
        Window::of_ms(log_timestamp_ms, policy.length_ms).plus(policy.future_windows)
    }

    /// Whether a frame that a window has accepted before is a duplicate there.
    #[must_use]
    fn is_duplicate(seen_in_window: bool) -> bool {
        seen_in_window
    }

    /// Under what a window remembers a frame. Two owners in one frame are told apart.
    #[must_use]
    fn frame_key(owner: Owner, frame: FrameId) -> (Owner, FrameId) {
        (owner, frame)
    }

    /// Whether a window in which `series` series are open, `of_owner` of them the record's owner's, takes another
    /// one. What it does not take is folded into the owner's `other` series. Counts are of this window alone: a cap
    /// over several windows would make a replay, which has forgotten the older ones, decide otherwise.
    #[must_use]
    fn takes_series(series: usize, of_owner: usize, policy: &Policy) -> bool {
        series < policy.series_max && of_owner < policy.series_per_owner_max
    }

    /// `c`: the smallest first-accepted offset over all open windows, or `h` if none is open. `c + 1` would lose a
    /// record, and a younger window can have an earlier first record than the oldest one.
    #[must_use]
    fn replay_offset(position: Offset, open: &[(Window, Offset)]) -> Offset {
        open.iter().map(|&(_, first)| first).min().unwrap_or(position)
    }

    /// The watermark to go on with after a restart: without it, late records re-open finished windows.
    #[must_use]
    fn restored_watermark(committed_ms: Option<i64>) -> Option<i64> {
        committed_ms
    }

    /// The incomplete windows to go on with after a restart.
    #[must_use]
    fn restored_incomplete(committed: &IncompleteWindows) -> IncompleteWindows {
        committed.clone()
    }

    /// Whether a window lost input to a log that now starts at `log_start`, which is at most `h`.
    #[must_use]
    fn has_lost_input(first_offset: Offset, log_start: Offset) -> bool {
        first_offset < log_start
    }

    /// Last window that a gap of unknown length may have hit, told by the first record after it: earlier records
    /// were received no later than a clock difference after this one, and reach no further than `F` ahead.
    #[must_use]
    fn gap_reaches(log_timestamp_ms: i64, policy: &Policy) -> Window {
        let skewed_ms = log_timestamp_ms.saturating_add(i64::from(policy.clock_skew_ms));
        Window::of_ms(skewed_ms, policy.length_ms).plus(policy.future_windows)
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

    /// The offset that orders the summaries of a series: that of the last record folded into it, so that equal
    /// revisions mean equal bytes.
    #[must_use]
    fn revision_offset(last_folded: Offset, _position: Offset) -> Offset {
        last_folded
    }

    /// Whether a series that has not changed since its last summary still gets a final one.
    #[must_use]
    fn finalises_unchanged() -> bool {
        true
    }
}

/// What [`Rules::may_commit`] looks at.
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

/// The rules as they stand.
#[derive(Clone, Copy, Debug)]
pub struct Production;

impl Rules for Production {}
