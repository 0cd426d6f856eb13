//! Values of raw records, as a test has them.

use prost::Message;

/// The value of a raw record: a message that the job reads, or [`RawBytes`] for a job that reads something else.
pub trait RecordValue: Clone {
    /// Returns its encoding.
    fn value(&self) -> Vec<u8>;
}

impl<M: Message + Clone> RecordValue for M {
    fn value(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// The encoded value of a raw record that is no prost message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBytes(pub Vec<u8>);

impl RecordValue for RawBytes {
    fn value(&self) -> Vec<u8> {
        self.0.clone()
    }
}
