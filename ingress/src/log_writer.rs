//! From the service's queue into the raw topics of the log.

use std::sync::Arc;

use tokio::sync::mpsc;
use yahtzee_runtime::log::{Appender, LogError, NewRecord};
use yahtzee_runtime::topics::TopicLayout;

use crate::delivery::{Delivery, NotStored};
use crate::pack::{MEASUREMENT_TYPES, RawRecord};

/// Writes deliveries to the raw topics and reports each as soon as the log has acknowledged all of it.
pub struct LogWriter {
    appender: Arc<dyn Appender>,
    topics: Vec<(&'static str, Arc<str>)>,
    partitions: u32,
}

impl LogWriter {
    /// A writer to the topics of `layout`.
    #[must_use]
    pub fn new(appender: Arc<dyn Appender>, layout: &TopicLayout) -> Self {
        let topic = |measurement_type| (measurement_type, layout.raw(measurement_type).into());
        Self { appender, topics: MEASUREMENT_TYPES.map(topic).to_vec(), partitions: layout.partitions }
    }

    /// Writes until the queue is closed. Does not wait for one delivery before it takes the next.
    pub async fn run(self, mut queue: mpsc::Receiver<Delivery>) {
        while let Some(Delivery { records, reply }) = queue.recv().await {
            self.append(records, move |stored| {
                // A request that has given up does not listen any more.
                let _ = reply.send(stored.map_err(|error| NotStored { reason: error.to_string() }));
            });
        }
    }

    /// Appends records and calls `done` when all are durable, or at the first failure.
    pub fn append(&self, records: Vec<RawRecord>, done: impl FnOnce(Result<(), LogError>) + Send + 'static) {
        let records = records.into_iter().map(|record| self.new_record(record)).collect();
        self.appender.append(records, Box::new(done));
    }

    /// The record in the partition that its owner hashes to.
    fn new_record(&self, record: RawRecord) -> NewRecord {
        let topic = self.topics.iter().find(|(name, _)| *name == record.measurement_type);
        let (_, topic) = topic.expect("every measurement type has a topic");
        NewRecord {
            topic: Arc::clone(topic),
            partition: record.owner.partition(self.partitions),
            timestamp_ms: record.recv_ms,
            key: record.owner.0.to_vec(),
            value: record.payload,
        }
    }
}
