//! Count, sum, sum of squares and extent of some values.

use super::Accumulator;
use super::tally::Tally;
use crate::byte_reader::{ByteReader, DecodeError, put_varint};

/// Count, sum, sum of squares, minimum and maximum of non-negative integers, from which mean and variance follow.
///
/// 48 bytes, no heap. A sum that reaches the end of its range stays there ([`is_saturated`](Self::is_saturated));
/// at 60,000 ms per value that takes 3 x 10^14 values.
///
/// Encoding: varints count, sum, minimum, maximum, upper and lower 64 bits of the sum of squares; the
/// count alone where it is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moments {
    tally: Tally,
    /// Upper 64 bits, lower 64 bits. One number would have to be aligned to 16 bytes, with everything that contains it.
    sum_squares: [u64; 2],
}

impl Moments {
    /// Folds in one value.
    pub fn record(&mut self, value: u64) {
        self.tally.record(value);
        let value = u128::from(value);
        self.add_squares(value * value);
    }

    fn add_squares(&mut self, squares: u128) {
        self.sum_squares = halves(self.sum_squares().saturating_add(squares));
    }

    /// Values folded in.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.tally.count
    }

    /// Sum of the values, or `u64::MAX` if that is exceeded.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.tally.sum
    }

    /// Sum of the squared values, or `u128::MAX` if that is exceeded.
    #[must_use]
    pub fn sum_squares(&self) -> u128 {
        let [high, low] = self.sum_squares.map(u128::from);
        high << 64 | low
    }

    /// The upper 64 bits of [`sum_squares`](Self::sum_squares), as messages carry it.
    #[must_use]
    pub fn sum_squares_high(&self) -> u64 {
        self.sum_squares[0]
    }

    /// The lower 64 bits of [`sum_squares`](Self::sum_squares), as messages carry it.
    #[must_use]
    pub fn sum_squares_low(&self) -> u64 {
        self.sum_squares[1]
    }

    /// The least value, `None` without values.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        self.tally.min()
    }

    /// The greatest value, `None` without values.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        self.tally.max()
    }

    /// Whether the count or a sum has reached the end of its range, so that it may fall short of the truth.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        self.tally.is_saturated() || self.sum_squares == [u64::MAX; 2]
    }

    /// The arithmetic mean. `None` without values, or if the sum is saturated and the mean would be wrong.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        self.tally.mean()
    }

    /// The population variance (divisor: the count), `None` where there are no values or a sum is saturated.
    ///
    /// The squares are first moved, in integers, to the integer part `m` of the mean: with `sum = m count + r`,
    /// `sum((x - m)^2) = sum(x^2) - m sum - m r`. So nothing cancels in floating point, however far from 0 the values lie.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        if self.count() == 0 || self.is_saturated() {
            return None;
        }
        let (count, sum) = (u128::from(self.count()), u128::from(self.sum()));
        let (whole, rest) = (sum / count, sum % count);
        // Both products stay below 2^128; only a decoded state that no values have can reach 0 early.
        let moved = self.sum_squares().saturating_sub(whole * sum).saturating_sub(whole * rest);
        let fraction = rest as f64 / count as f64;
        Some((moved as f64 / count as f64 - fraction * fraction).max(0.0))
    }
}

impl Accumulator for Moments {
    const HEAP_BYTES_MAX: Option<usize> = Some(0);

    fn merge(&mut self, other: &Self) {
        self.tally.merge(&other.tally);
        self.add_squares(other.sum_squares());
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.tally.encode(out);
        if self.count() > 0 {
            put_varint(out, self.sum_squares_high());
            put_varint(out, self.sum_squares_low());
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = ByteReader::new(bytes);
        let tally = Tally::decode(&mut reader)?;
        let sum_squares = if tally.count > 0 { [reader.varint()?, reader.varint()?] } else { [0; 2] };
        reader.finish()?;
        Ok(Self { tally, sum_squares })
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Upper and lower 64 bits.
fn halves(number: u128) -> [u64; 2] {
    [(number >> 64) as u64, number as u64]
}

#[cfg(test)]
mod tests {
    use super::super::laws;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn moments(values: &[u64]) -> Moments {
        let mut moments = Moments::default();
        values.iter().for_each(|&value| moments.record(value));
        moments
    }

    #[test]
    fn answers_are_those_of_the_definition() {
        fn check(values: &[u64], mean: Option<f64>, variance: Option<f64>) {
            assert_eq!((moments(values).mean(), moments(values).variance()), (mean, variance), "{values:?}");
        }
        check(&[], None, None);
        check(&[7], Some(7.0), Some(0.0));
        check(&[1, 2], Some(1.5), Some(0.25));
        check(&[2, 4, 4, 4, 5, 5, 7, 9], Some(5.0), Some(4.0));
        let far = 1 << 60;
        check(&[far, far + 2], Some(far as f64), Some(1.0));
    }

    #[test]
    fn sums_saturate_and_say_so() {
        fn check(values: &[u64], sum: u64, sum_squares: u128, saturated: bool) {
            let moments = moments(values);
            assert_eq!((moments.sum(), moments.sum_squares()), (sum, sum_squares), "{values:?}");
            assert_eq!(moments.is_saturated(), saturated, "{values:?}");
            assert_eq!(moments.mean().is_none(), saturated, "{values:?}");
        }
        let most = u64::MAX;
        let square = u128::from(most) * u128::from(most);
        check(&[most - 1], most - 1, u128::from(most - 1).pow(2), false);
        check(&[most - 1, 1], most, u128::from(most - 1).pow(2) + 1, true);
        check(&[most], most, square, true);
        check(&[most, most], most, u128::MAX, true);
    }

    #[test]
    fn halves_of_the_squares_make_the_whole() {
        let moments = moments(&[u64::MAX, 5]);
        let whole = u128::from(moments.sum_squares_high()) << 64 | u128::from(moments.sum_squares_low());
        assert_eq!(whole, u128::from(u64::MAX).pow(2) + 25);
    }

    #[test]
    fn impossible_states_are_refused() {
        fn check(bytes: &[u8], accepted: bool) {
            assert_eq!(Moments::decode(bytes).is_ok(), accepted, "{bytes:x?}");
        }
        check(&[0], true);
        check(&[1, 5, 5, 5, 0, 25], true);
        check(&[1, 5, 5, 5, 0], false);
        check(&[1, 5, 5, 5, 0, 25, 0], false);
        check(&[1, 5, 4, 6, 0, 25], false); // one value has one extent
        check(&[2, 10, 6, 4, 0, 52], false); // minimum above maximum
        check(&[2, 9, 4, 6, 0, 52], false); // 4 and 6 make 10
        check(&[], false);
    }

    proptest! {
        #[test]
        fn laws_hold(a: Vec<u64>, b: Vec<u64>, c: Vec<u64>) {
            laws::check([moments(&a), moments(&b), moments(&c)]);
            let together = [a.as_slice(), &b].concat();
            laws::check_fold(&moments(&a), &moments(&b), &moments(&together));
        }

        #[test]
        fn decoding_never_panics(bytes in vec(any::<u8>(), 0..60)) {
            laws::check_decode::<Moments>(&bytes);
            if let Ok(moments) = Moments::decode(&bytes) {
                prop_assert!(moments.variance().is_none_or(|variance| variance >= 0.0));
            }
        }

        #[test]
        fn variance_agrees_with_two_passes(values in vec(0_u64..100_000, 1..200)) {
            let count = values.len() as f64;
            let mean = values.iter().map(|&value| value as f64).sum::<f64>() / count;
            let expected = values.iter().map(|&value| (value as f64 - mean).powi(2)).sum::<f64>() / count;
            let variance = moments(&values).variance().unwrap();
            prop_assert!((variance - expected).abs() <= 1e-9 * expected.max(1.0), "{variance} {expected}");
        }
    }
}
