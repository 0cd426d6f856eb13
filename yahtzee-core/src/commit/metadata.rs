//! The text stored with a committed offset.
//!
//! base64url without padding of, in order (integers little endian, varints LEB128, `zigzag` as in protobuf):
//!
//! | field                | form                                                                  |
//! |----------------------|-----------------------------------------------------------------------|
//! | format version       | u8, 1                                                                 |
//! | generation           | u32                                                                   |
//! | topic id             | 16 bytes                                                              |
//! | partition count      | u32                                                                   |
//! | window length        | u32, ms                                                               |
//! | worker, workers      | u16, u16                                                              |
//! | incarnation          | u32                                                                   |
//! | position `h`         | varint                                                                |
//! | replay offset `c`    | varint `h - c`                                                        |
//! | watermark `M`             | u8 0 for none, or 1 and zigzag varint, ms                             |
//! | open windows         | varint count; each: zigzag varint window, less the one before; varint `h - first offset` |
//! | reach of incompleteness| u8 0 for none, or 1 and zigzag varint window                          |
//! | incomplete windows  | varint count; each: zigzag varint window, less the one before         |
//! | checksum             | u32, CRC-32C of all before                                            |
//!
//! A handful of open windows gives about 90 characters; the broker's limit is 4,096.

use std::fmt;

use super::{Commit, Identity, OwnerTag};
use crate::incomplete::IncompleteWindows;
use crate::record::Offset;
use crate::window::Window;

const FORMAT_VERSION: u8 = 1;
/// More windows than any policy keeps open; bounds what a decoder believes.
const WINDOWS_MAX: u64 = 1_024;

/// Why a commit's metadata cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Empty, foreign or damaged. The offset may have been set by another tool.
    Foreign,
    /// Written by a newer Yahtzee.
    NewerFormat(u8),
    /// The text describes another offset than it is stored with.
    OtherOffset {
        /// Offset it is stored with.
        stored: Offset,
        /// Offset it was written for.
        described: Offset,
    },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => formatter.write_str("the commit metadata was not written by Yahtzee"),
            Self::NewerFormat(version) => write!(
                formatter,
                "the commit metadata has format {version}, this Yahtzee reads up to {FORMAT_VERSION}; run the newer one"
            ),
            Self::OtherOffset { stored, described } => write!(
                formatter,
                "the committed offset {stored} was set by another tool: its metadata describes {described}"
            ),
        }
    }
}

pub(super) fn encode(commit: &Commit, identity: &Identity) -> String {
    let mut out = vec![FORMAT_VERSION];
    out.extend(identity.generation.to_le_bytes());
    out.extend(identity.topic_id);
    out.extend(identity.partition_count.to_le_bytes());
    out.extend(identity.window_length_ms.to_le_bytes());
    out.extend(identity.owner_tag.worker.to_le_bytes());
    out.extend(identity.owner_tag.workers.to_le_bytes());
    out.extend(identity.owner_tag.incarnation.to_le_bytes());
    push_varint(commit.position.0, &mut out);
    push_varint(commit.position.0.wrapping_sub(commit.replay_offset.0), &mut out);
    push_optional(commit.watermark_ms, &mut out);
    push_varint(commit.open.len() as u64, &mut out);
    let mut before = 0;
    for &(window, first) in &commit.open {
        push_varint(zigzag(window.0.wrapping_sub(before)), &mut out);
        push_varint(commit.position.0.wrapping_sub(first.0), &mut out);
        before = window.0;
    }
    push_optional(commit.incomplete.reach_through().map(|window| window.0), &mut out);
    push_varint(commit.incomplete.windows().len() as u64, &mut out);
    let mut before = 0;
    for window in commit.incomplete.windows() {
        push_varint(zigzag(window.0.wrapping_sub(before)), &mut out);
        before = window.0;
    }
    out.extend(crc32c(&out).to_le_bytes());
    base64url(&out)
}

pub(super) fn decode(text: &str) -> Result<(Commit, Identity), Unreadable> {
    let bytes = from_base64url(text).ok_or(Unreadable::Foreign)?;
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(Unreadable::Foreign)?;
    if crc32c(body) != u32::from_le_bytes(*checksum) {
        return Err(Unreadable::Foreign);
    }
    let mut reader = Reader(body);
    match reader.bytes::<1>().ok_or(Unreadable::Foreign)? {
        [FORMAT_VERSION] => {}
        [version] => return Err(Unreadable::NewerFormat(version)),
    }
    let read = (|| Some((reader.identity()?, reader.commit()?)))();
    match read {
        Some((identity, commit)) if reader.0.is_empty() => Ok((commit, identity)),
        _ => Err(Unreadable::Foreign),
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.bytes()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn optional(&mut self) -> Option<Option<i64>> {
        match self.bytes()? {
            [0] => Some(None),
            [1] => Some(Some(unzigzag(self.varint()?))),
            _ => None,
        }
    }

    fn identity(&mut self) -> Option<Identity> {
        Some(Identity {
            generation: u32::from_le_bytes(self.bytes()?),
            topic_id: self.bytes()?,
            partition_count: u32::from_le_bytes(self.bytes()?),
            window_length_ms: u32::from_le_bytes(self.bytes()?),
            owner_tag: OwnerTag {
                worker: u16::from_le_bytes(self.bytes()?),
                workers: u16::from_le_bytes(self.bytes()?),
                incarnation: u32::from_le_bytes(self.bytes()?),
            },
        })
    }

    fn commit(&mut self) -> Option<Commit> {
        let position = Offset(self.varint()?);
        let replay_offset = Offset(position.0.wrapping_sub(self.varint()?));
        let watermark_ms = self.optional()?;
        let mut open = Vec::new();
        let mut before = 0_i64;
        for _ in 0..self.count()? {
            before = before.wrapping_add(unzigzag(self.varint()?));
            open.push((Window(before), Offset(position.0.wrapping_sub(self.varint()?))));
        }
        let reach = self.optional()?;
        let mut incomplete = Vec::new();
        before = 0;
        for _ in 0..self.count()? {
            before = before.wrapping_add(unzigzag(self.varint()?));
            incomplete.push(Window(before));
        }
        let reach =
            reach.map_or_else(IncompleteWindows::none, |window| IncompleteWindows::through(Window(window)));
        let incomplete = reach.and(incomplete);
        Some(Commit { replay_offset, position, watermark_ms, open, incomplete })
    }

    fn count(&mut self) -> Option<u64> {
        self.varint().filter(|&count| count <= WINDOWS_MAX)
    }
}

fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn push_optional(value: Option<i64>, out: &mut Vec<u8>) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            push_varint(zigzag(value), out);
        }
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// CRC-32C (Castagnoli), bit by bit: a commit has about 70 bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes(group);
        for index in 0..=chunk.len() {
            let digit = (group >> (18 - 6 * index)) & 0x3f;
            text.push(char::from(BASE64URL[digit as usize]));
        }
    }
    text
}

fn from_base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    for chunk in text.as_bytes().chunks(4) {
        let mut group = 0_u32;
        for (index, digit) in chunk.iter().enumerate() {
            let value = BASE64URL.iter().position(|candidate| candidate == digit)?;
            group |= u32::try_from(value).ok()? << (18 - 6 * index);
        }
        let whole = chunk.len().checked_sub(1).filter(|&whole| whole > 0)?;
        let decoded = group.to_be_bytes();
        if decoded[whole + 1..].iter().any(|&byte| byte != 0) {
            return None; // bits beyond the last byte: not what an encoder writes
        }
        bytes.extend_from_slice(&decoded[1..=whole]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::Production;

    fn identity() -> Identity {
        Identity {
            generation: 3,
            topic_id: [9; 16],
            partition_count: 32,
            window_length_ms: 60_000,
            owner_tag: OwnerTag { worker: 3, workers: 8, incarnation: 77 },
        }
    }

    prop_compose! {
        fn any_commit()(
            position in 0..u64::MAX / 2,
            watermark_ms: Option<i64>,
            open in prop::collection::btree_map(any::<i64>(), any::<u64>(), 0..12),
            through: Option<i64>,
            incomplete in prop::collection::vec(any::<i64>(), 0..12),
        ) -> Commit {
            let reach = through.map_or_else(IncompleteWindows::none, |window| IncompleteWindows::through(Window(window)));
            let open = open.into_iter().map(|(window, first)| (Window(window), Offset(first % (position + 1))));
            let incomplete = reach.and(incomplete.into_iter().map(Window));
            Commit::at::<Production>(Offset(position), watermark_ms, open.collect(), incomplete)
        }
    }

    proptest! {
        #[test]
        fn commits_round_trip_as_short_ascii(commit in any_commit()) {
            let text = commit.metadata(&identity());
            prop_assert!(text.is_ascii() && text.len() < 1_024, "{} characters", text.len());
            prop_assert_eq!(Commit::read(commit.replay_offset(), &text), Ok((commit, identity())));
        }

        #[test]
        fn damage_is_noticed(commit in any_commit(), place: prop::sample::Index, digit in 0..64_usize) {
            let mut text = commit.metadata(&identity()).into_bytes();
            let place = place.index(text.len());
            prop_assume!(text[place] != BASE64URL[digit]);
            text[place] = BASE64URL[digit];
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(Commit::read(commit.replay_offset(), &text), Err(Unreadable::Foreign));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            prop_assert!(Commit::read(Offset(0), &text).is_err());
        }

        #[test]
        fn base64url_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(from_base64url(&base64url(&bytes)), Some(bytes));
        }
    }

    #[test]
    fn an_offset_that_another_tool_has_set_is_noticed() {
        let open = vec![(Window(1), Offset(4))];
        let commit = Commit::at::<Production>(Offset(10), Some(5), open, IncompleteWindows::none());
        let read = Commit::read(Offset(7), &commit.metadata(&identity()));
        assert_eq!(read, Err(Unreadable::OtherOffset { stored: Offset(7), described: Offset(4) }));
    }

    /// Check value of the Castagnoli polynomial in the catalogue of CRC algorithms (RFC 3720, appendix B.4).
    #[test]
    fn crc32c_gives_the_published_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    /// RFC 4648, section 10, without padding.
    #[test]
    fn base64url_gives_the_published_vectors() {
        assert_eq!(base64url(b"foobar"), "Zm9vYmFy");
        assert_eq!(base64url(b"foob"), "Zm9vYg");
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }
}
