//! What can go wrong with a log.

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

/// What can go wrong with a log. Each variant's text says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The topic, or a partition of it, does not exist.
    #[error(
        "topic {topic} (partition {partition:?}) does not exist; create the topics with `yahtzee topics create`"
    )]
    NoSuchTopic {
        /// Name.
        topic: String,
        /// Partition, where one was asked for.
        partition: Option<Partition>,
    },
    /// A topic of this name exists.
    #[error("topic {0} exists already; compare it with `yahtzee topics check`")]
    TopicExists(String),
    /// The offset to be read is not in the log.
    #[error("offset {offset} of {topic}/{partition} is not in the log any more: input was lost to retention")]
    OffsetOutOfRange {
        /// Topic.
        topic: String,
        /// Partition.
        partition: Partition,
        /// The offset asked for.
        offset: Offset,
    },
    /// A successor has opened the slot: this process must stop.
    #[error("fenced: another worker has taken over {0}; this one must stop writing")]
    Fenced(String),
    /// A consumer has joined the group by subscription, so that the broker refuses plain commits.
    #[error(
        "group {0} has a subscribed member, so its commits are refused; stop that consumer, it must use another group"
    )]
    GroupInUse(String),
    /// The data folder is locked by another process.
    #[error("data folder {0} is in use by another process; stop it or choose another folder with --data")]
    FolderInUse(String),
    /// No answer from the log: worth another try.
    #[error("no answer from {what}: {reason}; is the broker running and reachable?")]
    Unavailable {
        /// What was asked, of whom.
        what: String,
        /// Why there is no answer.
        reason: String,
    },
    /// Not accepted and never will be.
    #[error("{what} was refused: {reason}")]
    Refused {
        /// What was refused.
        what: String,
        /// Why.
        reason: String,
    },
}

impl LogError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
