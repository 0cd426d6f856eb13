//! What the log seam does not offer because no worker does it: deleting topics, records and offsets, and subscribing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset as Place, TopicPartitionList};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

const PATIENCE: Duration = Duration::from_secs(30);

/// Lets the broker forget the records of each partition below an offset, as retention does.
pub(crate) fn delete_records(brokers: &str, topic: &str, below: &[(Partition, Offset)]) -> Result<()> {
    let mut list = TopicPartitionList::new();
    for &(partition, offset) in below {
        let place = Place::Offset(i64::try_from(offset.0)?);
        list.add_partition_offset(topic, i32::try_from(partition.0)?, place)?;
    }
    let admin = admin(brokers)?;
    let deleted = block_on(admin.delete_records(&list, &AdminOptions::new()))??;
    deleted.elements().iter().try_for_each(|element| element.error()).context("records were not deleted")
}

/// Lets the broker forget all committed offsets of a group.
pub(crate) fn delete_group(brokers: &str, group: &str) -> Result<()> {
    let admin = admin(brokers)?;
    let outcomes = block_on(admin.delete_groups(&[group], &AdminOptions::new()))??;
    for outcome in outcomes {
        if let Err((group, code)) = outcome {
            bail!("offsets of {group} were not deleted: {code}");
        }
    }
    Ok(())
}

/// Deletes topics; what is not there does not matter.
pub(crate) fn delete_topics(brokers: &str, topics: &[String]) -> Result<()> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let admin = admin(brokers)?;
    block_on(admin.delete_topics(&names, &AdminOptions::new()))??;
    Ok(())
}

fn admin(brokers: &str) -> Result<AdminClient<DefaultClientContext>> {
    Ok(ClientConfig::new().set("bootstrap.servers", brokers).create()?)
}

fn block_on<F: Future>(future: F) -> Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

/// A consumer that has nothing to do with us and joins a group all the same.
pub(crate) struct Stranger {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stranger {
    /// Subscribes, and returns when the group has given it partitions.
    pub(crate) fn join(brokers: &str, group: &str, topic: &str) -> Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("group.id", group).set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.set("auto.offset.reset", "earliest").create()?;
        consumer.subscribe(&[topic])?;
        let deadline = Instant::now() + PATIENCE;
        while consumer.assignment()?.count() == 0 {
            if Instant::now() > deadline {
                bail!("the group {group} gives a subscriber no partitions");
            }
            drop(consumer.poll(Duration::from_millis(50)));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("stranger".to_owned()).spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                drop(consumer.poll(Duration::from_millis(50)));
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the stranger is nobody's fault but its own; the run is judged by what was published.
            let _ = thread.join();
        }
    }
}
