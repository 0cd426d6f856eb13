//! The raw topics of the log, as ingress writes them.

use std::sync::Arc;

use yahtzee_core::owner::Partition;
use yahtzee_pipeline_proto::Measurement;
use yahtzee_runtime::health::Health;
use yahtzee_runtime::log::{Appender, LogError, NewRecord, TIMESTAMP_AHEAD};
use yahtzee_runtime::topics::TopicLayout;

use crate::log_check::LogCheck;
use crate::packer::PackedRecord;
use crate::stamp_check::StampCheck;

/// The raw topics, one per measurement type, and the appender that writes to them.
pub struct RawTopics {
    appender: Arc<dyn Appender>,
    stamp_check: Arc<StampCheck>,
    log_check: Arc<LogCheck>,
    /// Names by measurement type.
    topics: Vec<(&'static str, Arc<str>)>,
    partitions: u32,
}

impl RawTopics {
    /// Creates the topics of `layout`, written by `appender`.
    #[must_use]
    pub fn new(appender: Arc<dyn Appender>, layout: &TopicLayout) -> Self {
        let topic =
            |&measurement_type: &&'static str| (measurement_type, layout.raw(measurement_type).into());
        let topics = Measurement::TYPES.iter().map(topic).collect();
        let (stamp_check, log_check) = checks(Health::default());
        Self { appender, stamp_check, log_check, topics, partitions: layout.partitions }
    }

    /// Shows in `health` whether the log takes records and accepts their stamps.
    #[must_use]
    pub fn with_health(self, health: Health) -> Self {
        let (stamp_check, log_check) = checks(health);
        Self { stamp_check, log_check, ..self }
    }

    /// Appends the records of one delivery and calls `done` when all are durable, or at the first failure. Never blocks;
    /// `done` runs on a thread of the log.
    pub fn append(
        &self,
        records: Vec<PackedRecord>,
        done: impl FnOnce(Result<(), LogError>) + Send + 'static,
    ) {
        let records: Vec<NewRecord> = records.into_iter().map(|record| self.new_record(record)).collect();
        self.append_checked(&records, LogError::is_transient, done);
    }

    /// Appends a heartbeat, stamped `recv_ms` (milliseconds since 1970), to every partition of every topic. A failed one
    /// is not repeated: the next is on its way.
    pub(crate) fn append_heartbeats(&self, recv_ms: i64) {
        let partitions = || (0..self.partitions).map(Partition);
        let heartbeats = self.topics.iter().flat_map(|(_, topic)| {
            partitions().map(|partition| NewRecord {
                topic: Arc::clone(topic),
                partition,
                timestamp_ms: recv_ms,
                key: Vec::new(),
                value: Vec::new(),
                headers: Vec::new(),
            })
        });
        // There is nothing wrong with a heartbeat: who refuses it refuses everything.
        let is_away = |error: &LogError| error.code() != TIMESTAMP_AHEAD;
        self.append_checked(&heartbeats.collect::<Vec<_>>(), is_away, |written| {
            if let Err(error) = written {
                tracing::debug!(target: "yahtzee::ingress", %error, "heartbeats were not written");
            }
        });
    }

    fn append_checked(
        &self,
        records: &[NewRecord],
        is_away: fn(&LogError) -> bool,
        done: impl FnOnce(Result<(), LogError>) + Send + 'static,
    ) {
        let (stamp_check, log_check) = (Arc::clone(&self.stamp_check), Arc::clone(&self.log_check));
        let done = move |written| {
            stamp_check.note(&written);
            log_check.note(&written, is_away);
            done(written);
        };
        self.appender.append(records, Box::new(done));
    }

    /// Returns the record in the partition that its owner hashes to.
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

impl std::fmt::Debug for RawTopics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RawTopics").field("topics", &self.topics).finish_non_exhaustive()
    }
}

/// Creates the checks of what is appended, which show what they find in `health`.
fn checks(health: Health) -> (Arc<StampCheck>, Arc<LogCheck>) {
    (Arc::new(StampCheck::new(health.clone())), Arc::new(LogCheck::new(health)))
}
