//! The reader and prost accept the same bytes and read the same values.

use proptest::prelude::*;
use prost::Message;

use super::*;

/// A message with every kind of field that a reader knows.
#[derive(Clone, PartialEq, Message)]
struct Oracle {
    #[prost(sfixed64, tag = "1")]
    time: i64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(bytes = "vec", tag = "7")]
    id: Vec<u8>,
    #[prost(uint32, optional, tag = "16")]
    count: Option<u32>,
    #[prost(uint64, tag = "3000")]
    total: u64,
    #[prost(message, repeated, tag = "17")]
    inner: Vec<Self>,
}

#[derive(Debug, Default)]
struct Viewed<'a> {
    time: i64,
    name: &'a str,
    id: &'a [u8],
    count: Option<u32>,
    total: u64,
    inner: Vec<Self>,
}

impl<'a> View<'a> for Viewed<'a> {
    fn field(&mut self, tag: Tag, reader: &mut Reader<'a>) -> Result<(), Malformed> {
        match tag.number() {
            1 => self.time = reader.sfixed64(tag)?,
            2 => self.name = reader.text(tag)?,
            7 => self.id = reader.bytes(tag)?,
            16 => self.count = Some(reader.varint(tag)? as u32),
            3_000 => self.total = reader.varint(tag)?,
            17 => self.inner.push(reader.message(tag)?),
            _ => reader.skip(tag)?,
        }
        Ok(())
    }
}

impl From<&Viewed<'_>> for Oracle {
    fn from(view: &Viewed<'_>) -> Self {
        Self {
            time: view.time,
            name: view.name.to_owned(),
            id: view.id.to_owned(),
            count: view.count,
            total: view.total,
            inner: view.inner.iter().map(Self::from).collect(),
        }
    }
}

/// Both read the same, or both refuse.
#[track_caller]
fn check(bytes: &[u8]) -> Option<Oracle> {
    let expected = Oracle::decode(bytes).ok();
    let found = Viewed::of(bytes).ok().map(|view| Oracle::from(&view));
    assert_eq!(found, expected, "{bytes:02x?}");
    expected
}

#[track_caller]
fn check_refused(bytes: &[u8]) {
    assert_eq!(check(bytes), None, "{bytes:02x?}");
}

/// `depth` messages within each other, or groups of an unknown field.
fn nested(depth: usize, is_group: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..depth {
        if is_group {
            bytes = [&[0x4b], &bytes[..], &[0x4c]].concat();
        } else {
            let mut outer = vec![0x8a, 0x01];
            prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
            bytes = [outer, bytes].concat();
        }
    }
    bytes
}

#[test]
fn depth_is_limited_where_prost_limits_it() {
    for is_group in [false, true] {
        for depth in 98..=102 {
            let read = check(&nested(depth, is_group));
            assert_eq!(read.is_some(), depth <= 100, "{depth} {is_group}");
        }
    }
    let mixed = |messages: usize, groups: usize| {
        let mut bytes = nested(groups, true);
        for _ in 0..messages {
            let length = u8::try_from(bytes.len()).expect("short enough for these tests");
            let length = if length < 0x80 { vec![length] } else { vec![length, 1] };
            bytes = [vec![0x8a, 0x01], length, bytes].concat();
        }
        bytes
    };
    assert!(check(&mixed(1, 99)).is_some());
    check_refused(&mixed(1, 100));
}

#[test]
fn numbers_of_every_length_are_read() {
    for length in 1..=11 {
        for last in [0, 1, 2, 0x7f, 0x80] {
            let mut bytes = vec![0xff; length];
            bytes[length - 1] = last;
            check(&[&[0xc0, 0xbb, 0x01], &bytes[..]].concat());
            check(&[&[0x80, 0x01], &bytes[..]].concat());
            check(&[&bytes[..], &[1, 2, 3, 4, 5, 6, 7, 8]].concat());
        }
    }
}

#[test]
fn what_prost_refuses_is_refused() {
    // A field number of 0; wire types 6 and 7; a tag beyond 32 bits; a stray end of a group.
    for bytes in [&[0x02, 0][..], &[0x0e], &[0x0f], &[0x80, 0x80, 0x80, 0x80, 0x10, 0], &[0x4c]] {
        check_refused(bytes);
    }
    // A known field of another wire type, text that is no text, a length beyond the end, a cut fixed value.
    for bytes in [&[0x08, 1][..], &[0x12, 2, 0xc3, 0x28], &[0x3a, 2, 0], &[0x09, 1, 2, 3]] {
        check_refused(bytes);
    }
    // A group that ends as another one or not at all; a field that leaves its message.
    for bytes in [&[0x4b, 0x54][..], &[0x4b, 0x40, 1], &[0x8a, 0x01, 2, 0x12, 1, b'a']] {
        check_refused(bytes);
    }
}

#[test]
fn the_last_value_counts_and_messages_accumulate() {
    let twice = check(&[0x12, 1, b'a', 0x8a, 0x01, 0, 0x12, 1, b'b', 0x8a, 0x01, 0]).unwrap();
    assert_eq!((&*twice.name, twice.inner.len()), ("b", 2));
    let within_an_unknown_group = check(&[0x4b, 0x12, 1, b'a', 0x4c, 0x12, 0]).unwrap();
    assert_eq!(within_an_unknown_group, Oracle::default());
}

fn messages() -> impl Strategy<Value = Oracle> {
    let leaf = (
        any::<i64>(),
        ".{0,5}",
        prop::collection::vec(any::<u8>(), 0..5),
        any::<Option<u32>>(),
        any::<u64>(),
    )
        .prop_map(|(time, name, id, count, total)| Oracle {
            time,
            name,
            id,
            count,
            total,
            inner: vec![],
        });
    leaf.prop_recursive(3, 8, 3, |inner| {
        (inner.clone(), prop::collection::vec(inner, 0..3))
            .prop_map(|(outer, inner)| Oracle { inner, ..outer })
    })
}

proptest! {
    #[test]
    fn every_message_reads_the_same(message in messages()) {
        prop_assert_eq!(check(&message.encode_to_vec()), Some(message));
    }

    #[test]
    fn damaged_messages_read_the_same(
        first in messages(),
        second in messages(),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        kept: prop::sample::Index,
    ) {
        let mut bytes = [first.encode_to_vec(), second.encode_to_vec()].concat();
        check(&bytes);
        check(&bytes[..kept.index(bytes.len() + 1)]);
        for (place, byte) in places {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
                check(&bytes);
            }
        }
    }

    #[test]
    fn any_bytes_read_the_same(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        check(&bytes);
    }

    /// Small numbers are tags, lengths and wire types that exist.
    #[test]
    fn bytes_that_look_like_fields_read_the_same(bytes in prop::collection::vec(0_u8..0x90, 0..24)) {
        check(&bytes);
    }
}
