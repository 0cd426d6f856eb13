//! librdkafka's error codes as errors of the seam.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use yahtzee_core::owner::Partition;

use crate::cause::Cause;
use crate::log::{GROUP_MOVING, LogError, TIMESTAMP_AHEAD};

/// An error code of librdkafka or of a broker, with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KafkaFailure {
    pub(super) code: Code,
    pub(super) reason: String,
    source: Option<KafkaError>,
}

impl KafkaFailure {
    /// Creates a failure that is known by its code alone.
    pub(super) fn of(code: Code) -> Self {
        Self::new(code, code.to_string())
    }

    /// Creates a failure with the text of librdkafka.
    pub(super) fn new(code: Code, reason: String) -> Self {
        Self { code, reason, source: None }
    }

    /// Converts into an error of the seam; `what` names the operation and its object.
    pub(super) fn into_error(self, what: impl Into<String>) -> LogError {
        let cause = match self.code {
            Code::InvalidTimestamp => Cause::new(TIMESTAMP_AHEAD, self.reason),
            Code::CoordinatorLoadInProgress | Code::CoordinatorNotAvailable | Code::NotCoordinator => {
                Cause::new(GROUP_MOVING, self.reason)
            }
            code => Cause::new(stable_code(code), self.reason),
        };
        let cause = match self.source {
            Some(source) => cause.with_source(source),
            None => cause,
        };
        if is_transient(self.code) {
            LogError::unavailable(what, cause)
        } else {
            LogError::refused(what, cause)
        }
    }

    /// Converts as [`KafkaFailure::into_error`] does, and also recognises a missing topic or partition.
    pub(super) fn into_topic_error(self, topic: &str, partition: Option<Partition>) -> LogError {
        if is_missing(self.code) {
            return LogError::NoSuchTopic { topic: topic.to_owned(), partition };
        }
        self.into_error(match partition {
            Some(partition) => format!("{topic}/{partition}"),
            None => format!("topic {topic}"),
        })
    }
}

impl From<KafkaError> for KafkaFailure {
    fn from(error: KafkaError) -> Self {
        match error {
            // The value may be a secret, so the error is not kept; the description names the property.
            KafkaError::ClientConfig(_, description, property, _) => {
                Self::new(Code::InvalidArgument, format!("{description} ({property})"))
            }
            KafkaError::Transaction(error) => Self {
                code: error.code(),
                reason: error.string(),
                source: Some(KafkaError::Transaction(error)),
            },
            KafkaError::AdminOp(code) => Self::of(code),
            error => Self {
                code: error.rdkafka_error_code().unwrap_or(Code::InvalidArgument),
                reason: error.to_string(),
                source: Some(error),
            },
        }
    }
}

/// Returns whether a successor took over the transactional id.
pub(super) fn is_fenced(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

/// Returns whether the topic or partition does not exist.
pub(super) fn is_missing(code: Code) -> bool {
    matches!(code, Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition)
}

/// Codes of requests that no broker has answered, as far as the client knows.
const UNANSWERED: [Code; 9] = [
    Code::AllBrokersDown,
    Code::BrokerDestroy,
    Code::BrokerTransportFailure,
    Code::MessageTimedOut,
    Code::NetworkException,
    Code::OperationTimedOut,
    Code::Resolve,
    Code::TimedOutQueue,
    Code::WaitingForCoordinator,
];

/// Returns whether an error of the seam says that no broker has answered.
pub(super) fn is_unanswered(error: &LogError) -> bool {
    UNANSWERED.iter().any(|&code| error.code() == stable_code(code))
}

fn stable_code(code: Code) -> String {
    format!("kafka:{code:?}")
}

/// Returns whether the same request may succeed later.
fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::AllBrokersDown
            | Code::BrokerDestroy
            | Code::BrokerNotAvailable
            | Code::BrokerTransportFailure
            | Code::ConcurrentTransactions
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::ISRInsufficient
            | Code::LeaderNotAvailable
            | Code::MessageTimedOut
            | Code::NetworkException
            | Code::NotController
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NotLeaderForPartition
            | Code::OperationTimedOut
            | Code::PurgeInflight
            | Code::PurgeQueue
            | Code::QueueFull
            | Code::ReplicaNotAvailable
            | Code::RequestTimedOut
            | Code::Resolve
            | Code::Retry
            | Code::TimedOutQueue
            | Code::UnstableOffsetCommit
            | Code::WaitingForCoordinator
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_by_itself_is_transient() {
        fn check(code: Code, transient: bool) {
            let error = KafkaFailure::of(code).into_error("the question");
            assert_eq!(error.is_transient(), transient, "{error}");
            assert!(error.to_string().contains("the question"), "{error}");
            assert_eq!(error.code(), format!("kafka:{code:?}"));
        }
        check(Code::AllBrokersDown, true);
        check(Code::MessageTimedOut, true);
        check(Code::NotEnoughReplicas, true);
        check(Code::MessageSizeTooLarge, false);
        check(Code::TopicAuthorizationFailed, false);
    }

    /// An ingress whose clock is ahead says so by this word, whatever the log calls it.
    #[test]
    fn a_stamp_too_far_ahead_has_the_same_code_on_every_log() {
        let error = KafkaFailure::of(Code::InvalidTimestamp).into_topic_error("RAW.v1", Some(Partition(7)));
        assert_eq!((error.code(), error.is_transient()), (TIMESTAMP_AHEAD, false));
    }

    /// A sink on a new cluster knows by this word that it has nothing to warn of yet.
    #[test]
    fn a_group_without_its_coordinator_has_one_code_and_is_tried_again() {
        for code in [Code::CoordinatorLoadInProgress, Code::CoordinatorNotAvailable, Code::NotCoordinator] {
            let error = KafkaFailure::of(code).into_error("the question");
            assert_eq!(
                (error.code(), error.is_transient(), is_unanswered(&error)),
                (GROUP_MOVING, true, false)
            );
        }
    }

    /// Brokers and versions of the protocol have several words for it. Taken for anything else, a zombie would try again.
    #[test]
    fn a_successor_is_recognised_by_each_of_its_codes() {
        let fenced = [Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch].map(is_fenced);
        assert_eq!(fenced, [true; 3]);
        assert!(!is_fenced(Code::BrokerTransportFailure));
    }

    #[test]
    fn a_missing_partition_is_named() {
        let partition = Some(Partition(7));
        let error = KafkaFailure::of(Code::UnknownPartition).into_topic_error("RAW.v1", partition);
        assert_eq!(error, LogError::NoSuchTopic { topic: "RAW.v1".to_owned(), partition });
    }

    #[test]
    fn a_refused_property_does_not_show_its_value() {
        let error = rdkafka::ClientConfig::new()
            .set("sasl.password.of.nobody", "hunter2")
            .create::<rdkafka::consumer::BaseConsumer>()
            .err()
            .expect("no such property");
        let failure = KafkaFailure::from(error);
        assert!(failure.reason.contains("sasl.password.of.nobody"), "{}", failure.reason);
        assert!(!failure.reason.contains("hunter2"), "{}", failure.reason);
    }
}
