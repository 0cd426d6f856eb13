//! Finding the bytes that have a meaning, 64 at a time: each block of the line is compared as a whole, and what is asked for is then
//! the lowest bit of a mask.

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteClass {
    /// A byte above 0x20.
    NoBlank,
    /// A blank, `=` or `"`.
    KeyEnd,
    /// A blank or `"`.
    BareEnd,
    /// `"` or `\`.
    QuotedEnd,
}

/// Bytes of a block; one bit each in a mask, the first in the lowest.
const BLOCK_BYTES: usize = 64;

type Block = [u8; BLOCK_BYTES];

/// Which bytes of a block are what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Masks {
    blanks: u64,
    equals: u64,
    quotes: u64,
    escapes: u64,
}

impl Masks {
    #[inline]
    fn of(self, class: ByteClass) -> u64 {
        match class {
            ByteClass::NoBlank => !self.blanks,
            ByteClass::KeyEnd => self.blanks | self.equals | self.quotes,
            ByteClass::BareEnd => self.blanks | self.quotes,
            ByteClass::QuotedEnd => self.quotes | self.escapes,
        }
    }
}

/// Finds bytes in a line. It goes forward only: a position is never before the block of the last one that was found.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    line: &'a [u8],
    /// Where the block begins whose masks these are.
    begin: usize,
    masks: Masks,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self { line, begin: 0, masks: masks_at(line, 0) }
    }

    /// Returns the first position from `from` on with a byte of the class; `None` if there is none. The end of the line is a blank, but
    /// is not found where it is the end of a block.
    #[inline]
    pub(super) fn find(&mut self, from: usize, class: ByteClass) -> Option<usize> {
        let offset = from.wrapping_sub(self.begin);
        if offset < BLOCK_BYTES {
            let found = self.masks.of(class) >> offset;
            if found != 0 {
                return Some(from + found.trailing_zeros() as usize);
            }
        }
        self.find_further(from, class)
    }

    /// The same, behind the block.
    #[inline(never)]
    fn find_further(&mut self, from: usize, class: ByteClass) -> Option<usize> {
        let mut from = from.max(self.begin + BLOCK_BYTES);
        while from < self.line.len() {
            let begin = from - from % BLOCK_BYTES;
            (self.begin, self.masks) = (begin, masks_at(self.line, begin));
            let found = self.masks.of(class) >> (from - begin);
            if found != 0 {
                return Some(from + found.trailing_zeros() as usize);
            }
            from = begin + BLOCK_BYTES;
        }
        None
    }
}

/// The masks of the block that begins here; what lies behind the line counts as 0.
fn masks_at(line: &[u8], begin: usize) -> Masks {
    let rest = &line[begin..];
    if let Some(block) = rest.first_chunk() {
        return masks(block);
    }
    let mut block = [0; BLOCK_BYTES];
    block[..rest.len()].copy_from_slice(rest);
    masks(&block)
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the processor must have what a function is compiled for")]
fn masks(block: &Block) -> Masks {
    // SAFETY: SSE2 is a part of x86-64.
    unsafe { masks_by_lane(block) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn masks_by_lane(block: &Block) -> Masks {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_max_epu8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8,
    };
    const LANE_BYTES: usize = size_of::<__m128i>();
    let (lanes, _) = block.as_chunks::<LANE_BYTES>();
    let mut masks = Masks::default();
    for (lane, number) in lanes.iter().zip(0..) {
        let (low, high) = lane.split_at(LANE_BYTES / 2);
        let half = |half: &[u8]| i64::from_le_bytes(half.try_into().expect("half of a lane"));
        let bytes = _mm_set_epi64x(half(high), half(low));
        let equal = |one, other| {
            let bits = _mm_movemask_epi8(_mm_cmpeq_epi8(one, other)).cast_unsigned();
            u64::from(bits) << (number * LANE_BYTES)
        };
        let all = |byte: u8| _mm_set1_epi8(byte.cast_signed());
        masks.blanks |= equal(_mm_max_epu8(bytes, all(b' ')), all(b' '));
        masks.equals |= equal(bytes, all(b'='));
        masks.quotes |= equal(bytes, all(b'"'));
        masks.escapes |= equal(bytes, all(b'\\'));
    }
    masks
}

#[cfg(not(target_arch = "x86_64"))]
fn masks(block: &Block) -> Masks {
    masks_by_byte(block)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn masks_by_byte(block: &Block) -> Masks {
    let mut masks = Masks::default();
    for (&byte, bit) in block.iter().zip(0..) {
        masks.blanks |= u64::from(byte <= b' ') << bit;
        masks.equals |= u64::from(byte == b'=') << bit;
        masks.quotes |= u64::from(byte == b'"') << bit;
        masks.escapes |= u64::from(byte == b'\\') << bit;
    }
    masks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_are_compared_as_bytes_are(block in prop::array::uniform32(any::<[u8; 2]>())) {
            let block: Block = block.concat().try_into().unwrap();
            prop_assert_eq!(masks(&block), masks_by_byte(&block));
        }

        #[test]
        fn the_first_byte_of_a_class_is_found(
            line in prop::collection::vec(prop::sample::select(b"ab \t\0=\"\\\x7f\xff".to_vec()), 0..300),
            steps in prop::collection::vec(0..80_usize, 1..8),
        ) {
            let is_of = |byte: u8, class| match class {
                ByteClass::NoBlank => byte > b' ',
                ByteClass::KeyEnd => byte <= b' ' || byte == b'=' || byte == b'"',
                ByteClass::BareEnd => byte <= b' ' || byte == b'"',
                ByteClass::QuotedEnd => byte == b'"' || byte == b'\\',
            };
            let mut scanner = Scanner::new(&line);
            let mut from = 0;
            for step in steps {
                from += step;
                for class in [ByteClass::NoBlank, ByteClass::KeyEnd, ByteClass::BareEnd, ByteClass::QuotedEnd] {
                    let expected = (from..line.len()).find(|&at| is_of(line[at], class));
                    let found = scanner.clone().find(from, class).filter(|&at| at < line.len());
                    prop_assert_eq!(found, expected, "{:?} from {}", class, from);
                }
                from = scanner.find(from, ByteClass::NoBlank).unwrap_or(line.len());
            }
        }
    }
}
