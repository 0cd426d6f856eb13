//! From the service's queue into the raw topics of the log.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use yahtzee_core::owner::Partition;
use yahtzee_pipeline_proto::Measurement;
use yahtzee_runtime::log::{Appender, LogError, NewRecord};
use yahtzee_runtime::topics::TopicLayout;

use crate::delivery::{Delivery, NotStored};
use crate::pack::PackedRecord;

/// How often every partition gets a heartbeat.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

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
        let topic =
            |&measurement_type: &&'static str| (measurement_type, layout.raw(measurement_type).into());
        Self {
            appender,
            topics: Measurement::TYPES.iter().map(topic).collect(),
            partitions: layout.partitions,
        }
    }

    /// Writes until the queue is closed. Does not wait for one delivery before it takes the next.
    ///
    /// With a clock (microseconds since 1970), heartbeats every [`HEARTBEAT_INTERVAL`] by its time. Without one
    /// there are none: a recording keeps its own time, and the present would make all of it late.
    pub async fn run(self, mut queue: mpsc::Receiver<Delivery>, clock: Option<fn() -> i64>) {
        let mut heartbeats = tokio::time::interval(HEARTBEAT_INTERVAL);
        loop {
            tokio::select! {
                delivery = queue.recv() => match delivery {
                    Some(delivery) => self.deliver(delivery),
                    None => break,
                },
                _ = heartbeats.tick() => {
                    if let Some(clock) = clock {
                        self.heartbeat(clock().div_euclid(1_000));
                    }
                }
            }
        }
    }

    fn deliver(&self, Delivery { records, reply }: Delivery) {
        self.append(records, move |stored| {
            // A request that has given up does not listen any more.
            let _ = reply.send(stored.map_err(|error| NotStored { reason: error.to_string() }));
        });
    }

    /// Writes a heartbeat to every partition of every raw topic, stamped `recv_ms` (milliseconds since 1970), so that
    /// windows close where there is no traffic. A failed one is not repeated: the next is on its way.
    fn heartbeat(&self, recv_ms: i64) {
        let partitions = || (0..self.partitions).map(Partition);
        let topics = self.topics.iter().map(|(_, topic)| topic);
        let heartbeats =
            topics.flat_map(|topic| partitions().map(|partition| heartbeat(topic, partition, recv_ms)));
        let done = Box::new(|written: Result<(), LogError>| {
            if let Err(error) = written {
                tracing::debug!(target: "yahtzee::ingress", %error, "heartbeats were not written");
            }
        });
        self.appender.append(&heartbeats.collect::<Vec<_>>(), done);
    }

    /// Appends records and calls `done` when all are durable, or at the first failure.
    pub fn append(
        &self,
        records: Vec<PackedRecord>,
        done: impl FnOnce(Result<(), LogError>) + Send + 'static,
    ) {
        let records: Vec<NewRecord> = records.into_iter().map(|record| self.new_record(record)).collect();
        self.appender.append(&records, Box::new(done));
    }

    /// The record in the partition that its owner hashes to.
    fn new_record(&self, record: PackedRecord) -> NewRecord {
        let topic = self.topics.iter().find(|(name, _)| *name == record.measurement_type);
        let (_, topic) = topic.expect("every measurement type has a topic");
        NewRecord {
            topic: Arc::clone(topic),
            partition: record.owner.partition(self.partitions),
            timestamp_ms: record.recv_ms,
            key: record.owner.0.to_vec(),
            value: record.payload,
            headers: Vec::new(),
        }
    }
}

fn heartbeat(topic: &Arc<str>, partition: Partition, recv_ms: i64) -> NewRecord {
    NewRecord {
        topic: Arc::clone(topic),
        partition,
        timestamp_ms: recv_ms,
        key: Vec::new(),
        value: Vec::new(),
        headers: Vec::new(),
    }
}
