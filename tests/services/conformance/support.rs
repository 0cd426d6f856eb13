//! Short words for what most properties do.

use std::time::{Duration, Instant};

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::log::{
    Cleanup, CommittedOffset, Header, Headers, Isolation, Item, Log, LogError, LogReader, NewRecord,
    OffsetCommit, SlotWriter, TopicSpec,
};

use super::Bench;

/// Timestamp of records whose time is of no interest: 14 November 2023.
pub(crate) const NOON_MS: i64 = 1_700_000_000_000;

/// After this a property gives up; nothing is asserted about time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an append may take before it fails.
const APPEND_DEADLINE: Duration = Duration::from_secs(30);

/// A record that was read, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<Header>,
}

/// All that a reader delivered, in its order.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) records: Vec<Seen>,
    pub(crate) ends: Vec<(Partition, Offset)>,
    pub(crate) errors: Vec<LogError>,
}

impl Reading {
    /// The values of one partition as text.
    pub(crate) fn values(&self, partition: u32) -> Vec<String> {
        let of_partition = self.records.iter().filter(|seen| seen.partition == Partition(partition));
        of_partition.map(|seen| String::from_utf8_lossy(&seen.value).into_owned()).collect()
    }

    /// Whether the end of the partition was reported.
    pub(crate) fn has_end(&self, partition: u32) -> bool {
        self.ends.iter().any(|&(of, _)| of == Partition(partition))
    }

    fn take(&mut self, item: &Item<'_>) {
        match *item {
            Item::End(partition, next) => self.ends.push((partition, next)),
            Item::Record(partition, record, headers) => self.records.push(Seen {
                partition,
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                key: record.key.to_vec(),
                value: record.value.to_vec(),
                headers: headers.iter().map(|(name, value)| header(name, value)).collect(),
            }),
        }
    }
}

/// A topic that keeps its records for ever.
pub(crate) fn spec(name: &str, partitions: u32) -> TopicSpec {
    let name = name.to_owned();
    TopicSpec {
        name,
        partitions,
        replication: 1,
        cleanup: Cleanup::Delete,
        retention_ms: None,
        timestamp_ahead_max_ms: None,
    }
}

/// Creates a topic of a fresh name.
pub(crate) fn create(bench: &dyn Bench, hint: &str, partitions: u32) -> String {
    let topic = bench.topic(hint);
    bench.log().create_topic(&spec(&topic, partitions)).expect("a fresh name can be created");
    topic
}

/// A record with text as key and value, at [`NOON_MS`].
pub(crate) fn record(topic: &str, partition: u32, key: &str, value: &str) -> NewRecord {
    NewRecord {
        topic: topic.into(),
        partition: Partition(partition),
        timestamp_ms: NOON_MS,
        key: key.into(),
        value: value.into(),
        headers: Vec::new(),
    }
}

/// A header.
pub(crate) fn header(name: &str, value: &[u8]) -> Header {
    Header { name: name.to_owned().into(), value: value.to_vec() }
}

/// Appends and waits for the answer.
pub(crate) fn append(log: &dyn Log, records: Vec<NewRecord>) -> Result<(), LogError> {
    log.appender(APPEND_DEADLINE).expect("appender").append_and_wait(&records)
}

/// Appends texts to a partition, one call for all.
pub(crate) fn append_values(log: &dyn Log, topic: &str, partition: u32, values: &[&str]) {
    let records = values.iter().map(|value| record(topic, partition, "key", value)).collect();
    append(log, records).expect("append");
}

/// Opens a reader that sees committed records only, at offset 0 of the partitions.
pub(crate) fn reader(log: &dyn Log, topic: &str, partitions: &[u32]) -> Box<dyn LogReader> {
    let from: Vec<_> = partitions.iter().map(|&partition| (Partition(partition), Offset(0))).collect();
    log.reader(topic, &from, Isolation::Committed).expect("reader")
}

/// Polls until `enough` holds of all that was delivered. Errors are collected, but those worth another try.
pub(crate) fn read_until(reader: &mut dyn LogReader, enough: impl Fn(&Reading) -> bool) -> Reading {
    let begin = Instant::now();
    let mut reading = Reading::default();
    while !enough(&reading) {
        assert!(begin.elapsed() < PATIENCE, "given up; so far there is {reading:?}");
        match reader.poll(Duration::from_millis(200)) {
            Ok(batch) => batch.for_each(|item| reading.take(&item)),
            Err(error) if error.is_transient() => {}
            Err(error) => reading.errors.push(error),
        }
    }
    reading
}

/// Reads the partitions from offset 0 to their ends.
pub(crate) fn read_all(log: &dyn Log, topic: &str, partitions: &[u32]) -> Reading {
    let mut reader = reader(log, topic, partitions);
    let reading = read_until(&mut *reader, |reading| partitions.iter().all(|&index| reading.has_end(index)));
    assert_eq!(reading.errors, [], "reading {topic}");
    reading
}

/// As [`read_all`], again and again until there are `count` records: what a slot writer has made durable becomes
/// visible to a reader of committed records soon, not at once (a broker writes its markers after its answer).
pub(crate) fn read_all_of(log: &dyn Log, topic: &str, partitions: &[u32], count: usize) -> Reading {
    let begin = Instant::now();
    loop {
        let reading = read_all(log, topic, partitions);
        if reading.records.len() >= count || begin.elapsed() > PATIENCE {
            return reading;
        }
    }
}

/// Shows the headers of the first record of partition 0, as they are lent.
pub(crate) fn with_first_headers(log: &dyn Log, topic: &str, see: impl Fn(Headers<'_>)) {
    let begin = Instant::now();
    let mut reader = reader(log, topic, &[0]);
    while begin.elapsed() < PATIENCE {
        let Ok(batch) = reader.poll(Duration::from_millis(200)) else { continue };
        for item in batch {
            if let Item::Record(_, _, headers) = item {
                return see(headers);
            }
        }
    }
    panic!("given up: no record came");
}

/// A commit.
pub(crate) fn at(offset: u64, metadata: &str) -> CommittedOffset {
    CommittedOffset { offset: Offset(offset), metadata: metadata.to_owned() }
}

/// Commits offsets of a topic without a fence.
pub(crate) fn commit(
    log: &dyn Log,
    group: &str,
    topic: &str,
    offsets: &[(u32, &CommittedOffset)],
) -> Result<(), LogError> {
    let offset = |&(partition, committed): &(u32, &CommittedOffset)| OffsetCommit {
        topic,
        partition: Partition(partition),
        committed: committed.clone(),
    };
    log.commit(group, &offsets.iter().map(offset).collect::<Vec<_>>())
}

/// Writes the records together with a commit of partition 0 of `topic`, if there is one.
pub(crate) fn write(
    writer: &mut dyn SlotWriter,
    records: &[NewRecord],
    topic: &str,
    committed: Option<CommittedOffset>,
) -> Result<(), LogError> {
    let offset = committed.map(|committed| OffsetCommit { topic, partition: Partition(0), committed });
    writer.append(records)?.commit(offset.as_slice())
}

/// What the group has committed for partition 0.
pub(crate) fn committed(log: &dyn Log, group: &str, topic: &str) -> Option<CommittedOffset> {
    let answer = log.committed(group, topic, &[Partition(0)]).expect("committed");
    assert_eq!(answer.len(), 1, "one answer for one partition");
    answer.into_iter().next().flatten()
}
