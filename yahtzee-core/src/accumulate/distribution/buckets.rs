//! Many values: counters per bucket, and exactly how many, from where and to where.

use super::cells::{Cells, MAX_COUNT, add_counts};
use super::hdr::{self, HIGHEST};
use super::samples::{LIST_LIMIT, Samples};
use crate::byte_reader::{ByteReader, DecodeError, put_varint};

/// The bucket state of a distribution. Counts are at most 2^63 - 1 and stay there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Buckets {
    cells: Cells,
    count: u64,
    clamped: u64,
    min: u64,
    max: u64,
}

impl Buckets {
    pub(super) fn from_samples(samples: &Samples) -> Self {
        let mut buckets = Self { cells: Cells::default(), count: 0, clamped: 0, min: u64::MAX, max: 0 };
        samples.iter().for_each(|value| buckets.record_n(value, 1));
        buckets
    }

    pub(super) fn record_n(&mut self, value: u64, occurrences: u64) {
        if occurrences == 0 {
            return;
        }
        let occurrences = occurrences.min(MAX_COUNT);
        self.cells.add(hdr::index_of(value.min(HIGHEST)), occurrences);
        self.count = add_counts(self.count, occurrences);
        if value > HIGHEST {
            self.clamped = add_counts(self.clamped, occurrences);
        }
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.cells.iter().for_each(|(index, count)| self.cells.add(index, count));
        self.count = add_counts(self.count, other.count);
        self.clamped = add_counts(self.clamped, other.clamped);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// The values at `ranks`, which ascend from 1 to at most the count: the middle of the bucket, within the extent.
    pub(super) fn values_at(&self, ranks: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
        let mut cells = self.cells.iter();
        let (mut index, mut reached) = (0, 0);
        ranks.map(move |rank| {
            while reached < rank {
                let Some((next, count)) = cells.next() else { break };
                // Less than a rank, plus one counter, each at most 2^63 - 1: no overflow.
                (index, reached) = (next, reached + count);
            }
            match rank {
                1 => self.min,
                _ if rank == self.count => self.max,
                _ => hdr::middle(index).clamp(self.min, self.max),
            }
        })
    }

    pub(super) fn cells(&self) -> &Cells {
        &self.cells
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn clamped(&self) -> u64 {
        self.clamped
    }

    pub(super) fn min(&self) -> u64 {
        self.min
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// V2 payload, then minimum, maximum and clamped as varints. The count is the sum of the counters.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        hdr::encode_v2(&self.cells, out);
        put_varint(out, self.min);
        put_varint(out, self.max);
        put_varint(out, self.clamped);
    }

    pub(super) fn decode(reader: &mut ByteReader<'_>) -> Result<Self, DecodeError> {
        let cells = hdr::decode_v2(reader)?;
        let count = cells.iter().fold(0, |sum, (_, count)| add_counts(sum, count));
        reader.ensure(count > LIST_LIMIT as u64, "few enough samples for a list")?;
        let (min, max, clamped) = (reader.varint()?, reader.varint()?, reader.varint()?);
        let buckets = Self { cells, count, clamped, min, max };
        reader.ensure(buckets.is_possible(), "minimum, maximum and clamped contradict the counters")?;
        Ok(buckets)
    }

    /// Whether values exist that have these counters, this extent and so many above the highest trackable one.
    fn is_possible(&self) -> bool {
        let ends = (self.cells.iter().next(), self.cells.iter().next_back());
        let (Some((first, _)), Some((last, last_count))) = ends else { return false };
        let extent_fits = self.min <= self.max
            && hdr::index_of(self.min.min(HIGHEST)) == first
            && hdr::index_of(self.max.min(HIGHEST)) == last;
        let some_clamped = self.max > HIGHEST;
        let all_clamped = self.min > HIGHEST;
        extent_fits
            && self.clamped <= last_count
            && (self.clamped > 0) == some_clamped
            && (self.clamped == self.count || !all_clamped)
            && (self.clamped < self.count || all_clamped || self.count == MAX_COUNT)
    }
}
