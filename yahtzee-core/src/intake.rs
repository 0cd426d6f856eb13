//! Where a job puts the measurements of one record, and what becomes of each.

use crate::incomplete::IncompleteWindows;
use crate::owner::Owner;
use crate::record::{FrameId, MeasurementCounts, Offset};
use crate::rules::Rules;
use crate::series::{Row, Series, Windows};
use crate::summary::{OTHER, encode_dimensions, is_encoding_of};
use crate::window::{Policy, Window};

/// The windows that a record may put measurements into.
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
pub(crate) struct Reach {
    pub(crate) from: Window,
    pub(crate) through: Window,
}

/// The rules that are asked per measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntakeRules {
    is_duplicate: fn(bool) -> bool,
    frame_key: fn(Owner, FrameId) -> (Owner, FrameId),
    takes_series: fn(usize, usize, &Policy) -> bool,
}

impl IntakeRules {
    pub(crate) fn of<R: Rules>() -> Self {
        Self { is_duplicate: R::is_duplicate, frame_key: R::frame_key, takes_series: R::takes_series }
    }
}

/// Where a job puts the measurements of one record. Lives for the length of one [`crate::job::Job::fold`].
#[derive(Debug)]
pub struct Intake<'a, A> {
    pub(crate) rules: IntakeRules,
    pub(crate) windows: &'a mut Windows<A>,
    pub(crate) incomplete: &'a IncompleteWindows,
    pub(crate) policy: &'a Policy,
    pub(crate) reach: Reach,
    pub(crate) offset: Offset,
    pub(crate) owner: Owner,
    pub(crate) frame: Option<FrameId>,
    /// Windows that accepted this record's frame just now: to these it is no duplicate.
    pub(crate) fresh: &'a mut Vec<Window>,
    pub(crate) series_key: &'a mut Vec<u8>,
    /// The series whose key stands in `series_key`: most records have all their measurements in one.
    pub(crate) series: Option<Series>,
    pub(crate) outcomes: MeasurementCounts,
}

impl<A: Default> Intake<'_, A> {
    /// Folds one measurement: `time_us` is its event time (microseconds since 1970), `dimensions` its values of
    /// the job's dimensions in their order. `fold` runs only if the measurement is accepted.
    ///
    /// A dimension longer than 255 bytes is cut there.
    pub fn add(&mut self, time_us: i64, dimensions: &[&str], fold: impl FnOnce(&mut A)) {
        let window = Window::of_us(time_us, self.policy.length_ms);
        if window < self.reach.from {
            self.outcomes.count_late(self.reach.from.0 - window.0, self.policy.length_ms);
        } else if window > self.reach.through {
            self.outcomes.future += 1;
        } else if self.incomplete.covers(window) {
            self.outcomes.incomplete += 1;
        } else {
            let at = self.windows.at(window, self.offset);
            if self.is_duplicate(at, window) {
                self.outcomes.duplicate += 1;
            } else {
                self.accept(at, dimensions, fold);
            }
        }
    }

    /// Remembers the frame in the window; true if an earlier record had brought it there.
    ///
    /// Only copies that reach this point are remembered: a rejected one would not be rebuilt by a replay.
    fn is_duplicate(&mut self, at: usize, window: Window) -> bool {
        let Some(frame) = self.frame else { return false };
        if self.fresh.contains(&window) {
            return false;
        }
        let frame = (self.rules.frame_key)(self.owner, frame);
        let has_seen = self.windows.open[at].has_seen(frame);
        let is_duplicate = (self.rules.is_duplicate)(has_seen);
        if !is_duplicate {
            self.fresh.push(window);
        }
        is_duplicate
    }

    fn accept(&mut self, at: usize, dimensions: &[&str], fold: impl FnOnce(&mut A)) {
        let series = self.find(dimensions);
        let place = self.windows.place(at, series).or_else(|| self.open(at, series, dimensions.len()));
        match place {
            Some(place) => {
                self.windows.open[at].fold(place, self.offset, fold);
                self.outcomes.accepted += 1;
            }
            None => self.outcomes.capped += 1,
        }
    }

    /// Opens the series in the window, or if the caps forbid it finds or opens the owner's `other` series.
    fn open(&mut self, at: usize, series: Series, dimensions: usize) -> Option<u32> {
        let owner = self.windows.owner_row(series, self.owner);
        let of_owner = self.windows.series_of(at, owner);
        let in_window = self.windows.open[at].states.len();
        if (self.rules.takes_series)(in_window, of_owner, self.policy) {
            return Some(self.open_named(at, series, owner));
        }
        let other = self.name(std::iter::repeat_n(OTHER, dimensions));
        let has_room = in_window < self.policy.series_per_window();
        self.windows.place(at, other).or_else(|| has_room.then(|| self.open_named(at, other, owner)))
    }

    /// Opens the series whose key stands in `series_key`.
    fn open_named(&mut self, at: usize, mut series: Series, owner: Option<Row>) -> u32 {
        let owner = owner.unwrap_or_else(|| self.windows.insert_owner(self.owner));
        let place = self.windows.open(at, &mut series, self.series_key, owner, self.offset);
        self.series = Some(series);
        place
    }

    fn find(&mut self, dimensions: &[&str]) -> Series {
        match self.series {
            Some(series) if is_encoding_of(&self.series_key[self.owner.0.len()..], dimensions) => series,
            _ => self.name(dimensions.iter().copied()),
        }
    }

    /// Writes the key of a series and finds the series.
    fn name<'d>(&mut self, dimensions: impl IntoIterator<Item = &'d str>) -> Series {
        self.series_key.clear();
        self.series_key.extend_from_slice(&self.owner.0);
        encode_dimensions(dimensions, self.series_key);
        let series = self.windows.find(self.series_key);
        self.series = Some(series);
        series
    }
}
