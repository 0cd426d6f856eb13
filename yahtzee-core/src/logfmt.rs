//! logfmt in place: the pairs of a line such as `method=GET path="/a b" service=12ms`, borrowed from its bytes.
//!
//! There is no standard; read is what the widespread writers write, and anything else is refused rather than guessed:
//!
//! - pairs stand between bytes up to 0x20 (blanks, tabs, line ends), of which there may be any number;
//! - a key has one byte at least, none of them a blank, `=` or `"`;
//! - behind `=` a value is bare, up to the next blank and without `"`, or it stands between `"`, in which `\` takes the next byte as it
//!   is, so that it ends nothing (what both are in the text says [`Value::text`]); behind the closing `"` is a blank or the end;
//! - a key without `=` has no value.
//!
//! A line that was cut within a number looks like a whole one: write units behind numbers, or something behind the last one, and ask
//! for it.
//!
//! ```
//! use yahtzee_core::job::Record;
//! use yahtzee_core::logfmt;
//! use yahtzee_core::wire::Malformed;
//!
//! struct Request {
//!     service_ms: u64,
//! }
//!
//! impl Record<'_> for Request {
//!     fn read(line: &[u8]) -> Result<Self, Malformed> {
//!         let mut service_ms = None;
//!         for pair in logfmt::pairs(line) {
//!             let pair = pair?;
//!             if pair.key == b"service" {
//!                 service_ms = Some(pair.value()?.parse_in("ms")?);
//!             }
//!         }
//!         Ok(Self { service_ms: service_ms.ok_or(Malformed)? })
//!     }
//!
//!     fn frame_id(&self) -> &[u8] {
//!         &[]
//!     }
//! }
//!
//! assert_eq!(Request::read(br#"method=GET path="/a b" service=12ms"#)?.service_ms, 12);
//! assert!(Request::read(br#"method=GET path="/a b" service=12"#).is_err());
//! # Ok::<(), Malformed>(())
//! ```

use std::borrow::Cow;
use std::str::{self, FromStr};

use crate::wire::Malformed;

mod escape;
mod scan;
#[cfg(test)]
mod tests;

use scan::{ByteClass, Scanner};

/// A key with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The key.
    pub key: &'a [u8],
    /// What stands behind `=`; `None` without one.
    pub value: Option<Value<'a>>,
}

/// The value of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// As it stands in the line, without the quotes around it.
    pub raw: &'a [u8],
    /// Whether a `\` in it takes the next byte as it is.
    pub is_escaped: bool,
}

impl<'a> Pair<'a> {
    /// Returns the value.
    ///
    /// # Errors
    /// If the key has none.
    #[inline]
    pub fn value(&self) -> Result<Value<'a>, Malformed> {
        self.value.ok_or(Malformed)
    }
}

impl<'a> Value<'a> {
    /// Returns the text, which is borrowed unless it has escapes.
    ///
    /// Behind `\`, `a`, `b`, `f`, `n`, `r`, `t` and `v` are what they are in C; `xHH` is a byte, `uHHHH` and `UHHHHHHHH` are characters,
    /// those beyond U+FFFF also as two surrogates; what is neither a letter nor a digit stands for itself.
    ///
    /// # Errors
    /// If another letter or digit is behind `\`, if what it stands for is no character, or if the text is not UTF-8.
    pub fn text(self) -> Result<Cow<'a, str>, Malformed> {
        if self.is_escaped {
            escape::read(self.raw).map(Cow::Owned)
        } else {
            self.as_str().map(Cow::Borrowed)
        }
    }

    /// Returns the text where it has no escapes.
    ///
    /// # Errors
    /// If it has, or is not UTF-8.
    #[inline]
    pub fn as_str(self) -> Result<&'a str, Malformed> {
        if self.is_escaped { Err(Malformed) } else { str::from_utf8(self.raw).map_err(|_| Malformed) }
    }

    /// Returns the [text](Self::text) as a number, or whatever reads itself from a text. (An `f64` reads `NaN`, `inf`, and numbers beyond
    /// its range as infinity: whether it is finite is for the job to ask.)
    ///
    /// # Errors
    /// If the whole of it is not such a thing.
    pub fn parse<T: FromStr>(self) -> Result<T, Malformed> {
        self.parse_in("")
    }

    /// Returns the number before a unit, as in `12ms`.
    ///
    /// # Errors
    /// If the unit is another one or missing, or the rest is no such number.
    pub fn parse_in<T: FromStr>(self, unit: &str) -> Result<T, Malformed> {
        let parse = |text: &str| text.strip_suffix(unit).and_then(|number| number.parse().ok());
        // Without the text of values with escapes, which most often are none.
        let parsed = if self.is_escaped { parse(&self.text()?) } else { parse(self.as_str()?) };
        parsed.ok_or(Malformed)
    }
}

/// Returns the pairs of a line, in their order. A key that occurs twice is returned twice. Behind an error comes nothing.
pub fn pairs(line: &[u8]) -> Pairs<'_> {
    Pairs { line, scanner: Scanner::new(line), at: 0 }
}

/// The pairs of a line: see [`pairs`].
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    line: &'a [u8],
    scanner: Scanner<'a>,
    at: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<Pair<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // Most often one blank lies between two pairs.
        let begin = match self.line.get(self.at..) {
            Some([b' ', next, ..]) if *next > b' ' => self.at + 1,
            _ => self.scanner.find(self.at, ByteClass::NoBlank)?,
        };
        let pair = self.pair(begin);
        if pair.is_err() {
            self.at = self.line.len();
        }
        Some(pair)
    }
}

impl<'a> Pairs<'a> {
    #[inline]
    fn pair(&mut self, begin: usize) -> Result<Pair<'a>, Malformed> {
        let end = self.find_end(begin, ByteClass::KeyEnd);
        let key = &self.line[begin..end];
        if key.is_empty() || self.line.get(end) == Some(&b'"') {
            return Err(Malformed);
        }
        if self.line.get(end) != Some(&b'=') {
            self.at = end;
            return Ok(Pair { key, value: None });
        }
        let value = match self.line.get(end + 1) {
            Some(b'"') => self.quoted(end + 2)?,
            _ => self.bare(end + 1)?,
        };
        Ok(Pair { key, value: Some(value) })
    }

    #[inline]
    fn bare(&mut self, begin: usize) -> Result<Value<'a>, Malformed> {
        self.at = self.find_end(begin, ByteClass::BareEnd);
        if self.line.get(self.at) == Some(&b'"') {
            return Err(Malformed);
        }
        Ok(Value { raw: &self.line[begin..self.at], is_escaped: false })
    }

    #[inline]
    fn quoted(&mut self, begin: usize) -> Result<Value<'a>, Malformed> {
        let (mut from, mut is_escaped) = (begin, false);
        loop {
            let special = self.scanner.find(from, ByteClass::QuotedEnd).ok_or(Malformed)?;
            if self.line[special] == b'"' {
                self.at = special + 1;
                let is_at_end = self.line.get(self.at).is_none_or(|&next| next <= b' ');
                let value = Value { raw: &self.line[begin..special], is_escaped };
                return if is_at_end { Ok(value) } else { Err(Malformed) };
            }
            (from, is_escaped) = (special + 2, true);
        }
    }

    #[inline]
    fn find_end(&mut self, from: usize, class: ByteClass) -> usize {
        self.scanner.find(from, class).unwrap_or(self.line.len())
    }
}
