//! A value that is sampled, of which the latest matters most.

use super::Accumulator;
use super::tally::Tally;
use crate::byte_reader::{ByteReader, DecodeError, put_varint, unzigzag, zigzag};

/// The latest sample by event time, the extent, and the sample mean of a non-negative integer.
///
/// Latest means greatest event time, and among samples of one instant the greatest value: a rule that does
/// not see the order of arrival. The mean is the mean *of the samples*, each with the same weight. A mean weighted by time
/// would hold each value until the next sample, which may lie in the next window, or be late, so it would
/// depend on neighbours that this window cannot know.
///
/// 48 bytes, no heap. Encoding: varints count, sum, minimum, maximum, event time (ZigZag), last value; the count alone
/// where it is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    tally: Tally,
    /// Event time in microseconds and value of the latest sample; meaningless without samples.
    latest: (i64, u64),
}

impl Gauge {
    /// Folds in one sample taken at `event_time_us`, microseconds since the Unix epoch.
    pub fn record(&mut self, event_time_us: i64, value: u64) {
        let sample = (event_time_us, value);
        self.latest = if self.tally.count == 0 { sample } else { self.latest.max(sample) };
        self.tally.record(value);
    }

    /// Samples folded in.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.tally.count
    }

    /// Sum of the samples, or `u64::MAX` if that is exceeded.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.tally.sum
    }

    /// The latest value, `None` without samples.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        (self.tally.count > 0).then_some(self.latest.1)
    }

    /// Event time of the latest value in microseconds since the Unix epoch, `None` without samples.
    #[must_use]
    pub fn last_event_time_us(&self) -> Option<i64> {
        (self.tally.count > 0).then_some(self.latest.0)
    }

    /// The least value, `None` without samples.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        self.tally.min()
    }

    /// The greatest value, `None` without samples.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        self.tally.max()
    }

    /// Whether count or sum has reached the end of its range, so that it may fall short of the truth.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        self.tally.is_saturated()
    }

    /// The mean of the samples. `None` without samples, or if the sum is saturated and the mean would be wrong.
    #[must_use]
    pub fn sample_mean(&self) -> Option<f64> {
        self.tally.mean()
    }
}

impl Accumulator for Gauge {
    const HEAP_BYTES_MAX: Option<usize> = Some(0);

    fn merge(&mut self, other: &Self) {
        self.latest = match (self.tally.count, other.tally.count) {
            (_, 0) => self.latest,
            (0, _) => other.latest,
            _ => self.latest.max(other.latest),
        };
        self.tally.merge(&other.tally);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.tally.encode(out);
        if self.tally.count > 0 {
            put_varint(out, zigzag(self.latest.0));
            put_varint(out, self.latest.1);
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = ByteReader::new(bytes);
        let mut gauge = Self { tally: Tally::decode(&mut reader)?, latest: (0, 0) };
        if let (Some(min), Some(max)) = (gauge.min(), gauge.max()) {
            gauge.latest = (unzigzag(reader.varint()?), reader.varint()?);
            reader.ensure((min..=max).contains(&gauge.latest.1), "the last value lies outside the extent")?;
        }
        reader.finish()?;
        Ok(gauge)
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn gauge(samples: &[(i64, u64)]) -> Gauge {
        let mut gauge = Gauge::default();
        samples.iter().for_each(|&(time_us, value)| gauge.record(time_us, value));
        gauge
    }

    #[test]
    fn the_latest_is_decided_by_event_time_then_value() {
        fn check(samples: &[(i64, u64)], expected: Option<(i64, u64)>) {
            let gauge = gauge(samples);
            assert_eq!(gauge.last_event_time_us().zip(gauge.last()), expected, "{samples:?}");
        }
        check(&[], None);
        check(&[(-5, 3)], Some((-5, 3)));
        check(&[(2, 10), (1, 99)], Some((2, 10)));
        check(&[(2, 10), (2, 9)], Some((2, 10)));
        check(&[(2, 9), (2, 10)], Some((2, 10)));
    }

    #[test]
    fn mean_and_extent_are_those_of_the_samples() {
        let gauge = gauge(&[(0, 1), (1, 2), (100, 6)]);
        assert_eq!((gauge.count(), gauge.sum()), (3, 9));
        assert_eq!((gauge.min(), gauge.max(), gauge.sample_mean()), (Some(1), Some(6), Some(3.0)));
    }

    #[test]
    fn a_saturated_sum_has_no_mean() {
        let gauge = gauge(&[(0, u64::MAX), (1, 1)]);
        assert!(gauge.is_saturated());
        assert_eq!((gauge.sum(), gauge.sample_mean()), (u64::MAX, None));
    }

    #[test]
    fn a_last_value_outside_the_extent_is_refused() {
        let mut bytes = Vec::new();
        gauge(&[(0, 4), (1, 6)]).encode(&mut bytes);
        *bytes.last_mut().unwrap() = 7;
        assert!(matches!(Gauge::decode(&bytes), Err(DecodeError::Invalid { .. })));
    }

    proptest! {
        #[test]
        fn laws_hold(a: Vec<(i64, u64)>, b: Vec<(i64, u64)>, c: Vec<(i64, u64)>) {
            laws::check([gauge(&a), gauge(&b), gauge(&c)]);
            let together = [a.as_slice(), &b].concat();
            laws::check_fold(&gauge(&a), &gauge(&b), &gauge(&together));
        }

        #[test]
        fn ties_do_not_see_the_order(samples in vec((0_i64..3, 0_u64..5), 0..12)) {
            let reversed: Vec<_> = samples.iter().rev().copied().collect();
            prop_assert_eq!(gauge(&samples), gauge(&reversed));
        }

        #[test]
        fn decoding_never_panics(bytes in vec(any::<u8>(), 0..60)) {
            laws::check_decode::<Gauge>(&bytes);
        }
    }
}
