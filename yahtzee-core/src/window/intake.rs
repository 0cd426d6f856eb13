//! Where a job puts the measurements of one record, and what becomes of each.

use crate::owner::Owner;
use crate::quarantine::Quarantine;
use crate::record::{FrameId, Offset, Outcomes};
use crate::rules::Rules;
use crate::summary::{OTHER, encode_dimensions};

use super::{Policy, Window, WindowState, Windows};

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
        } else {
            self.add_to_open(window, dimensions, fold);
        }
    }

    fn add_to_open(&mut self, window: Window, dimensions: &[&str], fold: impl FnOnce(&mut A)) {
        let state = self.windows.entry(window, self.offset);
        if let Some(frame) = self.frame
            && !self.fresh.contains(&window)
        {
            // Only copies that come this far are remembered: a rejected one would not be rebuilt by a replay.
            let has_seen = state.has_seen((self.rules.frame_key)(self.owner, frame));
            if (self.rules.is_duplicate)(has_seen) {
                self.outcomes.duplicate += 1;
                return;
            }
            self.fresh.push(window);
        }
        write_key(self.series_key, self.owner, dimensions.iter().copied());
        let found = state.find(self.series_key).or_else(|| {
            let of_owner = state.series_of(self.owner);
            let has_room = (self.rules.takes_series)(state.states.len(), of_owner, self.policy);
            has_room.then(|| state.open(self.series_key, self.owner, self.offset))
        });
        let place = found.or_else(|| {
            write_key(self.series_key, self.owner, std::iter::repeat_n(OTHER, dimensions.len()));
            other(state, self.series_key, self.owner, self.offset, self.policy)
        });
        match place {
            Some(index) => {
                state.fold(index, self.offset, fold);
                self.outcomes.accepted += 1;
            }
            None => self.outcomes.capped += 1,
        }
    }
}

/// The owner's `other` series, opened while there is room for it.
fn other<A: Default>(
    state: &mut WindowState<A>,
    key: &[u8],
    owner: Owner,
    offset: Offset,
    policy: &Policy,
) -> Option<u32> {
    let has_room = state.states.len() < series_room(policy);
    state.find(key).or_else(|| has_room.then(|| state.open(key, owner, offset)))
}

fn write_key<'d>(key: &mut Vec<u8>, owner: Owner, dimensions: impl IntoIterator<Item = &'d str>) {
    key.clear();
    key.extend_from_slice(&owner.0);
    encode_dimensions(dimensions, key);
}
