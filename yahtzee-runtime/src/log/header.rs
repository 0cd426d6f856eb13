//! Record headers: named values beside key and value, as Kafka has them.
//!
//! Within an arena (a page, a stored record) the headers of one record lie one behind the other, each as name
//! length u32, name, value length u32, value; lengths are big endian.

use std::borrow::Cow;
use std::fmt;

/// Bytes of the two lengths of a header in an arena.
const LENGTHS_BYTES: usize = 8;

/// A header of a record to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name, without NUL. Several headers of a record may have the same one.
    pub name: Cow<'static, str>,
    /// Value: any bytes, also none.
    pub value: Vec<u8>,
}

/// The headers of a record that was read. They borrow from the batch's memory, and nothing is parsed or copied
/// before they are asked for.
#[derive(Clone, Copy)]
pub struct Headers<'a>(HeadersForm<'a>);

#[derive(Clone, Copy)]
enum HeadersForm<'a> {
    Arena(&'a [u8]),
    Foreign(&'a dyn HeaderSource),
}

/// Headers in the memory of a client library.
pub trait HeaderSource {
    /// Returns name and value of a header by its index; `None` after the last one.
    fn header(&self, index: usize) -> Option<(&[u8], &[u8])>;
}

impl<'a> Headers<'a> {
    /// Returns the value of the last header with this name, as Kafka's `lastHeader` does; `None` if there is none.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.iter().filter(|&(of, _)| of == name).last().map(|(_, value)| value)
    }

    /// Returns names and values in the order they were appended. Kafka's null value is an empty one here; a header
    /// with a name that is not UTF-8, against Kafka's protocol, is left out.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let (mut rest, mut index) = (self.0, 0);
        let next = move || match &mut rest {
            HeadersForm::Arena(bytes) => take(bytes),
            HeadersForm::Foreign(headers) => {
                index += 1;
                headers.header(index - 1)
            }
        };
        std::iter::from_fn(next).filter_map(|(name, value)| Some((str::from_utf8(name).ok()?, value)))
    }

    /// Creates headers in an arena. They end before the first that is cut off: see [`is_whole`].
    pub(super) fn in_arena(bytes: &'a [u8]) -> Self {
        Self(HeadersForm::Arena(bytes))
    }

    /// Creates headers that are read from `source` when they are asked for.
    pub fn new(source: &'a dyn HeaderSource) -> Self {
        Self(HeadersForm::Foreign(source))
    }

    /// Copies the headers to the end of an arena.
    pub(super) fn copy_to(self, arena: &mut Vec<u8>) {
        match self.0 {
            HeadersForm::Arena(bytes) => arena.extend_from_slice(bytes),
            HeadersForm::Foreign(_) => self.iter().for_each(|(name, value)| put(arena, name, value)),
        }
    }
}

/// No headers.
impl Default for Headers<'_> {
    fn default() -> Self {
        Self::in_arena(&[])
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter()).finish()
    }
}

/// Returns why no log takes a record with these headers; `None` if nothing is wrong with them.
pub(super) fn flaw(headers: &[Header]) -> Option<String> {
    let flawed = headers.iter().find(|header| header.name.contains('\0'))?;
    Some(format!("its header name {:?} has a NUL, where Kafka's client ends a name; rename it", flawed.name))
}

/// Returns the number of bytes that [`encoded`] returns.
pub(super) fn encoded_length(headers: &[Header]) -> usize {
    headers.iter().map(|header| LENGTHS_BYTES + header.name.len() + header.value.len()).sum()
}

/// Returns the headers as in an arena.
pub(super) fn encoded(headers: &[Header]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded_length(headers));
    headers.iter().for_each(|header| put(&mut bytes, &header.name, &header.value));
    bytes
}

/// Returns whether nothing is cut off or left over.
pub(super) fn is_whole(mut bytes: &[u8]) -> bool {
    while take(&mut bytes).is_some() {}
    bytes.is_empty()
}

fn put(arena: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), value] {
        let length = u32::try_from(part.len()).expect("the size limit of records is far below 4 GiB");
        arena.extend_from_slice(&length.to_be_bytes());
        arena.extend_from_slice(part);
    }
}

/// Takes the first header off.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (name, rest) = split(bytes)?;
    let (value, rest) = split(rest)?;
    *bytes = rest;
    Some((name, value))
}

/// Splits after a part with its length before it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_headers() -> impl Strategy<Value = Vec<Header>> {
        let header = ("[a-c]{0,2}", prop::collection::vec(any::<u8>(), 0..9));
        prop::collection::vec(header.prop_map(|(name, value)| Header { name: name.into(), value }), 0..6)
    }

    proptest! {
        #[test]
        fn read_back_in_order(headers in any_headers()) {
            let bytes = encoded(&headers);
            let lent = Headers::in_arena(&bytes);
            let wanted = headers.iter().map(|header| (&*header.name, header.value.as_slice()));
            prop_assert!(lent.iter().eq(wanted), "{:?}", lent);
            prop_assert_eq!(bytes.len(), encoded_length(&headers));
            let mut copied = Vec::new();
            lent.copy_to(&mut copied);
            prop_assert_eq!(copied, bytes);
        }

        #[test]
        fn the_last_of_a_name_counts(headers in any_headers(), name in "[a-c]{0,2}") {
            let newest = headers.iter().rev().find(|header| header.name == name);
            let bytes = encoded(&headers);
            prop_assert_eq!(Headers::in_arena(&bytes).get(&name), newest.map(|header| header.value.as_slice()));
        }

        #[test]
        fn a_header_cut_short_is_noticed_and_not_lent(headers in any_headers(), cut in 1..9_usize) {
            let last = Header { name: "last".into(), value: vec![0; 8] };
            let before = encoded(&headers);
            let bytes = [before.clone(), encoded(&[last])].concat();
            prop_assert!(is_whole(&bytes) && is_whole(&before));
            let cut = &bytes[..bytes.len() - cut];
            prop_assert!(!is_whole(cut));
            prop_assert_eq!(Headers::in_arena(cut).iter().count(), headers.len());
        }
    }

    /// Headers as a client library has them.
    struct ForeignHeaders(Vec<Header>);

    impl HeaderSource for ForeignHeaders {
        fn header(&self, index: usize) -> Option<(&[u8], &[u8])> {
            let header = self.0.get(index)?;
            Some((header.name.as_bytes(), &header.value))
        }
    }

    proptest! {
        #[test]
        fn foreign_headers_are_lent_and_copied_like_those_in_an_arena(headers in any_headers()) {
            let bytes = encoded(&headers);
            let foreign = ForeignHeaders(headers);
            let lent = Headers::new(&foreign);
            prop_assert!(lent.iter().eq(Headers::in_arena(&bytes).iter()), "{:?}", lent);
            let mut copied = Vec::new();
            lent.copy_to(&mut copied);
            prop_assert_eq!(copied, bytes);
        }
    }

    #[test]
    fn only_a_nul_in_a_name_is_a_flaw() {
        let check = |name: &'static str, is_flawed: bool| {
            let header = Header { name: name.into(), value: b"\0\xff".to_vec() };
            assert_eq!(flaw(&[header]).is_some(), is_flawed, "{name:?}");
        };
        check("", false);
        check("a b\u{e4}", false);
        check("a\0b", true);
        assert_eq!(flaw(&[]), None);
    }
}
