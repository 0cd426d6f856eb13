//! A distribution of non-negative integers, exact while small, an HdrHistogram when large.
//!
//! # States
//!
//! Up to 32 samples: the samples. Above: counters of log-linear buckets, those of an HdrHistogram with two
//! significant digits and lowest discernible value 1 ([`HIGHEST_TRACKABLE`](Distribution::HIGHEST_TRACKABLE) is its upper bound),
//! with exact count, minimum and maximum. Which state it is depends on the number of samples and on nothing else.
//!
//! # Wire form
//!
//! The first byte tells the two forms apart; both are the only encoding of their content.
//!
//! * `0x80 + n`, n = 0 ..= 32: n samples follow in ascending order, as varints, each the distance from the one before
//!   (the first from 0). One sample below 2^21 takes at most 4 bytes.
//! * `0x1c`, first byte of the HdrHistogram V2 cookie: an uncompressed HdrHistogram V2 payload, followed by
//!   minimum, maximum and the number of clamped samples as varints. The payload states its length, so the
//!   value can be handed to any HdrHistogram library as it is, or cut 40 + (bytes 4 to 8, big endian) bytes long.
//!
//! The V2 payload, from the published format (`HdrHistogram`, `AbstractHistogram.encodeIntoByteBuffer`), all big endian:
//! cookie `0x1c849313` (base `0x1c849303` and the word-size
//! marker), length of the counts in bytes, normalizing index offset 0 (4 bytes each), significant digits 2
//! (4), lowest discernible value 1 (8), highest trackable value (8), conversion ratio 1.0 (8); then up to the last
//! non-empty bucket one ZigZag LEB128 number (at most 9 bytes) per bucket or run: a counter, or minus the length of a
//! run of two or more empty buckets.

mod buckets;
mod cells;
mod hdr;
mod samples;
#[cfg(test)]
mod tests;

use super::Accumulator;
use crate::byte_reader::{ByteReader, DecodeError, put_varint};
use buckets::Buckets;
use samples::{LIST_LIMIT, Samples};

/// First byte of the list form with 0 samples.
const LIST_FORM: u8 = 0x80;

/// Count, extent and quantiles of non-negative integers: exact to 32 samples, within 1/256 (0.4 %) above.
///
/// 24 bytes; up to five samples below 2^32 need no heap, 32 need 128 bytes, buckets 4 bytes for each of the first 128
/// used, then 2 bytes (4 or 8 where a counter demands it) for each between the least and the greatest.
/// Counters are widened before one could overflow, up to 2^63 - 1, the most the wire form can carry; there
/// they stay ([`is_saturated`](Self::is_saturated)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// At most [`LIST_LIMIT`] samples.
    List(Samples),
    /// More than [`LIST_LIMIT`] samples.
    Buckets(Box<Buckets>),
}

impl Default for Distribution {
    fn default() -> Self {
        Self { state: State::List(Samples::default()) }
    }
}

impl Distribution {
    /// The greatest value with a bucket of its own kind: 2^27 - 1, which is 37 hours in milliseconds.
    ///
    /// Among more than 32 samples, a greater one counts into the last bucket and as [`clamped`](Self::clamped).
    pub const HIGHEST_TRACKABLE: u64 = hdr::HIGHEST;

    /// Folds in one value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Folds in `occurrences` equal values; 0 changes nothing.
    pub fn record_n(&mut self, value: u64, occurrences: u64) {
        match &mut self.state {
            State::List(samples) if samples.has_room_for(occurrences) => {
                (0..occurrences).for_each(|_| samples.insert(value));
            }
            State::List(samples) => {
                let mut buckets = Box::new(Buckets::from_samples(samples));
                buckets.record_n(value, occurrences);
                self.state = State::Buckets(buckets);
            }
            State::Buckets(buckets) => buckets.record_n(value, occurrences),
        }
    }

    /// Values folded in, at most 2^63 - 1.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.state {
            State::List(samples) => samples.len() as u64,
            State::Buckets(buckets) => buckets.count(),
        }
    }

    /// The least value, exact; `None` without values.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        match &self.state {
            State::List(samples) => samples.iter().next(),
            State::Buckets(buckets) => Some(buckets.min()),
        }
    }

    /// The greatest value, exact; `None` without values.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        match &self.state {
            State::List(samples) => samples.iter().last(),
            State::Buckets(buckets) => Some(buckets.max()),
        }
    }

    /// Values above [`HIGHEST_TRACKABLE`](Self::HIGHEST_TRACKABLE) of which only that much is known. None while the
    /// samples themselves are kept.
    #[must_use]
    pub fn clamped(&self) -> u64 {
        match &self.state {
            State::List(_) => 0,
            State::Buckets(buckets) => buckets.clamped(),
        }
    }

    /// Whether the count has reached 2^63 - 1, so that counters may fall short of the truth.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        self.count() == cells::MAX_COUNT
    }

    /// The value of nearest rank `ceil(quantile * count)`, at least 1: `None` without values or for NaN; 0.0 and less
    /// give the minimum, 1.0 and more the maximum.
    ///
    /// To 32 samples the sample of that rank. Above, the middle of its bucket within minimum and maximum, so off by
    /// at most 1/256 of the value; clamped samples excepted, of which only the bound is known. HdrHistogram
    /// libraries find the same bucket and answer with its *upper end*, off by up to 1/128.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        self.quantiles(&[quantile]).pop().flatten()
    }

    /// [`quantile`](Self::quantile) of each of `quantiles`, which may be in any order, in one pass over the buckets.
    #[must_use]
    pub fn quantiles(&self, quantiles: &[f64]) -> Vec<Option<u64>> {
        let count = self.count();
        let ranks = quantiles.iter().enumerate();
        let mut ranks: Vec<(u64, usize)> =
            ranks.filter_map(|(at, &quantile)| Some((rank_of(quantile, count)?, at))).collect();
        ranks.sort_unstable();
        let mut answers = vec![None; quantiles.len()];
        match &self.state {
            State::List(samples) => {
                ranks.iter().for_each(|&(rank, at)| answers[at] = Some(samples.get(rank as usize - 1)));
            }
            State::Buckets(buckets) => {
                let values = buckets.values_at(ranks.iter().map(|&(rank, _)| rank));
                values.zip(&ranks).for_each(|(value, &(_, at))| answers[at] = Some(value));
            }
        }
        answers
    }

    /// This distribution as an uncompressed HdrHistogram V2 payload, for any HdrHistogram library, in either state.
    ///
    /// What the format has no place for is lost: exact values of up to 32 samples, exact minimum and maximum,
    /// and which samples of the last bucket were clamped.
    #[must_use]
    pub fn to_hdr_v2(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match &self.state {
            State::List(samples) => hdr::encode_v2(Buckets::from_samples(samples).cells(), &mut out),
            State::Buckets(buckets) => hdr::encode_v2(buckets.cells(), &mut out),
        }
        out
    }
}

/// The nearest rank of `quantile` among `count` values, from 1.
fn rank_of(quantile: f64, count: u64) -> Option<u64> {
    if count == 0 || quantile.is_nan() {
        return None;
    }
    if quantile >= 1.0 {
        return Some(count);
    }
    // One step down first: 0.07 * 100 is 7.000000000000001 in floating point, yet rank 7 is meant.
    let rank = (quantile.max(0.0).next_down() * count as f64).ceil();
    Some((rank as u64).clamp(1, count))
}

impl Accumulator for Distribution {
    /// A counter of the greatest width for every bucket.
    const HEAP_BYTES_MAX: Option<usize> =
        Some(size_of::<Buckets>() + hdr::CELL_COUNT as usize * size_of::<u64>());

    fn merge(&mut self, other: &Self) {
        match (&mut self.state, &other.state) {
            (_, State::List(theirs)) => theirs.iter().for_each(|value| self.record(value)),
            (State::Buckets(ours), State::Buckets(theirs)) => ours.merge(theirs),
            (State::List(ours), State::Buckets(theirs)) => {
                let mut merged = theirs.clone();
                ours.iter().for_each(|value| merged.record_n(value, 1));
                self.state = State::Buckets(merged);
            }
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match &self.state {
            State::List(samples) => {
                out.push(LIST_FORM + samples.len() as u8);
                samples.iter().fold(0, |before, value| {
                    put_varint(out, value - before);
                    value
                });
            }
            State::Buckets(buckets) => buckets.encode(out),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = ByteReader::new(bytes);
        let form = bytes.first().ok_or(DecodeError::Truncated { offset: 0 })?;
        let state = match form.checked_sub(LIST_FORM).map(usize::from) {
            Some(length) if length <= LIST_LIMIT => State::List(decode_list(&mut reader)?),
            None if *form == hdr::FIRST_BYTE => State::Buckets(Box::new(Buckets::decode(&mut reader)?)),
            _ => return Err(reader.invalid("the first byte names no form of a distribution")),
        };
        reader.finish()?;
        Ok(Self { state })
    }

    fn heap_bytes(&self) -> usize {
        match &self.state {
            State::List(samples) => samples.heap_bytes(),
            State::Buckets(buckets) => size_of::<Buckets>() + buckets.cells().heap_bytes(),
        }
    }
}

/// Reads the list form, of which the first byte is known to be one.
fn decode_list(reader: &mut ByteReader<'_>) -> Result<Samples, DecodeError> {
    let length = reader.byte()? - LIST_FORM;
    let mut samples = Samples::default();
    let mut value: u64 = 0;
    for _ in 0..length {
        let distance = reader.varint()?;
        value = value.checked_add(distance).ok_or_else(|| reader.invalid("a sample beyond 64 bits"))?;
        samples.insert(value);
    }
    Ok(samples)
}
