//! The registers of a HyperLogLog.

use crate::byte_reader::{ByteReader, DecodeError};

/// Bits of a hash that choose a register.
const INDEX_BITS: u32 = 12;

/// Number of registers.
pub(super) const COUNT: usize = 1 << INDEX_BITS;

/// The greatest value of a register: all other bits of the hash are zero.
pub(super) const GREATEST: u8 = (u64::BITS - INDEX_BITS + 1) as u8;

/// Bits of a register in the wire form.
const BITS: u32 = 6;

/// For each register the greatest rank of the hashes that chose it: leading zeros behind the index, plus one. 0 if none has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registers([u8; COUNT]);

impl Default for Registers {
    fn default() -> Self {
        Self([0; COUNT])
    }
}

impl Registers {
    pub(super) fn add(&mut self, hash: u64) {
        let index = (hash >> (u64::BITS - INDEX_BITS)) as usize;
        // A bit behind the last one ends the zeros where there are no others.
        let rest = hash << INDEX_BITS | 1 << (INDEX_BITS - 1);
        let rank = rest.leading_zeros() as u8 + 1;
        self.0[index] = self.0[index].max(rank);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(register, other)| *register = (*register).max(*other));
    }

    /// Returns how many registers have each value.
    pub(super) fn counts(&self) -> [u32; GREATEST as usize + 1] {
        let mut counts = [0; GREATEST as usize + 1];
        self.0.iter().for_each(|&register| counts[usize::from(register)] += 1);
        counts
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for group in self.0.chunks_exact(4) {
            let bits = group.iter().fold(0_u32, |bits, &register| bits << BITS | u32::from(register));
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
        }
    }

    pub(super) fn read(reader: &mut ByteReader<'_>) -> Result<Self, DecodeError> {
        let mut registers = Self::default();
        for group in registers.0.chunks_exact_mut(4) {
            let [a, b, c] = reader.array()?;
            let bits = u32::from_be_bytes([0, a, b, c]);
            for (place, register) in group.iter_mut().rev().enumerate() {
                *register = (bits >> (BITS * place as u32)) as u8 & ((1 << BITS) - 1);
                reader.ensure(*register <= GREATEST, "a register beyond its greatest value")?;
            }
        }
        reader.ensure(registers != Self::default(), "registers of nothing")?;
        Ok(registers)
    }
}
