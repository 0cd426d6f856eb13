//! A fast hasher with fixed keys: the same records give the same tables everywhere.
//!
//! Multiply and fold, eight bytes at a time (the idea of wyhash and foldhash). Not keyed: what a tenant can choose of a
//! series lies behind its own app's UUID and is capped per app and window, and frame ids are digests.

use std::hash::{BuildHasherDefault, Hasher};

/// Builds [`FoldHasher`]s.
pub(super) type FixedHasher = BuildHasherDefault<FoldHasher>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FoldHasher(u64);

/// Odd constants without structure: digits of pi and of e.
const MULTIPLIER: u64 = 0x2437_54a6_d3f8_4cb5;
const FINISHER: u64 = 0xb7e1_5162_8aed_2a6b;

fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}

impl FoldHasher {
    fn mix(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word ^ FINISHER, MULTIPLIER);
    }
}

impl Hasher for FoldHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(u64::from_le_bytes(word.try_into().expect("chunks of eight")));
        }
        let mut rest = [0; 8];
        rest[..words.remainder().len()].copy_from_slice(words.remainder());
        // The length tells an end of zeros from no end.
        self.mix(u64::from_le_bytes(rest) ^ (bytes.len() as u64).rotate_left(56));
    }

    fn finish(&self) -> u64 {
        fold(self.0, FINISHER)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    fn hash(bytes: &[u8]) -> u64 {
        FixedHasher::default().hash_one(bytes)
    }

    /// Keys that differ in one byte, in an end of zeros, or in a counter spread over the whole range, and over the low
    /// bits that choose a bucket.
    #[test]
    fn near_keys_have_far_hashes() {
        let mut keys: Vec<Vec<u8>> = (0..40).map(|length| vec![0; length]).collect();
        keys.extend((0..20_000_u32).map(|number| [&[7; 12][..], &number.to_be_bytes()].concat()));
        let hashes: HashSet<u64> = keys.iter().map(|key| hash(key)).collect();
        assert_eq!(hashes.len(), keys.len());
        let mut buckets = [0_u32; 256];
        hashes.iter().for_each(|hash| buckets[(hash & 255) as usize] += 1);
        // 78 expected per bucket, standard deviation below 9.
        assert!(buckets.iter().all(|&count| (30..140).contains(&count)), "{buckets:?}");
    }
}
