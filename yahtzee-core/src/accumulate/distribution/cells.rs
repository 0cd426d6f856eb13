//! Counters of buckets, stored as narrowly as their content allows.

use std::mem;

/// The greatest counter: ZigZag leaves 63 bits.
pub(super) const MAX_COUNT: u64 = i64::MAX as u64;

/// The most buckets kept as a list of those in use.
const SPARSE_LIMIT: usize = 128;

/// Spans grow by whole blocks of this many counters, so that a new extreme seldom moves the rest.
const BLOCK: u16 = 64;

/// `a + b`, at most [`MAX_COUNT`]; both are at most that.
pub(super) fn add_counts(a: u64, b: u64) -> u64 {
    a.saturating_add(b).min(MAX_COUNT)
}

/// Counters by bucket index, at most 2^63 - 1 each.
///
/// `Sparse` while at most 128 buckets are in use and each counter fits 16 bits, then dense from the least to the
/// greatest in use, in the narrowest of three widths that holds the greatest counter.
#[derive(Clone, Debug)]
pub(super) enum Cells {
    /// Index and counter, ascending by index, no counter is 0.
    Sparse(Vec<(u16, u16)>),
    Dense16(CellSpan<u16>),
    Dense32(CellSpan<u32>),
    Dense64(CellSpan<u64>),
}

impl Default for Cells {
    fn default() -> Self {
        Self::Sparse(Vec::new())
    }
}

impl PartialEq for Cells {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Cells {}

impl Cells {
    /// Adds `count`, at least 1 and at most 2^63 - 1, to the counter of bucket `index`; it stays at 2^63 - 1 once there.
    pub(super) fn add(&mut self, index: u16, count: u64) {
        while !self.try_add(index, count) {
            *self = mem::take(self).promoted();
        }
    }

    /// Adds unless that would leave the current representation, which has to be promoted then.
    fn try_add(&mut self, index: u16, count: u64) -> bool {
        match self {
            Self::Sparse(entries) => add_sparse(entries, index, count),
            Self::Dense16(span) => span.try_add(index, count),
            Self::Dense32(span) => span.try_add(index, count),
            Self::Dense64(span) => span.try_add(index, count),
        }
    }

    /// The next representation with the same content. The last one accepts every sum, so it is its own successor.
    fn promoted(self) -> Self {
        match self {
            Self::Sparse(entries) => Self::Dense16(CellSpan::from_entries(&entries)),
            Self::Dense16(span) => Self::Dense32(span.widened()),
            Self::Dense32(span) => Self::Dense64(span.widened()),
            Self::Dense64(span) => Self::Dense64(span),
        }
    }

    /// Index and counter of each bucket in use, ascending.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u16, u64)> + '_ {
        type Parts<'a> = (&'a [(u16, u16)], u16, &'a [u16], &'a [u32], &'a [u64]);
        let (entries, first, counts16, counts32, counts64): Parts<'_> = match self {
            Self::Sparse(entries) => (entries, 0, &[], &[], &[]),
            Self::Dense16(span) => (&[], span.first, &span.counts, &[], &[]),
            Self::Dense32(span) => (&[], span.first, &[], &span.counts, &[]),
            Self::Dense64(span) => (&[], span.first, &[], &[], &span.counts),
        };
        let sparse = entries.iter().map(|&(index, count)| (index, u64::from(count)));
        sparse.chain(used(first, counts16)).chain(used(first, counts32)).chain(used(first, counts64))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Sparse(entries) => entries.capacity() * size_of::<(u16, u16)>(),
            Self::Dense16(span) => size_of_val(&*span.counts),
            Self::Dense32(span) => size_of_val(&*span.counts),
            Self::Dense64(span) => size_of_val(&*span.counts),
        }
    }
}

fn add_sparse(entries: &mut Vec<(u16, u16)>, index: u16, count: u64) -> bool {
    let found = entries.binary_search_by_key(&index, |entry| entry.0);
    let before = found.map_or(0, |at| u64::from(entries[at].1));
    match (found, u16::try_from(add_counts(before, count))) {
        (Ok(at), Ok(sum)) => entries[at].1 = sum,
        (Err(at), Ok(sum)) if entries.len() < SPARSE_LIMIT => entries.insert(at, (index, sum)),
        _ => return false,
    }
    true
}

/// Index and counter of the buckets in use, where `counts` starts with bucket `first`.
fn used<T: Copy + Into<u64>>(first: u16, counts: &[T]) -> impl DoubleEndedIterator<Item = (u16, u64)> {
    let all = counts.iter().enumerate().map(move |(slot, &count)| (first + slot as u16, count.into()));
    all.filter(|&(_, count)| count > 0)
}

/// One counter per bucket from index `first` on, in whole blocks; empty, or both ends are blocks in use.
#[derive(Clone, Debug, Default)]
pub(super) struct CellSpan<T> {
    first: u16,
    counts: Box<[T]>,
}

impl<T: Copy + Default + Into<u64> + TryFrom<u64>> CellSpan<T> {
    fn try_add(&mut self, index: u16, count: u64) -> bool {
        self.cover(index);
        let cell = &mut self.counts[usize::from(index - self.first)];
        let sum = T::try_from(add_counts((*cell).into(), count));
        sum.map(|sum| *cell = sum).is_ok()
    }

    /// Extends the span to the block of `index`.
    fn cover(&mut self, index: u16) {
        let block = index / BLOCK * BLOCK;
        let end = self.first + self.counts.len() as u16;
        if (self.first..end).contains(&index) {
            return;
        }
        let used = if self.counts.is_empty() { block..block } else { self.first..end };
        let first = block.min(used.start);
        let end = (block + BLOCK).max(used.end);
        let mut grown = vec![T::default(); usize::from(end - first)].into_boxed_slice();
        let offset = usize::from(used.start - first);
        grown[offset..offset + self.counts.len()].copy_from_slice(&self.counts);
        *self = Self { first, counts: grown };
    }

    fn widened<U: From<T>>(&self) -> CellSpan<U> {
        CellSpan { first: self.first, counts: self.counts.iter().map(|&count| U::from(count)).collect() }
    }
}

impl CellSpan<u16> {
    fn from_entries(entries: &[(u16, u16)]) -> Self {
        let mut span = Self::default();
        // Both ends first: the span is allocated once.
        for (index, _) in entries.first().into_iter().chain(entries.last()) {
            span.cover(*index);
        }
        for &(index, count) in entries {
            span.counts[usize::from(index - span.first)] = count;
        }
        span
    }
}

#[cfg(test)]
mod tests {
    use super::super::hdr::CELL_COUNT;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn cells(additions: &[(u16, u64)]) -> Cells {
        let mut cells = Cells::default();
        additions.iter().for_each(|&(index, count)| cells.add(index, count));
        cells
    }

    /// Name of the representation and width of a counter in bytes.
    fn form(cells: &Cells) -> &'static str {
        match cells {
            Cells::Sparse(_) => "sparse",
            Cells::Dense16(_) => "16",
            Cells::Dense32(_) => "32",
            Cells::Dense64(_) => "64",
        }
    }

    #[test]
    fn counters_widen_before_they_overflow() {
        fn check(additions: &[u64], expected_form: &str, expected_count: u64) {
            let additions: Vec<_> = additions.iter().map(|&count| (2_000, count)).collect();
            let cells = cells(&additions);
            assert_eq!(form(&cells), expected_form, "{additions:?}");
            assert_eq!(cells.iter().collect::<Vec<_>>(), [(2_000, expected_count)], "{additions:?}");
        }
        check(&[65_535], "sparse", 65_535);
        check(&[65_535, 1], "32", 65_536);
        check(&[u32::MAX.into()], "32", u32::MAX.into());
        check(&[u32::MAX.into(), 1], "64", 1 << 32);
        check(&[MAX_COUNT - 1, 1], "64", MAX_COUNT);
        check(&[MAX_COUNT, MAX_COUNT], "64", MAX_COUNT);
    }

    #[test]
    fn many_buckets_become_dense() {
        let ones = |range: std::ops::Range<u16>| cells(&range.map(|index| (index, 1)).collect::<Vec<_>>());
        assert_eq!(form(&ones(0..128)), "sparse");
        let dense = ones(0..129);
        assert_eq!((form(&dense), dense.heap_bytes()), ("16", 192 * 2));
    }

    proptest! {
        #[test]
        fn agrees_with_a_map_in_any_order(additions in vec((0..CELL_COUNT, count()), 0..200), turn in 0_usize..200) {
            let mut expected = BTreeMap::new();
            for &(index, count) in &additions {
                let sum = expected.entry(index).or_insert(0);
                *sum = add_counts(*sum, count);
            }
            let straight = cells(&additions);
            prop_assert!(straight.iter().eq(expected.iter().map(|(&index, &count)| (index, count))));
            prop_assert!(straight.iter().rev().eq(expected.iter().rev().map(|(&index, &count)| (index, count))));

            let mut turned = additions;
            let middle = turn.min(turned.len());
            turned.rotate_left(middle);
            let turned = cells(&turned);
            prop_assert_eq!(&turned, &straight);
            prop_assert_eq!(form(&turned), form(&straight));
        }
    }

    fn count() -> impl Strategy<Value = u64> {
        prop_oneof![20 => 1_u64..4, 1 => 65_530_u64..65_540, 1 => 1..=MAX_COUNT]
    }
}
