//! A summary that outlives the batch it was read from.

use std::sync::Arc;

use yahtzee_core::summary::{Provenance, Revision, SummaryKey};

use crate::incoming::Summary;

/// A checked summary that owns its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    pub(crate) job: Arc<str>,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) parts: SummaryKey,
    pub(crate) provenance: Provenance,
}

impl Carried {
    /// Copies the bytes of a summary of `job`.
    pub(crate) fn new(job: &Arc<str>, summary: Summary<'_>) -> Self {
        Self {
            job: Arc::clone(job),
            key: summary.key.to_vec(),
            value: summary.value.to_vec(),
            parts: summary.parts,
            provenance: summary.provenance,
        }
    }

    /// As stores take it.
    pub(crate) fn lend(&self) -> Summary<'_> {
        Summary {
            job: &self.job,
            key: &self.key,
            value: &self.value,
            parts: self.parts.clone(),
            provenance: self.provenance,
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.provenance.revision()
    }

    /// Key and value.
    pub(crate) fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}
