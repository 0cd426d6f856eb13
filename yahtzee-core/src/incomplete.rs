//! Windows that may have lost input: named, never published as complete.

use std::collections::BTreeSet;

use crate::window::{OPEN_WINDOWS_MAX, Window};

/// The windows of a partition that a gap in the log may have hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncompleteWindows {
    windows: BTreeSet<Window>,
    reach: Reach,
    /// A loss lies behind or ahead, which a later record will tell: until then no window is known to be whole.
    is_in_question: bool,
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
        Self { windows: windows.into_iter().collect(), ..Self::none() }
    }

    /// Input before the next record is missing; how much, that record will tell.
    #[must_use]
    pub fn until_first_record() -> Self {
        Self { reach: Reach::Unknown, ..Self::none() }
    }

    /// This window and everything before it.
    #[must_use]
    pub fn through(window: Window) -> Self {
        Self { reach: Reach::Through(window), ..Self::none() }
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
        is_reached || self.is_in_question || self.windows.contains(&window)
    }

    /// Whether the extent waits for a record. Until then nothing may be committed, or the fact that
    /// something is missing would be lost with the next crash.
    #[must_use]
    pub fn is_open_ended(&self) -> bool {
        self.is_in_question || self.reach == Reach::Unknown
    }

    /// The first record after the gap: no record before it can have belonged to a window after `last`.
    pub(crate) fn ends_at(&mut self, last: Window) {
        if self.reach == Reach::Unknown {
            self.reach = Reach::Through(last);
        }
    }

    /// Whether all windows are in question until a loss is behind.
    pub(crate) fn put_in_question(&mut self, is_in_question: bool) {
        self.is_in_question = is_in_question;
    }

    /// Adds the windows from `first` to `last`: one by one, or, where a commit could not name as many, with all before them.
    pub(crate) fn add_range(&mut self, first: Window, last: Window) {
        if last < first {
            return;
        }
        let added = last.0.saturating_sub(first.0).saturating_add(1);
        let named = i64::try_from(self.windows.len()).unwrap_or(i64::MAX);
        if added.saturating_add(named) <= i64::from(OPEN_WINDOWS_MAX) {
            self.windows.extend((first.0..=last.0).map(Window));
        } else if self.reach != Reach::Unknown {
            self.windows = self.windows.split_off(&last.plus(1));
            self.reach = Reach::Through(self.reach_through().map_or(last, |before| before.max(last)));
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
        self.windows.is_empty() && self.reach == Reach::Nothing && !self.is_in_question
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

    #[test]
    fn a_loss_puts_all_windows_in_question_and_then_covers_a_range() {
        let mut loss = IncompleteWindows::of([Window(1)]);
        loss.put_in_question(true);
        assert!((0..8).all(|number| loss.covers(Window(number))) && loss.is_open_ended());
        // The first record after a gap tells nothing of it.
        loss.ends_at(Window(0));
        assert!(loss.covers(Window(7)));
        loss.add_range(Window(3), Window(5));
        loss.put_in_question(false);
        assert_eq!(loss, IncompleteWindows::of([1, 3, 4, 5].map(Window)));
        loss.add_range(Window(5), Window(4));
        assert_eq!(loss.windows().len(), 4);
    }

    #[test]
    fn more_windows_than_a_commit_names_are_covered_with_all_before_them() {
        fn check(before: IncompleteWindows, first: i64, last: i64, expected: &IncompleteWindows) {
            let mut incomplete = before;
            incomplete.add_range(Window(first), Window(last));
            assert_eq!(&incomplete, expected);
        }
        let (max, none) = (i64::from(OPEN_WINDOWS_MAX), IncompleteWindows::none);
        check(none(), 0, max - 1, &IncompleteWindows::of((0..max).map(Window)));
        check(none(), 0, max, &IncompleteWindows::through(Window(max)));
        check(none(), i64::MIN, 7, &IncompleteWindows::through(Window(7)));
        check(IncompleteWindows::through(Window(9)), i64::MIN, 7, &IncompleteWindows::through(Window(9)));
        // Those that were named before count too.
        let named = || IncompleteWindows::of((0..max - 3).map(Window));
        check(named(), max + 1, max + 3, &named().and((max + 1..=max + 3).map(Window)));
        check(named(), max + 1, max + 4, &IncompleteWindows::through(Window(max + 4)));
        check(named(), -9, -3, &IncompleteWindows::through(Window(-3)).and(named().windows()));
        // What the first record will tell reaches no less far.
        let unknown = IncompleteWindows::until_first_record;
        check(unknown(), i64::MIN, 7, &unknown());
    }
}
