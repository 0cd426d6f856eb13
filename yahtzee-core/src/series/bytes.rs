//! Memory of the open windows, by what it is for.

use std::ops::Add;

use crate::accumulate::Accumulator;
use crate::record::FrameKey;

use super::windows::{SeriesState, WindowState, Windows};

/// Memory of the open windows by what it is for, in bytes as they were asked for: what the allocator adds is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateBytes {
    /// Accumulators, offsets and counts, one each per series and window, and the lists of changed ones.
    pub states: usize,
    /// Heap memory of accumulators: long lists of samples, buckets, counts under several keys.
    pub accumulators_heap: usize,
    /// Series and owners by key, and where in each window their states stand.
    pub tables: usize,
    /// Frame ids, by which redelivered frames are recognised.
    pub frames: usize,
}

impl StateBytes {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        self.states + self.accumulators_heap + self.tables + self.frames
    }
}

impl Add for StateBytes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            states: self.states + other.states,
            accumulators_heap: self.accumulators_heap + other.accumulators_heap,
            tables: self.tables + other.tables,
            frames: self.frames + other.frames,
        }
    }
}

impl<A: Accumulator> Windows<A> {
    /// Goes through all accumulators: for figures, not for every tick.
    pub(crate) fn bytes(&self) -> StateBytes {
        let tables = self.series.heap_bytes() + self.owners.heap_bytes();
        let shared = StateBytes { tables, ..StateBytes::default() };
        self.open.iter().chain(&self.spare).map(WindowState::bytes).fold(shared, StateBytes::add)
    }
}

impl<A: Accumulator> WindowState<A> {
    fn bytes(&self) -> StateBytes {
        let states = self.states.capacity() * size_of::<SeriesState<A>>();
        StateBytes {
            states: states + self.dirty.capacity() * size_of::<u32>(),
            accumulators_heap: self.states.iter().map(|state| state.accumulator.heap_bytes()).sum(),
            tables: 0,
            frames: set_bytes(self.frames.capacity()),
        }
    }
}

/// Bytes of a standard set of frame keys: a power of two of places, each with a byte of control, 7/8 of them usable.
fn set_bytes(capacity: usize) -> usize {
    if capacity == 0 { 0 } else { (capacity * 8 / 7).next_power_of_two() * (FrameKey::BYTES + 1) }
}
