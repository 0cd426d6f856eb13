//! Measurement types: the one place where each is tied to its message and to its topic.
//!
//! A new type is a message in `proto/yahtzee/raw.proto` and a line in the table below; then what reads it in ingress, and
//! a job. Both name the type by [`RawMeasurement::TYPE`].

use std::fmt::Debug;

use prost::Message;
use yahtzee_core::job::RawMessage;

use crate::raw::{
    AppEvent, DynoEvent, DynoLoad, DynoMemory, LangMetric, LogLoss, PlatformError, RouterRequest, SourceKind,
};

/// The message of a measurement type.
pub trait RawMeasurement: Message + Default + Debug {
    /// Measurement type: the stem of its raw topic.
    const TYPE: &'static str;
}

/// A raw record with decoded measurements: `RawRecord` of the schema with messages in field 16.
#[derive(Clone, PartialEq, Message)]
pub struct RecordOf<M: RawMeasurement> {
    /// 16 bytes, equal to the key.
    #[prost(bytes = "vec", tag = "1")]
    pub owner: Vec<u8>,
    /// Receive time, microseconds since 1970.
    #[prost(sfixed64, tag = "3")]
    pub recv_us: i64,
    /// The drain frame it came in: 16 bytes, or none.
    #[prost(bytes = "vec", tag = "7")]
    pub frame_id: Vec<u8>,
    /// The kind of its sender.
    #[prost(enumeration = "SourceKind", tag = "10")]
    pub source_kind: i32,
    /// UUID of the drain token: 16 bytes, or none.
    #[prost(bytes = "vec", tag = "11")]
    pub drain: Vec<u8>,
    /// The measurements, in the order of the lines.
    #[prost(message, repeated, tag = "16")]
    pub measurements: Vec<M>,
}

impl<M: RawMeasurement> RawMessage for RecordOf<M> {
    fn frame_id(&self) -> &[u8] {
        &self.frame_id
    }
}

macro_rules! measurement_types {
    ($($message:ident: $measurement_type:literal,)+) => {
        $(impl RawMeasurement for $message {
            const TYPE: &'static str = $measurement_type;
        })+

        /// A measurement of any type.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each variant holds the message of its name")]
        pub enum Measurement {
            $($message($message),)+
        }

        impl Measurement {
            /// Every measurement type, in the order of [`Self::index`].
            pub const TYPES: &'static [&'static str] = &[$($message::TYPE,)+];

            /// Returns its measurement type.
            #[must_use]
            pub fn measurement_type(&self) -> &'static str {
                match self {
                    $(Self::$message(_) => $message::TYPE,)+
                }
            }

            /// Returns the position of its type in [`Self::TYPES`].
            #[must_use]
            pub fn index(&self) -> usize {
                enum Index {
                    $($message,)+
                }
                match self {
                    $(Self::$message(_) => Index::$message as usize,)+
                }
            }

            /// Returns its place in the body it was read from.
            #[must_use]
            pub fn frame_index(&self) -> u32 {
                match self {
                    $(Self::$message(measurement) => measurement.frame_index,)+
                }
            }

            /// Returns its encoding: an element of field 16 of a raw record.
            #[must_use]
            pub fn encode_to_vec(&self) -> Vec<u8> {
                match self {
                    $(Self::$message(measurement) => measurement.encode_to_vec(),)+
                }
            }
        }

        $(impl From<$message> for Measurement {
            fn from(measurement: $message) -> Self {
                Self::$message(measurement)
            }
        })+
    };
}

measurement_types! {
    RouterRequest: "ROUTER_REQUEST",
    DynoLoad: "DYNO_LOAD",
    DynoMemory: "DYNO_MEMORY",
    PlatformError: "ERROR",
    DynoEvent: "DYNO_EVENT",
    AppEvent: "APP_EVENT",
    LogLoss: "LOG_LOSS",
    LangMetric: "LANG_METRIC",
}

#[cfg(test)]
mod tests;
