//! Third stage: what is published of a series, under which key, and which of two is newer.

use prost::Message;

use crate::owner::Owner;
use crate::record::Offset;
use crate::window::Window;
use crate::wire::Reader;

/// Order of the summaries under one key. Equal revisions mean equal bytes; the greatest is the truth.
///
/// `is_final` takes part because a window that closes without a further record changes nothing but this flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Version of the fold.
    pub generation: u32,
    /// Offset of the last raw record folded in.
    pub last_offset: Offset,
    /// Whether no further measurement can be accepted.
    pub is_final: bool,
}

/// The origin of a summary: field 1 of every summary message.
///
/// Wire form: `Provenance` in `yahtzee-proto/yahtzee/provenance.proto`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Provenance {
    /// Version of the fold.
    #[prost(uint32, tag = "1")]
    pub generation: u32,
    /// Offset of the raw record that opened the series in this window.
    #[prost(uint64, tag = "2")]
    pub first_offset: u64,
    /// Offset of the last raw record folded in.
    #[prost(uint64, tag = "3")]
    pub last_offset: u64,
    /// Measurements folded in.
    #[prost(uint64, tag = "4")]
    pub count: u64,
    /// Whether no further measurement can be accepted into the window.
    #[prost(bool, tag = "5")]
    pub is_final: bool,
}

/// The framework's part of a summary value; the job's fields, from 16 on, follow it on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Envelope {
    #[prost(message, optional, tag = "1")]
    provenance: Option<Provenance>,
}

impl Provenance {
    /// Reads the provenance out of a summary value and skips the job's fields.
    ///
    /// # Errors
    /// If the value is no protobuf message or has no provenance.
    pub fn of_value(value: &[u8]) -> Result<Self, UnreadableSummary> {
        let envelope = Envelope::decode(value).map_err(|_| UnreadableSummary::Value)?;
        envelope.provenance.ok_or(UnreadableSummary::Value)
    }

    /// Parts a summary value, as the core writes it, into its provenance and the job's own message.
    ///
    /// # Errors
    /// As [`Self::of_value`], or if the provenance does not come first.
    pub fn split(value: &[u8]) -> Result<(Self, &[u8]), UnreadableSummary> {
        let provenance = Self::of_value(value)?;
        let envelope = Envelope { provenance: Some(provenance) }.encode_to_vec();
        let body = value.strip_prefix(envelope.as_slice()).ok_or(UnreadableSummary::Value)?;
        Ok((provenance, body))
    }

    /// Returns a summary value as the core publishes it: the provenance, then the job's own message.
    #[must_use]
    pub fn join(self, summary: &impl Message) -> Vec<u8> {
        self.join_within(summary, &mut Vec::new())
    }

    /// Does what [`Self::join`] does in memory that the next call uses again: to find the length first would be to go
    /// through the message twice.
    pub(crate) fn join_within(self, summary: &impl Message, buffer: &mut Vec<u8>) -> Vec<u8> {
        buffer.clear();
        let envelope = Envelope { provenance: Some(self) };
        envelope.encode(buffer).expect("a Vec has room for any message");
        let body = buffer.len();
        summary.encode(buffer).expect("a Vec has room for any message");
        debug_assert!(is_of_job(&buffer[body..]), "a job's summary has a field below {JOB_FIELDS_FROM}");
        buffer.clone()
    }

    /// The place of the summary among those under the same key.
    #[must_use]
    pub fn revision(&self) -> Revision {
        let Self { generation, last_offset, is_final, .. } = *self;
        Revision { generation, last_offset: Offset(last_offset), is_final }
    }

    /// Whether `newer` can be a later summary of the same series and window.
    ///
    /// Within a generation a later summary has folded in a superset: the same first record, and more
    /// measurements if its last record is a later one. A partial rebuild breaks this.
    #[must_use]
    pub fn can_be_followed_by(&self, newer: &Self) -> bool {
        if self.generation != newer.generation {
            return self.generation < newer.generation;
        }
        let grows = match self.last_offset.cmp(&newer.last_offset) {
            std::cmp::Ordering::Less => self.count < newer.count,
            std::cmp::Ordering::Equal => self.count == newer.count,
            std::cmp::Ordering::Greater => false,
        };
        grows && self.first_offset == newer.first_offset
    }
}

/// The first field number of a summary message that is the job's; those below are the framework's.
pub const JOB_FIELDS_FROM: u32 = 16;

/// Whether all fields of an encoded message are a job's.
fn is_of_job(message: &[u8]) -> bool {
    let mut reader = Reader::new(message);
    while let Ok(Some(tag)) = reader.tag() {
        if tag.number() < JOB_FIELDS_FROM || reader.skip(tag).is_err() {
            return false;
        }
    }
    true
}

/// Returns a field number that a summary message must not have: one below [`JOB_FIELDS_FROM`], where it would overwrite
/// the provenance.
///
/// The type is asked, not a value: fields that it does not declare are skipped by its decoder and are not encoded again. A
/// message that is not prost's own may hide a field from this; that is left to a debug assertion on every summary.
#[must_use]
pub fn reserved_field<M: Message + Default>() -> Option<u32> {
    (1..JOB_FIELDS_FROM).find(|&number| {
        field_probes(number).iter().any(|probe| {
            let decoded = M::decode(&**probe);
            decoded.map_or(true, |message| message.encoded_len() > 0)
        })
    })
}

/// Returns the field `number` in each wire type, with values that are no type's default. What is of variable length reads as text, as a
/// message, and as a list of numbers.
fn field_probes(number: u32) -> [Vec<u8>; 4] {
    let field = |wire_type: u32, value: &[u8]| {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint((number << 3 | wire_type).into(), &mut bytes);
        bytes.extend_from_slice(value);
        bytes
    };
    [field(0, &[1]), field(1, &[1; 8]), field(2, &[2, 8, 1]), field(5, &[1; 4])]
}

/// Value of every dimension of the series that takes what the caps leave no room for. No process type and no code
/// can have this name.
pub const OTHER: &str = "(other)";

/// The key of a summary: whose it is, which series, which window.
///
/// Big endian: owner (16) | per dimension its length (1) and text | window start in ms (8) | window length in ms (4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SummaryKey {
    /// The app.
    pub owner: Owner,
    /// Values of the job's dimensions, in their order.
    pub dimensions: Vec<String>,
    /// Start of the window, milliseconds since 1970.
    pub window_start_ms: i64,
    /// Length of the window in milliseconds.
    pub window_length_ms: u32,
}

const WINDOW_BYTES: usize = 8 + 4;
const GENERATION_BYTES: usize = 4;

/// Makes the key of a summary the key of its record in the summary topic, which names the generation (4 bytes, big
/// endian) behind it: compaction, which keeps the last record of a key, never keeps one of an older generation instead of
/// the newest.
#[must_use]
pub fn record_key(mut key: Vec<u8>, generation: u32) -> Vec<u8> {
    key.extend_from_slice(&generation.to_be_bytes());
    key
}

/// Returns the key of a summary from the key of its record in the summary topic and its value, which name the same
/// generation. What is no summary is returned as it is, and so is a key from before keys named the generation: it ends
/// with the length of the window, which no generation has reached.
#[must_use]
pub fn key_of_record<'a>(key: &'a [u8], value: &[u8]) -> &'a [u8] {
    let Some((of_summary, named)) = key.split_last_chunk::<GENERATION_BYTES>() else { return key };
    let is_of_value = |of: Provenance| of.generation == u32::from_be_bytes(*named);
    if Provenance::of_value(value).is_ok_and(is_of_value) { of_summary } else { key }
}

impl SummaryKey {
    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut key = self.owner.0.to_vec();
        encode_dimensions(self.dimensions.iter().map(String::as_str), &mut key);
        push_window(self.window_start_ms, self.window_length_ms, &mut key);
        key
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// [`UnreadableSummary::Key`] where the bytes are no such key.
    pub fn decode(key: &[u8]) -> Result<Self, UnreadableSummary> {
        let series_bytes = key.len().checked_sub(WINDOW_BYTES).ok_or(UnreadableSummary::Key)?;
        let (series, window) = key.split_at(series_bytes);
        let (owner, dimensions) = series.split_at_checked(Owner::BYTES).ok_or(UnreadableSummary::Key)?;
        let (start, length) = window.split_at(8);
        Ok(Self {
            owner: Owner::from_bytes(owner).ok_or(UnreadableSummary::Key)?,
            dimensions: decode_dimensions(dimensions).ok_or(UnreadableSummary::Key)?,
            window_start_ms: i64::from_be_bytes(start.try_into().expect("split at 8")),
            window_length_ms: u32::from_be_bytes(length.try_into().expect("12 less 8")),
        })
    }
}

/// Key of a series (owner and encoded dimensions) in a window.
pub(crate) fn encode_key(series: &[u8], window: Window, length_ms: u32) -> Vec<u8> {
    // With room for what `record_key` adds.
    let mut key = Vec::with_capacity(series.len() + WINDOW_BYTES + GENERATION_BYTES);
    key.extend_from_slice(series);
    push_window(window.start_ms(length_ms), length_ms, &mut key);
    key
}

fn push_window(start_ms: i64, length_ms: u32, key: &mut Vec<u8>) {
    key.extend_from_slice(&start_ms.to_be_bytes());
    key.extend_from_slice(&length_ms.to_be_bytes());
}

/// Greatest length of the key of a series: owner, and dimensions of 255 bytes each.
pub(crate) const fn series_key_bytes_max(dimensions: usize) -> usize {
    size_of::<Owner>() + dimensions * (1 + u8::MAX as usize)
}

/// Greatest length of the key of a summary: that of its series, and its window.
pub(crate) const fn summary_key_bytes_max(dimensions: usize) -> usize {
    series_key_bytes_max(dimensions) + WINDOW_BYTES
}

/// Appends each dimension with its length; longer ones than 255 bytes are cut at a character border.
pub(crate) fn encode_dimensions<'a>(dimensions: impl IntoIterator<Item = &'a str>, key: &mut Vec<u8>) {
    for dimension in dimensions {
        let (length, text) = encode_dimension(dimension);
        key.push(length);
        key.extend_from_slice(text);
    }
}

/// Whether [`encode_dimensions`] of these would append just these bytes.
pub(crate) fn is_encoding_of(bytes: &[u8], dimensions: &[&str]) -> bool {
    let mut rest = Some(bytes);
    for dimension in dimensions {
        let (length, text) = encode_dimension(dimension);
        rest = rest.and_then(|rest| rest.strip_prefix(&[length])?.strip_prefix(text));
    }
    rest == Some(&[])
}

fn encode_dimension(dimension: &str) -> (u8, &[u8]) {
    let text = &dimension[..dimension.floor_char_boundary(usize::from(u8::MAX))];
    (u8::try_from(text.len()).expect("cut at 255"), text.as_bytes())
}

fn decode_dimensions(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut dimensions = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        let (text, rest) = rest.split_at_checked(usize::from(length))?;
        dimensions.push(str::from_utf8(text).ok()?.to_owned());
        bytes = rest;
    }
    Some(dimensions)
}

/// Bytes of a summary topic that are no summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadableSummary {
    /// The key is not of the documented form.
    Key,
    /// The value is no message with a provenance.
    Value,
    /// The job's code has panicked on it.
    Panic,
}

impl std::fmt::Display for UnreadableSummary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Key => "the key is not owner, dimensions, window start and window length",
            Self::Value => "the value is not a summary message with a provenance",
            Self::Panic => "`figures` of the job panicked on the summary",
        })
    }
}

impl std::error::Error for UnreadableSummary {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_round_trip(
            owner: [u8; 16],
            dimensions in prop::collection::vec("[a-zé0-9_.-]{0,40}", 0..4),
            window_start_ms: i64,
            window_length_ms: u32,
        ) {
            let key = SummaryKey { owner: Owner(owner), dimensions, window_start_ms, window_length_ms };
            prop_assert_eq!(SummaryKey::decode(&key.encode()), Ok(key));
        }

        #[test]
        fn a_record_names_the_generation_behind_the_key(
            owner: [u8; 16],
            dimensions in prop::collection::vec("[a-z]{0,40}", 0..4),
            window_start_ms: i64,
            window_length_ms: u32,
            generation: u32,
            other: u32,
        ) {
            let key = SummaryKey { owner: Owner(owner), dimensions, window_start_ms, window_length_ms }.encode();
            let provenance = Provenance { generation, first_offset: 0, last_offset: 3, count: 1, is_final: true };
            let value = provenance.join(&());
            let in_topic = record_key(key.clone(), generation);
            prop_assert_eq!(key_of_record(&in_topic, &value), &*key);
            prop_assume!(generation != window_length_ms);
            prop_assert_eq!(key_of_record(&key, &value), &*key, "as topics from before have it");
            prop_assert_eq!(record_key(key, other) == in_topic, other == generation);
        }

        #[test]
        fn no_summary_is_left_as_it_is(key: Vec<u8>, value: Vec<u8>) {
            let found = key_of_record(&key, &value);
            prop_assert!(found == &*key || Provenance::of_value(&value).is_ok());
        }

        #[test]
        fn an_encoding_is_recognised(
            encoded in prop::collection::vec("[ab]{0,2}|é{120,130}", 0..3),
            asked in prop::collection::vec("[ab]{0,2}|é{120,130}", 0..3),
        ) {
            let encode = |dimensions: &[String]| {
                let mut key = Vec::new();
                encode_dimensions(dimensions.iter().map(String::as_str), &mut key);
                key
            };
            let texts: Vec<&str> = asked.iter().map(String::as_str).collect();
            prop_assert_eq!(is_encoding_of(&encode(&encoded), &texts), encode(&encoded) == encode(&asked));
            prop_assert!(is_encoding_of(&encode(&asked), &texts));
        }

        #[test]
        fn any_bytes_are_a_key_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(key) = SummaryKey::decode(&bytes) {
                prop_assert_eq!(key.encode(), bytes);
            }
        }
    }

    #[test]
    fn long_dimensions_are_cut_between_characters() {
        let key = SummaryKey {
            owner: Owner([7; 16]),
            dimensions: vec!["é".repeat(200)],
            window_start_ms: 0,
            window_length_ms: 60_000,
        };
        let read = SummaryKey::decode(&key.encode()).unwrap();
        assert_eq!(read.dimensions, ["é".repeat(127)]);
    }

    proptest! {
        /// The core declares the message once more, because it knows no other crate; the bytes are the schema's.
        #[test]
        fn a_provenance_is_the_published_message(
            generation: u32, first_offset: u64, last_offset: u64, count: u64, is_final: bool,
        ) {
            let ours = Provenance { generation, first_offset, last_offset, count, is_final };
            let published =
                yahtzee_proto::Provenance { generation, first_offset, last_offset, count, r#final: is_final };
            prop_assert_eq!(ours.encode_to_vec(), published.encode_to_vec());
            prop_assert_eq!(Provenance::decode(&*published.encode_to_vec()), Ok(ours));
            let envelope = yahtzee_proto::SummaryEnvelope { provenance: Some(published) }.encode_to_vec();
            prop_assert_eq!(Provenance::of_value(&envelope), Ok(ours));
            prop_assert_eq!(ours.join(&()), envelope);
        }
    }

    #[test]
    fn a_final_summary_is_newer_than_the_same_without_the_flag() {
        let open = Provenance { generation: 1, first_offset: 3, last_offset: 9, count: 4, is_final: false };
        let closed = Provenance { is_final: true, ..open };
        assert!(open.revision() < closed.revision());
        assert!(open.can_be_followed_by(&closed));
    }

    #[test]
    fn a_partial_rebuild_breaks_the_chain() {
        fn check(newer: Provenance, expected: bool) {
            let older =
                Provenance { generation: 1, first_offset: 3, last_offset: 9, count: 4, is_final: true };
            assert_eq!(older.can_be_followed_by(&newer), expected, "{newer:?}");
        }
        let newer = Provenance { generation: 1, first_offset: 3, last_offset: 12, count: 5, is_final: true };
        check(newer, true);
        check(Provenance { first_offset: 12, count: 1, ..newer }, false);
        check(Provenance { count: 4, ..newer }, false);
        check(Provenance { generation: 2, first_offset: 12, count: 1, ..newer }, true);
        check(Provenance { generation: 0, ..newer }, false);
    }

    #[test]
    fn fields_of_the_framework_are_found_whatever_their_type() {
        macro_rules! check {
            ($kind:ident = $tag:literal: $type:ty, $expected:expr) => {{
                #[derive(Clone, PartialEq, Message)]
                struct Summary {
                    #[prost($kind, tag = $tag)]
                    field: $type,
                }
                assert_eq!(reserved_field::<Summary>(), $expected, "{} {}", stringify!($kind), $tag);
            }};
        }
        check!(uint64 = "16": u64, None);
        check!(string = "17": String, None);
        check!(uint64 = "15": u64, Some(15));
        check!(sint32 = "2": i32, Some(2));
        check!(bool = "1": bool, Some(1));
        check!(double = "3": f64, Some(3));
        check!(fixed32 = "4": u32, Some(4));
        check!(string = "5": String, Some(5));

        #[derive(Clone, PartialEq, Message)]
        struct Forged {
            #[prost(message, optional, tag = "1")]
            provenance: Option<Provenance>,
            #[prost(uint64, tag = "16")]
            sum: u64,
        }
        assert_eq!(reserved_field::<Forged>(), Some(1));

        #[derive(Clone, PartialEq, Message)]
        struct Several {
            #[prost(uint64, repeated, tag = "6")]
            numbers: Vec<u64>,
            #[prost(btree_map = "string, uint64", tag = "7")]
            by_name: std::collections::BTreeMap<String, u64>,
        }
        assert_eq!(reserved_field::<Several>(), Some(6));
    }

    #[test]
    fn a_value_is_taken_apart_as_it_was_put_together() {
        #[derive(Clone, PartialEq, Message)]
        struct Sum {
            #[prost(uint64, tag = "16")]
            sum: u64,
        }
        let provenance =
            Provenance { generation: 1, first_offset: 3, last_offset: 9, count: 4, is_final: true };
        let mut buffer = Vec::new();
        for sum in [7, 0, 7] {
            let value = provenance.join(&Sum { sum });
            assert_eq!(provenance.join_within(&Sum { sum }, &mut buffer), value, "in memory of others");
            assert_eq!(Provenance::split(&value), Ok((provenance, &*Sum { sum }.encode_to_vec())));
        }
    }
}
