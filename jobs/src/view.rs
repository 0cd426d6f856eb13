//! The raw records that come by the million, read in place: no text is copied and nothing is allocated.
//!
//! The schema is `proto/yahtzee/raw.proto`. What is accepted and which values are read is what prost accepts and reads;
//! the tests hold every view to that.

use yahtzee::job::Record;
use yahtzee::wire::{Malformed, Reader, Tag, View};
use yahtzee_pipeline_proto::raw;

/// Number of the repeated field that has the measurements, in every raw record.
const MEASUREMENTS_FIELD: u32 = 16;

/// A raw record with measurements of one type: the fields that all types share, and the measurements.
///
/// Decoding goes through all of it and keeps the first measurement, which often is the only one. The others are read a
/// second time as they are asked for: that costs less than a place to keep them in.
#[derive(Clone, Copy, Debug)]
pub struct Measurements<'a, M> {
    frame_id: &'a [u8],
    first: Option<M>,
    /// The bytes after the first measurement.
    rest: Reader<'a>,
}

impl<'a, M: View<'a>> Record<'a> for Measurements<'a, M> {
    fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(value);
        let mut record = Self { frame_id: &[], first: None, rest: Reader::new(&[]) };
        while let Some(tag) = reader.tag()? {
            match tag.number() {
                MEASUREMENTS_FIELD => {
                    let measurement = reader.message(tag)?;
                    if record.first.is_none() {
                        (record.first, record.rest) = (Some(measurement), reader);
                    }
                }
                // Owner and drain; receive time; kind of source: in the record's key and timestamp, or of no use here.
                1 | 11 => drop(reader.bytes(tag)?),
                3 => drop(reader.sfixed64(tag)?),
                7 => record.frame_id = reader.bytes(tag)?,
                10 => drop(reader.varint(tag)?),
                _ => reader.skip(tag)?,
            }
        }
        Ok(record)
    }

    fn frame_id(&self) -> &[u8] {
        self.frame_id
    }
}

impl<'a, M: View<'a> + Copy> Measurements<'a, M> {
    /// Returns the measurements in their order.
    pub fn iter(&self) -> impl Iterator<Item = M> + use<'a, M> {
        let mut rest = self.rest;
        let next = move || loop {
            // Nothing fails here: decoding has been through all of it.
            let tag = rest.tag().ok()??;
            if tag.number() == MEASUREMENTS_FIELD {
                return rest.message(tag).ok();
            }
            rest.skip(tag).ok()?;
        };
        self.first.into_iter().chain(std::iter::from_fn(next))
    }
}

/// Declares views of messages by number, name and type of each field, as the schema does.
macro_rules! views {
    ($($(#[$about:meta])* $name:ident { $($number:literal $field:ident: $kind:ident,)+ })+) => { $(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the documentation is in proto/yahtzee/raw.proto")]
        pub struct $name<'a> {
            $(pub $field: views!(type $kind),)+
        }

        impl<'a> View<'a> for $name<'a> {
            // The same is true of it as of `Reader::message`: left to the compiler, unrelated lines decide.
            #[inline(always)]
            fn field(&mut self, tag: Tag, reader: &mut Reader<'a>) -> Result<(), Malformed> {
                match tag.number() {
                    $($number => self.$field = views!(read $kind, reader, tag),)+
                    _ => reader.skip(tag)?,
                }
                Ok(())
            }
        }

        impl<'a> From<&'a raw::$name> for $name<'a> {
            fn from(message: &'a raw::$name) -> Self {
                Self { $($field: views!(lend $kind, message.$field),)+ }
            }
        }
    )+ };

    (type sfixed64) => { i64 };
    (type string) => { &'a str };
    (type bytes) => { &'a [u8] };
    (type uint32) => { u32 };
    (type optional_uint32) => { Option<u32> };
    (type optional_uint64) => { Option<u64> };

    (read sfixed64, $reader:ident, $tag:ident) => { $reader.sfixed64($tag)? };
    (read string, $reader:ident, $tag:ident) => { $reader.text($tag)? };
    (read bytes, $reader:ident, $tag:ident) => { $reader.bytes($tag)? };
    (read uint32, $reader:ident, $tag:ident) => { $reader.varint($tag)? as u32 };
    (read optional_uint32, $reader:ident, $tag:ident) => { Some($reader.varint($tag)? as u32) };
    (read optional_uint64, $reader:ident, $tag:ident) => { Some($reader.varint($tag)?) };

    (lend string, $value:expr) => { &$value };
    (lend bytes, $value:expr) => { &$value };
    (lend $kind:ident, $value:expr) => { $value };
}

views! {
    /// See [`raw::RouterRequest`].
    RouterRequest {
        2 time_us: sfixed64,
        4 process_type: string,
        5 dyno_num: optional_uint32,
        8 frame_index: uint32,
        9 flags: uint32,
        16 status: optional_uint32,
        17 service_ms: optional_uint32,
        18 connect_ms: optional_uint32,
        19 bytes: optional_uint64,
        20 h_code: optional_uint32,
    }

    /// See [`raw::DynoLoad`].
    DynoLoad {
        2 time_us: sfixed64,
        4 process_type: string,
        5 dyno_num: optional_uint32,
        6 dyno_uuid: bytes,
        8 frame_index: uint32,
        9 flags: uint32,
        16 load_1m_milli: optional_uint64,
        17 load_5m_milli: optional_uint64,
        18 load_15m_milli: optional_uint64,
    }

    /// See [`raw::DynoMemory`].
    DynoMemory {
        2 time_us: sfixed64,
        4 process_type: string,
        5 dyno_num: optional_uint32,
        6 dyno_uuid: bytes,
        8 frame_index: uint32,
        9 flags: uint32,
        16 total_bytes: optional_uint64,
        17 rss_bytes: optional_uint64,
        18 cache_bytes: optional_uint64,
        19 swap_bytes: optional_uint64,
        20 quota_bytes: optional_uint64,
        21 pgpgin_pages: optional_uint64,
        22 pgpgout_pages: optional_uint64,
    }

    /// See [`raw::PlatformError`].
    PlatformError {
        2 time_us: sfixed64,
        4 process_type: string,
        5 dyno_num: optional_uint32,
        8 frame_index: uint32,
        9 flags: uint32,
        16 code: string,
    }
}

#[cfg(test)]
mod tests;
