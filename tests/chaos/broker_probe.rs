//! From when on a broker that has come back serves those who ask it for the first time.
//!
//! A broker that stood still for longer than its session lasts is fenced at its return, and for seconds has neither leaders nor
//! coordinators for anybody. That is its own time, not that of the processes under test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, TopicPartitionList};

/// A broker that serves answers a question sooner.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

const PAUSE: Duration = Duration::from_millis(100);

/// A thread that asks new clients, again and again, whether every partition has a leader and every group a coordinator.
pub(crate) struct BrokerProbe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Instant>,
}

impl BrokerProbe {
    /// Asks from now on.
    pub(crate) fn start(brokers: &str, groups: Vec<String>) -> Result<Self> {
        let (brokers, stop) = (brokers.to_owned(), Arc::new(AtomicBool::new(false)));
        let asking = {
            let stop = Arc::clone(&stop);
            move || ask(&brokers, &groups, &stop)
        };
        let thread = std::thread::Builder::new().name("broker-probe".to_owned());
        Ok(Self { stop, thread: thread.spawn(asking).context("no thread for a probe of the broker")? })
    }

    /// Ends, and returns since when all clients were told so: one that returns and is away once more returns twice.
    pub(crate) fn served_since(self) -> Result<Instant> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the probe of the broker has panicked"))
    }
}

fn ask(brokers: &str, groups: &[String], stop: &AtomicBool) -> Instant {
    let mut since = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if !groups.iter().all(|group| serves(brokers, group).unwrap_or(false)) {
            since = Instant::now();
        }
        std::thread::sleep(PAUSE);
    }
    since
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
    // One that is fenced is no broker of its cluster.
    Ok(!metadata.brokers().is_empty() && partitions().all(|(_, partition)| partition.leader() >= 0))
}
