//! How much there was per second, on average and in the busiest second.

use super::{Accumulator, make_room};
use crate::byte_reader::{ByteReader, DecodeError, put_varint, unzigzag, zigzag};

/// An amount per second: requests, bytes, errors.
///
/// The amount of each second that has any is kept, of up to [`SLICES_MAX`](Self::SLICES_MAX) seconds, so that the peak of a window of
/// two minutes is exact. Where more seconds have an amount, slices of 2, 4, 8 and more seconds are told apart, the shortest of which
/// there are few enough, and the peak is that of a slice. Which length that is follows from the seconds alone, not from their order.
/// The total is exact in any case. A second or slice that is not wholly in the window counts as if it were: the peak may be below the mean
/// where windows are shorter than a slice.
///
/// 40 bytes, and 16 for each slice. Sums that reach `u64::MAX` stay there.
///
/// Encoding: varints total and number of slices; if there are slices, a byte, the binary logarithm of the length of a slice, then the
/// number of the first slice (ZigZag, counted from 1970) and its amount, and of every other one the distance from the one before and
/// its amount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    total: u64,
    /// Ascending by number; no amount is 0.
    slices: Vec<(i64, u64)>,
    /// A slice has 2 to this power seconds.
    length_log2: u8,
}

/// No slice becomes longer: of this length there are few enough in all times.
const LENGTH_LOG2_MAX: u8 = 38;

/// The first and the last second that an event time can have.
const SECONDS: (i64, i64) = (i64::MIN.div_euclid(1_000_000), i64::MAX.div_euclid(1_000_000));

impl Rate {
    /// The most slices that are told apart.
    pub const SLICES_MAX: usize = 128;

    /// Folds in an amount at `event_time_us`, microseconds since the Unix epoch. An amount of 0 changes nothing.
    pub fn add(&mut self, event_time_us: i64, amount: u64) {
        self.total = self.total.saturating_add(amount);
        self.add_to_slice(event_time_us.div_euclid(1_000_000) >> self.length_log2, amount);
    }

    fn add_to_slice(&mut self, slice: i64, amount: u64) {
        if amount == 0 {
            return;
        }
        match self.slices.binary_search_by_key(&slice, |entry| entry.0) {
            Ok(at) => self.slices[at].1 = self.slices[at].1.saturating_add(amount),
            Err(at) => {
                // One more than there may be, until they are joined.
                make_room(&mut self.slices, Self::SLICES_MAX + 1);
                self.slices.insert(at, (slice, amount));
                self.shorten();
            }
        }
    }

    /// Makes slices longer until there are few enough.
    fn shorten(&mut self) {
        while self.slices.len() > Self::SLICES_MAX {
            self.lengthen(self.length_log2 + 1);
        }
    }

    fn lengthen(&mut self, length_log2: u8) {
        let by = length_log2 - self.length_log2;
        self.length_log2 = length_log2;
        self.slices.iter_mut().for_each(|entry| entry.0 >>= by);
        self.slices.dedup_by(|joined, kept| {
            let is_same = joined.0 == kept.0;
            if is_same {
                kept.1 = kept.1.saturating_add(joined.1);
            }
            is_same
        });
    }

    /// The whole amount, or `u64::MAX` if that is exceeded.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The amount per second of a window of this length, which the key of a summary says: a job cannot know it, as configuration may
    /// override the length. `None` if the length is 0 or the total is saturated.
    #[must_use]
    pub fn per_second(&self, window_ms: u64) -> Option<f64> {
        (window_ms > 0 && self.total < u64::MAX).then(|| self.total as f64 * 1_000.0 / window_ms as f64)
    }

    /// The amount per second in the busiest slice, 0 if there is none: see [`Self::slice_seconds`]. `None` if the amount of a slice is
    /// saturated.
    #[must_use]
    pub fn peak_per_second(&self) -> Option<f64> {
        let most = self.slices.iter().map(|entry| entry.1).max().unwrap_or(0);
        (most < u64::MAX).then(|| most as f64 / self.slice_seconds() as f64)
    }

    /// Length of a slice in seconds: 1 where the peak is that of a second.
    #[must_use]
    pub fn slice_seconds(&self) -> u64 {
        1 << self.length_log2
    }
}

impl Accumulator for Rate {
    const HEAP_BYTES_MAX: Option<usize> = Some((Self::SLICES_MAX + 1) * size_of::<(i64, u64)>());

    fn merge(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        if other.length_log2 > self.length_log2 {
            self.lengthen(other.length_log2);
        }
        for &(slice, amount) in &other.slices {
            // Slices have become longer since, if there were too many.
            self.add_to_slice(slice >> (self.length_log2 - other.length_log2), amount);
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.total);
        put_varint(out, self.slices.len() as u64);
        let Some(&(first, amount)) = self.slices.first() else { return };
        out.push(self.length_log2);
        put_varint(out, zigzag(first));
        put_varint(out, amount);
        for pair in self.slices.windows(2) {
            put_varint(out, pair[1].0.abs_diff(pair[0].0));
            put_varint(out, pair[1].1);
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = ByteReader::new(bytes);
        let (total, count) = (reader.varint()?, reader.varint()?);
        reader.ensure(count <= Self::SLICES_MAX as u64, "more slices than are told apart")?;
        let mut rate = Self { total, ..Self::default() };
        if count > 0 {
            rate.length_log2 = reader.byte()?;
            reader.ensure(rate.length_log2 <= LENGTH_LOG2_MAX, "slices longer than all time")?;
        }
        for _ in 0..count {
            let slice = read_slice(&mut reader, rate.slices.last().map(|entry| entry.0))?;
            let amount = reader.varint()?;
            reader.ensure(amount > 0, "a slice without an amount")?;
            rate.slices.push((slice, amount));
        }
        reader.ensure(rate.has_its_total(), "another total than that of the slices")?;
        reader.ensure(rate.is_within_time(), "a slice beyond all time")?;
        reader.ensure(rate.needs_its_length(), "slices longer than they need to be")?;
        reader.finish()?;
        Ok(rate)
    }

    fn heap_bytes(&self) -> usize {
        self.slices.capacity() * size_of::<(i64, u64)>()
    }
}

impl Rate {
    fn has_its_total(&self) -> bool {
        self.total == self.slices.iter().fold(0_u64, |total, entry| total.saturating_add(entry.1))
    }

    fn is_within_time(&self) -> bool {
        self.slices.iter().all(|entry| is_of_time(entry.0, self.length_log2))
    }

    /// Whether the same amounts can have been in too many slices of half the length.
    fn needs_its_length(&self) -> bool {
        let Some(half_log2) = self.length_log2.checked_sub(1) else { return true };
        let halves =
            |slice: i64| [slice << 1, slice << 1 | 1].into_iter().filter(|&half| is_of_time(half, half_log2));
        let most = |&(slice, amount): &(i64, u64)| amount.min(halves(slice).count() as u64);
        self.slices.iter().map(most).sum::<u64>() > Self::SLICES_MAX as u64
    }
}

/// Whether an event time can be in a slice of this length.
fn is_of_time(slice: i64, length_log2: u8) -> bool {
    (SECONDS.0 >> length_log2..=SECONDS.1 >> length_log2).contains(&slice)
}

/// The slice at the given distance from the one `before`, or the first one.
fn read_slice(reader: &mut ByteReader<'_>, before: Option<i64>) -> Result<i64, DecodeError> {
    let number = reader.varint()?;
    let Some(before) = before else { return Ok(unzigzag(number)) };
    reader.ensure(number > 0, "a slice twice")?;
    before.checked_add_unsigned(number).ok_or_else(|| reader.invalid("a slice beyond all time"))
}

#[cfg(test)]
mod tests {
    use super::super::laws;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Amounts by second.
    fn rate(amounts: impl IntoIterator<Item = (i64, u64)>) -> Rate {
        let mut rate = Rate::default();
        amounts.into_iter().for_each(|(second, amount)| rate.add(second * 1_000_000, amount));
        rate
    }

    #[test]
    fn the_peak_is_that_of_the_busiest_second() {
        fn check(amounts: &[(i64, u64)], total: u64, peak: f64) {
            let rate = rate(amounts.iter().copied());
            assert_eq!((rate.total(), rate.peak_per_second(), rate.slice_seconds()), (total, Some(peak), 1));
        }
        check(&[], 0, 0.0);
        check(&[(7, 0)], 0, 0.0);
        check(&[(7, 2), (-7, 3), (7, 2)], 7, 4.0);
        let mut rate = Rate::default();
        [0, 999_999, 1_000_000, -1].into_iter().for_each(|time_us| rate.add(time_us, 1));
        assert_eq!((rate.total(), rate.peak_per_second()), (4, Some(2.0)));
    }

    #[test]
    fn the_mean_is_that_of_the_window() {
        fn check(total: u64, window_ms: u64, expected: Option<f64>) {
            assert_eq!(rate([(0, total)]).per_second(window_ms), expected);
        }
        check(0, 60_000, Some(0.0));
        check(90, 60_000, Some(1.5));
        check(90, 0, None);
        check(u64::MAX, 60_000, None);
    }

    #[test]
    fn slices_become_longer_where_there_are_too_many() {
        fn check(seconds: &[i64], slice_seconds: u64, peak: f64) {
            let rate = rate(seconds.iter().map(|&second| (second, 3)));
            assert_eq!((rate.slice_seconds(), rate.peak_per_second()), (slice_seconds, Some(peak)));
            assert_eq!(rate.total(), 3 * seconds.len() as u64);
            assert!(rate.heap_bytes() <= Rate::HEAP_BYTES_MAX.unwrap());
        }
        check(&(0..128).collect::<Vec<_>>(), 1, 3.0);
        check(&(0..129).collect::<Vec<_>>(), 2, 3.0);
        check(&(0..3_600).collect::<Vec<_>>(), 32, 3.0);
        // Few seconds, however far apart; and many, of which half share their slice.
        check(&[0, 3_600, 9_000_000_000], 1, 3.0);
        check(&(0..129).map(|n| n * 2).collect::<Vec<_>>(), 4, 1.5);
        check(&(-64..65).map(|n| n << 35).collect::<Vec<_>>(), 1 << 36, 6.0 / (1_u64 << 36) as f64);
    }

    #[test]
    fn other_spellings_are_refused() {
        fn check(bytes: &[u8], is_accepted: bool) {
            assert_eq!(Rate::decode(bytes).is_ok(), is_accepted, "{bytes:?}");
        }
        check(&[0, 0], true);
        check(&[1, 0], false);
        check(&[5, 2, 0, 4, 2, 1, 3], true);
        // A second twice, without an amount, or of another total.
        check(&[5, 2, 0, 4, 2, 0, 3], false);
        check(&[5, 2, 0, 4, 5, 1, 0], false);
        check(&[6, 2, 0, 4, 2, 1, 3], false);
        // A distance that wraps around, to the slice before.
        let around = [[0xff; 9].as_slice(), &[0x01]].concat();
        check(&[[7, 2, 0, 4, 2].as_slice(), &around, &[5]].concat(), false);
        check(&[5, 1, 0, 0, 5], true);
        check(&[5, 1, 0, 0], false);
        // Slices that are longer than they would have become.
        for length_log2 in [1, 2, 62, 63, 255] {
            check(&[5, 1, length_log2, 0, 5], false);
        }
    }

    /// A state of slices of one length and amount.
    fn sliced(length_log2: u8, slices: impl IntoIterator<Item = (i64, u64)>) -> Rate {
        let slices: Vec<(i64, u64)> = slices.into_iter().collect();
        let total = slices.iter().fold(0_u64, |total, slice| total.saturating_add(slice.1));
        Rate { total, slices, length_log2 }
    }

    #[test]
    fn only_states_that_amounts_lead_to_are_read() {
        fn check(state: &Rate, is_accepted: bool) {
            let mut bytes = Vec::new();
            state.encode(&mut bytes);
            assert_eq!(Rate::decode(&bytes).is_ok(), is_accepted, "{state:?}");
        }
        let of = |length_log2, slices: i64, amount| sliced(length_log2, (0..slices).map(|n| (n, amount)));
        // At half the length there would be one slice too many, or not.
        check(&of(1, 65, 2), true);
        check(&of(1, 64, 2), false);
        check(&of(1, 64, u64::MAX), false);
        check(&of(9, 65, u64::MAX), true);
        check(&of(1, 128, 1), false);
        check(&sliced(1, (0..128).map(|n| (n, 1 + u64::from(n == 127)))), true);
        // The first and the last second that an event time can have.
        let (first, last) = (i64::MIN.div_euclid(1_000_000), i64::MAX / 1_000_000);
        check(&sliced(0, [(first, 1), (last, 1)]), true);
        check(&sliced(0, [(first - 1, 1)]), false);
        check(&sliced(0, [(last + 1, 1)]), false);
        // Of 65 slices one holds a single amount. All others must be two of half the length, and the outermost of all times are not.
        let ends = |from: i64| sliced(37, (0..65).map(|n| (from + n, if n == 32 { 1 } else { 2 })));
        check(&ends(-67), true);
        check(&ends(-68), false);
        check(&ends(66 - 64), true);
        check(&ends(67 - 64), false);
        let beyond = |from: i64| sliced(37, (from..from + 70).map(|n| (n, 2)));
        check(&beyond(-68), true);
        check(&beyond(-69), false);
        check(&beyond(67 - 69), true);
        check(&beyond(68 - 69), false);
    }

    #[test]
    fn all_times_there_are_fit_into_the_longest_slices() {
        let all: Vec<i64> = (-68..=67_i64).map(|n| (n << 37).max(SECONDS.0 + 1)).collect();
        let (left, right) = all.split_at(70);
        let of = |seconds: &[i64]| rate(seconds.iter().map(|&second| (second, 2)));
        assert_eq!(of(&all).slice_seconds(), 1 << LENGTH_LOG2_MAX);
        laws::check_fold(&of(left), &of(right), &of(&all));
        laws::check([of(&all), of(left), of(right)]);
        let mut ends = Rate::default();
        [i64::MIN, i64::MAX].into_iter().for_each(|time_us| ends.add(time_us, 1));
        laws::check([ends, of(&all), Rate::default()]);
    }

    /// Slices are counted as what they take, spare room included, and doubling from a copy ends at the bound.
    #[test]
    fn memory_is_what_is_allocated_and_has_an_end() {
        for from in [1, 5, 65, 100, 127, 128] {
            let mut rate = rate((0..from).map(|second| (second, 1))).clone();
            assert_eq!(rate.heap_bytes(), rate.slices.capacity() * 16);
            for second in from..400 {
                rate.add(second * 1_000_000, 1);
                assert!(rate.heap_bytes() >= rate.slices.capacity() * 16);
                assert!(rate.heap_bytes() <= Rate::HEAP_BYTES_MAX.unwrap(), "{from} {second}");
            }
        }
    }

    #[test]
    fn a_peak_that_is_beyond_its_range_is_none() {
        fn check(amounts: &[(i64, u64)], expected: Option<f64>) {
            assert_eq!(rate(amounts.iter().copied()).peak_per_second(), expected, "{amounts:?}");
        }
        check(&[(0, u64::MAX), (0, 1)], None);
        check(&[(0, 1 << 63), (1, 1 << 63)], Some((1_u64 << 63) as f64));
    }

    fn amounts() -> impl Strategy<Value = Vec<(i64, u64)>> {
        let far = i64::MIN / 1_000_000..i64::MAX / 1_000_000;
        prop_oneof![
            vec((0..60_i64, 0..5_u64), 0..40),
            vec((0..400_i64, 1..5_u64), 100..300),
            vec((far, any::<u64>()), 0..200),
        ]
    }

    proptest! {
        #[test]
        fn laws_hold(a in amounts(), b in amounts(), c in amounts()) {
            let together = a.iter().chain(&b).copied();
            laws::check_fold(&rate(a.clone()), &rate(b.clone()), &rate(together));
            laws::check([rate(a), rate(b), rate(c)]);
        }

        #[test]
        fn order_does_not_matter(amounts in amounts()) {
            prop_assert_eq!(rate(amounts.iter().rev().copied()), rate(amounts.iter().copied()));
        }

        #[test]
        fn decoding_never_panics(bytes in vec(0..6_u8, 0..24)) {
            laws::check_decode::<Rate>(&bytes);
        }
    }
}
