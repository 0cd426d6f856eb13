//! What series and owners are found by.

use crate::owner::Owner;

use super::table::{Row, RowKey};

/// Bytes of a series key that need no heap: the owner, and what process types and codes usually come to.
const SHORT_BYTES: usize = 38;

/// A series: owner (16 bytes), then the encoded dimensions.
#[derive(Debug)]
pub(crate) struct SeriesKey {
    bytes: KeyBytes,
    /// The owner's row in the table of owners.
    pub(super) owner: Row,
}

/// 40 bytes, like the two words of a box and what it points to would be.
#[derive(Debug)]
enum KeyBytes {
    Short { length: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

impl SeriesKey {
    pub(super) fn new(key: &[u8], owner: Row) -> Self {
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

impl RowKey for SeriesKey {
    const VACANT: Self =
        Self { bytes: KeyBytes::Short { length: 0, bytes: [0; SHORT_BYTES] }, owner: Row::FIRST };

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

impl RowKey for Owner {
    const VACANT: Self = Self([0; 16]);

    fn bytes(&self) -> &[u8] {
        &self.0
    }
}
