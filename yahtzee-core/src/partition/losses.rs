//! What a log has lost from its end, passed once more by a generation that folds it anew.

use crate::lost_tail::LostTail;
use crate::record::Offset;
use crate::rules::Rules;
use crate::window::{Policy, Window};

/// The losses of a partition, and which of them lie ahead of the position.
#[derive(Clone, Debug, Default)]
pub(super) struct LossWatch {
    losses: Vec<LostTail>,
    /// Of each loss that is not settled: the first window that may lack records, once the loss may lie behind the position.
    begun: Vec<Option<Window>>,
    is_pending: bool,
}

impl LossWatch {
    /// Creates the watch for these losses.
    pub(super) fn of(losses: Vec<LostTail>) -> Self {
        let is_pending = losses.iter().any(|loss| loss.windows.is_none());
        Self { begun: vec![None; losses.len()], losses, is_pending }
    }

    /// Creates the watch of who goes on from a commit that says this; losses that retention has passed are forgotten.
    pub(super) fn from_commit(losses: &[LostTail], log_start: Offset) -> Self {
        let is_left = |loss: &&LostTail| loss.windows.is_none() || loss.kept_before >= log_start;
        Self::of(losses.iter().filter(is_left).copied().collect())
    }

    /// Notes that the log ends here: whatever it had been said to keep, what comes from here on is appended later.
    pub(super) fn end_at(&mut self, log_end: Offset) {
        for loss in self.losses.iter_mut().filter(|loss| loss.windows.is_none()) {
            loss.kept_before = loss.kept_before.min(log_end);
        }
    }

    /// Whether a loss is not settled.
    pub(super) fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// Whether a loss may lie behind the position, and nothing tells yet how far it has reached.
    pub(super) fn is_in_question(&self) -> bool {
        self.begun.iter().any(Option::is_some)
    }

    /// Begins the losses that may lie behind a record at `offset`, or, without a stamp, behind the records below it. The windows
    /// that are open then, from `open_from` on, may lack records. Answers whether one has begun.
    pub(super) fn begin<R: Rules>(
        &mut self,
        offset: Offset,
        timestamp_ms: Option<i64>,
        open_from: Window,
        policy: &Policy,
    ) -> bool {
        let mut has_begun = false;
        for (loss, begun) in self.losses.iter().zip(&mut self.begun) {
            let may_follow = |timestamp_ms: i64| {
                let is_after = |watermark_ms| R::may_follow_loss(watermark_ms, timestamp_ms, policy);
                loss.watermark_ms.is_none_or(is_after)
            };
            let is_passed = offset >= loss.kept_before || timestamp_ms.is_some_and(may_follow);
            if loss.windows.is_none() && begun.is_none() && is_passed {
                *begun = Some(open_from);
                has_begun = true;
            }
        }
        has_begun
    }

    /// Settles the losses that lie behind a record at `offset`, which reach to the window `last`; `name` is given the first window
    /// of each.
    pub(super) fn settle(&mut self, offset: Offset, last: Window, mut name: impl FnMut(Window)) {
        for (loss, begun) in self.losses.iter_mut().zip(&mut self.begun) {
            if offset >= loss.kept_before
                && let Some(first) = begun.take()
            {
                name(first);
                loss.windows = Some((first, last));
            }
        }
        self.is_pending = self.losses.iter().any(|loss| loss.windows.is_none());
    }

    /// Returns all losses, oldest first.
    pub(super) fn all(&self) -> Vec<LostTail> {
        self.losses.clone()
    }
}
