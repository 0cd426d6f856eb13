//! A part of a whole.

use super::Accumulator;
use crate::byte_reader::{ByteReader, DecodeError, put_varint};

/// How much of a whole is a part: failed requests of all, bytes from a cache of those served.
///
/// 16 bytes, no heap. Exact, as long as neither sum reaches `u64::MAX`, where it stays. Encoding: varints part and rest of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ratio {
    part: u64,
    rest: u64,
}

impl Ratio {
    /// Folds in one measurement, which belongs to the part or does not.
    pub fn record(&mut self, is_part: bool) {
        self.add(is_part, 1);
    }

    /// Folds in an amount, which belongs to the part or does not.
    pub fn add(&mut self, is_part: bool, amount: u64) {
        let side = if is_part { &mut self.part } else { &mut self.rest };
        *side = side.saturating_add(amount);
    }

    /// The part, or `u64::MAX` if that is exceeded.
    #[must_use]
    pub fn part(&self) -> u64 {
        self.part
    }

    /// The whole, or `u64::MAX` if that is exceeded.
    #[must_use]
    pub fn whole(&self) -> u64 {
        self.part.saturating_add(self.rest)
    }

    /// Whether the part or the rest has reached the end of its range, so that it may fall short of the truth.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        self.part == u64::MAX || self.rest == u64::MAX
    }

    /// The part divided by the whole, from 0 to 1. `None` without a whole, or if a sum is saturated and the ratio would be wrong.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let whole = self.part as f64 + self.rest as f64;
        (whole > 0.0 && !self.is_saturated()).then(|| self.part as f64 / whole)
    }
}

impl Accumulator for Ratio {
    const HEAP_BYTES_MAX: Option<usize> = Some(0);

    fn merge(&mut self, other: &Self) {
        self.add(true, other.part);
        self.add(false, other.rest);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.part);
        put_varint(out, self.rest);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = ByteReader::new(bytes);
        let ratio = Self { part: reader.varint()?, rest: reader.varint()? };
        reader.finish()?;
        Ok(ratio)
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

    fn ratio(amounts: &[(bool, u64)]) -> Ratio {
        let mut ratio = Ratio::default();
        amounts.iter().for_each(|&(is_part, amount)| ratio.add(is_part, amount));
        ratio
    }

    #[test]
    fn a_ratio_is_the_part_of_the_whole() {
        fn check(amounts: &[(bool, u64)], (part, whole): (u64, u64), expected: Option<f64>) {
            let ratio = ratio(amounts);
            assert_eq!((ratio.part(), ratio.whole(), ratio.ratio()), (part, whole, expected), "{amounts:?}");
        }
        check(&[], (0, 0), None);
        check(&[(true, 0)], (0, 0), None);
        check(&[(false, 3)], (0, 3), Some(0.0));
        check(&[(true, 3)], (3, 3), Some(1.0));
        check(&[(true, 1), (false, 2), (false, 1)], (1, 4), Some(0.25));
        // The whole is beyond its range, the ratio is not.
        check(&[(true, u64::MAX - 1), (false, u64::MAX - 1)], (u64::MAX - 1, u64::MAX), Some(0.5));
        check(&[(true, u64::MAX), (true, 1), (false, 2)], (u64::MAX, u64::MAX), None);
        check(&[(true, 1), (false, u64::MAX)], (1, u64::MAX), None);
        let mut counted = Ratio::default();
        [true, false, false].into_iter().for_each(|is_part| counted.record(is_part));
        assert_eq!((counted.part(), counted.whole()), (1, 3));
    }

    proptest! {
        #[test]
        fn laws_hold(a: Vec<(bool, u64)>, b: Vec<(bool, u64)>, c: Vec<(bool, u64)>) {
            laws::check_fold(&ratio(&a), &ratio(&b), &ratio(&[a.as_slice(), &b].concat()));
            laws::check([ratio(&a), ratio(&b), ratio(&c)]);
        }

        #[test]
        fn decoding_never_panics(bytes in vec(any::<u8>(), 0..24)) {
            laws::check_decode::<Ratio>(&bytes);
        }
    }
}
