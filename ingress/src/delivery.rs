//! The hand-off from the HTTP service to whatever writes the log.

use tokio::sync::{mpsc, oneshot};

use crate::pack::PackedRecord;

/// The records of one drain request, and where to report what became of them.
#[derive(Debug)]
pub struct Delivery {
    /// To be stored all or reported as not stored.
    pub records: Vec<PackedRecord>,
    /// Takes `Ok` once every record is acknowledged by the log. Dropping it counts as not stored.
    pub reply: oneshot::Sender<Result<(), NotStored>>,
}

/// Records did not reach the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("records were not stored: {reason}")]
pub struct NotStored {
    /// What happened, for the operator.
    pub reason: String,
}

impl NotStored {
    fn because(reason: &str) -> Self {
        Self { reason: reason.to_owned() }
    }
}

/// Hands `records` over and waits until the log has reported.
///
/// # Errors
/// If the queue is full or closed, or the log reports failure or nothing.
pub async fn deliver(queue: &mpsc::Sender<Delivery>, records: Vec<PackedRecord>) -> Result<(), NotStored> {
    let (reply, outcome) = oneshot::channel();
    queue.try_send(Delivery { records, reply }).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => NotStored::because("the queue to the log is full"),
        mpsc::error::TrySendError::Closed(_) => NotStored::because("the writer of the log has stopped"),
    })?;
    outcome.await.unwrap_or_else(|_| Err(NotStored::because("the writer of the log dropped them")))
}
