//! Reading and writing bytes that have one spelling only: varints without needless bytes, nothing left over. For encodings of
//! our own; messages of others are read by [`crate::wire`].

use std::fmt;

/// Why bytes are not the encoding of an accumulator. Offsets are from the start of the bytes handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end before the state is complete.
    Truncated {
        /// Position at which the next byte was expected.
        offset: usize,
    },
    /// The state is complete and bytes follow it.
    Trailing {
        /// The first byte too many.
        offset: usize,
    },
    /// No state encodes to these bytes.
    Invalid {
        /// Position at which reading stopped; the contradiction lies before it.
        offset: usize,
        /// The contradiction.
        reason: &'static str,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("accumulator ")?;
        match self {
            Self::Truncated { offset } => write!(formatter, "cut short at byte {offset}")?,
            Self::Trailing { offset } => {
                write!(formatter, "complete, yet followed by more from byte {offset}")?
            }
            Self::Invalid { offset, reason } => write!(formatter, "invalid before byte {offset}: {reason}")?,
        }
        formatter.write_str("; damaged or of another version: check who wrote it, then replay its window")
    }
}

impl std::error::Error for DecodeError {}

/// Appends `value` as a base-128 varint, least significant group first, as Protocol Buffers do.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Signed to unsigned with small magnitudes first: 0, -1, 1, -2 ... become 0, 1, 2, 3 ...
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// A cursor over bytes of unknown origin.
pub(crate) struct ByteReader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> ByteReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// The contradiction `reason`, noticed after what has been read.
    pub(crate) fn invalid(&self, reason: &'static str) -> DecodeError {
        DecodeError::Invalid { offset: self.offset, reason }
    }

    /// `holds`, or the contradiction `reason`.
    pub(crate) fn ensure(&self, holds: bool, reason: &'static str) -> Result<(), DecodeError> {
        if holds { Ok(()) } else { Err(self.invalid(reason)) }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.offset).ok_or(DecodeError::Truncated { offset: self.offset })?;
        self.offset += 1;
        Ok(byte)
    }

    /// The next `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        if length > self.remaining() {
            return Err(DecodeError::Truncated { offset: self.bytes.len() });
        }
        let taken = &self.bytes[self.offset..self.offset + length];
        self.offset += length;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were taken"))
    }

    /// A reader of the next `length` bytes that reports offsets as this one does.
    pub(crate) fn section(&mut self, length: usize) -> Result<Self, DecodeError> {
        let offset = self.offset;
        self.take(length)?;
        Ok(Self { bytes: &self.bytes[..self.offset], offset })
    }

    /// A varint as [`put_varint`] writes it; longer spellings of the same number are refused.
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            self.ensure(group << shift >> shift == group, "a number beyond 64 bits")?;
            value |= group << shift;
            if byte < 0x80 {
                self.ensure(byte > 0 || shift == 0, "a number with needless bytes")?;
                return Ok(value);
            }
        }
        Err(self.invalid("a number longer than ten bytes"))
    }

    /// Asserts that everything has been read.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { Err(DecodeError::Trailing { offset: self.offset }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<u64, DecodeError> {
        let mut reader = ByteReader::new(bytes);
        let value = reader.varint()?;
        reader.finish()?;
        Ok(value)
    }

    #[test]
    fn varints_have_one_spelling() {
        fn check(bytes: &[u8], expected: Result<u64, DecodeError>) {
            assert_eq!(read(bytes), expected, "{bytes:x?}");
        }
        let invalid = |offset, reason| Err(DecodeError::Invalid { offset, reason });
        check(&[], Err(DecodeError::Truncated { offset: 0 }));
        check(&[0], Ok(0));
        check(&[0xac, 0x02], Ok(300));
        check(&[0xac], Err(DecodeError::Truncated { offset: 1 }));
        check(&[0x80, 0x00], invalid(2, "a number with needless bytes"));
        check(&[1, 1], Err(DecodeError::Trailing { offset: 1 }));
        let mut longest = [0xff; 10];
        longest[9] = 1;
        check(&longest, Ok(u64::MAX));
        longest[9] = 2;
        check(&longest, invalid(10, "a number beyond 64 bits"));
        longest[9] = 0x81;
        check(&longest, invalid(10, "a number longer than ten bytes"));
    }

    #[test]
    fn errors_say_what_where_and_what_next() {
        let text = ByteReader::new(&[0x80, 0]).varint().unwrap_err().to_string();
        assert!(text.contains("needless") && text.contains("byte 2") && text.contains("replay"), "{text}");
    }

    proptest! {
        #[test]
        fn numbers_round_trip(value: u64, signed: i64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(read(&bytes), Ok(value));
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }
}
