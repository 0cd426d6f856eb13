//! Consumers that do nothing but count: what reading costs whoever reads.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset as Place, TopicPartitionList};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::log::{Isolation, Item, LogReader, SharedLog};

use crate::case::Run;
use crate::measure::measured;
use crate::oracle::Output;
use crate::site::{LogSite, Store, ends, partitions};

const POLL: Duration = Duration::from_millis(100);
/// After this a reader that gets nothing more gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// As the log seam sets its reader up, so that only the way records are taken differs.
const PROPERTIES: &[(&str, &str)] = &[
    ("group.id", "yahtzee-benches"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
    ("check.crcs", "true"),
    ("isolation.level", "read_uncommitted"),
    ("fetch.queue.backoff.ms", "10"),
    ("queued.min.messages", "100000"),
    ("queued.max.messages.kbytes", "32768"),
    ("fetch.message.max.bytes", "262144"),
    ("fetch.wait.max.ms", "50"),
];

/// Reads the raw topic through the log seam: the reader that a worker has.
pub(crate) fn read_seam(site: &LogSite) -> Result<Run> {
    let (topic, log) = (site.raw_topic(), site.open()?);
    let (output, cost) = measured(|| {
        let (mut records, mut bytes) = (0, 0);
        let from: Vec<_> = partitions().into_iter().map(|partition| (partition, Offset(0))).collect();
        each_record(&log, &topic, &from, Isolation::Uncommitted, |key, value| {
            records += 1;
            bytes += (key.len() + value.len()) as u64;
            Ok(())
        })?;
        anyhow::Ok(Output::Read { records, bytes })
    });
    Ok(Run { cost, passes: 1, output: output?, summaries: 0, commits: 0 })
}

/// Reads the raw topic with the call that Rust programs use: one message per poll.
pub(crate) fn poll_one_by_one(site: &LogSite) -> Result<Run> {
    let Store::Kafka(brokers) = &site.store else { bail!("only Kafka has another client than the seam") };
    let (topic, log) = (site.raw_topic(), site.open()?);
    let mut left = ends(&*log, &topic)?.iter().map(|(_, end)| end.0).sum::<u64>();
    drop(log);
    let (output, cost) = measured(|| {
        let consumer = consumer(brokers, &topic)?;
        let (mut records, mut bytes) = (0, 0);
        let mut last = Instant::now();
        while left > 0 {
            ensure!(last.elapsed() < PATIENCE, "no record for {PATIENCE:?}, {left} of {topic} are missing");
            // The ends of partitions are reported as errors; a real one ends in the line above.
            let Some(Ok(message)) = consumer.poll(POLL) else { continue };
            bytes += (message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len)) as u64;
            records += 1;
            left -= 1;
            if records % 1_024 == 0 {
                last = Instant::now();
            }
        }
        Ok(Output::Read { records, bytes })
    });
    Ok(Run { cost, passes: 1, output: output?, summaries: 0, commits: 0 })
}

fn consumer(brokers: &str, topic: &str) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    for &(name, value) in PROPERTIES {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config.create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in partitions() {
        assignment.add_partition_offset(topic, i32::try_from(partition.0)?, Place::Offset(0))?;
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}

/// Calls `each` with key and value of every record from the given places to the ends at this moment.
///
/// # Errors
/// Those of the log and of `each`, and where a reader gets nothing more before the end.
pub(crate) fn each_record(
    log: &SharedLog,
    topic: &str,
    from: &[(Partition, Offset)],
    isolation: Isolation,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    let starts: BTreeMap<_, _> = from.iter().copied().collect();
    let ends = ends(&**log, topic)?;
    let mut open: BTreeMap<_, _> =
        ends.into_iter().filter(|(partition, end)| starts[partition] < *end).collect();
    let mut reader: Box<dyn LogReader> = log.reader(topic, from, isolation)?;
    let mut last = Instant::now();
    while !open.is_empty() {
        ensure!(
            last.elapsed() < PATIENCE,
            "no record for {PATIENCE:?}, the ends of {topic} are missing: {open:?}"
        );
        for item in reader.poll(POLL).with_context(|| format!("reading {topic}"))? {
            last = Instant::now();
            match item {
                Item::Record(_, record, _) => each(record.key, record.value)?,
                Item::End(partition, next) => {
                    if open.get(&partition).is_some_and(|end| next >= *end) {
                        open.remove(&partition);
                    }
                }
            }
        }
    }
    Ok(())
}
