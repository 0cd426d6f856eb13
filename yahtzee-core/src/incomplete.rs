//! Windows that may have lost input: named, never published as complete.

use std::collections::BTreeSet;

use crate::window::Window;

/// The windows of a partition that a gap in the log may have hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncompleteWindows {
    windows: BTreeSet<Window>,
    reach: Reach,
}

/// Extent of a gap of unknown length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reach {
    /// No such gap.
    #[default]
    Nothing,
    /// The first record after the gap will tell.
    Unknown,
    /// This window and all before it.
    Through(Window),
}

impl IncompleteWindows {
    /// Nothing is missing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Exactly these windows have lost input.
    pub fn of(windows: impl IntoIterator<Item = Window>) -> Self {
        Self { windows: windows.into_iter().collect(), reach: Reach::Nothing }
    }

    /// Input before the next record is missing; how much, that record will tell.
    #[must_use]
    pub fn until_first_record() -> Self {
        Self { windows: BTreeSet::new(), reach: Reach::Unknown }
    }

    /// This window and everything before it.
    #[must_use]
    pub fn through(window: Window) -> Self {
        Self { windows: BTreeSet::new(), reach: Reach::Through(window) }
    }

    /// Adds another gap's windows.
    #[must_use]
    pub fn and(mut self, windows: impl IntoIterator<Item = Window>) -> Self {
        self.windows.extend(windows);
        self
    }

    /// Whether the window may have lost input.
    #[must_use]
    pub fn covers(&self, window: Window) -> bool {
        let is_reached = match self.reach {
            Reach::Nothing => false,
            Reach::Unknown => true,
            Reach::Through(last) => window <= last,
        };
        is_reached || self.windows.contains(&window)
    }

    /// Whether the extent waits for the first record. Until then nothing may be committed, or the fact that
    /// something is missing would be lost with the next crash.
    #[must_use]
    pub fn is_open_ended(&self) -> bool {
        self.reach == Reach::Unknown
    }

    /// The first record after the gap: no record before it can have belonged to a window after `last`.
    pub(crate) fn ends_at(&mut self, last: Window) {
        if self.is_open_ended() {
            self.reach = Reach::Through(last);
        }
    }

    /// Forgets windows that nothing can be accepted into any more.
    pub(crate) fn forget_before(&mut self, open_from: Window) {
        self.windows = self.windows.split_off(&open_from);
        if matches!(self.reach, Reach::Through(last) if last < open_from) {
            self.reach = Reach::Nothing;
        }
    }

    /// Single windows, oldest first, without those that [`Self::reach_through`] covers by range.
    pub fn windows(&self) -> impl ExactSizeIterator<Item = Window> + '_ {
        self.windows.iter().copied()
    }

    /// The window up to which everything is covered, if any.
    #[must_use]
    pub fn reach_through(&self) -> Option<Window> {
        match self.reach {
            Reach::Through(last) => Some(last),
            Reach::Nothing | Reach::Unknown => None,
        }
    }

    /// Whether no window is covered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.reach == Reach::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_single_windows_and_reaches() {
        fn check(incomplete: &IncompleteWindows, covered: &[i64]) {
            let seen: Vec<i64> = (0..8).filter(|&number| incomplete.covers(Window(number))).collect();
            assert_eq!(seen, covered, "{incomplete:?}");
        }
        check(&IncompleteWindows::none(), &[]);
        check(&IncompleteWindows::of([Window(2), Window(5)]), &[2, 5]);
        check(&IncompleteWindows::through(Window(2)).and([Window(4)]), &[0, 1, 2, 4]);
        check(&IncompleteWindows::until_first_record(), &[0, 1, 2, 3, 4, 5, 6, 7]);

        let mut gap = IncompleteWindows::until_first_record();
        gap.ends_at(Window(3));
        check(&gap, &[0, 1, 2, 3]);
        gap.ends_at(Window(7));
        check(&gap, &[0, 1, 2, 3]);
        gap.forget_before(Window(4));
        check(&gap, &[]);
        assert!(gap.is_empty());
    }
}
