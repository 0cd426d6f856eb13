//! Which worker owns which partitions: a pure function, computed by every worker for itself.
//!
//! Slots are fixed groups of partitions, independent of the number of workers; what is fenced is a slot.

use std::fmt;

use crate::owner::Partition;

/// A worker's place among the workers of a job, written `3/8`: index from 0, then the number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerIndex {
    /// From 0.
    index: u32,
    count: u32,
}

impl WorkerIndex {
    /// The only worker.
    pub const ALONE: Self = Self { index: 0, count: 1 };

    /// Worker `index` of `count`.
    ///
    /// # Errors
    /// If `index` is not below `count`.
    pub fn new(index: u32, count: u32) -> Result<Self, OutOfRange> {
        if index < count { Ok(Self { index, count }) } else { Err(OutOfRange { index, count }) }
    }

    /// From 0.
    #[must_use]
    pub fn index(self) -> u32 {
        self.index
    }

    /// Number of workers.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }
}

impl fmt::Display for WorkerIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

/// A worker index that is not below the number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    index: u32,
    count: u32,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, count } = self;
        match count {
            0 => write!(formatter, "there must be at least one worker, as in `0/1`"),
            _ => write!(
                formatter,
                "worker index {index} is out of range: {count} workers are numbered 0 to {}",
                count - 1
            ),
        }
    }
}

impl std::error::Error for OutOfRange {}

/// The slots of a worker: all `slot` with `slot % count == index`, so balanced to within one slot.
///
/// A change of the worker count moves whole slots. Surplus workers get none.
pub fn slots_of(worker: WorkerIndex, slot_count: u32) -> impl Iterator<Item = u32> {
    (0..slot_count).filter(move |slot| slot % worker.count == worker.index)
}

/// The partitions of a slot: all `partition` with `partition % slot_count == slot`.
pub fn partitions_of(slot: u32, slot_count: u32, partition_count: u32) -> impl Iterator<Item = Partition> {
    (0..partition_count).filter(move |partition| partition % slot_count == slot).map(Partition)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_partition_has_exactly_one_worker(
            workers in 1..20_u32, slots in 1..20_u32, partitions in 1..100_u32,
        ) {
            let mut owners = BTreeMap::new();
            let mut slots_owned = Vec::new();
            for index in 0..workers {
                let worker = WorkerIndex::new(index, workers).unwrap();
                slots_owned.push(slots_of(worker, slots).count());
                for partition in slots_of(worker, slots).flat_map(|slot| partitions_of(slot, slots, partitions)) {
                    prop_assert_eq!(owners.insert(partition, index), None);
                }
            }
            prop_assert_eq!(owners.len(), partitions as usize);
            let (least, most) = (slots_owned.iter().min().unwrap(), slots_owned.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }
    }

    #[test]
    fn an_index_beyond_the_count_is_refused_with_the_range() {
        let refusal = WorkerIndex::new(8, 8).unwrap_err().to_string();
        assert!(refusal.contains("0 to 7"), "{refusal}");
        assert!(WorkerIndex::new(0, 0).is_err());
        assert_eq!(WorkerIndex::new(3, 8).unwrap().to_string(), "3/8");
    }
}
