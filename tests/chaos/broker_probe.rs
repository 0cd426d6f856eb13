//! From when on a broker that has come back serves those who ask it for the first time.
//!
//! A broker that stood still for longer than its session lasts is fenced at its return, and for seconds has neither leaders nor
//! coordinators for anybody. That is its own time, not that of the processes under test.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, TopicPartitionList};

/// A broker that serves answers a question sooner.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// Asks from now on, on a thread, until every partition has a leader and every group a coordinator that answers. Gives the moment
/// at which the first client was made that was told so.
pub(crate) fn probe(
    brokers: &str,
    groups: Vec<String>,
    patience: Duration,
) -> Result<JoinHandle<Result<Instant>>> {
    let (brokers, deadline) = (brokers.to_owned(), Instant::now() + patience);
    let asking = move || {
        loop {
            let at = Instant::now();
            let is_served = groups.iter().all(|group| serves(&brokers, group).unwrap_or(false));
            match is_served {
                true => return Ok(at),
                false if at > deadline => bail!("{brokers} serves nobody"),
                false => {}
            }
        }
    };
    let thread = std::thread::Builder::new().name("broker-probe".to_owned());
    thread.spawn(asking).context("no thread for a probe of the broker")
}

fn serves(brokers: &str, group: &str) -> KafkaResult<bool> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", group).create()?;
    let metadata = consumer.fetch_metadata(None, ANSWER_WITHIN)?;
    let partitions =
        || metadata.topics().iter().flat_map(|topic| topic.partitions().iter().map(move |it| (topic, it)));
    let Some((topic, partition)) = partitions().next() else { return Ok(false) };
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic.name(), partition.id());
    consumer.committed_offsets(asked, ANSWER_WITHIN)?;
    Ok(partitions().all(|(_, partition)| partition.leader() >= 0))
}
