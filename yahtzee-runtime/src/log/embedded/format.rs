//! Keys and values of the store; all integers are big endian so that keys sort by number.
//!
//! | keyspace  | key                                         | value                                         |
//! |-----------|---------------------------------------------|-----------------------------------------------|
//! | `records` | topic u32, partition u32, offset u64        | a record (see [`record_bytes`])               |
//! | `times`   | topic u32, partition u32, timestamp u64     | offset u64 (see `times.rs`)                   |
//! | `newest`  | topic u32, partition u32, record key        | offset u64 (see `maintenance.rs`)             |
//! | `meta`    | `t`, topic u32                              | a topic (see `topics.rs`)                     |
//! | `meta`    | `p`, topic u32, partition u32               | start u64, end u64, cleaned u64, newest i64   |
//! | `meta`    | `c`, topic u32, partition u32, group        | offset u64, metadata                          |
//! | `meta`    | `s`, slot u32, group                        | epoch u64                                     |

use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};

use crate::log::{Bounds, CommittedOffset, Headers, SlotName, header};

/// First bytes of the keys in `meta`.
pub(super) mod tag {
    pub(in super::super) const TOPIC: u8 = b't';
    pub(in super::super) const PARTITION: u8 = b'p';
    pub(in super::super) const COMMIT: u8 = b'c';
    pub(in super::super) const SLOT: u8 = b's';
}

/// A partition of the whole log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PartitionId {
    /// Number of the topic within this log, never given twice.
    pub(super) topic: u32,
    /// Partition of it.
    pub(super) partition: Partition,
}

impl PartitionId {
    /// Returns the first 8 bytes of all keys of this partition.
    pub(super) fn prefix(self) -> [u8; 8] {
        let mut key = [0; 8];
        key[..4].copy_from_slice(&self.topic.to_be_bytes());
        key[4..].copy_from_slice(&self.partition.0.to_be_bytes());
        key
    }

    /// Returns the key in `records` (an offset) or `times` (a timestamp).
    pub(super) fn numbered(self, number: u64) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.prefix());
        key[8..].copy_from_slice(&number.to_be_bytes());
        key
    }

    /// Returns the key in `newest`.
    pub(super) fn keyed(self, record_key: &[u8]) -> Vec<u8> {
        [&self.prefix(), record_key].concat()
    }

    /// Returns the key in `meta` of the partition itself.
    pub(super) fn meta_key(self) -> Vec<u8> {
        [&[tag::PARTITION], self.prefix().as_slice()].concat()
    }

    /// Returns the key in `meta` of what `group` has committed.
    pub(super) fn commit_key(self, group: &str) -> Vec<u8> {
        [&[tag::COMMIT], self.prefix().as_slice(), group.as_bytes()].concat()
    }

    /// Reads [`PartitionId::prefix`] back; `None` if there are fewer bytes.
    pub(super) fn of_prefix(key: &[u8]) -> Option<Self> {
        let (topic, rest) = key.split_first_chunk()?;
        let partition = Partition(u32::from_be_bytes(*rest.first_chunk()?));
        Some(Self { topic: u32::from_be_bytes(*topic), partition })
    }
}

/// Returns the group in a key of [`PartitionId::commit_key`].
pub(super) fn group_of_commit(key: &[u8]) -> Option<&[u8]> {
    key.get(1 + size_of::<[u32; 2]>()..)
}

/// Returns the number at the end of a key of [`PartitionId::numbered`].
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// Returns the key in `meta` of the epoch of a slot.
pub(super) fn slot_key(slot: &SlotName) -> Vec<u8> {
    [&[tag::SLOT], slot.slot.to_be_bytes().as_slice(), slot.group.as_bytes()].concat()
}

/// Reads [`slot_key`] back.
pub(super) fn slot_of(key: &[u8]) -> Option<SlotName> {
    let (slot, group) = key.get(1..)?.split_first_chunk()?;
    Some(SlotName { group: str::from_utf8(group).ok()?.to_owned(), slot: u32::from_be_bytes(*slot) })
}

/// The part of a partition that changes as records come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartitionState {
    /// First offset still kept.
    pub(super) start: u64,
    /// Offset of the next record. Stored with every append, so it never goes back whatever is deleted.
    pub(super) end: u64,
    /// Up to here compaction has looked at every record.
    pub(super) cleaned: u64,
    /// Largest timestamp ever appended.
    pub(super) newest_ms: i64,
}

impl PartitionState {
    /// A partition that never had a record.
    pub(super) const EMPTY: Self = Self { start: 0, end: 0, cleaned: 0, newest_ms: -1 };

    /// Returns the readable range.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds { start: Offset(self.start), end: Offset(self.end) }
    }

    /// Returns the value in `meta`.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.start.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.end.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.cleaned.to_be_bytes());
        bytes[24..].copy_from_slice(&self.newest_ms.to_be_bytes());
        bytes
    }

    /// Reads [`PartitionState::to_bytes`] back.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let &[start, end, cleaned, newest_ms] = words else { return None };
        Some(Self {
            start: u64::from_be_bytes(start),
            end: u64::from_be_bytes(end),
            cleaned: u64::from_be_bytes(cleaned),
            newest_ms: i64::from_be_bytes(newest_ms),
        })
    }
}

/// Bit of a record's key length that says that headers follow it: no key is so long. Before there were headers
/// the bit was always 0, so records written then read back, and a program of that time finds later ones malformed.
const HAS_HEADERS: u32 = 1 << 31;
/// Timestamp and both lengths of a record.
const RECORD_FIXED_BYTES: usize = 16;

/// Returns the value in `records`: timestamp i64, key length u32, key, value. If there are headers, the key length has
/// the bit [`HAS_HEADERS`], and their length u32 and the headers (see `log/header.rs`) come before the key.
pub(super) fn record_bytes(timestamp_ms: i64, key: &[u8], value: &[u8], headers: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| -> u32 {
        u32::try_from(bytes.len()).expect("the size limit of records is far below 2 GiB")
    };
    let mut bytes = Vec::with_capacity(RECORD_FIXED_BYTES + headers.len() + key.len() + value.len());
    bytes.extend_from_slice(&timestamp_ms.to_be_bytes());
    if headers.is_empty() {
        bytes.extend_from_slice(&length(key).to_be_bytes());
    } else {
        bytes.extend_from_slice(&(length(key) | HAS_HEADERS).to_be_bytes());
        bytes.extend_from_slice(&length(headers).to_be_bytes());
        bytes.extend_from_slice(headers);
    }
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
    bytes
}

/// Reads [`record_bytes`] back as the record of `offset`.
pub(super) fn record_of(offset: u64, bytes: &[u8]) -> Option<(LogRecord<'_>, Headers<'_>)> {
    let (timestamp_ms, rest) = bytes.split_first_chunk()?;
    let (key_length, rest) = rest.split_first_chunk()?;
    let key_length = u32::from_be_bytes(*key_length);
    let (headers, rest) = match key_length & HAS_HEADERS {
        0 => (Headers::default(), rest),
        _ => headers_of(rest)?,
    };
    let (key, value) = rest.split_at_checked((key_length & !HAS_HEADERS) as usize)?;
    let timestamp_ms = i64::from_be_bytes(*timestamp_ms);
    Some((LogRecord { offset: Offset(offset), timestamp_ms, key, value }, headers))
}

fn headers_of(bytes: &[u8]) -> Option<(Headers<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (encoded, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    header::is_whole(encoded).then(|| (Headers::in_arena(encoded), rest))
}

/// Returns the value in `meta` of a commit.
pub(super) fn commit_bytes(commit: &CommittedOffset) -> Vec<u8> {
    [&commit.offset.0.to_be_bytes(), commit.metadata.as_bytes()].concat()
}

/// Reads [`commit_bytes`] back.
pub(super) fn commit_of(bytes: &[u8]) -> Option<CommittedOffset> {
    let (offset, metadata) = bytes.split_first_chunk()?;
    let metadata = str::from_utf8(metadata).ok()?.to_owned();
    Some(CommittedOffset { offset: Offset(u64::from_be_bytes(*offset)), metadata })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log::Header;

    /// Headers with these names, each with its name as value.
    fn encoded_names(names: &[String]) -> Vec<u8> {
        let header = |name: &String| Header { name: name.clone().into(), value: name.clone().into_bytes() };
        header::encoded(&names.iter().map(header).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn a_record_reads_back(
            timestamp_ms: i64,
            key in prop::collection::vec(any::<u8>(), 0..40),
            value in prop::collection::vec(any::<u8>(), 0..40),
            names in prop::collection::vec("[a-z]{0,3}", 0..3),
        ) {
            let encoded = encoded_names(&names);
            let bytes = record_bytes(timestamp_ms, &key, &value, &encoded);
            let (record, headers) = record_of(9, &bytes).unwrap();
            let expected = LogRecord { offset: Offset(9), timestamp_ms, key: &key, value: &value };
            prop_assert_eq!(record, expected);
            prop_assert!(headers.iter().eq(names.iter().map(|name| (name.as_str(), name.as_bytes()))));
        }

        #[test]
        fn a_cut_record_is_no_record(
            key in prop::collection::vec(any::<u8>(), 0..40),
            names in prop::collection::vec("[a-z]{0,3}", 0..3),
            kept: prop::sample::Index,
        ) {
            let bytes = record_bytes(1, &key, b"", &encoded_names(&names));
            prop_assert!(record_of(9, &bytes[..kept.index(bytes.len())]).is_none());
        }

        /// The form that folders have from before there were headers.
        #[test]
        fn a_record_without_headers_is_as_it_was(timestamp_ms: i64, key in "[a-z]{0,40}", value in "[a-z]{0,40}") {
            let (key, value) = (key.as_bytes(), value.as_bytes());
            let length = (key.len() as u32).to_be_bytes();
            let before = [&timestamp_ms.to_be_bytes(), length.as_slice(), key, value].concat();
            let (record, headers) = record_of(9, &before).unwrap();
            prop_assert_eq!((record.timestamp_ms, record.key, record.value), (timestamp_ms, key, value));
            prop_assert_eq!(headers.iter().count(), 0);
            prop_assert_eq!(record_bytes(timestamp_ms, key, value, &[]), before);
        }

        #[test]
        fn keys_sort_as_their_numbers(one: (u32, u32, u64), other: (u32, u32, u64)) {
            let key = |(topic, partition, number): (u32, u32, u64)| {
                PartitionId { topic, partition: Partition(partition) }.numbered(number)
            };
            prop_assert_eq!(key(one).cmp(&key(other)), one.cmp(&other));
            prop_assert_eq!(number_of(&key(one)), Some(one.2));
        }

        #[test]
        fn a_partition_reads_back(start: u64, end: u64, cleaned: u64, newest_ms: i64) {
            let state = PartitionState { start, end, cleaned, newest_ms };
            prop_assert_eq!(PartitionState::from_bytes(&state.to_bytes()), Some(state));
        }

        #[test]
        fn a_slot_reads_back(group in ".{0,20}", slot: u32) {
            let name = SlotName { group, slot };
            prop_assert_eq!(slot_of(&slot_key(&name)), Some(name));
        }

        #[test]
        fn a_commit_reads_back(offset: u64, metadata in "[ -~]{0,40}") {
            let commit = CommittedOffset { offset: Offset(offset), metadata };
            prop_assert_eq!(commit_of(&commit_bytes(&commit)), Some(commit));
        }
    }
}
