//! What holds on Kafka beyond the shared properties: fencing in the middle of a write, markers, deleted
//! records, foreign members of a group, and bounds on what waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset as Place, TopicPartitionList};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::log::{CommittedOffset, Isolation, LogError, OffsetCommit, SlotName};

use crate::conformance::Bench;
use crate::conformance::support::{
    Reading, append, append_values, at, commit, committed, create, read_all, read_all_of, read_until, record,
    write,
};
use crate::kafka::{KafkaBench, connect, wait_until};

/// Reads partition 0 to its end, records of open and aborted transactions included.
fn read_uncommitted(bench: &KafkaBench, topic: &str) -> Reading {
    let from = [(Partition(0), Offset(0))];
    let mut reader = bench.log().reader(topic, &from, Isolation::Uncommitted).expect("reader");
    read_until(&mut *reader, |reading| reading.has_end(0))
}

fn slot(bench: &KafkaBench, hint: &str) -> SlotName {
    SlotName { group: bench.group(hint), slot: 5 }
}

#[test]
fn a_writer_fenced_in_the_middle_of_a_write_leaves_nothing_visible() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let (log, topic, slot) = (bench.log(), create(&bench, "zombie", 1), slot(&bench, "zombie"));
    let mut zombie = log.slot_writer(&slot).expect("slot writer");
    let acknowledged = zombie.append(&[record(&topic, 0, "key", "zombie")]).expect("append");
    // The successor comes when the zombie's records are in the log and acknowledged.
    let mut successor = log.slot_writer(&slot).expect("fences");
    let offset = OffsetCommit { topic: &topic, partition: Partition(0), committed: at(99, "zombie") };
    let outcome = acknowledged.commit(&[offset]);
    assert_eq!(outcome, Err(LogError::Fenced(slot.to_string())));
    let again = write(&mut *zombie, &[record(&topic, 0, "key", "again")], &topic, None);
    assert!(again.is_err(), "a writer that has failed stays unusable");

    assert_eq!(committed(&*log, &slot.group, &topic), None);
    write(&mut *successor, &[record(&topic, 0, "key", "successor")], &topic, None).expect("write");
    assert_eq!(read_all(&*log, &topic, &[0]).values(0), ["successor"]);
    let all = read_uncommitted(&bench, &topic);
    assert_eq!(all.values(0), ["zombie", "successor"], "the zombie's record is in the log all the same");
}

/// What its writer does not abort holds back every reader of committed records until the transaction's timeout: here for
/// longer than anybody waits.
#[test]
fn a_failed_write_holds_back_no_reader() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let mut settings = bench.settings();
    settings.timeouts.transaction = Duration::from_mins(10);
    let log = connect(settings);
    let check = |hint: &str, goes_nowhere: Option<&str>, committed: Option<CommittedOffset>| {
        let (topic, slot) = (create(&bench, hint, 1), slot(&bench, hint));
        let topics = [topic.as_str()].into_iter().chain(goes_nowhere);
        let records: Vec<_> = topics.map(|topic| record(topic, 0, "key", "failed")).collect();
        let mut writer = log.slot_writer(&slot).expect("slot writer");
        write(&mut *writer, &records, &topic, committed).expect_err("it cannot be stored");
        append_values(&*log, &topic, 0, &["beside"]);
        assert_eq!(read_all_of(&*log, &topic, &[0], 1).values(0), ["beside"], "{hint}");
    };
    check("append", Some(&bench.topic("missing")), None);
    check("commit", None, Some(at(5, "na\u{ef}ve")));
}

#[test]
fn markers_take_offsets_and_the_end_lies_behind_them() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let (log, topic) = (bench.log(), create(&bench, "markers", 1));
    let mut writer = log.slot_writer(&slot(&bench, "markers")).expect("slot writer");
    for value in ["first", "second"] {
        write(&mut *writer, &[record(&topic, 0, "key", value)], &topic, None).expect("write");
    }
    // Record, marker, record, marker.
    let mut reader = log.reader(&topic, &[(Partition(0), Offset(0))], Isolation::Committed).expect("reader");
    assert_eq!(reader.known_end(Partition(0)), None, "nothing was fetched yet");
    let reading = read_until(&mut *reader, |reading| reading.ends.contains(&(Partition(0), Offset(4))));
    let offsets: Vec<Offset> = reading.records.iter().map(|seen| seen.offset).collect();
    assert_eq!(offsets, [Offset(0), Offset(2)]);
    assert_eq!(reader.known_end(Partition(0)), Some(Offset(4)));
    let bounds = log.bounds(&topic, &[Partition(0)]).expect("bounds");
    assert_eq!((bounds[0].start, bounds[0].end), (Offset(0), Offset(4)));
}

#[test]
fn deleted_records_name_their_partition_and_the_others_go_on() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let (log, topic) = (bench.log(), create(&bench, "deleted", 2));
    for partition in 0..2 {
        append_values(&*log, &topic, partition, &["a", "b", "c", "d"]);
    }
    delete_records(&bench, &topic, 1, 3);
    let bounds = log.bounds(&topic, &[Partition(1)]).expect("bounds");
    assert_eq!((bounds[0].start, bounds[0].end), (Offset(3), Offset(4)));

    let from = [(Partition(0), Offset(0)), (Partition(1), Offset(1))];
    let mut reader = log.reader(&topic, &from, Isolation::Committed).expect("reader");
    let reading = read_until(&mut *reader, |reading| reading.has_end(0) && !reading.errors.is_empty());
    let (partition, offset) = (Partition(1), Offset(1));
    assert_eq!(reading.errors, [LogError::OffsetOutOfRange { topic, partition, offset }]);
    assert_eq!((reading.values(0).len(), reading.values(1).len()), (4, 0));
}

#[test]
fn a_topic_is_read_in_every_codec_of_this_build_and_refused_in_any_other() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let log = bench.log();
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let topic = bench.topic(codec);
        create_compressed(&bench, &topic, codec);
        append_values(&*log, &topic, 0, &["a", "b"]);
        let mut reader =
            log.reader(&topic, &[(Partition(0), Offset(0))], Isolation::Committed).expect("reader");
        let reading = read_until(&mut *reader, |reading| reading.has_end(0) || !reading.errors.is_empty());
        if codec == "zstd" && cfg!(not(feature = "zstd")) {
            let text = reading.errors[0].to_string();
            assert!(!reading.errors[0].is_transient() && text.contains("feature `zstd`"), "{text}");
            assert!(text.contains(&topic), "{text}");
        } else {
            assert_eq!(reading.values(0), ["a", "b"], "{codec}: {:?}", reading.errors);
        }
    }
}

/// Creates a topic whose broker compresses again what is appended, and keeps it: the records carry an old time.
fn create_compressed(bench: &KafkaBench, topic: &str, codec: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &bench.settings().brokers)
        .create()
        .expect("admin client");
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    let new = new.set("compression.type", codec).set("retention.ms", "-1");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let created = runtime.block_on(admin.create_topics(&[new], &AdminOptions::new())).expect("an answer");
    assert_eq!(created, [Ok(topic.to_owned())]);
}

#[test]
fn a_subscribed_member_blocks_plain_commits_but_not_a_slot() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let (log, topic, slot) = (bench.log(), create(&bench, "members", 1), slot(&bench, "members"));
    commit(&*log, &slot.group, &topic, &[(0, &at(1, "before"))]).expect("nobody is there yet");
    let stranger: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &bench.settings().brokers)
        .set("group.id", &slot.group)
        .create()
        .expect("consumer");
    stranger.subscribe(&[&topic]).expect("subscribe");
    wait_until("the stranger has partitions", || {
        stranger.poll(Duration::from_millis(100));
        stranger.assignment().expect("assignment").count() > 0
    });
    let refused = commit(&*log, &slot.group, &topic, &[(0, &at(2, "refused"))]);
    assert_eq!(refused, Err(LogError::GroupInUse(slot.group.clone())));
    assert_eq!(committed(&*log, &slot.group, &topic), Some(at(1, "before")));

    let mut writer = log.slot_writer(&slot).expect("slot writer");
    write(&mut *writer, &[], &topic, Some(at(3, "fenced"))).expect("write");
    assert_eq!(committed(&*log, &slot.group, &topic), Some(at(3, "fenced")));
}

#[test]
fn a_transaction_carries_4000_bytes_of_metadata() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let (log, topic, slot) = (bench.log(), create(&bench, "metadata", 1), slot(&bench, "metadata"));
    let committing = at(12, &"m".repeat(4_000));
    let mut writer = log.slot_writer(&slot).expect("slot writer");
    write(&mut *writer, &[], &topic, Some(committing.clone())).expect("write");
    assert_eq!(committed(&*log, &slot.group, &topic), Some(committing));
}

#[test]
fn what_does_not_fit_fails_at_once_and_harms_nothing() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let (log, topic) = (bench.log(), create(&bench, "full", 1));
    let too_many = vec![record(&topic, 0, "key", "dropped"); 100_001];
    let error = append(&*log, too_many).expect_err("does not fit");
    assert!(error.is_transient(), "{error}");
    append_values(&*log, &topic, 0, &["kept"]);
    assert_eq!(read_all(&*log, &topic, &[0]).values(0), ["kept"]);
}

#[test]
fn dropping_an_appender_sends_what_it_has() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let (log, topic) = (bench.log(), create(&bench, "drop", 1));
    let appender = log.appender(Duration::from_secs(30)).expect("appender");
    let durable = Arc::new(AtomicU32::new(0));
    for index in 0..500 {
        let durable = Arc::clone(&durable);
        let done = move |result: Result<(), LogError>| {
            result.expect("append");
            durable.fetch_add(1, Ordering::Relaxed);
        };
        appender.append(&[record(&topic, 0, "key", &index.to_string())], Box::new(done));
    }
    drop(appender);
    assert_eq!(durable.load(Ordering::Relaxed), 500);
}

#[test]
fn more_records_than_fit_in_flight_are_one_transaction() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let (log, topic) = (bench.log(), create(&bench, "large", 1));
    let mut writer = log.slot_writer(&slot(&bench, "large")).expect("slot writer");
    let records = vec![record(&topic, 0, "key", "value"); 100_001];
    write(&mut *writer, &records, &topic, None).expect("write");
    // The records and one marker, which the broker writes a moment after it has answered.
    let mut reader = log.reader(&topic, &[(Partition(0), Offset(0))], Isolation::Committed).expect("reader");
    let end = (Partition(0), Offset(100_002));
    let reading = read_until(&mut *reader, |reading| reading.ends.contains(&end));
    assert_eq!(reading.records.len(), records.len());
}

/// A figure for people: nothing is asserted about time.
#[test]
fn prints_how_long_a_slot_write_takes() {
    const WRITES: usize = 100;
    let Some(bench) = KafkaBench::from_environment() else { return };
    let (log, topic) = (bench.log(), create(&bench, "latency", 4));
    let mut writer = log.slot_writer(&slot(&bench, "latency")).expect("slot writer");
    let records: Vec<_> =
        (0..256).map(|index| record(&topic, index % 4, "key", "40 bytes of value, more or less")).collect();
    let offset = |index| OffsetCommit { topic: &topic, partition: Partition(index), committed: at(7, "v1") };
    let offsets: Vec<_> = (0..4).map(offset).collect();
    let mut times: Vec<Duration> = (0..WRITES)
        .map(|_| {
            let begin = Instant::now();
            writer.append(&records).expect("append").commit(&offsets).expect("commit");
            begin.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "slot write of 256 records and 4 commits: median {:?}, longest {:?}",
        times[WRITES / 2],
        times[WRITES - 1],
    );
    assert_eq!(read_all(&*log, &topic, &[0]).records.len(), WRITES * 64);
}

/// Lets the broker forget what lies below `offset`.
fn delete_records(bench: &KafkaBench, topic: &str, partition: i32, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &bench.settings().brokers)
        .create()
        .expect("admin client");
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(topic, partition, Place::Offset(offset)).expect("a partition");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let deleted = runtime.block_on(admin.delete_records(&before, &AdminOptions::new()));
    deleted.expect("records are deleted");
}
