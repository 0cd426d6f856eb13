//! Ranges of offsets or times, resolved into the spans to be read of each partition.

use yahtzee_core::owner::Partition;
use yahtzee_core::partition::Start;
use yahtzee_core::record::Offset;
use yahtzee_core::window::{Policy, Window};

use crate::log::{Bounds, Log, LogError};

use super::Subject;

/// The range to recompute. An absent edge is the log's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayRange {
    /// Its begin; the edge belongs to it.
    pub from: Option<Edge>,
    /// Its end; the edge does not belong to it.
    pub to: Option<Edge>,
}

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// An offset of the raw topic: exactly these records are read, and the windows at the edge may be incomplete.
    Offset(Offset),
    /// An event time in milliseconds since 1970: as many records are read as the windows within need.
    Time(i64),
}

/// Offsets to be read of one partition, and the windows that are wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaySpan {
    /// The partition.
    pub partition: Partition,
    /// First offset to be read.
    pub start: Offset,
    /// The offset after the last one to be read.
    pub end: Offset,
    /// First window that is wanted; none is refused if the range does not begin at a time.
    pub first_window: Window,
    /// The window after the last one that is wanted.
    pub end_window: Window,
}

/// The oldest possible window.
const FIRST: Window = Window(i64::MIN);
/// The newest possible window.
const END: Window = Window(i64::MAX);

impl ReplayRange {
    /// Returns the spans to be read of `partitions`, given what the log keeps now.
    ///
    /// # Errors
    /// If the log does not answer.
    pub fn resolve(
        &self,
        log: &dyn Log,
        subject: &Subject,
        partitions: &[Partition],
    ) -> Result<Vec<ReplaySpan>, LogError> {
        let bounds = log.bounds(&subject.raw, partitions)?;
        let each = partitions.iter().zip(bounds);
        each.map(|(&partition, bounds)| self.span(log, subject, partition, bounds)).collect()
    }

    fn span(
        &self,
        log: &dyn Log,
        subject: &Subject,
        partition: Partition,
        bounds: Bounds,
    ) -> Result<ReplaySpan, LogError> {
        let policy = &subject.plan.policy;
        let at = |time_ms: i64| log.offset_for_time(&subject.raw, partition, time_ms.max(0));
        let within = |offset: Offset| offset.clamp(bounds.start, bounds.end);
        let (start, first_window) = match self.from {
            None => (bounds.start, FIRST),
            Some(Edge::Offset(offset)) => (within(offset), FIRST),
            Some(Edge::Time(time_ms)) => {
                let first = first_within(time_ms, policy.length_ms);
                (within(at(read_from_ms(first, policy))?), first)
            }
        };
        let (end, end_window) = match self.to {
            None => (bounds.end, END),
            Some(Edge::Offset(offset)) => (within(offset), END),
            Some(Edge::Time(time_ms)) => {
                let end = Window::of_ms(time_ms, policy.length_ms);
                (within(at(closed_at_ms(end, policy))?.next()), end)
            }
        };
        Ok(ReplaySpan { partition, start, end: end.max(start), first_window, end_window })
    }
}

/// Returns the first window that begins at or after a time.
fn first_within(time_ms: i64, length_ms: u32) -> Window {
    Window::of_ms(time_ms.saturating_sub(1), length_ms).plus(1)
}

/// No record received before this time reaches `first`: so [`yahtzee_core::rules::gap_reaches`] says of the
/// millisecond before.
fn read_from_ms(first: Window, policy: &Policy) -> i64 {
    let reaches_ms = first.minus(policy.future_windows).start_ms(policy.length_ms);
    reaches_ms.saturating_sub(i64::from(policy.clock_skew_ms))
}

/// A record received at this time closes the window before `end`.
fn closed_at_ms(end: Window, policy: &Policy) -> i64 {
    end.plus(policy.lateness_windows).start_ms(policy.length_ms)
}

impl ReplaySpan {
    /// Returns whether the window is wanted.
    #[must_use]
    pub fn wants(&self, window: Window) -> bool {
        (self.first_window..self.end_window).contains(&window)
    }

    /// Returns the greatest number of records to be read.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }

    /// Returns whether there is nothing to be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the history of a partition that has no progress yet. If the range begins at a time, no record before the start
    /// reaches a wanted window.
    ///
    /// That is not known if the log itself begins there, because what was deleted before may have been received later;
    /// nor if the range begins at an offset. Then the first record decides.
    pub(super) fn origin(&self, log_start: Offset) -> Start<'static> {
        let is_known = self.start > log_start || log_start == Offset(0);
        if is_known && self.first_window != FIRST {
            Start::Time { offset: self.start, first_window: self.first_window }
        } else {
            Start::Beginning
        }
    }
}

#[cfg(test)]
mod tests {
    use yahtzee_core::rules::{gap_reaches, open_from};

    use super::*;

    #[test]
    fn a_time_names_the_windows_that_lie_behind_it() {
        let check =
            |time_ms, expected| assert_eq!(first_within(time_ms, 60_000), Window(expected), "{time_ms}");
        check(0, 0);
        check(1, 1);
        check(60_000, 1);
        check(60_001, 2);
        check(-60_000, -1);
    }

    #[test]
    fn reading_begins_after_all_that_cannot_matter_and_ends_when_all_is_closed() {
        for (length_ms, future, skew_ms, lateness) in
            [(60_000, 1, 60_000, 5), (1_000, 0, 0, 0), (1_000, 3, 1_700, 2)]
        {
            let policy = Policy {
                length_ms,
                future_windows: future,
                clock_skew_ms: skew_ms,
                lateness_windows: lateness,
                ..Policy::default()
            };
            let window = Window(1_000);
            let from_ms = read_from_ms(window, &policy);
            assert!(gap_reaches(from_ms - 1, &policy) < window);
            assert!(gap_reaches(from_ms, &policy) >= window);
            let closed_ms = closed_at_ms(window.plus(1), &policy);
            assert!(open_from(Some(closed_ms), &policy) > window);
            assert!(open_from(Some(closed_ms - 1), &policy) <= window);
        }
    }
}
