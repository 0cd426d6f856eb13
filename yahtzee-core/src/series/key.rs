//! Keys of the tables of series and owners.

use crate::owner::Owner;

use super::table::{KeyId, TableKey};

/// Bytes of a series key that need no heap: the owner, and what process types and codes usually come to.
const SHORT_BYTES: usize = 38;

/// A series: owner (16 bytes), then the encoded dimensions.
#[derive(Debug)]
pub(crate) struct SeriesKey {
    bytes: KeyBytes,
    /// The owner's id in the table of owners.
    pub(super) owner: KeyId,
}

/// 40 bytes, like the two words of a box and what it points to would be.
#[derive(Debug)]
enum KeyBytes {
    Short { length: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

impl SeriesKey {
    /// The most heap memory of a key of up to `bytes` bytes.
    pub(super) fn heap_bytes_max(bytes: usize) -> usize {
        if bytes > SHORT_BYTES { bytes } else { 0 }
    }

    pub(super) fn new(key: &[u8], owner: KeyId) -> Self {
        Self { bytes: KeyBytes::new(key), owner }
    }
}

impl KeyBytes {
    fn new(key: &[u8]) -> Self {
        let mut bytes = [0; SHORT_BYTES];
        match (bytes.get_mut(..key.len()), u8::try_from(key.len())) {
            (Some(start), Ok(length)) => {
                start.copy_from_slice(key);
                Self::Short { length, bytes }
            }
            _ => Self::Long(key.into()),
        }
    }
}

impl TableKey for SeriesKey {
    const VACANT: Self =
        Self { bytes: KeyBytes::Short { length: 0, bytes: [0; SHORT_BYTES] }, owner: KeyId::FIRST };

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            KeyBytes::Short { length, bytes } => &bytes[..usize::from(*length)],
            KeyBytes::Long(bytes) => bytes,
        }
    }

    fn heap_bytes(&self) -> usize {
        match &self.bytes {
            KeyBytes::Short { .. } => 0,
            KeyBytes::Long(bytes) => bytes.len(),
        }
    }
}

impl TableKey for Owner {
    const VACANT: Self = Self([0; 16]);

    fn bytes(&self) -> &[u8] {
        &self.0
    }
}
