//! Reading assigned partitions from explicit offsets.

use std::collections::VecDeque;
use std::ffi::CString;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use super::batch::{BatchQueue, PartitionFailure};
use super::events::{self, ClientEvents};
use super::failure::{self, KafkaFailure};
use super::kept::MonitoredClient;
use super::native;
use super::settings::KafkaSettings;
use crate::log::{Batch, LogError, LogReader};

/// Longest wait of one call; a longer one would overflow librdkafka's milliseconds.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// What librdkafka calls "not implemented", and would pass over.
const UNKNOWN_CODEC: &str =
    "records are compressed with a codec that this program was built without; zstd needs the feature `zstd`";

/// A client of its own that fetches some partitions of one topic. Once it has lost all brokers and handed out what it had,
/// it fails, and the caller opens another.
pub(super) struct KafkaReader {
    topic: String,
    native_topic: CString,
    queue: MonitoredClient<BatchQueue>,
    /// What is fetched.
    partitions: Vec<Partition>,
    /// Errors of partitions that cannot be read on, not reported yet.
    lost: VecDeque<LogError>,
}

impl KafkaReader {
    /// Begins to fetch. The partitions must exist.
    pub(super) fn open(
        settings: &KafkaSettings,
        topic: &str,
        from: &[(Partition, Offset)],
        client: &ClientConfig,
    ) -> Result<Self, LogError> {
        let native_topic = native::topic_name(&settings.prefixed(topic));
        let opened = native_topic.and_then(|native_topic| {
            let events = ClientEvents::of("reader");
            let verdict = events.verdict();
            let consumer = BaseConsumer::from_config_and_context(client, events)?;
            let queue = BatchQueue::open(consumer, &native_topic, &native_places(from)?)?;
            Ok((native_topic, MonitoredClient::new(queue, verdict)))
        });
        let (native_topic, queue) = opened.map_err(|failure| failure.into_topic_error(topic, None))?;
        let (topic, partitions) = (topic.to_owned(), partitions_of(from));
        Ok(Self { topic, native_topic, queue, partitions, lost: VecDeque::new() })
    }

    /// Sorts the errors of a batch into those that the caller must see and those that pass by themselves.
    fn sort_failures(&mut self) {
        for PartitionFailure { partition, offset, failure } in self.queue.failures() {
            match failure.code {
                Code::AutoOffsetReset | Code::OffsetOutOfRange => {
                    let topic = self.topic.clone();
                    self.lost.push_back(LogError::OffsetOutOfRange { topic, partition, offset });
                }
                Code::NotImplemented => {
                    let failure = KafkaFailure::new(failure.code, UNKNOWN_CODEC.to_owned());
                    self.lost.push_back(failure.into_topic_error(&self.topic, Some(partition)));
                }
                code if failure::is_missing(code) || is_final(code) => {
                    self.lost.push_back(failure.into_topic_error(&self.topic, Some(partition)));
                }
                _ => {
                    let message = format!("{}/{partition}: {}", self.topic, failure.reason);
                    self.queue.consumer().client().context().warn(&message);
                }
            }
        }
    }
}

impl LogReader for KafkaReader {
    fn poll(&mut self, wait: Duration) -> Result<Batch<'_>, LogError> {
        let deadline = Instant::now() + wait.min(LONGEST_WAIT);
        loop {
            if let Some(error) = self.lost.pop_front() {
                return Err(error);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            self.queue.native_mut().fill(left);
            self.sort_failures();
            let nothing_yet = self.queue.messages().next().is_none();
            if nothing_yet && self.queue.verdict.has_lost_brokers() {
                self.lost
                    .push_back(KafkaFailure::of(Code::AllBrokersDown).into_topic_error(&self.topic, None));
                continue;
            }
            if !nothing_yet || (self.lost.is_empty() && left.is_zero()) {
                break;
            }
        }
        Ok(Batch::new(self.queue.messages()))
    }

    fn known_end(&self, partition: Partition) -> Option<Offset> {
        let client = self.queue.consumer().client();
        native::cached_end(client, &self.native_topic, partition).map(Offset)
    }

    fn move_to(&mut self, from: &[(Partition, Offset)]) -> Result<bool, LogError> {
        events::catch_up(self.queue.consumer());
        // A partition that is taken away and given back in one assignment was seen to deliver nothing any more.
        let is_at = |(partition, _): &(Partition, Offset)| self.partitions.contains(partition);
        if self.queue.verdict.has_lost_brokers() || from.iter().any(is_at) {
            return Ok(false);
        }
        let places = native_places(from);
        let assigned = places.and_then(|places| self.queue.native_mut().assign(&self.native_topic, &places));
        assigned.map_err(|failure| failure.into_topic_error(&self.topic, None))?;
        self.lost.clear();
        self.partitions = partitions_of(from);
        Ok(true)
    }
}

/// Returns whether librdkafka does not recover from an error by fetching again.
fn is_final(code: Code) -> bool {
    matches!(code, Code::TopicAuthorizationFailed | Code::InvalidTopic)
}

fn partitions_of(from: &[(Partition, Offset)]) -> Vec<Partition> {
    from.iter().map(|&(partition, _)| partition).collect()
}

/// Converts partitions and offsets into Kafka's signed numbers.
fn native_places(from: &[(Partition, Offset)]) -> Result<Vec<(i32, i64)>, KafkaFailure> {
    from.iter()
        .map(|&(partition, offset)| {
            let place = i32::try_from(partition.0).ok().zip(i64::try_from(offset.0).ok());
            place.ok_or_else(|| KafkaFailure::of(Code::InvalidArgument))
        })
        .collect()
}
