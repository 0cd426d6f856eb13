//! The log on Kafka, through librdkafka.
//!
//! Partitions are assigned, never subscribed to; offsets are given, never asked for by the reader; every write
//! waits for all in-sync replicas. Nothing here retries what the caller must decide about.
//!
//! | file | subject |
//! |---|---|
//! | `settings` | settings, and the librdkafka properties that follow from them |
//! | `reader`, `batch` | reading in batches that borrow librdkafka's memory |
//! | `outbox`, `appender`, `slot_writer` | producing with acknowledgement, plain and fenced |
//! | `offsets`, `topics` | requests that the cluster answers at once |
//! | `kept` | when a client is made anew, and why |
//! | `native` | the calls that the `rdkafka` crate does not wrap |
//! | `events`, `failure` | librdkafka's events and error codes as log lines and errors of the seam |

mod appender;
mod batch;
mod events;
mod failure;
mod kept;
mod native;
mod offsets;
mod outbox;
mod reader;
mod settings;
mod slot_writer;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
pub use settings::{KafkaSettings, KafkaTimeouts, KafkaTls};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use self::appender::KafkaAppender;
use self::kept::KeptClient;
use self::offsets::ConsumerGroups;
use self::reader::KafkaReader;
use self::slot_writer::KafkaSlotWriter;
use self::topics::KafkaTopics;
use super::{
    Appender, Bounds, CommittedOffset, Isolation, Log, LogError, LogReader, OffsetCommit, SlotName,
    SlotWriter, TopicDescription, TopicSpec,
};

/// A Kafka cluster.
///
/// Holds one client for questions and one per consumer group that was asked about; readers and writers bring
/// their own.
pub struct KafkaLog {
    settings: Arc<KafkaSettings>,
    topics: KeptClient<KafkaTopics>,
    groups: Arc<ConsumerGroups>,
}

impl KafkaLog {
    /// Checks the settings and waits until a broker has answered.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if none answers within [`KafkaTimeouts::connect`], [`LogError::Refused`]
    /// if librdkafka or this build cannot do what the settings ask for.
    pub fn connect(settings: KafkaSettings) -> Result<Self, LogError> {
        settings.check()?;
        let settings = Arc::new(settings);
        let topics = KeptClient::of(KafkaTopics::connect(Arc::clone(&settings))?);
        let groups = Arc::new(ConsumerGroups::new(Arc::clone(&settings)));
        Ok(Self { settings, topics, groups })
    }

    fn open_reader(
        &self,
        topic: &str,
        from: &[(Partition, Offset)],
        client: &ClientConfig,
    ) -> Result<Box<dyn LogReader>, LogError> {
        let partitions: Vec<Partition> = from.iter().map(|&(partition, _)| partition).collect();
        self.ask(|topics, patience| topics.require(topic, &partitions, patience))?;
        Ok(Box::new(KafkaReader::open(&self.settings, topic, from, client)?))
    }

    fn ask<T>(
        &self,
        question: impl Fn(&KafkaTopics, Duration) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let within = self.settings.timeouts.request;
        self.topics.ask(within, || KafkaTopics::open(Arc::clone(&self.settings)), question)
    }
}

impl Log for KafkaLog {
    fn reader(
        &self,
        topic: &str,
        from: &[(Partition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn LogReader>, LogError> {
        self.open_reader(topic, from, &self.settings.reader(isolation))
    }

    fn tail(
        &self,
        topic: &str,
        from: &[(Partition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn LogReader>, LogError> {
        self.open_reader(topic, from, &self.settings.tail(isolation))
    }

    fn appender(&self, deadline: Duration) -> Result<Arc<dyn Appender>, LogError> {
        Ok(Arc::new(KafkaAppender::open(Arc::clone(&self.settings), deadline)?))
    }

    fn slot_writer(&self, slot: &SlotName) -> Result<Box<dyn SlotWriter>, LogError> {
        Ok(Box::new(KafkaSlotWriter::open(&self.settings, slot, &self.groups)?))
    }

    fn bounds(&self, topic: &str, partitions: &[Partition]) -> Result<Vec<Bounds>, LogError> {
        self.ask(|topics, patience| topics.bounds(topic, partitions, patience))
    }

    fn offset_for_time(
        &self,
        topic: &str,
        partition: Partition,
        timestamp_ms: i64,
    ) -> Result<Offset, LogError> {
        self.ask(|topics, patience| topics.offset_for_time(topic, partition, timestamp_ms, patience))
    }

    fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.groups.ask(group, |client, patience| client.committed(topic, partitions, patience))
    }

    fn committed_below_open_transactions(
        &self,
        group: &str,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.groups.committed_below_open_transactions(group, topic, partitions)
    }

    fn groups(&self) -> Result<Vec<String>, LogError> {
        self.ask(|topics, patience| topics.groups(patience))
    }

    fn commit(&self, group: &str, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        self.groups.ask(group, |client, patience| client.commit(offsets, patience))
    }

    fn create_topic(&self, topic: &TopicSpec) -> Result<(), LogError> {
        // Put again, it could find what it has created itself.
        self.topics.ask_once(|| KafkaTopics::open(Arc::clone(&self.settings)), |topics| topics.create(topic))
    }

    fn describe_topic(&self, topic: &str) -> Result<Option<TopicDescription>, LogError> {
        self.ask(|topics, patience| topics.describe(topic, patience))
    }

    fn topic_id(&self, topic: &str) -> Result<Option<[u8; 16]>, LogError> {
        self.ask(|topics, patience| topics.id(topic, patience))
    }
}
