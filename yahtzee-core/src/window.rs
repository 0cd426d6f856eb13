//! Second stage: windows of event time, and the accumulators of the series in them.

use std::collections::hash_map::{DefaultHasher, Entry as MapEntry};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasherDefault;

use crate::owner::Owner;
use crate::record::{FrameId, Offset, Outcomes};

/// Fixed keys: the same order of the same records gives the same state everywhere.
pub type SeriesHasher = BuildHasherDefault<DefaultHasher>;

/// A window by its number: event time divided by the window length, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window(pub i64);

impl Window {
    /// The window of a time in milliseconds since 1970. Euclidean, so that times before 1970 work.
    #[must_use]
    pub fn of_ms(time_ms: i64, length_ms: u32) -> Self {
        Self(time_ms.div_euclid(i64::from(length_ms.max(1))))
    }

    /// The window of a time in microseconds since 1970.
    #[must_use]
    pub fn of_us(time_us: i64, length_ms: u32) -> Self {
        Self::of_ms(time_us.div_euclid(1_000), length_ms)
    }

    /// First millisecond of the window.
    #[must_use]
    pub fn start_ms(self, length_ms: u32) -> i64 {
        self.0.saturating_mul(i64::from(length_ms))
    }

    /// The window `count` windows earlier.
    #[must_use]
    pub fn minus(self, count: u32) -> Self {
        Self(self.0.saturating_sub(i64::from(count)))
    }

    /// The window `count` windows later.
    #[must_use]
    pub fn plus(self, count: u32) -> Self {
        Self(self.0.saturating_add(i64::from(count)))
    }
}

/// Which windows are kept, and when their summaries go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Length of a window in milliseconds.
    pub length_ms: u32,
    /// Windows behind the mark's own that are still accepted (`L`).
    pub lateness: u32,
    /// Windows ahead of a record's own log timestamp that are accepted (`F`).
    pub future: u32,
    /// A changed summary goes out at most once per this time, in milliseconds.
    pub flush_interval_ms: u64,
    /// Greatest difference between the clocks of two ingress processes, in milliseconds. Used only to name the
    /// windows that a gap in the log may have hit.
    pub clock_skew_ms: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { length_ms: 60_000, lateness: 5, future: 1, flush_interval_ms: 10_000, clock_skew_ms: 60_000 }
    }
}

/// The state of one series in one window.
#[derive(Debug)]
pub(crate) struct SeriesState<A> {
    /// Owner (16 bytes), then the encoded dimensions.
    pub(crate) series: Box<[u8]>,
    pub(crate) accumulator: A,
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) count: u64,
    dirty: bool,
}

/// One open window of one partition.
#[derive(Debug)]
pub(crate) struct WindowState<A> {
    /// Offset of the first record accepted into the window.
    pub(crate) first_offset: Offset,
    /// In the order of first appearance in the log; never in hash order.
    pub(crate) states: Vec<SeriesState<A>>,
    index: HashMap<Box<[u8]>, u32, SeriesHasher>,
    dirty: Vec<u32>,
    frames: HashSet<(Owner, FrameId), SeriesHasher>,
    /// Monotonic milliseconds from which the dirty summaries may go out.
    pub(crate) due_ms: u64,
}

impl<A: Default> WindowState<A> {
    fn new(first_offset: Offset) -> Self {
        Self {
            first_offset,
            states: Vec::new(),
            index: HashMap::default(),
            dirty: Vec::new(),
            frames: HashSet::default(),
            due_ms: 0,
        }
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Calls `each` for every changed series and forgets that they changed.
    pub(crate) fn drain_dirty(&mut self, mut each: impl FnMut(&SeriesState<A>)) {
        for index in self.dirty.drain(..) {
            let state = &mut self.states[index as usize];
            state.dirty = false;
            each(state);
        }
    }

    fn series(&mut self, key: &[u8], offset: Offset) -> &mut SeriesState<A> {
        let index = match self.index.get(key) {
            Some(&index) => index,
            None => self.open_series(key, offset),
        };
        let state = &mut self.states[index as usize];
        if !state.dirty {
            state.dirty = true;
            self.dirty.push(index);
        }
        state
    }

    fn open_series(&mut self, key: &[u8], offset: Offset) -> u32 {
        let index = u32::try_from(self.states.len()).expect("fewer than 2^32 series fit in memory");
        match self.index.entry(key.into()) {
            MapEntry::Occupied(occupied) => *occupied.get(),
            MapEntry::Vacant(vacant) => {
                vacant.insert(index);
                self.states.push(SeriesState {
                    series: key.into(),
                    accumulator: A::default(),
                    first_offset: offset,
                    last_offset: offset,
                    count: 0,
                    dirty: false,
                });
                index
            }
        }
    }
}

/// All open windows of one partition, oldest first.
#[derive(Debug)]
pub(crate) struct Windows<A>(pub(crate) BTreeMap<Window, WindowState<A>>);

impl<A> Default for Windows<A> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<A> Windows<A> {
    /// Takes the oldest window out if it lies below `open_from`.
    pub(crate) fn pop_closed(&mut self, open_from: Window) -> Option<(Window, WindowState<A>)> {
        let entry = self.0.first_entry()?;
        (*entry.key() < open_from).then(|| entry.remove_entry())
    }

    /// Windows with the offset of the first record accepted into each, oldest first.
    pub(crate) fn first_offsets(&self) -> impl Iterator<Item = (Window, Offset)> + '_ {
        self.0.iter().map(|(&window, state)| (window, state.first_offset))
    }
}

/// What a measurement's window must satisfy to be accepted from one record.
///
/// | window of the measurement          | verdict     |
/// |------------------------------------|-------------|
/// | below `minute(M) - L`              | late        |
/// | above `minute(log timestamp) + F`  | future      |
/// | may have lost input                | quarantined |
/// | has seen the record's frame        | duplicate   |
/// | any other                          | accepted    |
///
/// The future test looks at the record's own stamp: tested against the mark, a replay with its restored
/// (larger) mark would accept what the first run had rejected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) open_from: Window,
    pub(crate) open_through: Window,
}

/// Where a job puts the measurements of one record. Lives for the length of one [`crate::job::Job::fold`].
#[derive(Debug)]
pub struct Intake<'a, A> {
    pub(crate) windows: &'a mut Windows<A>,
    pub(crate) quarantine: &'a crate::quarantine::Quarantine,
    pub(crate) bounds: Bounds,
    pub(crate) length_ms: u32,
    pub(crate) offset: Offset,
    pub(crate) owner: Owner,
    pub(crate) frame: Option<FrameId>,
    /// Windows that accepted this record's frame just now: to these it is no duplicate.
    pub(crate) fresh: &'a mut Vec<Window>,
    pub(crate) series_key: &'a mut Vec<u8>,
    pub(crate) outcomes: Outcomes,
}

impl<A: Default> Intake<'_, A> {
    /// Folds one measurement: `time_us` is its event time (microseconds since 1970), `dimensions` its values of
    /// the job's dimensions in their order. `fold` runs only if the measurement is accepted.
    ///
    /// A dimension longer than 255 bytes is cut there.
    pub fn add(&mut self, time_us: i64, dimensions: &[&str], fold: impl FnOnce(&mut A)) {
        let window = Window::of_us(time_us, self.length_ms);
        if window < self.bounds.open_from {
            self.outcomes.late += 1;
        } else if window > self.bounds.open_through {
            self.outcomes.future += 1;
        } else if self.quarantine.covers(window) {
            self.outcomes.quarantined += 1;
        } else {
            self.accept(window, dimensions, fold);
        }
    }

    fn accept(&mut self, window: Window, dimensions: &[&str], fold: impl FnOnce(&mut A)) {
        if self.is_duplicate(window) {
            self.outcomes.duplicate += 1;
            return;
        }
        self.series_key.clear();
        self.series_key.extend_from_slice(&self.owner.0);
        crate::summary::encode_dimensions(dimensions, self.series_key);
        let offset = self.offset;
        let state = self.windows.0.entry(window).or_insert_with(|| WindowState::new(offset));
        let series = state.series(self.series_key, offset);
        fold(&mut series.accumulator);
        series.last_offset = offset;
        series.count += 1;
        self.outcomes.accepted += 1;
    }

    /// Remembers the frame in the window; true if an earlier record had brought it there.
    ///
    /// Only accepted copies are remembered: a rejected one would not be rebuilt by a replay.
    fn is_duplicate(&mut self, window: Window) -> bool {
        let Some(frame) = self.frame else { return false };
        if self.fresh.contains(&window) {
            return false;
        }
        let offset = self.offset;
        let state = self.windows.0.entry(window).or_insert_with(|| WindowState::new(offset));
        let is_new = state.frames.insert((self.owner, frame));
        if is_new {
            self.fresh.push(window);
        }
        !is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_half_open_and_work_before_1970() {
        fn check(time_ms: i64, expected: i64) {
            let window = Window::of_ms(time_ms, 60_000);
            assert_eq!(window, Window(expected), "{time_ms}");
            assert!(window.start_ms(60_000) <= time_ms && time_ms < window.plus(1).start_ms(60_000));
        }
        check(0, 0);
        check(59_999, 0);
        check(60_000, 1);
        check(-1, -1);
        check(-60_000, -1);
        check(-60_001, -2);
    }

    #[test]
    fn microseconds_fall_into_the_window_of_their_millisecond() {
        assert_eq!(Window::of_us(59_999_999, 60_000), Window(0));
        assert_eq!(Window::of_us(60_000_000, 60_000), Window(1));
        assert_eq!(Window::of_us(-1, 60_000), Window(-1));
    }
}
