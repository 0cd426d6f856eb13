//! A summary on its way into a simulated store.

use yahtzee_core::delivery::Deliverable;
use yahtzee_core::summary::{Provenance, Revision};

use super::SHARDS;
use crate::rng::mix;

/// A summary that is carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SimRow {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) provenance: Provenance,
}

impl SimRow {
    /// The shard that it belongs to.
    pub(crate) fn shard(&self) -> usize {
        usize::from(self.key.first().copied().unwrap_or(0)) % SHARDS
    }

    /// Whether a picky store refuses it as it is: some keys, whatever their revision.
    pub(crate) fn is_poison(&self) -> bool {
        let of_key = self.key.iter().fold(0, |sum: u64, &byte| mix(sum ^ u64::from(byte)));
        of_key.is_multiple_of(7)
    }
}

impl Deliverable for SimRow {
    fn key(&self) -> &[u8] {
        &self.key
    }

    fn revision(&self) -> Revision {
        self.provenance.revision()
    }

    fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}
