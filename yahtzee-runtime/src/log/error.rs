//! Errors of a log.

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use crate::cause::Cause;

/// An error of a log. The texts name what was asked for; which command helps is for the program to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The topic, or a partition of it, does not exist.
    #[error("topic {topic}{} does not exist", in_words(*.partition))]
    NoSuchTopic {
        /// Name.
        topic: String,
        /// Partition, if one was asked for.
        partition: Option<Partition>,
    },
    /// A topic of this name exists.
    #[error("topic {0} exists already")]
    TopicExists(String),
    /// The topic is not as configured.
    #[error("topic {topic} {difference}")]
    TopicDiffers {
        /// Name.
        topic: String,
        /// The difference, as a part of a sentence.
        difference: String,
    },
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
    #[error("data folder {0} is in use by another process")]
    FolderInUse(String),
    /// There is no log in the data folder, and none was to be created.
    #[error("there is no log in data folder {0}")]
    NoFolder(String),
    /// No answer from the log: worth another try.
    #[error("no answer from {what}: {cause}")]
    Unavailable {
        /// The request and its addressee.
        what: String,
        /// Why there is no answer.
        #[source]
        cause: Cause,
    },
    /// Not accepted and never will be.
    #[error("{what} was refused: {cause}")]
    Refused {
        /// The refused object.
        what: String,
        /// Why.
        #[source]
        cause: Cause,
    },
}

/// Code of the refusal of a record whose timestamp lies too far ahead of the log's clock.
pub const TIMESTAMP_AHEAD: &str = "timestamp-ahead";

/// Code of an answer about a consumer group whose coordinator is being made, or moves to another broker: on a new cluster it
/// is usual until there are brokers that keep offsets.
pub const GROUP_MOVING: &str = "group-moving";

impl LogError {
    /// Creates an [`LogError::Unavailable`].
    pub fn unavailable(what: impl Into<String>, cause: Cause) -> Self {
        Self::Unavailable { what: what.into(), cause }
    }

    /// Creates a [`LogError::Refused`].
    pub fn refused(what: impl Into<String>, cause: Cause) -> Self {
        Self::Refused { what: what.into(), cause }
    }

    /// Returns whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Returns a name of the kind of error that stays the same when texts change.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NoSuchTopic { .. } => "no-such-topic",
            Self::TopicExists(_) => "topic-exists",
            Self::TopicDiffers { .. } => "topic-differs",
            Self::OffsetOutOfRange { .. } => "offset-out-of-range",
            Self::Fenced(_) => "fenced",
            Self::GroupInUse(_) => "group-in-use",
            Self::FolderInUse(_) => "folder-in-use",
            Self::NoFolder(_) => "no-folder",
            Self::Unavailable { cause, .. } | Self::Refused { cause, .. } => cause.code(),
        }
    }
}

fn in_words(partition: Option<Partition>) -> String {
    partition.map(|partition| format!(" (partition {partition})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn an_error_keeps_its_code_and_its_source() {
        let io = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let cause = Cause::new("io:StorageFull", io.to_string()).with_source(io);
        let error = LogError::refused("writing", cause.clone());
        assert_eq!((error.code(), error.is_transient()), ("io:StorageFull", false));
        assert_eq!(error, LogError::refused("writing", Cause::new("io:StorageFull", cause.to_string())));
        let chain: Vec<String> =
            std::iter::successors(error.source(), |&error| error.source()).map(ToString::to_string).collect();
        assert_eq!(chain, [cause.to_string(), "no storage space".to_owned()]);
    }

    #[test]
    fn a_missing_partition_is_named_and_a_missing_topic_has_none() {
        let check = |partition, expected: &str| {
            let error = LogError::NoSuchTopic { topic: "RAW.v1".to_owned(), partition };
            assert_eq!(error.to_string(), expected);
        };
        check(None, "topic RAW.v1 does not exist");
        check(Some(Partition(7)), "topic RAW.v1 (partition 7) does not exist");
    }
}
