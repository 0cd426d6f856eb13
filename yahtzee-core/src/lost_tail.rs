//! Records that a log has lost from its end, and the windows that lack them.
//!
//! A generation that folds the log anew reads, in order, what was kept, then what was appended afterwards, and is not told where the
//! one ends. Two bounds are known. A record appended after the loss is stamped no earlier than the watermark that was read before
//! it, less the clocks' greatest difference: with the first such stamp the loss may lie behind the reader. And at an offset
//! from which on nothing was kept, it does.

use crate::record::Offset;
use crate::window::Window;

/// Losses that a commit can name. Of more, the oldest two are taken for one.
const LOSSES_MAX: usize = 8;

/// One loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostTail {
    /// Watermark that had been read before the loss, milliseconds since 1970; `None` if nothing is known of it, because the topic was
    /// made anew or nothing but control records had been read.
    pub watermark_ms: Option<i64>,
    /// Offset from which on every record was appended after the loss.
    pub kept_before: Offset,
    /// First and last window that may lack records, once a record at or after [`Self::kept_before`] was read.
    pub windows: Option<(Window, Window)>,
}

impl LostTail {
    /// Returns the same loss, to be passed once more.
    #[must_use]
    pub fn pending(self) -> Self {
        Self { windows: None, ..self }
    }

    /// Whether one of `known` is this loss, as somebody else has found it: what had been read before it is the same.
    #[must_use]
    pub fn is_among(&self, known: &[Self]) -> bool {
        Self::is_known_after(self.watermark_ms, known)
    }

    /// Whether one of `known` is a loss of what followed this watermark.
    #[must_use]
    pub fn is_known_after(watermark_ms: Option<i64>, known: &[Self]) -> bool {
        known.iter().any(|known| known.watermark_ms == watermark_ms)
    }
}

/// Adds a loss to those before it, oldest first. What it took was appended after those, or had been kept by them.
pub(crate) fn add_loss(losses: &mut Vec<LostTail>, loss: LostTail) {
    for earlier in losses.iter_mut() {
        earlier.kept_before = earlier.kept_before.min(loss.kept_before);
    }
    push_loss(losses, loss);
}

/// Adds another loss, of which nothing says whether it came before those or after.
pub(crate) fn push_loss(losses: &mut Vec<LostTail>, loss: LostTail) {
    losses.push(loss);
    if losses.len() > LOSSES_MAX {
        let second = losses.remove(1);
        let watermark_ms = losses[0].watermark_ms.zip(second.watermark_ms).map(|(a, b)| a.min(b));
        let kept_before = losses[0].kept_before.max(second.kept_before);
        losses[0] = LostTail { watermark_ms, kept_before, windows: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_joined_when_there_are_too_many_to_be_named() {
        let mut losses = Vec::new();
        let mut check = |watermark_ms: Option<i64>, kept_before, expected: &[(Option<i64>, u64)]| {
            let kept_before = Offset(kept_before);
            add_loss(&mut losses, LostTail { watermark_ms, kept_before, windows: None });
            let found: Vec<_> = losses.iter().map(|it| (it.watermark_ms, it.kept_before.0)).collect();
            assert_eq!(found, expected);
        };
        check(Some(50), 10, &[(Some(50), 10)]);
        // A later loss that reaches further back: from there on nothing of before is left.
        check(Some(80), 6, &[(Some(50), 6), (Some(80), 6)]);
        let mut expected = vec![(Some(50), 6), (Some(80), 6)];
        for number in 3..=8 {
            expected.push((Some(100 * number), 10 * number as u64));
            check(Some(100 * number), 10 * number as u64, &expected);
        }
        expected.splice(..2, [(Some(50), 6)]);
        expected.push((Some(900), 90));
        check(Some(900), 90, &expected);
        expected.splice(..2, [(Some(50), 30)]);
        expected.push((Some(990), 99));
        check(Some(990), 99, &expected);
    }

    #[test]
    fn a_topic_made_anew_keeps_nothing_when_losses_are_joined() {
        let loss = |watermark_ms, kept_before| LostTail { watermark_ms, kept_before, windows: None };
        let mut losses = Vec::new();
        (0..9).for_each(|number| add_loss(&mut losses, loss((number > 0).then_some(number), Offset(0))));
        assert_eq!((losses.len(), losses[0]), (LOSSES_MAX, loss(None, Offset(0))));
    }
}
