//! Memory of the open windows, by what it is for.

use std::ops::Add;

use crate::accumulate::Accumulator;
use crate::owner::Owner;
use crate::record::FrameKey;
use crate::summary::series_key_bytes_max;
use crate::window::Policy;

use super::chunks::{Chunks, grown_capacity};
use super::key::SeriesKey;
use super::table::KeyTable;
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
        let beside = self.tables.saturating_add(self.frames);
        self.states.saturating_add(self.accumulators_heap).saturating_add(beside)
    }

    /// See [`AnyJob::state_bytes_max`](crate::erased::AnyJob::state_bytes_max).
    pub(crate) fn most<A: Accumulator>(policy: &Policy, dimensions: usize) -> Option<Self> {
        let windows = usize::try_from(policy.open_windows_max()).unwrap_or(usize::MAX);
        let per_window = policy.series_per_window();
        let series = windows.saturating_mul(per_window);
        let states = Chunks::<SeriesState<A>>::heap_bytes_max(per_window);
        let changed = grown_capacity(per_window).saturating_mul(size_of::<u32>());
        let key_heap_bytes = SeriesKey::heap_bytes_max(series_key_bytes_max(dimensions));
        let of_series = KeyTable::<SeriesKey>::heap_bytes_max(series, key_heap_bytes, windows);
        let of_owners = KeyTable::<Owner>::heap_bytes_max(series, 0, windows);
        Some(Self {
            states: windows.saturating_mul(states.saturating_add(changed)),
            accumulators_heap: series.saturating_mul(A::HEAP_BYTES_MAX?),
            tables: of_series.saturating_add(of_owners),
            frames: windows.saturating_mul(set_bytes(policy.frames_max())),
        })
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
        StateBytes {
            states: self.states.heap_bytes() + self.dirty.capacity() * size_of::<u32>(),
            accumulators_heap: self.states.iter().map(|state| state.accumulator.heap_bytes()).sum(),
            tables: 0,
            frames: set_bytes(self.frames.capacity()),
        }
    }
}

/// Bytes of a standard set that has room for so many frame keys: a power of two of places, each with a byte of control, 7/8 of them
/// usable.
fn set_bytes(capacity: usize) -> usize {
    let places = if capacity == 0 { 0 } else { capacity.saturating_mul(8).div_ceil(7).next_power_of_two() };
    places.saturating_mul(FrameKey::BYTES + 1)
}
