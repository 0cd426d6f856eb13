//! What tells one occurrence of a value from all others.

use xxhash_rust::xxh3::xxh3_64;

use crate::owner::Owner;

/// One occurrence of something in a log, as a number that is as good as random and the same whenever the log is read.
///
/// It is the hash (XXH3, 64 bits, seed 0) of the owner (16 bytes), the offset of the record (8 bytes, big endian) and the number of
/// the occurrence in the record (4 bytes, big endian). An owner is in one partition, so that these name one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence(pub(super) u64);

impl Occurrence {
    /// Returns the occurrence of this number in the record at an offset.
    #[must_use]
    pub fn of(owner: Owner, offset: u64, number: u32) -> Self {
        let mut place = [0; 28];
        place[..16].copy_from_slice(&owner.0);
        place[16..24].copy_from_slice(&offset.to_be_bytes());
        place[24..].copy_from_slice(&number.to_be_bytes());
        Self(xxh3_64(&place))
    }
}
