//! Protocol Buffers in place: fields are read out of the bytes of a message, and nothing is copied.
//!
//! For the few messages that are read by the million; see [`View`]. Accepted is exactly what prost accepts, as its
//! generated decoders do: any order, the last value of a singular field, varints of needless length, unknown fields and
//! groups, which are checked and skipped. Encoding: <https://protobuf.dev/programming-guides/encoding/>.

use std::fmt;

/// Messages and groups within each other, the outermost message not counted; as many as prost allows.
const DEPTH_MAX: u32 = 100;

/// Bytes that are no message of the type asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the bytes are no such message; compare the writer's schema with the reader's")
    }
}

impl std::error::Error for Malformed {}

/// A message whose texts and bytes are borrowed from its encoding.
///
/// ```
/// use yahtzee_core::wire::{Malformed, Reader, Tag, View};
///
/// #[derive(Default)]
/// struct Hit<'a> { page: &'a str, status: Option<u32> }
///
/// impl<'a> View<'a> for Hit<'a> {
///     fn field(&mut self, tag: Tag, reader: &mut Reader<'a>) -> Result<(), Malformed> {
///         match tag.number() {
///             1 => self.page = reader.text(tag)?,
///             2 => self.status = Some(reader.varint(tag)? as u32),
///             _ => reader.skip(tag)?,
///         }
///         Ok(())
///     }
/// }
///
/// let hit = Hit::of(&[0x0a, 2, b'/', b'a', 0x10, 0xc8, 0x01])?;
/// assert_eq!((hit.page, hit.status), ("/a", Some(200)));
/// # Ok::<(), Malformed>(())
/// ```
pub trait View<'a>: Default {
    /// Takes one field from the reader, which stands behind the field's tag: stores it if the message has such a field, and
    /// [skips](Reader::skip) it if not.
    ///
    /// # Errors
    /// Where the field has another wire type than the schema says, or is damaged.
    fn field(&mut self, tag: Tag, reader: &mut Reader<'a>) -> Result<(), Malformed>;

    /// Reads a whole message.
    ///
    /// # Errors
    /// Where prost would refuse the bytes too.
    fn of(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Reader::new(bytes).into_view()
    }
}

/// What stands before every field: its number and how it is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u32);

/// Layouts of fields, by their number on the wire.
mod wire_type {
    pub(super) const VARINT: u32 = 0;
    pub(super) const FIXED64: u32 = 1;
    pub(super) const BYTES: u32 = 2;
    pub(super) const GROUP: u32 = 3;
    pub(super) const GROUP_END: u32 = 4;
    pub(super) const FIXED32: u32 = 5;
}

impl Tag {
    /// Number of the field in its message, from 1; no field has 0, and [`Reader::skip`] refuses it.
    #[must_use]
    #[inline]
    pub fn number(self) -> u32 {
        self.0 >> 3
    }

    fn wire_type(self) -> u32 {
        self.0 & 7
    }

    #[inline]
    fn expect(self, wire_type: u32) -> Result<(), Malformed> {
        if self.wire_type() == wire_type { Ok(()) } else { Err(Malformed) }
    }
}

/// A cursor over the fields of a message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    depth_left: u32,
}

impl<'a> Reader<'a> {
    /// At the start of an outermost message.
    #[must_use]
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message, depth_left: DEPTH_MAX }
    }

    /// The next field's tag; `None` at the end of the message.
    ///
    /// # Errors
    /// Where the bytes are no number of 32 bits.
    #[inline]
    pub fn tag(&mut self) -> Result<Option<Tag>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.number()?).map_err(|_| Malformed)?;
        Ok(Some(Tag(key)))
    }

    /// The value of an integer, enum or bool field; the caller cuts it to the field's width with `as`, as prost does.
    ///
    /// # Errors
    /// Where the field is of another wire type, cut short, or beyond 64 bits.
    #[inline]
    pub fn varint(&mut self, tag: Tag) -> Result<u64, Malformed> {
        tag.expect(wire_type::VARINT)?;
        self.number()
    }

    /// The value of an `sfixed64` field.
    ///
    /// # Errors
    /// Where the field is of another wire type or cut short.
    #[inline]
    pub fn sfixed64(&mut self, tag: Tag) -> Result<i64, Malformed> {
        tag.expect(wire_type::FIXED64)?;
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(i64::from_le_bytes(*bytes))
    }

    /// The value of a `bytes` field.
    ///
    /// # Errors
    /// Where the field is of another wire type or cut short.
    #[inline]
    pub fn bytes(&mut self, tag: Tag) -> Result<&'a [u8], Malformed> {
        tag.expect(wire_type::BYTES)?;
        let length = self.number()?;
        self.take(usize::try_from(length).map_err(|_| Malformed)?)
    }

    /// The value of a `string` field.
    ///
    /// # Errors
    /// Where the field is of another wire type, cut short, or not UTF-8.
    #[inline]
    pub fn text(&mut self, tag: Tag) -> Result<&'a str, Malformed> {
        str::from_utf8(self.bytes(tag)?).map_err(|_| Malformed)
    }

    /// The value of a message field. Where a singular one may come twice, the caller has to merge.
    ///
    /// # Errors
    /// Where the field is of another wire type, cut short, or no such message.
    // Whether the compiler inlines it by itself changes with unrelated lines, and is a twentieth of a job's work.
    #[inline(always)]
    pub fn message<V: View<'a>>(&mut self, tag: Tag) -> Result<V, Malformed> {
        let rest = self.bytes(tag)?;
        let depth_left = self.depth_left.checked_sub(1).ok_or(Malformed)?;
        Self { rest, depth_left }.into_view()
    }

    /// Passes over a field that the message does not have, and over all of a group.
    ///
    /// # Errors
    /// Where there is no such field or wire type, the field is cut short, or a group is not closed by its own end.
    pub fn skip(&mut self, tag: Tag) -> Result<(), Malformed> {
        self.skip_within(tag, self.depth_left)
    }

    fn skip_within(&mut self, tag: Tag, depth_left: u32) -> Result<(), Malformed> {
        let depth_left = depth_left.checked_sub(1).ok_or(Malformed)?;
        if tag.number() == 0 {
            return Err(Malformed);
        }
        match tag.wire_type() {
            wire_type::VARINT => self.number().map(drop),
            wire_type::FIXED64 => self.take(8).map(drop),
            wire_type::FIXED32 => self.take(4).map(drop),
            wire_type::BYTES => self.bytes(tag).map(drop),

            wire_type::GROUP => loop {
                let inner = self.tag()?.ok_or(Malformed)?;
                if inner.wire_type() == wire_type::GROUP_END {
                    return if inner.number() == tag.number() { Ok(()) } else { Err(Malformed) };
                }
                self.skip_within(inner, depth_left)?;
            },
            _ => Err(Malformed),
        }
    }

    #[inline(always)]
    fn into_view<V: View<'a>>(mut self) -> Result<V, Malformed> {
        let mut view = V::default();
        while let Some(tag) = self.tag()? {
            view.field(tag, &mut self)?;
        }
        Ok(view)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A varint. One and two bytes are what nearly all have: tags, lengths, statuses, milliseconds.
    #[inline]
    fn number(&mut self) -> Result<u64, Malformed> {
        match *self.rest {
            [first @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(first.into())
            }
            [first, second @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return if index == 9 && byte > 1 { Err(Malformed) } else { Ok(value) };
            }
        }
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests;
