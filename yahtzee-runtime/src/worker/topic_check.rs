//! Whether the raw topic is still the one that was opened.

use yahtzee_core::commit::IdentityMismatch;
use yahtzee_core::partition::ResumeError;
use yahtzee_core::slot::PartitionRefused;

use crate::log::{Log, LogError};

use super::JobFailure;

/// Asks the log for the identity of the raw topic after something was read and before anything is written: one small question to a
/// broker for each flush interval.
///
/// A client notices that a topic was deleted if it has a fetch on its way then. One that has none, because its process stands
/// still or its broker is out of reach, asks for the next offset of a name: if the topic was created again and has grown past that
/// offset meanwhile, it reads on as if nothing had happened, and the windows of two topics become one. The next generation leaves
/// such windows out, so that nothing would replace them.
#[derive(Debug)]
pub(super) struct TopicCheck {
    id: [u8; 16],
    has_read: bool,
}

impl TopicCheck {
    /// Creates the check of a topic that had this identity when its job began to open: that may have taken long, so the
    /// first write is checked.
    pub(super) fn new(id: [u8; 16]) -> Self {
        Self { id, has_read: true }
    }

    /// Notes that something was read.
    pub(super) fn note_read(&mut self) {
        self.has_read = true;
    }

    /// Whether to ask before anything is written.
    pub(super) fn is_due(&self) -> bool {
        self.has_read
    }

    /// Asks.
    ///
    /// # Errors
    /// If the topic is another one or gone, or the log does not answer.
    pub(super) fn ask(
        &mut self,
        log: &dyn Log,
        topic: &str,
        refused: impl FnOnce(ResumeError) -> PartitionRefused,
    ) -> Result<(), JobFailure> {
        let no_topic = || LogError::NoSuchTopic { topic: topic.to_owned(), partition: None };
        if log.topic_id(topic)?.ok_or_else(no_topic)? != self.id {
            let reason = ResumeError::Mismatch(IdentityMismatch::Topic);
            return Err(JobFailure::refused(topic, &refused(reason)));
        }
        self.has_read = false;
        Ok(())
    }
}
