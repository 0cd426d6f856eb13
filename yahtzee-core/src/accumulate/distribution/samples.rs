//! A short sorted list of samples in as little memory as they need.

/// The most samples kept as they are.
pub(super) const LIST_LIMIT: usize = 32;

/// Samples that need no heap, provided that they fit 32 bits.
const INLINE_LIMIT: usize = 5;

/// Up to [`LIST_LIMIT`] samples in ascending order; slots from `length` on are spare.
///
/// 24 bytes, which is why the lengths are bytes beside the boxes and not part of a `Vec`. The heap lists double: 8, 16,
/// 32 samples, and from 1 on for samples above 32 bits.
#[derive(Clone, Debug)]
pub(super) enum Samples {
    Inline { length: u8, values: [u32; INLINE_LIMIT] },
    Narrow { length: u8, values: Box<[u32]> },
    Wide { length: u8, values: Box<[u64]> },
}

impl Default for Samples {
    fn default() -> Self {
        Self::Inline { length: 0, values: [0; INLINE_LIMIT] }
    }
}

impl PartialEq for Samples {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Samples {}

impl Samples {
    pub(super) fn len(&self) -> usize {
        let (Self::Inline { length, .. } | Self::Narrow { length, .. } | Self::Wide { length, .. }) = self;
        usize::from(*length)
    }

    pub(super) fn has_room_for(&self, occurrences: u64) -> bool {
        occurrences <= (LIST_LIMIT - self.len()) as u64
    }

    /// The sample at `position` in ascending order, which is below the length.
    pub(super) fn get(&self, position: usize) -> u64 {
        match self {
            Self::Inline { values, .. } => u64::from(values[position]),
            Self::Narrow { values, .. } => u64::from(values[position]),
            Self::Wide { values, .. } => values[position],
        }
    }

    /// The samples in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.len()).map(|position| self.get(position))
    }

    /// Adds one sample. The caller has asked [`has_room_for`](Self::has_room_for).
    pub(super) fn insert(&mut self, value: u64) {
        match (&mut *self, u32::try_from(value)) {
            (Self::Wide { length, values }, _) => insert_growing(values, length, value),
            (_, Err(_)) => {
                *self = self.widened();
                self.insert(value);
            }
            (Self::Narrow { length, values }, Ok(value)) => insert_growing(values, length, value),
            (Self::Inline { length, values }, Ok(value)) if usize::from(*length) < INLINE_LIMIT => {
                insert_sorted(values, length, value);
            }
            (Self::Inline { length, values }, Ok(value)) => {
                let (mut length, mut values) = (*length, Box::from(*values));
                insert_growing(&mut values, &mut length, value);
                *self = Self::Narrow { length, values };
            }
        }
    }

    fn widened(&self) -> Self {
        let mut values = vec![0; self.len().next_power_of_two()].into_boxed_slice();
        values.iter_mut().zip(self.iter()).for_each(|(slot, value)| *slot = value);
        Self::Wide { length: self.len() as u8, values }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Narrow { values, .. } => size_of_val(&**values),
            Self::Wide { values, .. } => size_of_val(&**values),
        }
    }
}

fn insert_growing<T: Copy + Default + Ord>(values: &mut Box<[T]>, length: &mut u8, value: T) {
    if usize::from(*length) == values.len() {
        let mut grown = vec![T::default(); (values.len() + 1).next_power_of_two()].into_boxed_slice();
        grown[..values.len()].copy_from_slice(values);
        *values = grown;
    }
    insert_sorted(values, length, value);
}

/// Puts `value` in its place among the first `length` slots, of which at least one more is spare.
fn insert_sorted<T: Copy + Ord>(values: &mut [T], length: &mut u8, value: T) {
    let end = usize::from(*length);
    let at = values[..end].partition_point(|present| *present <= value);
    values.copy_within(at..end, at + 1);
    values[at] = value;
    *length += 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn samples(values: &[u64]) -> Samples {
        let mut samples = Samples::default();
        values.iter().for_each(|&value| samples.insert(value));
        samples
    }

    #[test]
    fn memory_follows_number_and_size() {
        fn check(count: u64, value: u64, expected_bytes: usize) {
            let samples = samples(&vec![value; count as usize]);
            assert_eq!(samples.heap_bytes(), expected_bytes, "{count} x {value}");
        }
        check(5, u32::MAX.into(), 0);
        check(6, 0, 8 * 4);
        check(32, 0, 32 * 4);
        check(1, 1 << 32, 8);
        check(3, 1 << 32, 4 * 8);
        check(32, 1 << 32, 32 * 8);
        assert!(size_of::<Samples>() <= 24);
    }

    proptest! {
        #[test]
        fn holds_what_was_inserted_sorted(values in vec(mixed(), 0..=LIST_LIMIT)) {
            let samples = samples(&values);
            let mut expected = values;
            expected.sort_unstable();
            prop_assert_eq!(samples.iter().collect::<Vec<_>>(), expected);
            prop_assert!(samples.has_room_for((LIST_LIMIT - samples.len()) as u64));
            prop_assert!(!samples.has_room_for((LIST_LIMIT - samples.len()) as u64 + 1));
        }
    }

    fn mixed() -> impl Strategy<Value = u64> {
        prop_oneof![20 => 0_u64..100, 1 => any::<u64>()]
    }
}
