//! A summary on its way into a shard.

use yahtzee_core::delivery::{Deliverable, PendingWrite};
use yahtzee_core::summary::Revision;

use crate::dead_letter::headers::FailureHeaders;
use crate::store::OwnedSummary;

/// A summary and what is known of its failures so far.
#[derive(Clone, Debug)]
pub(super) struct DeliveryRow {
    pub(super) summary: OwnedSummary,
    /// Failure headers of the RETRY record that the summary was read from.
    pub(super) failures: Option<Box<FailureHeaders>>,
}

/// A row that waits for its shard.
pub(super) type PendingRow = PendingWrite<DeliveryRow>;

impl Deliverable for DeliveryRow {
    fn key(&self) -> &[u8] {
        &self.summary.key
    }

    fn revision(&self) -> Revision {
        self.summary.revision()
    }

    fn bytes(&self) -> usize {
        self.summary.bytes()
    }
}
