//! The occurrences with the smallest hashes.

use super::super::make_room;
use crate::byte_reader::{ByteReader, DecodeError, put_varint};

/// A value.
pub(super) type Value = Box<[u8]>;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Ascending, none twice, the smallest of all.
    occurrences: Vec<(u64, Value)>,
}

impl Sample {
    /// The most occurrences.
    pub(super) const LEN_MAX: usize = 512;

    pub(super) const HEAP_BYTES_MAX: usize =
        Self::LEN_MAX * (size_of::<(u64, Value)>() + super::TopK::VALUE_BYTES_MAX);

    pub(super) fn add(&mut self, hash: u64, value: &[u8]) {
        let is_full = self.occurrences.len() == Self::LEN_MAX;
        if is_full && self.occurrences.last().is_some_and(|last| (hash, value) >= (last.0, &*last.1)) {
            return;
        }
        let found = self.occurrences.binary_search_by(|(of, its)| (*of, &**its).cmp(&(hash, value)));
        if let Err(at) = found {
            if is_full {
                self.occurrences.pop();
            }
            make_room(&mut self.occurrences, Self::LEN_MAX);
            self.occurrences.insert(at, (hash, value.into()));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.occurrences.iter().for_each(|(hash, value)| self.add(*hash, value));
    }

    pub(super) fn len(&self) -> usize {
        self.occurrences.len()
    }

    /// The values in the sample, ascending, each with its number there.
    pub(super) fn by_value(&self) -> Vec<(&[u8], u64)> {
        let mut values: Vec<&[u8]> = self.occurrences.iter().map(|(_, value)| &**value).collect();
        values.sort_unstable();
        values.chunk_by(|one, other| one == other).map(|same| (same[0], same.len() as u64)).collect()
    }

    /// Appends the sample; `values` has all of its values, ascending.
    pub(super) fn encode(&self, values: &[&[u8]], out: &mut Vec<u8>) {
        put_varint(out, self.occurrences.len() as u64);
        for (hash, value) in &self.occurrences {
            let index = values.binary_search(&&**value).expect("all values of the sample are given");
            out.extend(hash.to_be_bytes());
            put_varint(out, index as u64);
        }
    }

    pub(super) fn read(reader: &mut ByteReader<'_>, values: &[Value]) -> Result<Self, DecodeError> {
        let count = reader.varint()?;
        reader.ensure(count <= Self::LEN_MAX as u64, "a sample larger than it can be")?;
        let mut occurrences: Vec<(u64, Value)> = Vec::new();
        for _ in 0..count {
            let hash = u64::from_be_bytes(reader.array()?);
            let index = usize::try_from(reader.varint()?).ok();
            let value = index.and_then(|index| values.get(index)).cloned();
            let occurrence = (hash, value.ok_or_else(|| reader.invalid("a value that is not there"))?);
            let is_next = occurrences.last().is_none_or(|before| *before < occurrence);
            reader.ensure(is_next, "a sample out of order")?;
            occurrences.push(occurrence);
        }
        Ok(Self { occurrences })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let values: usize = self.occurrences.iter().map(|(_, value)| value.len()).sum();
        self.occurrences.capacity() * size_of::<(u64, Value)>() + values
    }
}
