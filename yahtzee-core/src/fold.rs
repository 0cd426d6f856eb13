//! Folding: the way of one record's measurements into the windows, and the outcome of each.

use crate::accumulate::Occurrence;
use crate::incomplete::IncompleteWindows;
use crate::owner::Owner;
use crate::record::{FrameKey, MeasurementCounts, Offset};
use crate::rules::OpenSeries;
use crate::series::{KeyId, Remembered, Series, Windows};
use crate::summary::{OTHER, encode_dimensions, is_encoding_of};
use crate::window::{Policy, Window};

/// Which measurements of a record are accepted.
///
/// | window of the measurement        | outcome     |
/// |----------------------------------|-------------|
/// | below `minute(M) - L`            | late        |
/// | above `minute(log timestamp) + F`| future      |
/// | may have lost input              | incomplete |
/// | has accepted the record's frame  | duplicate   |
/// | has no room for its series       | accepted into the owner's `other` series, or capped |
/// | any other                        | accepted    |
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acceptance<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) open_from: Window,
    pub(crate) open_through: Window,
    pub(crate) incomplete: &'a IncompleteWindows,
    /// [`crate::rules::Rules::takes_series`]; asked only where a series is opened.
    pub(crate) takes_series: fn(&OpenSeries, &Policy) -> bool,
}

/// The record that the measurements came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) offset: Offset,
    pub(crate) owner: Owner,
    pub(crate) frame: Option<FrameKey>,
}

/// Memory that folding a record needs and the next one uses again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Windows that accepted this record's frame just now: to these it is no duplicate.
    newly_seen: Vec<Window>,
    series_key: Vec<u8>,
}

/// Folds the measurements of one record.
#[derive(Debug)]
pub(crate) struct RecordFold<'a, A> {
    acceptance: Acceptance<'a>,
    origin: Origin,
    windows: &'a mut Windows<A>,
    scratch: &'a mut Scratch,
    /// The series whose key is in `scratch`: most records have all their measurements in one.
    series: Option<Series>,
    counts: MeasurementCounts,
    /// Occurrences that the job has asked for.
    occurrences: u32,
    /// Copies of the states that the record would change, if it is only tried.
    rehearsal: Option<Vec<RehearsedState<A>>>,
}

/// The copy of a state, by window and key.
#[derive(Debug)]
struct RehearsedState<A> {
    window: Window,
    key: Vec<u8>,
    accumulator: A,
    origin: RehearsedOrigin,
}

/// Where the copy of a state comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RehearsedOrigin {
    /// From a series that is open.
    Open,
    /// It is one that the record would open, within the owner's share or as its `other` series.
    Opened,
    /// The same, beyond the owner's share.
    OpenedBeyondShare,
}

impl<'a, A: Default + Clone> RecordFold<'a, A> {
    pub(crate) fn new(
        acceptance: Acceptance<'a>,
        origin: Origin,
        windows: &'a mut Windows<A>,
        scratch: &'a mut Scratch,
    ) -> Self {
        scratch.newly_seen.clear();
        let counts = MeasurementCounts::default();
        Self { acceptance, origin, windows, scratch, series: None, counts, occurrences: 0, rehearsal: None }
    }

    /// Folds into copies: nothing changes but the scratch memory, whatever the job's code does.
    pub(crate) fn rehearse(&mut self) {
        self.rehearsal = Some(Vec::new());
    }

    /// Returns the next occurrence of the record.
    pub(crate) fn occurrence(&mut self) -> Occurrence {
        let number = self.occurrences;
        self.occurrences += 1;
        Occurrence::of(self.origin.owner, self.origin.offset.0, number)
    }

    /// Returns what became of the measurements.
    pub(crate) fn finish(self) -> MeasurementCounts {
        self.counts
    }

    /// Folds one measurement. `fold` runs only if it is accepted.
    pub(crate) fn add(&mut self, time_us: i64, dimensions: &[&str], fold: impl FnOnce(&mut A)) {
        let Acceptance { policy, open_from, open_through, incomplete, .. } = self.acceptance;
        let window = Window::of_us(time_us, policy.length_ms);
        if self.rehearsal.is_some() {
            self.add_to_copy(window, dimensions, fold);
        } else if window < open_from {
            self.counts.count_late(open_from.0 - window.0, policy.length_ms);
        } else if window > open_through {
            self.counts.future += 1;
        } else if incomplete.covers(window) {
            self.counts.incomplete += 1;
        } else {
            let at = self.windows.at(window, self.origin.offset);
            if self.is_duplicate(at, window) {
                self.counts.duplicate += 1;
            } else {
                self.accept(at, dimensions, fold);
            }
        }
    }

    /// Folds one measurement into a copy of the state that would take it.
    #[cold]
    fn add_to_copy(&mut self, window: Window, dimensions: &[&str], fold: impl FnOnce(&mut A)) {
        let Acceptance { open_from, open_through, incomplete, .. } = self.acceptance;
        let at = self.windows.open.iter().position(|state| state.window == window);
        let knows = |frame| at.is_some_and(|at| self.windows.open[at].knows(frame));
        let is_rejected = window < open_from || window > open_through || incomplete.covers(window);
        if is_rejected || self.origin.frame.is_some_and(knows) {
            return;
        }
        let series = self.find(dimensions);
        if let Some(copy) = self.copy_for(at, window, series, dimensions.len()) {
            fold(&mut copy.accumulator);
        }
    }

    /// Returns the copy that takes a measurement: of the series whose key is in `scratch`, or where the caps forbid to open it
    /// of the owner's `other` series, as [`Self::accept`] chooses; `None` if neither finds room.
    fn copy_for(
        &mut self,
        at: Option<usize>,
        window: Window,
        series: Series,
        dimensions: usize,
    ) -> Option<&mut RehearsedState<A>> {
        use RehearsedOrigin::{Opened, OpenedBeyondShare};
        let Acceptance { policy, takes_series, .. } = self.acceptance;
        let mut copy = self.copy_of_open(at, window, series);
        if copy.is_none() {
            let open = self.open_with_copies(at, window, series);
            if takes_series(&open, policy) {
                let is_within_share = open.of_owner < policy.series_share();
                copy = Some(self.copy(
                    window,
                    A::default(),
                    if is_within_share { Opened } else { OpenedBeyondShare },
                ));
            } else {
                let other = self.name(std::iter::repeat_n(OTHER, dimensions));
                let has_room = open.in_window < policy.series_per_window();
                copy = self.copy_of_open(at, window, other);
                copy = copy.or_else(|| has_room.then(|| self.copy(window, A::default(), Opened)));
            }
        }
        self.rehearsal.as_mut()?.get_mut(copy?)
    }

    /// Returns the index of the copy of the series whose key is in `scratch`, if it is open, or was opened by this record.
    fn copy_of_open(&mut self, at: Option<usize>, window: Window, series: Series) -> Option<usize> {
        let (copies, key) = (self.rehearsal.as_ref()?, &self.scratch.series_key);
        let copy = copies.iter().position(|copy| copy.window == window && copy.key == *key);
        copy.or_else(|| {
            let at = at?;
            let index = self.windows.index(at, series)?;
            let accumulator = self.windows.open[at].states[index as usize].accumulator.clone();
            Some(self.copy(window, accumulator, RehearsedOrigin::Open))
        })
    }

    /// Adds a copy under the key in `scratch`; returns its index.
    fn copy(&mut self, window: Window, accumulator: A, origin: RehearsedOrigin) -> usize {
        let key = self.scratch.series_key.clone();
        let copies = self.rehearsal.get_or_insert_default();
        copies.push(RehearsedState { window, key, accumulator, origin });
        copies.len() - 1
    }

    /// Returns what is open in a window, with what the record would have opened there so far.
    fn open_with_copies(&self, at: Option<usize>, window: Window, series: Series) -> OpenSeries {
        let copies = self.rehearsal.iter().flatten().filter(|copy| copy.window == window);
        let count =
            |counts: fn(RehearsedOrigin) -> bool| copies.clone().filter(|copy| counts(copy.origin)).count();
        let opened = count(|origin| origin != RehearsedOrigin::Open);
        let beyond_shares = count(|origin| origin == RehearsedOrigin::OpenedBeyondShare);
        let owner = self.windows.owner_id(series, self.origin.owner);
        let before = at.map(|at| (&self.windows.open[at], self.windows.series_of(at, owner)));
        OpenSeries {
            in_window: before.map_or(0, |(window, _)| window.states.len()) + opened,
            of_owner: before.map_or(0, |(_, of_owner)| of_owner) + opened,
            beyond_shares: before.map_or(0, |(window, _)| window.beyond_shares) + beyond_shares,
        }
    }

    /// Remembers the frame in the window; true if an earlier record had brought it there.
    ///
    /// Only copies that reach this point are remembered: a rejected one would not be rebuilt by a replay.
    fn is_duplicate(&mut self, at: usize, window: Window) -> bool {
        let Some(frame) = self.origin.frame else { return false };
        if self.scratch.newly_seen.contains(&window) {
            return false;
        }
        let remembered = self.windows.open[at].remember(frame, self.acceptance.policy.frames_max());
        if remembered != Remembered::Before {
            self.scratch.newly_seen.push(window);
        }
        self.counts.frames_forgotten += u64::from(remembered == Remembered::NoRoom);
        remembered == Remembered::Before
    }

    fn accept(&mut self, at: usize, dimensions: &[&str], fold: impl FnOnce(&mut A)) {
        let series = self.find(dimensions);
        let index = self.windows.index(at, series).or_else(|| self.open(at, series, dimensions.len()));
        match index {
            Some(index) => {
                self.windows.open[at].fold(index, self.origin.offset, fold);
                self.counts.accepted += 1;
            }
            None => self.counts.capped += 1,
        }
    }

    /// Opens the series in the window, or if the caps forbid it finds or opens the owner's `other` series.
    fn open(&mut self, at: usize, series: Series, dimensions: usize) -> Option<u32> {
        let Acceptance { policy, takes_series, .. } = self.acceptance;
        let owner = self.windows.owner_id(series, self.origin.owner);
        let of_owner = self.windows.series_of(at, owner);
        let window = &mut self.windows.open[at];
        let (in_window, beyond_shares) = (window.states.len(), window.beyond_shares);
        if takes_series(&OpenSeries { in_window, of_owner, beyond_shares }, policy) {
            window.beyond_shares += usize::from(of_owner >= policy.series_share());
            return Some(self.open_named(at, series, owner));
        }
        let other = self.name(std::iter::repeat_n(OTHER, dimensions));
        let has_room = in_window < policy.series_per_window();
        self.windows.index(at, other).or_else(|| has_room.then(|| self.open_named(at, other, owner)))
    }

    /// Opens the series whose key is in `scratch`.
    fn open_named(&mut self, at: usize, mut series: Series, owner: Option<KeyId>) -> u32 {
        let owner = owner.unwrap_or_else(|| self.windows.insert_owner(self.origin.owner));
        let index = self.windows.open(at, &mut series, &self.scratch.series_key, owner, self.origin.offset);
        self.series = Some(series);
        index
    }

    fn find(&mut self, dimensions: &[&str]) -> Series {
        match self.series {
            Some(series) if is_encoding_of(&self.scratch.series_key[Owner::BYTES..], dimensions) => series,
            _ => self.name(dimensions.iter().copied()),
        }
    }

    /// Writes the key of a series and finds the series.
    fn name<'d>(&mut self, dimensions: impl IntoIterator<Item = &'d str>) -> Series {
        let key = &mut self.scratch.series_key;
        key.clear();
        key.extend_from_slice(&self.origin.owner.0);
        encode_dimensions(dimensions, key);
        let series = self.windows.find(key);
        self.series = Some(series);
        series
    }
}
