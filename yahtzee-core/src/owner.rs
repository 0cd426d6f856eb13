//! The owner of a measurement, and the partition that all of an owner's measurements live in.

use std::fmt;

/// The app a measurement belongs to: a UUID as its 16 bytes.
///
/// The key of every raw record, and the only part of a summary key that decides a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub [u8; Self::BYTES]);

impl Owner {
    /// Length of an owner in keys.
    pub const BYTES: usize = 16;

    /// Reads 16 bytes, as they stand in a record key. `None` for any other length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads the text form `01234567-89ab-cdef-0123-456789abcdef`, hyphens optional, either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::BYTES];
        let mut digits = text.bytes().filter(|&byte| byte != b'-');
        for byte in &mut bytes {
            *byte = hex_value(digits.next()?)? << 4 | hex_value(digits.next()?)?;
        }
        digits.next().is_none().then_some(Self(bytes))
    }

    /// The partition of this owner in a topic of `partition_count` partitions.
    ///
    /// The choice of a Java producer with the default partitioner and these 16 bytes as key
    /// (murmur2, sign bit cleared, modulo), so that foreign tools agree.
    #[must_use]
    pub fn partition(self, partition_count: u32) -> Partition {
        let positive = murmur2(&self.0) & 0x7fff_ffff;
        Partition(positive % partition_count.max(1))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Index of a partition within its topic, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u32);

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// 32-bit murmur2 with the seed that Kafka's Java client uses (`org.apache.kafka.common.utils.Utils`).
fn murmur2(bytes: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let length = u32::try_from(bytes.len()).expect("keys are far below 4 GiB");
    let mut hash = SEED ^ length;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut word = u32::from_le_bytes(word.try_into().expect("chunks of four"));
        word = word.wrapping_mul(MIX);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MIX) ^ word.wrapping_mul(MIX);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of `UtilsTest.testMurmur2` in Apache Kafka (signed 32-bit there).
    #[test]
    fn murmur2_agrees_with_the_java_client() {
        fn check(text: &str, expected: i32) {
            assert_eq!(murmur2(text.as_bytes()), expected.cast_unsigned(), "{text}");
        }
        check("21", -973_932_308);
        check("foobar", -790_332_482);
        check("a-little-bit-long-string", -985_981_536);
        check("a-little-bit-longer-string", -1_486_304_829);
        check("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971);
        check("abc", 479_470_107);
    }

    #[test]
    fn text_form_round_trips() {
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(Owner::parse(text).map(|owner| owner.to_string()).as_deref(), expected, "{text}");
        }
        let plain = "11111111-2222-4333-8444-5555555555aa";
        check(plain, Some(plain));
        check("11111111222243338444" /* too short */, None);
        check("111111112222433384445555555555AA", Some(plain));
        check("11111111-2222-4333-8444-5555555555aaa", None);
        check("x1111111-2222-4333-8444-5555555555aa", None);
    }
}
