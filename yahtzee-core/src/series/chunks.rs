//! A list that grows without copying and without half of it standing empty.

use std::ops::{Index, IndexMut};

/// Elements per chunk.
const CHUNK: usize = 128;

/// Elements in the order they were pushed, in chunks of [`CHUNK`]. The first one grows as a `Vec` does.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    length: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), length: 0 }
    }
}

impl<T> Chunks<T> {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Elements that there is memory for.
    fn capacity(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum()
    }

    /// Memory of the list, without what its elements have on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.capacity() * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }

    /// The most that [`Self::heap_bytes`] of a list that never had more than `length` elements can come to.
    pub(super) fn heap_bytes_max(length: usize) -> usize {
        let chunks = length.div_ceil(CHUNK);
        chunks * CHUNK * size_of::<T>() + grown_capacity(chunks) * size_of::<Vec<T>>()
    }

    pub(super) fn push(&mut self, element: T) {
        let chunk = self.length / CHUNK;
        if chunk == self.chunks.len() {
            self.chunks.push(if chunk == 0 { Vec::new() } else { Vec::with_capacity(CHUNK) });
        }
        self.chunks[chunk].push(element);
        self.length += 1;
    }

    /// Forgets the elements and keeps the memory that they needed.
    pub(super) fn clear(&mut self) {
        self.chunks.truncate(self.length.div_ceil(CHUNK));
        self.chunks.iter_mut().for_each(Vec::clear);
        self.length = 0;
    }
}

/// Greatest capacity of a `Vec` that has grown to `length` elements one by one: it doubles.
pub(super) fn grown_capacity(length: usize) -> usize {
    if length == 0 { 0 } else { length.next_power_of_two().max(CAPACITY_MIN) }
}

/// Elements that a `Vec` makes room for at first, at most.
const CAPACITY_MIN: usize = 8;

impl<T> Index<usize> for Chunks<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.chunks[index / CHUNK][index % CHUNK]
    }
}

impl<T> IndexMut<usize> for Chunks<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.chunks[index / CHUNK][index % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_places() {
        fn check(length: usize) {
            let mut chunks = Chunks::default();
            (0..length).for_each(|element| chunks.push(element));
            assert_eq!(chunks.len(), length);
            assert!(chunks.iter().copied().eq(0..length), "{length}");
            (0..length).for_each(|index| chunks[index] += index);
            assert!((0..length).all(|index| chunks[index] == 2 * index), "{length}");
            let capacity = chunks.capacity();
            chunks.clear();
            assert_eq!((chunks.len(), chunks.iter().count()), (0, 0));
            (0..length).for_each(|element| chunks.push(element));
            assert!(chunks.iter().copied().eq(0..length), "{length}, in memory used before");
            assert_eq!(chunks.capacity(), capacity);
            chunks.clear();
            chunks.push(1);
            chunks.clear();
            assert!(chunks.capacity() <= CHUNK, "as much as the one element needs");
        }
        [0, 1, 5, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7].into_iter().for_each(check);
    }
}
