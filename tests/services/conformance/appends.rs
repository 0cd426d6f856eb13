//! Appending: nothing is lost, doubled, reordered or changed.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use yahtzee_core::owner::Partition;
use yahtzee_runtime::log::{Appender, LogError, NewRecord};

use super::Bench;
use super::support::{
    NOON_MS, append, append_values, at, commit, committed, create, header, read_all, read_until, reader,
    record,
};

/// Keys, values and timestamps come back as they were given, in the order of the call, empty and large alike.
pub(crate) fn reads_back_what_was_appended(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "round-trip", 1));
    let large: Vec<u8> = (0..500_000_u32).map(|index| (index % 251) as u8).collect();
    let contents: [(&[u8], &[u8]); 5] =
        [(b"key", b"value"), (b"", b"no key"), (b"no value", b""), (b"", b""), (b"\0\xff", &large)];
    let records: Vec<NewRecord> = (contents.iter().zip(0..))
        .map(|(&(key, value), index)| NewRecord {
            timestamp_ms: NOON_MS - index,
            key: key.to_vec(),
            value: value.to_vec(),
            ..record(&topic, 0, "", "")
        })
        .collect();
    append(&*log, records.clone()).expect("append");
    let read = read_all(&*log, &topic, &[0]).records;
    assert_eq!(read.len(), records.len());
    assert!(read.is_sorted_by(|one, next| one.offset < next.offset), "offsets grow");
    for (seen, record) in read.iter().zip(&records) {
        assert_eq!((seen.timestamp_ms, &seen.key), (record.timestamp_ms, &record.key));
        assert!(seen.value == record.value, "value of {} bytes under {:?}", record.value.len(), seen.key);
    }
}

/// 2,000 appends of one thread, none waiting for the one before, keep their order in each partition.
pub(crate) fn keeps_the_order_of_many_appends(bench: &dyn Bench) {
    const COUNT: u32 = 2_000;
    let (log, topic) = (bench.log(), create(bench, "order", 2));
    append_one_by_one(
        &*log.appender(Duration::from_secs(30)).expect("appender"),
        (0..COUNT).map(|index| record(&topic, index % 2, "key", &index.to_string())),
    );
    let reading = read_all(&*log, &topic, &[0, 1]);
    for partition in 0..2 {
        let sent: Vec<String> = (partition..COUNT).step_by(2).map(|index| index.to_string()).collect();
        assert_eq!(reading.values(partition), sent, "partition {partition}");
    }
}

/// Four threads share an appender: each value arrives once, and in its thread's order.
pub(crate) fn loses_nothing_of_concurrent_appenders(bench: &dyn Bench) {
    const THREADS: u32 = 4;
    const EACH: u32 = 250;
    let (log, topic) = (bench.log(), create(bench, "threads", 2));
    let appender = log.appender(Duration::from_secs(30)).expect("appender");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (appender, topic) = (&*appender, &topic);
            let records =
                (0..EACH).map(move |index| record(topic, index % 2, &thread.to_string(), &index.to_string()));
            scope.spawn(move || append_one_by_one(appender, records));
        }
    });
    let mut by_origin: BTreeMap<(Vec<u8>, Partition), Vec<String>> = BTreeMap::new();
    for seen in read_all(&*log, &topic, &[0, 1]).records {
        let value = String::from_utf8(seen.value).expect("text was sent");
        by_origin.entry((seen.key, seen.partition)).or_default().push(value);
    }
    assert_eq!(by_origin.len(), 8, "four threads in two partitions");
    for ((thread, partition), values) in by_origin {
        let sent: Vec<String> = (partition.0..EACH).step_by(2).map(|index| index.to_string()).collect();
        assert_eq!(values, sent, "thread {thread:?}, partition {partition}");
    }
}

/// A record beyond Kafka's default limit of one megabyte, headers included, is refused for good and leaves the log
/// usable.
pub(crate) fn refuses_a_record_that_no_broker_takes(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "oversize", 1));
    let large = vec![7; 2 << 20];
    let by_headers = NewRecord { headers: vec![header("large", &large)], ..record(&topic, 0, "key", "") };
    let by_value = NewRecord { value: large, ..record(&topic, 0, "key", "") };
    for oversized in [by_value, by_headers] {
        let error = append(&*log, vec![oversized]).expect_err("two megabytes are too much");
        assert!(matches!(error, LogError::Refused { .. }), "{error:?}");
    }
    append_values(&*log, &topic, 0, &["fits"]);
    assert_eq!(read_all(&*log, &topic, &[0]).values(0), ["fits"]);
}

/// A later process finds records, commits and topics, and goes on after them.
pub(crate) fn finds_everything_after_reopening(bench: &dyn Bench) {
    let (topic, group) = (create(bench, "reopen", 1), bench.group("reopen"));
    let log = bench.log();
    append_values(&*log, &topic, 0, &["before"]);
    commit(&*log, &group, &topic, &[(0, &at(1, "kept"))]).expect("commit");
    let described = log.describe_topic(&topic).expect("describe");
    drop(log);

    let log = bench.reopen();
    assert_eq!(log.describe_topic(&topic).expect("describe"), described);
    assert_eq!(committed(&*log, &group, &topic), Some(at(1, "kept")));
    append_values(&*log, &topic, 0, &["after"]);
    let mut reader = reader(&*log, &topic, &[0]);
    let reading = read_until(&mut *reader, |reading| reading.records.len() >= 2);
    assert_eq!(reading.values(0), ["before", "after"]);
}

/// Appends each record by a call of its own, then waits for all answers.
fn append_one_by_one(appender: &dyn Appender, records: impl Iterator<Item = NewRecord>) {
    let (sender, answers) = mpsc::channel();
    for record in records {
        let sender = sender.clone();
        let done = move |result| sender.send(result).expect("the test waits");
        appender.append(&[record], Box::new(done));
    }
    drop(sender);
    answers.iter().for_each(|result| result.expect("append"));
}
