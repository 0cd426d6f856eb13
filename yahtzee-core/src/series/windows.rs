//! The accumulators of the series in the open windows of one partition.
//!
//! A key is stored once, however many windows its series is in. One probe finds the series' id, and the
//! id's cell for the *slot* of a window has the index of its state in that window:
//!
//! ```text
//! series   id: key | owner's id | cells: slot 0, slot 1, ...   index of the state in that window + 1, 0 for none
//! owners   id: key |             | cells: slot 0, slot 1, ...   number of the owner's series in that window
//! slot     states in order of first appearance | changed ones | frames
//! ```
//!
//! A window that opens takes a free slot, one that closes gives its slot back with the cells of its series emptied.
//! There are as many slots as windows were ever open together, rounded up to a power of two.

use std::collections::HashSet;

use crate::owner::Owner;
use crate::record::{FrameKey, Offset};
use crate::window::Window;

use super::chunks::Chunks;
use super::key::SeriesKey;
use super::keyed_hash::KeyedHash;
use super::table::{KeyHash, KeyId, KeyTable, TableKey};

/// The state of one series in one window.
#[derive(Debug)]
pub(crate) struct SeriesState<A> {
    pub(crate) accumulator: A,
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) count: u64,
    series: KeyId,
    is_dirty: bool,
}

/// One open window of one partition.
#[derive(Debug)]
pub(crate) struct WindowState<A> {
    pub(crate) window: Window,
    /// Offset of the first record accepted into the window.
    pub(crate) first_offset: Offset,
    /// In the order of first appearance in the log; never in hash order.
    pub(crate) states: Chunks<SeriesState<A>>,
    /// Series that their owners opened beyond their shares.
    pub(crate) beyond_shares: usize,
    pub(super) dirty: Vec<u32>,
    pub(super) frames: Frames,
    slot: WindowSlot,
}

/// Whether a window remembers a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    /// An earlier record had brought it.
    Before,
    /// From now on.
    Now,
    /// It does not: it remembers as many as it may.
    NoRoom,
}

type Frames = HashSet<[u8; FrameKey::BYTES], KeyedHash>;

/// Which cell of an id belongs to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowSlot(usize);

/// A series by the hash of its key, and by its id if it is open in any window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    hash: KeyHash,
    id: Option<KeyId>,
}

impl<A> WindowState<A> {
    /// An empty one, of no particular window yet.
    fn new(hasher: KeyedHash) -> Self {
        Self {
            window: Window(0),
            first_offset: Offset(0),
            states: Chunks::default(),
            beyond_shares: 0,
            dirty: Vec::new(),
            frames: HashSet::with_hasher(hasher),
            slot: WindowSlot(0),
        }
    }

    /// Empties it, and keeps the memory that it needed.
    fn clear(&mut self) {
        self.states.clear();
        self.beyond_shares = 0;
        self.dirty.clear();
        if self.frames.len() < self.frames.capacity() / 4 {
            self.frames = HashSet::with_hasher(*self.frames.hasher());
        }
        self.frames.clear();
    }

    /// Calls `each` for every changed series and forgets that they changed.
    pub(crate) fn drain_dirty(&mut self, mut each: impl FnMut(&SeriesState<A>)) {
        for index in self.dirty.drain(..) {
            let state = &mut self.states[index as usize];
            state.is_dirty = false;
            each(state);
        }
    }

    /// Whether the window remembers a frame.
    pub(crate) fn knows(&self, frame: FrameKey) -> bool {
        self.frames.contains(&frame.0)
    }

    /// Remembers a frame, unless the window has as many as `frames_max` and does not know it.
    pub(crate) fn remember(&mut self, frame: FrameKey, frames_max: usize) -> Remembered {
        if self.frames.len() >= frames_max {
            let is_known = self.frames.contains(&frame.0);
            return if is_known { Remembered::Before } else { Remembered::NoRoom };
        }
        if self.frames.insert(frame.0) { Remembered::Now } else { Remembered::Before }
    }

    /// Folds one measurement of the record at `offset` into the series at `index`.
    pub(crate) fn fold(&mut self, index: u32, offset: Offset, fold: impl FnOnce(&mut A)) {
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

/// All open windows of one partition, and the series in them.
#[derive(Debug)]
pub(crate) struct Windows<A> {
    /// Oldest first.
    pub(crate) open: Vec<WindowState<A>>,
    pub(super) series: KeyTable<SeriesKey>,
    pub(super) owners: KeyTable<Owner>,
    /// The window that was closed last, emptied: what opens next will come to need about as much memory.
    pub(super) spare: Option<WindowState<A>>,
    hasher: KeyedHash,
}

impl<A> Windows<A> {
    /// None yet; keys are hashed with `hasher`.
    pub(crate) fn new(hasher: KeyedHash) -> Self {
        let (series, owners) = (KeyTable::new(hasher), KeyTable::new(hasher));
        Self { open: Vec::new(), series, owners, spare: None, hasher }
    }

    /// Takes the oldest window out if it lies below `open_from`. Its series are known until [`Self::forget`].
    pub(crate) fn pop_closed(&mut self, open_from: Window) -> Option<WindowState<A>> {
        let is_closed = self.open.first()?.window < open_from;
        is_closed.then(|| self.open.remove(0))
    }

    /// Gives the window's slot back. A series that is in no other window is forgotten.
    pub(crate) fn forget(&mut self, mut closed: WindowState<A>) {
        let slot = closed.slot;
        for state in closed.states.iter() {
            self.owners.clear(self.series.key(state.series).owner, slot.0);
            self.series.clear(state.series, slot.0);
        }
        self.series.release_if_empty();
        self.owners.release_if_empty();
        closed.clear();
        self.spare = (!self.open.is_empty()).then_some(closed);
    }

    /// Windows with the offset of the first record accepted into each, oldest first.
    pub(crate) fn first_offsets(&self) -> Vec<(Window, Offset)> {
        self.open.iter().map(|state| (state.window, state.first_offset)).collect()
    }

    /// The owner of a state's series.
    pub(crate) fn owner_of(&self, state: &SeriesState<A>) -> Owner {
        *self.owners.key(self.series.key(state.series).owner)
    }

    /// The key of a state's series: owner (16 bytes), then the encoded dimensions.
    pub(crate) fn key_of(&self, state: &SeriesState<A>) -> &[u8] {
        self.series.key(state.series).bytes()
    }

    /// The index in `open` of a window, which the record at `offset` opens if it is not open.
    pub(crate) fn at(&mut self, window: Window, offset: Offset) -> usize {
        // Newest first: that is where almost all measurements go.
        match self.open.iter().rposition(|state| state.window <= window) {
            Some(at) if self.open[at].window == window => at,
            before => self.open_at(before.map_or(0, |at| at + 1), window, offset),
        }
    }

    #[cold]
    fn open_at(&mut self, at: usize, window: Window, offset: Offset) -> usize {
        let is_free = |slot: &usize| self.open.iter().all(|state| state.slot.0 != *slot);
        let slot = (0..).find(is_free).expect("more slots than open windows");
        while slot >= self.series.slots() {
            self.series.widen();
            self.owners.widen();
        }
        let mut state = self.spare.take().unwrap_or_else(|| WindowState::new(self.hasher));
        (state.window, state.slot, state.first_offset) = (window, WindowSlot(slot), offset);
        self.open.insert(at, state);
        at
    }

    /// The series of this key.
    pub(crate) fn find(&self, key: &[u8]) -> Series {
        let hash = self.series.hash(key);
        Series { hash, id: self.series.find(hash, key) }
    }

    /// The index of the state of a series in the window at `at`, if it is open there.
    pub(crate) fn index(&self, at: usize, series: Series) -> Option<u32> {
        self.series.cell(series.id?, self.open[at].slot.0).checked_sub(1)
    }

    /// The id of the series' owner, if it has a series in any window.
    pub(crate) fn owner_id(&self, series: Series, owner: Owner) -> Option<KeyId> {
        let of_series = series.id.map(|id| self.series.key(id).owner);
        of_series.or_else(|| self.owners.find(self.owners.hash(&owner.0), &owner.0))
    }

    /// Number of series of an owner in the window at `at`.
    pub(crate) fn series_of(&self, at: usize, owner: Option<KeyId>) -> usize {
        owner.map_or(0, |owner| self.owners.cell(owner, self.open[at].slot.0) as usize)
    }

    /// Makes an id for an owner that has none.
    pub(crate) fn insert_owner(&mut self, owner: Owner) -> KeyId {
        self.owners.insert(self.owners.hash(&owner.0), owner)
    }
}

impl<A: Default> Windows<A> {
    /// Opens a series that is not open in the window at `at`, and returns its index there.
    pub(crate) fn open(
        &mut self,
        at: usize,
        series: &mut Series,
        key: &[u8],
        owner: KeyId,
        offset: Offset,
    ) -> u32 {
        let Series { hash, id } = *series;
        let id = id.unwrap_or_else(|| self.series.insert(hash, SeriesKey::new(key, owner)));
        series.id = Some(id);
        let window = &mut self.open[at];
        let slot = window.slot.0;
        *self.owners.cell_mut(owner, slot) += 1;
        let index = u32::try_from(window.states.len()).expect("fewer than 2^32 series fit in memory");
        *self.series.cell_mut(id, slot) = index + 1;
        window.states.push(SeriesState {
            accumulator: A::default(),
            first_offset: offset,
            last_offset: offset,
            count: 0,
            series: id,
            is_dirty: false,
        });
        index
    }
}
