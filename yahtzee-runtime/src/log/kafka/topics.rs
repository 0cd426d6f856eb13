//! Topics: existence, description, creation, bounds and times; and which groups there are.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset as Place, TopicPartitionList};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use super::events::{self, ClientEvents};
use super::failure::{self, KafkaFailure};
use super::kept::{Keep, MonitoredClient, Verdict};
use super::native::{self, TopicFacts};
use super::settings::KafkaSettings;
use crate::cause::Cause;
use crate::log::{Bounds, Cleanup, LogError, TopicDescription, TopicSpec};

/// The property that bounds how far timestamps may lie ahead of the brokers' clocks.
const TIMESTAMP_AFTER_MAX: &str = "message.timestamp.after.max.ms";

/// Interval at which a new topic is looked for until brokers know it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Questions about topics and groups, asked by one client that never reads.
pub(super) struct KafkaTopics {
    settings: Arc<KafkaSettings>,
    client: MonitoredClient<BaseConsumer<ClientEvents>>,
}

impl Keep for KafkaTopics {
    fn verdict(&self) -> &Verdict {
        events::catch_up(&self.client);
        &self.client.verdict
    }
}

impl KafkaTopics {
    /// Creates the client, and waits for nobody.
    pub(super) fn open(settings: Arc<KafkaSettings>) -> Result<Self, LogError> {
        let events = ClientEvents::of("query");
        let verdict = events.verdict();
        let client = BaseConsumer::from_config_and_context(&settings.query_client(), events)
            .map_err(|error| KafkaFailure::from(error).into_error("creating a Kafka client"))?;
        Ok(Self { settings, client: MonitoredClient::new(client, verdict) })
    }

    /// Blocks until a broker has answered.
    pub(super) fn connect(settings: Arc<KafkaSettings>) -> Result<Self, LogError> {
        let topics = Self::open(settings)?;
        if topics.client.client().fetch_cluster_id(topics.settings.timeouts.connect).is_none() {
            events::catch_up(&topics.client);
            let last_error = topics.client.client().context().last_error();
            let text = last_error
                .unwrap_or_else(|| format!("nothing within {:?}", topics.settings.timeouts.connect));
            let what = format!("the Kafka brokers {}", topics.settings.brokers);
            return Err(LogError::unavailable(what, Cause::new("kafka:connect", text)));
        }
        Ok(topics)
    }

    /// Checks that a topic and some partitions of it exist.
    pub(super) fn require(
        &self,
        topic: &str,
        partitions: &[Partition],
        patience: Duration,
    ) -> Result<(), LogError> {
        let missing = |partition| LogError::NoSuchTopic { topic: topic.to_owned(), partition };
        let facts = self.facts(topic, patience)?.ok_or_else(|| missing(None))?;
        match partitions.iter().find(|partition| partition.0 >= facts.partitions) {
            Some(&partition) => Err(missing(Some(partition))),
            None => Ok(()),
        }
    }

    /// Returns the first and the next offset of each partition. Records of open transactions count.
    pub(super) fn bounds(
        &self,
        topic: &str,
        partitions: &[Partition],
        patience: Duration,
    ) -> Result<Vec<Bounds>, LogError> {
        self.require(topic, partitions, patience)?;
        let name = self.settings.prefixed(topic);
        partitions.iter().map(|&partition| self.bounds_of(topic, &name, partition, patience)).collect()
    }

    fn bounds_of(
        &self,
        topic: &str,
        name: &str,
        partition: Partition,
        patience: Duration,
    ) -> Result<Bounds, LogError> {
        let (start, end) = self
            .client
            .fetch_watermarks(name, native_partition(partition), patience)
            .map_err(|error| KafkaFailure::from(error).into_topic_error(topic, Some(partition)))?;
        Ok(Bounds { start: offset_of(start), end: offset_of(end) })
    }

    /// Returns the first offset of a time, or the end. Times before 1970 are those of 1970.
    pub(super) fn offset_for_time(
        &self,
        topic: &str,
        partition: Partition,
        timestamp_ms: i64,
        patience: Duration,
    ) -> Result<Offset, LogError> {
        self.require(topic, &[partition], patience)?;
        let name = self.settings.prefixed(topic);
        let failed = |failure: KafkaFailure| failure.into_topic_error(topic, Some(partition));
        let mut times = TopicPartitionList::with_capacity(1);
        // In this question librdkafka takes the time in the offset's place.
        times
            .add_partition_offset(&name, native_partition(partition), Place::Offset(timestamp_ms.max(0)))
            .map_err(|error| failed(error.into()))?;
        let answer = self.client.offsets_for_times(times, patience).map_err(|error| failed(error.into()))?;
        let found = answer.find_partition(&name, native_partition(partition));
        let found = found.expect("the answer is the list that was asked for");
        found.error().map_err(|error| failed(error.into()))?;
        match found.offset() {
            Place::Offset(offset) => Ok(offset_of(offset)),
            _ => Ok(self.bounds_of(topic, &name, partition, patience)?.end),
        }
    }

    /// Returns the names of all groups that the brokers know.
    pub(super) fn groups(&self, patience: Duration) -> Result<Vec<String>, LogError> {
        let found = self.client.fetch_group_list(None, patience);
        let found =
            found.map_err(|error| KafkaFailure::from(error).into_error("the groups of the cluster"))?;
        Ok(found.groups().iter().map(|group| group.name().to_owned()).collect())
    }

    /// Returns the identity of a topic; `None` if it does not exist.
    pub(super) fn id(&self, topic: &str, patience: Duration) -> Result<Option<[u8; 16]>, LogError> {
        Ok(self.facts(topic, patience)?.map(|facts| facts.id))
    }

    /// Describes a topic; `None` if it does not exist.
    pub(super) fn describe(
        &self,
        topic: &str,
        patience: Duration,
    ) -> Result<Option<TopicDescription>, LogError> {
        let Some(TopicFacts { id, partitions, replication }) = self.facts(topic, patience)? else {
            return Ok(None);
        };
        let (cleanup, retention_ms, timestamp_ahead_max_ms) = match self.configuration(topic, patience) {
            Ok(resource) => rules_of(&resource),
            // Deleted since the first question.
            Err(failure) if failure::is_missing(failure.code) => return Ok(None),
            Err(failure) => return Err(failure.into_topic_error(topic, None)),
        };
        let name = topic.to_owned();
        Ok(Some(TopicDescription {
            name,
            id,
            partitions,
            replication,
            cleanup,
            retention_ms,
            timestamp_ahead_max_ms,
        }))
    }

    fn configuration(&self, topic: &str, patience: Duration) -> Result<ConfigResource, KafkaFailure> {
        let name = self.settings.prefixed(topic);
        let (admin, options) = self.admin(patience)?;
        let answer = wait_for(admin.describe_configs(&[ResourceSpecifier::Topic(&name)], &options))?;
        let resource = answer.into_iter().next().ok_or_else(|| KafkaFailure::of(Code::BadMessage))?;
        resource.map_err(KafkaFailure::of)
    }

    /// Creates a topic and waits until brokers answer for it.
    pub(super) fn create(&self, topic: &TopicSpec) -> Result<(), LogError> {
        let failed = |failure: KafkaFailure| failure.into_topic_error(&topic.name, None);
        let invalid = |reason: &str| {
            failed(KafkaFailure::new(Code::InvalidArgument, format!("{reason} is beyond Kafka's range")))
        };
        let partitions = i32::try_from(topic.partitions).map_err(|_| invalid("the number of partitions"))?;
        let replication = i32::try_from(topic.replication).map_err(|_| invalid("the replication"))?;
        let (name, properties) = (self.settings.prefixed(&topic.name), properties_of(topic));
        let mut new = NewTopic::new(&name, partitions, TopicReplication::Fixed(replication));
        new.config = properties.iter().map(|(property, value)| (*property, value.as_str())).collect();
        let (admin, options) = self.admin(self.settings.timeouts.request).map_err(failed)?;
        let answer = wait_for(admin.create_topics([&new], &options)).map_err(|error| failed(error.into()))?;
        match answer.into_iter().next() {
            Some(Ok(_)) => self.wait_until_known(topic),
            Some(Err((_, Code::TopicAlreadyExists))) => Err(LogError::TopicExists(topic.name.clone())),
            Some(Err((_, code))) => Err(failed(KafkaFailure::of(code))),
            None => Err(failed(KafkaFailure::of(Code::BadMessage))),
        }
    }

    /// Blocks until a created topic has reached the brokers' metadata.
    fn wait_until_known(&self, topic: &TopicSpec) -> Result<(), LogError> {
        let deadline = Instant::now() + self.settings.timeouts.request;
        while self
            .facts(&topic.name, self.settings.timeouts.request)?
            .is_none_or(|facts| facts.partitions < topic.partitions)
        {
            if Instant::now() > deadline {
                let waited = self.settings.timeouts.request;
                let text = format!("created, but not known to brokers after {waited:?}");
                return Err(LogError::unavailable(
                    format!("topic {}", topic.name),
                    Cause::new("kafka:not-known-yet", text),
                ));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    fn facts(&self, topic: &str, patience: Duration) -> Result<Option<TopicFacts>, LogError> {
        let name = self.settings.prefixed(topic);
        native::describe_topic(self.client.client(), &name, patience)
            .map_err(|failure| failure.into_topic_error(topic, None))
    }

    /// Creates a client for one request: nobody would serve the events of a long-lived one.
    fn admin(&self, patience: Duration) -> Result<(AdminClient<ClientEvents>, AdminOptions), KafkaFailure> {
        let admin =
            AdminClient::from_config_and_context(&self.settings.admin_client(), ClientEvents::of("admin"))?;
        let timeout = Some(patience);
        Ok((admin, AdminOptions::new().request_timeout(timeout).operation_timeout(timeout)))
    }
}

/// Returns the properties of a topic. What is not listed is the brokers' default.
fn properties_of(topic: &TopicSpec) -> Vec<(&'static str, String)> {
    let mut properties = vec![
        ("message.timestamp.type", "CreateTime".to_owned()),
        ("retention.ms", topic.retention_ms.unwrap_or(-1).to_string()),
        // The brokers' default is an hour: too much for stamps that decide lateness, and too little for summaries of a
        // worker whose clock is wrong.
        (TIMESTAMP_AFTER_MAX, topic.timestamp_ahead_max_ms.unwrap_or(i64::MAX).to_string()),
    ];
    properties.push(("cleanup.policy", topic.cleanup.policy().to_owned()));
    if topic.cleanup == Cleanup::CompactAndDelete {
        properties.extend([
            // Half of the log being superseded summaries (the default) is too much for a cold start.
            ("min.cleanable.dirty.ratio", "0.1".to_owned()),
            // Sinks at the end of the topic read every change; the newest of a key is there for all others.
            ("min.compaction.lag.ms", "3600000".to_owned()),
            // Also closes the segment being written, which is never compacted.
            ("max.compaction.lag.ms", "21600000".to_owned()),
        ]);
    }
    if topic.replication >= 3 {
        properties.push(("min.insync.replicas", "2".to_owned()));
    }
    properties
}

/// Reads cleanup, retention and the bound of timestamps out of a topic's configuration. Brokers before 3.6 know no bound.
fn rules_of(resource: &ConfigResource) -> (Cleanup, Option<i64>, Option<i64>) {
    let value = |name: &str| {
        let entry = resource.entries.iter().find(|entry| entry.name == name);
        entry.and_then(|entry| entry.value.as_deref()).unwrap_or_default()
    };
    let policy: Vec<&str> = value("cleanup.policy").split(',').map(str::trim).collect();
    let cleanup = if policy.contains(&"compact") { Cleanup::CompactAndDelete } else { Cleanup::Delete };
    // Without the delete policy the time is not looked at.
    let retention_ms = value("retention.ms").parse().ok();
    let ahead_max_ms = value(TIMESTAMP_AFTER_MAX).parse().ok().filter(|&ms| ms != i64::MAX);
    (cleanup, retention_ms.filter(|&ms| ms >= 0 && policy.contains(&"delete")), ahead_max_ms)
}

fn native_partition(partition: Partition) -> i32 {
    i32::try_from(partition.0).expect("partitions that exist have Kafka's numbers")
}

fn offset_of(offset: i64) -> Offset {
    Offset(u64::try_from(offset).unwrap_or(0))
}

/// Blocks until a future has completed; the crate's admin calls are futures, and nothing else here is.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::admin::{ConfigEntry, ConfigSource, OwnedResourceSpecifier};

    use super::*;

    #[test]
    fn three_copies_need_two_in_sync() {
        fn check(replication: u32, expected: Option<&str>) {
            let (name, cleanup) = ("RAW.v1".to_owned(), Cleanup::Delete);
            let (retention_ms, timestamp_ahead_max_ms) = (None, None);
            let spec = TopicSpec {
                name,
                partitions: 32,
                replication,
                cleanup,
                retention_ms,
                timestamp_ahead_max_ms,
            };
            let properties = properties_of(&spec);
            let found = properties.iter().find(|(property, _)| *property == "min.insync.replicas");
            assert_eq!(found.map(|(_, value)| value.as_str()), expected, "{replication}");
        }
        check(1, None);
        check(3, Some("2"));
    }

    #[test]
    fn policies_of_foreign_topics_are_read_for_what_they_keep() {
        fn check(policy: &str, retention_ms: &str, expected: (Cleanup, Option<i64>)) {
            let entry = |name: &str, value: &str| ConfigEntry {
                name: name.to_owned(),
                value: Some(value.to_owned()),
                source: ConfigSource::DynamicTopic,
                is_read_only: false,
                is_default: false,
                is_sensitive: false,
            };
            let specifier = OwnedResourceSpecifier::Topic("any".to_owned());
            let entries = vec![entry("cleanup.policy", policy), entry("retention.ms", retention_ms)];
            let (cleanup, retention_ms, _) = rules_of(&ConfigResource { specifier, entries });
            assert_eq!((cleanup, retention_ms), expected, "{policy} {retention_ms:?}");
        }
        check("delete", "1000", (Cleanup::Delete, Some(1000)));
        check("delete", "-1", (Cleanup::Delete, None));
        check("compact, delete", "1000", (Cleanup::CompactAndDelete, Some(1000)));
        check("compact", "1000", (Cleanup::CompactAndDelete, None));
    }

    #[test]
    fn waits_for_an_answer_from_another_thread() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || sender.send(7).expect("the receiver waits"));
        assert_eq!(wait_for(receiver), Ok(7));
        thread.join().expect("sends without panic");
    }
}
