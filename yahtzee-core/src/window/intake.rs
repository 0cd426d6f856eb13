//! Where a job puts the measurements of one record, and what becomes of each.

use crate::owner::Owner;
use crate::quarantine::Quarantine;
use crate::record::{FrameId, Offset, Outcomes};
use crate::rules::Rules;
use crate::summary::{OTHER, encode_dimensions};

use super::{Policy, Window, Windows};

/// Of the room for series, the part that is kept for `other` series beyond `series_max`.
const OTHER_SHARE: usize = 8;

/// Series that one window can hold, `other` ones included.
pub(super) fn series_room(policy: &Policy) -> usize {
    policy.series_max.saturating_add(policy.series_max / OTHER_SHARE + 1)
}

/// The windows that a record may put measurements into.
///
/// | window of the measurement        | outcome     |
/// |----------------------------------|-------------|
/// | below `minute(M) - L`            | late        |
/// | above `minute(log timestamp) + F`| future      |
/// | may have lost input              | quarantined |
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
    pub(crate) quarantine: &'a Quarantine,
    pub(crate) policy: &'a Policy,
    pub(crate) reach: Reach,
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
        let window = Window::of_us(time_us, self.policy.length_ms);
        if window < self.reach.from {
            self.outcomes.count_late(self.reach.from.0 - window.0, self.policy.length_ms);
        } else if window > self.reach.through {
            self.outcomes.future += 1;
        } else if self.quarantine.covers(window) {
            self.outcomes.quarantined += 1;
        } else if self.is_duplicate(window) {
            self.outcomes.duplicate += 1;
        } else {
            self.accept(window, dimensions, fold);
        }
    }

    /// Remembers the frame in the window; true if an earlier record had brought it there.
    ///
    /// Only copies that reach this point are remembered: a rejected one would not be rebuilt by a replay.
    fn is_duplicate(&mut self, window: Window) -> bool {
        let Some(frame) = self.frame else { return false };
        if self.fresh.contains(&window) {
            return false;
        }
        let frame = (self.rules.frame_key)(self.owner, frame);
        let has_seen = self.windows.entry(window, self.offset).has_seen(frame);
        let is_duplicate = (self.rules.is_duplicate)(has_seen);
        if !is_duplicate {
            self.fresh.push(window);
        }
        is_duplicate
    }

    fn accept(&mut self, window: Window, dimensions: &[&str], fold: impl FnOnce(&mut A)) {
        self.write_key(dimensions.iter().copied());
        let state = self.windows.entry(window, self.offset);
        let mut place = state.find(self.series_key);
        if place.is_none()
            && (self.rules.takes_series)(state.states.len(), state.series_of(self.owner), self.policy)
        {
            place = Some(state.open(self.series_key, self.owner, self.offset));
        }
        if place.is_none() {
            place = self.other(window, dimensions.len());
        }
        match place {
            Some(index) => {
                self.windows.entry(window, self.offset).fold(index, self.offset, fold);
                self.outcomes.accepted += 1;
            }
            None => self.outcomes.capped += 1,
        }
    }

    /// The owner's `other` series, opened while there is room for it.
    fn other(&mut self, window: Window, dimensions: usize) -> Option<u32> {
        self.write_key(std::iter::repeat_n(OTHER, dimensions));
        let room = series_room(self.policy);
        let state = self.windows.entry(window, self.offset);
        let open = state.find(self.series_key);
        let has_room = state.states.len() < room;
        open.or_else(|| has_room.then(|| state.open(self.series_key, self.owner, self.offset)))
    }

    fn write_key<'d>(&mut self, dimensions: impl IntoIterator<Item = &'d str>) {
        self.series_key.clear();
        self.series_key.extend_from_slice(&self.owner.0);
        encode_dimensions(dimensions, self.series_key);
    }
}
