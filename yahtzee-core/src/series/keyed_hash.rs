//! The hash of the tables of series, owners and frames.

use std::hash::{BuildHasher, Hasher};

/// Nothing-up-my-sleeve numbers: the first 64 bits of the fractions of pi and of e, that of e made odd.
const PI: u64 = 0x243f_6a88_85a3_08d3;
const E: u64 = 0xb7e1_5162_8aed_2a6b;

/// A keyed hash of short byte strings: 16 bytes per multiplication, folded.
///
/// Tenants choose process types, codes and, by creating apps, owners, so whoever knew the hash could aim at one bucket.
/// Its seeds come from the raw topic's id, which the log draws at random and no tenant is shown; no hash value
/// leaves the process. Should someone find colliding names all the same, the caps on series bound what a probe can
/// pass by. It is deliberately the same after a restart, though nothing that is published depends on it: no table is
/// ever walked in hash order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyedHash {
    seeds: [u64; 2],
}

impl KeyedHash {
    /// A hash of its own for every `secret`.
    pub(crate) fn new(secret: [u8; 16]) -> Self {
        let [low, high] = words(secret);
        let first = fold(low ^ PI, high ^ E);
        Self { seeds: [first, fold(first ^ E, low ^ high.rotate_left(32) ^ PI)] }
    }

    /// The hash of `bytes`: all bits are good.
    #[inline]
    pub(super) fn of(self, bytes: &[u8]) -> u64 {
        let mut hash = self.seeds[0] ^ bytes.len() as u64;
        let mut rest = bytes;
        while let Some((block, after)) = rest.split_first_chunk()
            && !after.is_empty()
        {
            hash = self.with_block(hash, *block);
            rest = after;
        }
        // The last 16 bytes may overlap those before: the length, which is hashed too, tells by how much.
        let last = bytes.last_chunk().copied().unwrap_or_else(|| {
            let mut padded = [0; 16];
            padded[..rest.len()].copy_from_slice(rest);
            padded
        });
        fold(self.with_block(hash, last), PI)
    }

    fn with_block(self, hash: u64, block: [u8; 16]) -> u64 {
        let [low, high] = words(block);
        fold(hash ^ low, self.seeds[1] ^ high)
    }
}

/// Upper half of the 128-bit product, and lower half: every bit of either factor moves half of the bits.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

fn words(block: [u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(block);
    [both as u64, (both >> 64) as u64]
}

/// For sets of byte arrays.
impl BuildHasher for KeyedHash {
    type Hasher = ArrayHasher;

    fn build_hasher(&self) -> ArrayHasher {
        ArrayHasher { keyed: *self, hash: 0 }
    }
}

/// Hashes one array of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrayHasher {
    keyed: KeyedHash,
    hash: u64,
}

impl Hasher for ArrayHasher {
    // Of a length that is known where it is inlined, it is a dozen instructions of a hundred.
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) {
        self.hash = self.hash.rotate_left(32) ^ self.keyed.of(bytes);
    }

    /// The length, which is the same for all arrays of a set.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn hash(secret: u8, bytes: &[u8]) -> u64 {
        KeyedHash::new([secret; 16]).of(bytes)
    }

    proptest! {
        #[test]
        fn one_bit_more_or_less_is_another_hash(
            mut bytes in prop::collection::vec(any::<u8>(), 1..80),
            at: prop::sample::Index,
            bit in 0..8_u8,
        ) {
            let before = hash(1, &bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_ne!(hash(1, &bytes), before);
        }

        #[test]
        fn the_secret_changes_every_hash(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_ne!(hash(1, &bytes), hash(2, &bytes));
            prop_assert_eq!(hash(1, &bytes), hash(1, &bytes));
        }
    }

    #[test]
    fn zeros_of_different_lengths_differ() {
        let hashes: HashSet<u64> = (0..100).map(|length| hash(1, &vec![0; length])).collect();
        assert_eq!(hashes.len(), 100);
    }

    /// Keys that differ in few places, as apps named in sequence do, fill buckets as evenly as random ones would:
    /// of 2^16 balls in 2^16 bins the fullest holds 8 or so, and 1/e of the bins stay empty.
    #[test]
    fn similar_keys_spread_over_both_halves() {
        fn check(bits_of: fn(u64) -> u64) {
            let mut bins = vec![0; 1 << 16];
            for number in 0..1_u32 << 16 {
                let mut key = [7; 20];
                key[8..12].copy_from_slice(&number.to_be_bytes());
                bins[(bits_of(hash(3, &key)) & 0xffff) as usize] += 1;
            }
            let empty = bins.iter().filter(|&&balls| balls == 0).count();
            assert!((23_000..25_500).contains(&empty), "{empty} empty");
            assert!(bins.iter().all(|&balls| balls < 16));
        }
        check(|hash| hash);
        check(|hash| hash >> 32);
        check(|hash| hash >> 48);
    }
}
