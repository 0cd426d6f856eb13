//! HdrHistogram with two significant digits: which bucket a value belongs to, and the V2 payload.

use super::cells::Cells;
use crate::byte_reader::{ByteReader, DecodeError, unzigzag, zigzag};

/// Values below twice this have buckets of their own; above, each octave has this many. Two significant digits ask for
/// 200 of single-unit resolution, and HdrHistogram rounds up to the power of two 256.
const HALF_COUNT: u64 = 1 << HALF_COUNT_BITS;
const HALF_COUNT_BITS: u32 = 7;

/// The greatest value with a bucket: the end of the twentieth octave, the first to cover 24 h in milliseconds.
pub(super) const HIGHEST: u64 = (1 << 27) - 1;

/// Number of buckets.
pub(super) const CELL_COUNT: u16 = index_of(HIGHEST) + 1;

/// The V2 base cookie with the word-size marker `0x10`, which V2 writers set.
const COOKIE: u32 = 0x1c84_9303 | 0x10;
const HEADER_BYTES: usize = 40;

/// First byte of every V2 payload.
pub(super) const FIRST_BYTE: u8 = COOKIE.to_be_bytes()[0];

/// The bucket of `value`, which is at most [`HIGHEST`].
pub(super) const fn index_of(value: u64) -> u16 {
    let octave = (value | HALF_COUNT).ilog2() - HALF_COUNT_BITS;
    (octave as u64 * HALF_COUNT + (value >> octave)) as u16
}

/// The middle of bucket `index`, rounded up, which HdrHistogram calls the median equivalent value.
pub(super) fn middle(index: u16) -> u64 {
    let octave = (index >> HALF_COUNT_BITS).saturating_sub(1);
    let lowest = (u64::from(index) - u64::from(octave) * HALF_COUNT) << octave;
    lowest + ((1 << octave) >> 1)
}

/// The V2 header before `payload_bytes` bytes of counters.
fn header(payload_bytes: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&COOKIE.to_be_bytes());
    header[4..8].copy_from_slice(&payload_bytes.to_be_bytes());
    // 8..12: normalizing index offset 0.
    header[12..16].copy_from_slice(&2_u32.to_be_bytes());
    header[16..24].copy_from_slice(&1_u64.to_be_bytes());
    header[24..32].copy_from_slice(&HIGHEST.to_be_bytes());
    header[32..].copy_from_slice(&1_f64.to_be_bytes());
    header
}

/// Appends the V2 payload of `cells`.
pub(super) fn encode_v2(cells: &Cells, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&header(0));
    let mut next = 0;
    for (index, count) in cells.iter() {
        match index - next {
            0 => {}
            1 => put_token(out, 0),
            run => put_token(out, -i64::from(run)),
        }
        put_token(out, count.cast_signed());
        next = index + 1;
    }
    if next == 0 {
        put_token(out, 0); // Libraries write the first bucket even if it is empty.
    }
    let payload_bytes = out.len() - start - HEADER_BYTES;
    let payload_bytes = u32::try_from(payload_bytes).expect("2,688 buckets of at most 9 bytes");
    out[start..start + HEADER_BYTES].copy_from_slice(&header(payload_bytes));
}

/// Reads a V2 payload that [`encode_v2`] wrote for cells that are not all empty.
pub(super) fn decode_v2(reader: &mut ByteReader<'_>) -> Result<Cells, DecodeError> {
    let found = reader.take(HEADER_BYTES)?;
    let payload_bytes = u32::from_be_bytes([found[4], found[5], found[6], found[7]]);
    reader.ensure(*found == header(payload_bytes), "not the header of a histogram with these buckets")?;
    let length = usize::try_from(payload_bytes).unwrap_or(usize::MAX);
    decode_cells(reader.section(length)?)
}

fn decode_cells(mut payload: ByteReader<'_>) -> Result<Cells, DecodeError> {
    let mut cells = Cells::default();
    let (mut index, mut after_empty) = (0_u64, true);
    while payload.remaining() > 0 {
        let token = read_token(&mut payload)?;
        let is_empty = token <= 0;
        if is_empty {
            let is_one_run = token != -1 && (!after_empty || index == 0);
            payload.ensure(is_one_run, "a run of empty buckets in another spelling")?;
            index = index.saturating_add(token.unsigned_abs().max(1));
        } else {
            let known = u16::try_from(index).ok().filter(|&index| index < CELL_COUNT);
            let known = known.ok_or_else(|| payload.invalid("a counter beyond the last bucket"))?;
            cells.add(known, token.unsigned_abs());
            index += 1;
        }
        after_empty = is_empty;
    }
    payload.ensure(!after_empty, "the last bucket is empty")?;
    Ok(cells)
}

/// LEB128 of at most nine bytes, the ninth with eight bits, after ZigZag.
fn put_token(out: &mut Vec<u8>, token: i64) {
    let mut rest = zigzag(token);
    for _ in 0..8 {
        if rest < 0x80 {
            break;
        }
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn read_token(reader: &mut ByteReader<'_>) -> Result<i64, DecodeError> {
    let mut value = 0;
    for shift in (0..56).step_by(7) {
        let byte = reader.byte()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            reader.ensure(byte > 0 || shift == 0, "a counter with needless bytes")?;
            return Ok(unzigzag(value));
        }
    }
    let last = reader.byte()?;
    reader.ensure(last > 0, "a counter with needless bytes")?;
    Ok(unzigzag(value | u64::from(last) << 56))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    #[test]
    fn the_last_bucket_ends_at_the_highest_value() {
        // (buckets + 1) x half of the sub-buckets, with 20 doublings to reach 2^27: HdrHistogram's own formula.
        assert_eq!(CELL_COUNT, (20 + 1) * 128);
    }

    #[test]
    fn every_bucket_contains_its_middle() {
        assert!((0..CELL_COUNT).all(|index| index_of(middle(index)) == index));
    }

    proptest! {
        #[test]
        fn buckets_are_those_of_hdrhistogram(value in 0..=HIGHEST, other in 0..=HIGHEST, near in 0_u64..400) {
            let oracle = Histogram::<u8>::new_with_bounds(1, HIGHEST, 2).unwrap();
            prop_assert_eq!(middle(index_of(value)), oracle.median_equivalent(value));
            for other in [other, (value + near).min(HIGHEST)] {
                prop_assert_eq!(index_of(value) == index_of(other), oracle.equivalent(value, other));
            }
        }

        #[test]
        fn tokens_round_trip(token: i64) {
            let mut bytes = Vec::new();
            put_token(&mut bytes, token);
            prop_assert!(bytes.len() <= 9);
            prop_assert_eq!(read_token(&mut ByteReader::new(&bytes)), Ok(token));
        }
    }
}
