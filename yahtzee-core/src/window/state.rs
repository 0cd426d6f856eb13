//! The accumulators of the series in the open windows of one partition.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasherDefault;

use crate::owner::Owner;
use crate::record::{FrameId, Offset};

use super::Window;

/// Fixed keys: the same order of the same records gives the same state everywhere.
type FixedHasher = BuildHasherDefault<DefaultHasher>;

/// The state of one series in one window.
#[derive(Debug)]
pub(crate) struct SeriesState<A> {
    /// Owner (16 bytes), then the encoded dimensions.
    pub(crate) series: Box<[u8]>,
    pub(crate) accumulator: A,
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) count: u64,
    is_dirty: bool,
}

impl<A> SeriesState<A> {
    /// Whether it has changed since its last summary.
    pub(crate) fn is_dirty(&self) -> bool {
        self.is_dirty
    }
}

/// One open window of one partition.
#[derive(Debug)]
pub(crate) struct WindowState<A> {
    /// Offset of the first record accepted into the window.
    pub(crate) first_offset: Offset,
    /// In the order of first appearance in the log; never in hash order.
    pub(crate) states: Vec<SeriesState<A>>,
    index: HashMap<Box<[u8]>, u32, FixedHasher>,
    series_of_owner: HashMap<Owner, u32, FixedHasher>,
    dirty: Vec<u32>,
    frames: HashSet<(Owner, FrameId), FixedHasher>,
    /// Monotonic milliseconds from which the dirty summaries may go out.
    pub(crate) due_ms: u64,
}

impl<A: Default> WindowState<A> {
    pub(super) fn new(first_offset: Offset) -> Self {
        Self {
            first_offset,
            states: Vec::new(),
            index: HashMap::default(),
            series_of_owner: HashMap::default(),
            dirty: Vec::new(),
            frames: HashSet::default(),
            due_ms: 0,
        }
    }

    /// Whether a series has changed since the last summaries went out.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Calls `each` for every changed series and forgets that they changed.
    pub(crate) fn drain_dirty(&mut self, mut each: impl FnMut(&SeriesState<A>)) {
        for index in self.dirty.drain(..) {
            let state = &mut self.states[index as usize];
            state.is_dirty = false;
            each(state);
        }
    }

    /// Whether the window has accepted this frame before; remembers it.
    pub(super) fn has_seen(&mut self, frame: (Owner, FrameId)) -> bool {
        !self.frames.insert(frame)
    }

    /// The place of a series that is open.
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.index.get(key).copied()
    }

    /// Number of open series of an owner.
    pub(super) fn series_of(&self, owner: Owner) -> usize {
        self.series_of_owner.get(&owner).map_or(0, |&count| count as usize)
    }

    /// Opens a series that is not open, and returns its place.
    pub(super) fn open(&mut self, key: &[u8], owner: Owner, offset: Offset) -> u32 {
        let index = u32::try_from(self.states.len()).expect("fewer than 2^32 series fit in memory");
        self.index.insert(key.into(), index);
        *self.series_of_owner.entry(owner).or_default() += 1;
        self.states.push(SeriesState {
            series: key.into(),
            accumulator: A::default(),
            first_offset: offset,
            last_offset: offset,
            count: 0,
            is_dirty: false,
        });
        index
    }

    /// Folds one measurement of the record at `offset` into the series at `index`.
    pub(super) fn fold(&mut self, index: u32, offset: Offset, fold: impl FnOnce(&mut A)) {
        let state = &mut self.states[index as usize];
        fold(&mut state.accumulator);
        state.last_offset = offset;
        state.count += 1;
        if !state.is_dirty {
            state.is_dirty = true;
            self.dirty.push(index);
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
    pub(crate) fn first_offsets(&self) -> Vec<(Window, Offset)> {
        self.0.iter().map(|(&window, state)| (window, state.first_offset)).collect()
    }
}

impl<A: Default> Windows<A> {
    /// The window, opened by the record at `offset` if it is not open.
    pub(super) fn entry(&mut self, window: Window, offset: Offset) -> &mut WindowState<A> {
        self.0.entry(window).or_insert_with(|| WindowState::new(offset))
    }
}
