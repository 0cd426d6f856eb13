//! The series in the open windows of one partition: their keys, their accumulators, and the memory both take.

mod bytes;
mod chunks;
mod key;
mod keyed_hash;
mod table;
mod windows;

pub use bytes::StateBytes;
pub(crate) use keyed_hash::KeyedHash;
pub(crate) use table::KeyId;
pub(crate) use windows::{Remembered, Series, SeriesState, WindowState, Windows};
