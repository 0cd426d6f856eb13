//! The part that moments and gauges share: count, sum and extent of some values.

use crate::byte_reader::{ByteReader, DecodeError, put_varint};

/// Count, sum, minimum and maximum. Count and sum saturate; where there are no values, minimum > maximum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) sum: u64,
    min: u64,
    max: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { count: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

impl Tally {
    pub(super) fn record(&mut self, value: u64) {
        self.merge(&Self { count: 1, sum: value, min: value, max: value });
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub(super) fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    pub(super) fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    pub(super) fn is_saturated(&self) -> bool {
        self.count == u64::MAX || self.sum == u64::MAX
    }

    /// The arithmetic mean, unless there is none or the sum is not the true one.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0 && !self.is_saturated()).then(|| self.sum as f64 / self.count as f64)
    }

    /// Count, then sum, minimum and maximum unless the count is 0. All varints.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.count);
        if self.count > 0 {
            put_varint(out, self.sum);
            put_varint(out, self.min);
            put_varint(out, self.max);
        }
    }

    pub(super) fn decode(reader: &mut ByteReader<'_>) -> Result<Self, DecodeError> {
        let count = reader.varint()?;
        if count == 0 {
            return Ok(Self::default());
        }
        let tally = Self { count, sum: reader.varint()?, min: reader.varint()?, max: reader.varint()? };
        reader.ensure(tally.is_possible(), "no values have this sum and extent")?;
        Ok(tally)
    }

    /// Whether values exist that add up to this: one is the minimum, one the maximum, the others lie between.
    fn is_possible(&self) -> bool {
        let (min, max, others) = (u128::from(self.min), u128::from(self.max), u128::from(self.count - 1));
        let sums = min * others + max..=max * others + min;
        min <= max && (self.is_saturated() || sums.contains(&u128::from(self.sum)))
    }
}
