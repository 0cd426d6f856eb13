//! Any order of operations against a model that is a plain list of records.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::log::{Cleanup, Item, NewRecord};

const TOPIC: &str = "topic";
const GROUP: &str = "group";
const PARTITIONS: u32 = 2;
const RETENTION_MS: i64 = 500;

/// An operation on a log. Times are small numbers, so that records of one call differ in age.
#[derive(Clone, Debug)]
enum Operation {
    /// So many records; key and timestamp of each follow from its number.
    Append {
        partition: u32,
        count: u64,
        first_ms: i64,
    },
    /// The same through a slot writer, together with a commit.
    Write {
        partition: u32,
        count: u64,
        first_ms: i64,
        commit: u64,
    },
    /// The same, but for the commit.
    Abort {
        partition: u32,
        count: u64,
    },
    Commit {
        partition: u32,
        commit: u64,
    },
    Maintain {
        now_ms: i64,
    },
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let partition = 0..PARTITIONS;
    // Some calls are long enough to pass a stride of the time index.
    let count = prop_oneof![4 => 1..8_u64, 1 => 900..1_200_u64];
    prop_oneof![
        4 => (partition.clone(), count, 0..2_000_i64)
            .prop_map(|(partition, count, first_ms)| Operation::Append { partition, count, first_ms }),
        2 => (partition.clone(), 0..5_u64, 0..2_000_i64, 0..100_u64).prop_map(
            |(partition, count, first_ms, commit)| Operation::Write { partition, count, first_ms, commit }
        ),
        1 => (partition.clone(), 0..5_u64).prop_map(|(partition, count)| Operation::Abort { partition, count }),
        1 => (partition, 0..100_u64).prop_map(|(partition, commit)| Operation::Commit { partition, commit }),
        2 => (0..3_000_i64).prop_map(|now_ms| Operation::Maintain { now_ms }),
        1 => Just(Operation::Reopen),
    ]
}

/// Offset, timestamp and key; the value is the offset as text.
type ModelRecord = (u64, i64, u64);

#[derive(Clone, Debug, Default)]
struct ModelPartition {
    start: u64,
    end: u64,
    records: Vec<ModelRecord>,
    committed: Option<CommittedOffset>,
}

impl ModelPartition {
    fn append(&mut self, index: u32, count: u64, first_ms: i64) -> Vec<NewRecord> {
        let from = self.end;
        self.end += count;
        let new = (from..self.end).map(|offset| {
            // Back and forth in time, and some keys over and over.
            let (timestamp_ms, key) = (first_ms + (offset % 7) as i64 * 50, offset % 5);
            self.records.push((offset, timestamp_ms, key));
            NewRecord {
                topic: TOPIC.into(),
                partition: Partition(index),
                timestamp_ms,
                key: key.to_be_bytes().to_vec(),
                value: offset.to_string().into_bytes(),
                headers: Vec::new(),
            }
        });
        new.collect()
    }

    fn maintain(&mut self, now_ms: i64, cleanup: Cleanup) -> Maintained {
        let is_old = |&&(_, timestamp_ms, _): &&ModelRecord| timestamp_ms < now_ms - RETENTION_MS;
        let expired = self.records.iter().take_while(is_old).count();
        for (offset, ..) in self.records.drain(..expired) {
            self.start = offset + 1;
        }
        let before = self.records.len();
        if cleanup == Cleanup::CompactAndDelete {
            let mut seen = HashSet::new();
            self.records.reverse();
            self.records.retain(|&(_, _, key)| seen.insert(key));
            self.records.reverse();
        }
        Maintained { expired: expired as u64, superseded: (before - self.records.len()) as u64 }
    }
}

fn offset_commit(partition: u32, committed: CommittedOffset) -> OffsetCommit<'static> {
    OffsetCommit { topic: TOPIC, partition: Partition(partition), committed }
}

struct Bench {
    folder: TempDir,
    log: Option<EmbeddedLog>,
    cleanup: Cleanup,
    model: BTreeMap<u32, ModelPartition>,
}

impl Bench {
    fn new(cleanup: Cleanup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path()).unwrap();
        let (name, retention_ms) = (TOPIC.to_owned(), Some(RETENTION_MS));
        let spec = TopicSpec {
            name,
            partitions: PARTITIONS,
            replication: 1,
            cleanup,
            retention_ms,
            timestamp_ahead_max_ms: None,
        };
        log.create_topic(&spec).unwrap();
        let model = (0..PARTITIONS).map(|index| (index, ModelPartition::default())).collect();
        Self { folder, log: Some(log), cleanup, model }
    }

    fn log(&self) -> &EmbeddedLog {
        self.log.as_ref().expect("open between operations")
    }

    fn partition(&mut self, index: u32) -> &mut ModelPartition {
        self.model.get_mut(&index).expect("within the partitions")
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Append { partition, count, first_ms } => {
                let records = self.partition(partition).append(partition, count, first_ms);
                let appender = self.log().appender(Duration::from_secs(30)).unwrap();
                assert_eq!(appender.append_and_wait(&records), Ok(()));
            }
            Operation::Write { partition, count, first_ms, commit } => {
                let records = self.partition(partition).append(partition, count, first_ms);
                let commit = self.commit(partition, commit);
                let mut writer = self.log().slot_writer(&SlotName { group: GROUP.into(), slot: 0 }).unwrap();
                let acknowledged = writer.append(&records).unwrap();
                acknowledged.commit(&[offset_commit(partition, commit)]).unwrap();
            }
            Operation::Abort { partition, count } => {
                let records = self.model[&partition].clone().append(partition, count, 0);
                let mut writer = self.log().slot_writer(&SlotName { group: GROUP.into(), slot: 0 }).unwrap();
                drop(writer.append(&records).unwrap());
            }
            Operation::Commit { partition, commit } => {
                let commit = self.commit(partition, commit);
                self.log().commit(GROUP, &[offset_commit(partition, commit)]).unwrap();
            }
            Operation::Maintain { now_ms } => {
                let mut expected = Maintained::default();
                for partition in self.model.values_mut() {
                    let maintained = partition.maintain(now_ms, self.cleanup);
                    expected.expired += maintained.expired;
                    expected.superseded += maintained.superseded;
                }
                assert_eq!(self.log().maintain(now_ms), Ok(expected));
            }
            Operation::Reopen => {
                drop(self.log.take());
                self.log = Some(EmbeddedLog::open(self.folder.path()).unwrap());
            }
        }
    }

    fn commit(&mut self, partition: u32, offset: u64) -> CommittedOffset {
        let commit = CommittedOffset { offset: Offset(offset), metadata: format!("m{offset}") };
        self.partition(partition).committed = Some(commit.clone());
        commit
    }

    fn check(&self) {
        for (&index, expected) in &self.model {
            let partition = Partition(index);
            let (start, end) = (Offset(expected.start), Offset(expected.end));
            assert_eq!(self.log().bounds(TOPIC, &[partition]).unwrap(), [Bounds { start, end }]);
            let committed = self.log().committed(GROUP, TOPIC, &[partition]).unwrap();
            assert_eq!(committed, std::slice::from_ref(&expected.committed));
            assert_eq!(self.read(partition, start), expected.records);
            for timestamp_ms in (-100..2_500).step_by(293) {
                let first = expected.records.iter().find(|record| record.1 >= timestamp_ms);
                let first = first.map_or(end, |&(offset, ..)| Offset(offset));
                assert_eq!(self.log().offset_for_time(TOPIC, partition, timestamp_ms), Ok(first));
            }
        }
    }

    /// All records up to the first end.
    fn read(&self, partition: Partition, start: Offset) -> Vec<ModelRecord> {
        let mut reader = self.log().reader(TOPIC, &[(partition, start)], Isolation::Committed).unwrap();
        let mut records = Vec::new();
        loop {
            for item in reader.poll(Duration::MAX).unwrap() {
                match item {
                    Item::End(..) => return records,
                    Item::Record(of, record, _) => {
                        assert_eq!((of, record.value), (partition, record.offset.to_string().as_bytes()));
                        let key = u64::from_be_bytes(record.key.try_into().unwrap());
                        records.push((record.offset.0, record.timestamp_ms, key));
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn does_what_a_list_would_do(
        compacts: bool,
        operations in prop::collection::vec(operation(), 1..20),
    ) {
        let mut bench = Bench::new(if compacts { Cleanup::CompactAndDelete } else { Cleanup::Delete });
        for operation in &operations {
            bench.apply(operation);
            bench.check();
        }
    }
}
