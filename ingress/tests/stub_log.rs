//! A log that acknowledges when the test says so.

use std::sync::Arc;

use tokio::sync::mpsc;
use yahtzee_core::owner::Owner;
use yahtzee_ingress::{PackedRecord, RawTopics};
use yahtzee_pipeline_proto::Measurement;
use yahtzee_runtime::cause::Cause;
use yahtzee_runtime::log::{AppendCallback, Appender, LogError, NewRecord};
use yahtzee_runtime::topics::TopicLayout;

/// The records of one append, whose outcome the test decides.
pub(crate) struct Delivery {
    pub(crate) records: Vec<PackedRecord>,
    done: AppendCallback,
}

impl Delivery {
    pub(crate) fn answer(self, outcome: Result<(), LogError>) {
        (self.done)(outcome);
    }
}

/// Hands every append to the test; fails at once when the test has let go of the other end.
struct StubLog(mpsc::UnboundedSender<Delivery>);

impl Appender for StubLog {
    fn append(&self, records: &[NewRecord], done: AppendCallback) {
        let delivery = Delivery { records: records.iter().map(packed).collect(), done };
        if let Err(refused) = self.0.send(delivery) {
            refused.0.answer(Err(broker_down()));
        }
    }
}

/// The raw topics of a stub, and its appends.
pub(crate) fn stub_log() -> (Arc<RawTopics>, mpsc::UnboundedReceiver<Delivery>) {
    let (sender, deliveries) = mpsc::unbounded_channel();
    (Arc::new(RawTopics::new(Arc::new(StubLog(sender)), &TopicLayout::default())), deliveries)
}

pub(crate) fn broker_down() -> LogError {
    LogError::unavailable("the log", Cause::new("down", "broker down"))
}

/// The record as it was packed; it must be in the partition of its owner, where workers look for it.
fn packed(record: &NewRecord) -> PackedRecord {
    let is_of_topic =
        |name: &&&str| record.topic.strip_prefix(**name).is_some_and(|version| version.starts_with('.'));
    let owner = Owner::from_bytes(&record.key).expect("the key is the owner");
    assert_eq!(record.partition, owner.partition(TopicLayout::default().partitions), "{owner}");
    PackedRecord {
        measurement_type: Measurement::TYPES.iter().find(is_of_topic).expect("a raw topic"),
        owner,
        recv_ms: record.timestamp_ms,
        payload: record.value.clone(),
    }
}
