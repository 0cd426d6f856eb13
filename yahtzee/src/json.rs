//! Raw records whose values are JSON documents.

use serde::Deserialize;
use yahtzee_core::job::Record;
use yahtzee_core::wire::Malformed;

/// What a job reads out of a JSON document: its fields by serde, texts borrowed where they are `&str`.
///
/// A text with an escape (`\"`, `\u00e9`) cannot be borrowed: a field that may have one is a `Cow<str>` with `#[serde(borrow)]`.
pub trait JsonRecord<'a>: Deserialize<'a> {
    /// See [`Record::frame_id`].
    ///
    /// An id of another length than 16 bytes is as good as none: the 36 characters of a UUID in text are to be read into its bytes.
    fn frame_id(&self) -> &[u8] {
        &[]
    }
}

/// A raw record whose value is one JSON document and nothing else.
///
/// Poison is every value that `T` does not describe: cut, with another document behind it, with a field missing, twice, of another
/// type or out of its range, read from more than 127 levels deep, not UTF-8 even where nobody reads it. A number is never rounded into an
/// integer, and an `f64` is the one nearest to it. (Serde reads a struct from an array too, field by field, and into an `f32` what is
/// beyond its range as infinity: take an `f64`.)
///
/// ```
/// use yahtzee::json::{Json, JsonRecord};
/// use yahtzee::prelude::*;
///
/// #[derive(serde::Deserialize)]
/// struct Hit<'a> {
///     time_us: i64,
///     page: &'a str,
/// }
///
/// impl<'a> JsonRecord<'a> for Hit<'a> {}
///
/// let Json(hit) = Json::<Hit>::read(br#"{"time_us": 7, "page": "/", "more": [1]}"#)?;
/// assert_eq!((hit.time_us, hit.page), (7, "/"));
/// # Ok::<(), yahtzee::wire::Malformed>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<'a, T: JsonRecord<'a>> Record<'a> for Json<T> {
    fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        // What is skipped is only in this way known to be UTF-8.
        let value = str::from_utf8(value).map_err(|_| Malformed)?;
        serde_json::from_str(value).map(Self).map_err(|_| Malformed)
    }

    fn frame_id(&self) -> &[u8] {
        self.0.frame_id()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Hit<'a> {
        bytes: u32,
        #[serde(borrow)]
        page: Cow<'a, str>,
        id: Option<&'a str>,
    }

    impl<'a> JsonRecord<'a> for Hit<'a> {
        fn frame_id(&self) -> &[u8] {
            self.id.unwrap_or_default().as_bytes()
        }
    }

    fn read(value: &[u8]) -> Option<(u32, String)> {
        Json::<Hit<'_>>::read(value).ok().map(|Json(hit)| (hit.bytes, hit.page.into_owned()))
    }

    #[test]
    fn what_is_described_is_read_and_all_else_is_poison() {
        fn check(value: &str, expected: Option<(u32, &str)>) {
            let expected = expected.map(|(bytes, page)| (bytes, page.to_owned()));
            assert_eq!(read(value.as_bytes()), expected, "{value}");
        }
        check(r#" {"page": "/", "bytes": 7, "more": {"bytes": 9}} "#, Some((7, "/")));
        check(r#"{"page": "\u00e9\"", "bytes": 4294967295}"#, Some((u32::MAX, "é\"")));
        check(r#"{"page": "/", "bytes": 4294967296}"#, None);
        check(r#"{"page": "/", "bytes": -1}"#, None);
        check(r#"{"page": "/", "bytes": 7.0}"#, None);
        check(r#"{"page": "/", "bytes": 1e2}"#, None);
        check(r#"{"page": "/", "bytes": "7"}"#, None);
        check(r#"{"page": "/", "bytes": null}"#, None);
        check(r#"{"page": "/"}"#, None);
        check(r#"{"page": "/", "bytes": 7, "bytes": 8}"#, None);
        check(r#"{"page": "/", "bytes": 7}{"page": "/", "bytes": 7}"#, None);
        check(r#"{"page": "/", "bytes": 07}"#, None);
        check(r#"[7, "/"]x"#, None);
        check("", None);
        check("null", None);
        for value in [
            b"{\"page\": \"\xff\", \"bytes\": 7}".as_slice(),
            b"{\"page\": \"/\", \"bytes\": 7, \"more\": \"\xff\"}",
            b"{\"page\": \"/\", \"bytes\": 7, \"\xff\": 1}",
            b"\xef\xbb\xbf{\"page\": \"/\", \"bytes\": 7}",
        ] {
            assert_eq!(read(value), None, "not UTF-8, or a mark before it: {value:x?}");
        }
    }

    #[derive(Deserialize)]
    struct Float {
        number: f64,
    }

    impl JsonRecord<'_> for Float {}

    #[test]
    fn a_float_is_the_one_that_is_nearest() {
        fn check(number: &str) {
            let value = format!(r#"{{"number": {number}}}"#);
            let expected = number.parse().ok().filter(|number: &f64| number.is_finite());
            let read = Json::<Float>::read(value.as_bytes()).ok().map(|Json(float)| float.number);
            assert_eq!(read, expected, "{number}");
        }
        for number in ["0.1", "-0", "7", "9007199254740993", "1e308", "1e309", "-1e400", "5e-324", "1e-400"] {
            check(number);
        }
        for number in
            ["1.7976931348623157e308", "51.24817837550540", "2.638344616030823e-256", "31.245270191439438"]
        {
            check(number);
        }
    }

    #[test]
    fn a_document_that_is_cut_is_poison() {
        let value = br#"{"page": "/a", "bytes": 1234, "id": "x"}"#;
        assert!(read(value).is_some());
        for length in 0..value.len() {
            assert_eq!(read(&value[..length]), None, "{length}");
        }
    }

    /// None of them may take the stack, or time that grows faster than the value.
    #[test]
    fn deep_and_wide_documents_come_to_an_end() {
        let deep = |open: &str, close: &str| {
            let (open, close) = (open.repeat(100_000), close.repeat(100_000));
            format!(r#"{{"page": "/", "bytes": 7, "more": {open}{close}}}"#)
        };
        // What nobody asks for is skipped, however deep it is.
        assert_eq!(read(deep("[", "]").as_bytes()), Some((7, "/".to_owned())));
        assert_eq!(read(deep(r#"{"a":"#, "").as_bytes()), None);
        let wide: String = (0..100_000).map(|n| format!(r#""f{n}": {n}, "#)).collect();
        assert_eq!(
            read(format!(r#"{{{wide}"page": "/", "bytes": 7}}"#).as_bytes()),
            Some((7, "/".to_owned()))
        );
    }

    #[test]
    fn a_frame_is_known_by_what_the_record_says() {
        let id = |value: &'static [u8]| Json::<Hit<'_>>::read(value).unwrap().frame_id().to_vec();
        assert_eq!(id(br#"{"page": "/", "bytes": 7, "id": "0123456789abcdef"}"#), b"0123456789abcdef");
        assert_eq!(id(br#"{"page": "/", "bytes": 7}"#), b"");
    }
}
