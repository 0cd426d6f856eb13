//! Accumulators made of accumulators.

use super::{Accumulator, DecodeError};
use crate::byte_reader::{ByteReader, put_varint};

/// A plain count or sum of whole numbers; it stays at its greatest value instead of wrapping.
impl Accumulator for u64 {
    const HEAP_BYTES_MAX: Option<usize> = Some(0);

    fn merge(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, *self);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = ByteReader::new(bytes);
        let value = reader.varint()?;
        reader.finish()?;
        Ok(value)
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Two accumulators side by side, for states too small to need names. Wire form as [`accumulator!`](crate::accumulator!)
/// gives a struct of two fields.
impl<A: Accumulator, B: Accumulator> Accumulator for (A, B) {
    const HEAP_BYTES_MAX: Option<usize> = heap_bytes_max_of(&[A::HEAP_BYTES_MAX, B::HEAP_BYTES_MAX]);

    fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
        self.1.merge(&other.1);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        encode_part(&self.0, out);
        encode_part(&self.1, out);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut parts = Parts::of(bytes);
        let decoded = (parts.next()?, parts.next()?);
        parts.end()?;
        Ok(decoded)
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes() + self.1.heap_bytes()
    }
}

/// Declares a struct whose fields are accumulators, and makes it one: it merges, encodes and decodes field by field.
///
/// Wire form: per field, in order, its length as a varint and its encoding.
///
/// ```
/// use yahtzee_core::accumulate::{Accumulator, Counts, Distribution};
///
/// yahtzee_core::accumulator! {
///     /// Requests of one app.
///     pub struct Requests {
///         pub service_ms: Distribution,
///         pub by_status: Counts,
///         pub bytes: u64,
///     }
/// }
///
/// let (mut left, mut right) = (Requests::default(), Requests::default());
/// left.bytes += 1;
/// right.by_status.add(200, 1);
/// left.merge(&right);
/// assert_eq!((left.bytes, left.by_status.get(200)), (1, 1));
/// ```
#[macro_export]
macro_rules! accumulator {
    ($(#[$about:meta])* $visible:vis struct $name:ident {
        $($(#[$about_field:meta])* $visible_field:vis $field:ident: $kind:ty),+ $(,)?
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        $visible struct $name {
            $($(#[$about_field])* $visible_field $field: $kind,)+
        }

        impl $crate::accumulate::Accumulator for $name {
            const HEAP_BYTES_MAX: Option<usize> = $crate::accumulate::heap_bytes_max_of(&[
                $(<$kind as $crate::accumulate::Accumulator>::HEAP_BYTES_MAX,)+
            ]);

            fn merge(&mut self, other: &Self) {
                $($crate::accumulate::Accumulator::merge(&mut self.$field, &other.$field);)+
            }

            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::accumulate::encode_part(&self.$field, out);)+
            }

            fn decode(bytes: &[u8]) -> Result<Self, $crate::accumulate::DecodeError> {
                let mut parts = $crate::accumulate::Parts::of(bytes);
                let decoded = Self { $($field: parts.next()?,)+ };
                parts.end()?;
                Ok(decoded)
            }

            fn heap_bytes(&self) -> usize {
                0 $(+ $crate::accumulate::Accumulator::heap_bytes(&self.$field))+
            }
        }
    };
}

/// Returns the most heap memory of an accumulator with these fields.
#[doc(hidden)]
#[must_use]
pub const fn heap_bytes_max_of(fields: &[Option<usize>]) -> Option<usize> {
    let (mut sum, mut index) = (0_usize, 0);
    while index < fields.len() {
        match fields[index] {
            Some(bytes) => sum = sum.saturating_add(bytes),
            None => return None,
        }
        index += 1;
    }
    Some(sum)
}

/// Appends one field of a composed accumulator.
#[doc(hidden)]
pub fn encode_part(part: &impl Accumulator, out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    part.encode(&mut bytes);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(&bytes);
}

/// Reads the fields of a composed accumulator.
#[doc(hidden)]
pub struct Parts<'a>(ByteReader<'a>);

impl<'a> Parts<'a> {
    /// Creates a reader over `bytes`.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        Self(ByteReader::new(bytes))
    }

    /// The next field.
    ///
    /// # Errors
    /// If it is cut or is no such accumulator; offsets count from the field's start.
    #[expect(clippy::should_implement_trait, reason = "each call may have another type")]
    pub fn next<A: Accumulator>(&mut self) -> Result<A, DecodeError> {
        let length = usize::try_from(self.0.varint()?).unwrap_or(usize::MAX);
        A::decode(self.0.take(length)?)
    }

    /// Fails if input remains.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn end(self) -> Result<(), DecodeError> {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::accumulate::{Counts, Distribution, laws};

    crate::accumulator! {
        struct Composed {
            values: Distribution,
            keys: Counts,
            sum: u64,
        }
    }

    fn composed(values: &[u32]) -> Composed {
        let mut state = Composed::default();
        for &value in values {
            state.values.record(value.into());
            state.keys.add(value % 5, 1);
            state.sum += u64::from(value);
        }
        state
    }

    proptest! {
        #[test]
        fn a_composition_keeps_the_laws_of_its_parts(
            [a, b, c] in prop::array::uniform3(prop::collection::vec(any::<u32>(), 0..50)),
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            laws::check([composed(&a), composed(&b), composed(&c)]);
            let together = [a.as_slice(), &b].concat();
            laws::check_fold(&composed(&a), &composed(&b), &composed(&together));
            laws::check_decode::<Composed>(&bytes);
        }

        #[test]
        fn a_pair_keeps_the_laws_of_its_parts(
            values in prop::array::uniform3(prop::collection::vec(any::<u32>(), 0..50)),
            sums: [u64; 3],
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let pairs = [0, 1, 2].map(|index| (composed(&values[index]), sums[index]));
            laws::check(pairs);
            laws::check_decode::<(Distribution, u64)>(&bytes);
        }

        #[test]
        fn a_sum_keeps_the_laws(sums: [u64; 3]) {
            laws::check(sums);
        }
    }
}
