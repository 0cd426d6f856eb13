//! A summary on its way into a simulated store.

use std::rc::Rc;

use yahtzee_core::delivery::Deliverable;
use yahtzee_core::summary::{Provenance, Revision};

use super::SHARDS;
use crate::rng::mix;

/// A summary that is carried. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SimRow(pub(super) Rc<Contents>);

/// What a row has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) provenance: Provenance,
}

impl SimRow {
    pub(super) fn new(key: &[u8], value: &[u8], provenance: Provenance) -> Self {
        Self(Rc::new(Contents { key: key.to_vec(), value: value.to_vec(), provenance }))
    }

    /// The shard that it belongs to.
    pub(super) fn shard(&self) -> usize {
        shard_of(&self.0.key)
    }

    /// Whether a picky store refuses it as it is: some keys, whatever their revision.
    pub(super) fn is_poison(&self) -> bool {
        let of_key = self.0.key.iter().fold(0, |sum: u64, &byte| mix(sum ^ u64::from(byte)));
        of_key.is_multiple_of(7)
    }
}

/// The shard that a key belongs to.
pub(super) fn shard_of(key: &[u8]) -> usize {
    usize::from(key.first().copied().unwrap_or(0)) % SHARDS
}

impl Deliverable for SimRow {
    fn key(&self) -> &[u8] {
        &self.0.key
    }

    fn revision(&self) -> Revision {
        self.0.provenance.revision()
    }

    fn bytes(&self) -> usize {
        self.0.key.len() + self.0.value.len()
    }
}
