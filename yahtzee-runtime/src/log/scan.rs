//! Reading a part of a topic once, from explicit offsets to the ends as they are at the start, or the first records from there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use yahtzee_core::log_tail::RecordPrint;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};

use super::error::LogError;
use super::header::Headers;
use super::interface::Log;
use super::moving::MovingReader;
use super::record::{Isolation, Item};
use crate::cause::Cause;

const POLL: Duration = Duration::from_millis(50);
/// Without a record for so long the log is taken for unreachable.
const PATIENCE: Duration = Duration::from_secs(30);

/// Part of a partition: `from..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// Partition.
    pub partition: Partition,
    /// First offset to be read.
    pub from: Offset,
    /// Offset after the last one.
    pub end: Offset,
}

/// Calls `each` with every committed record of the ranges, per partition in the order of offsets.
///
/// # Errors
/// If the log does not answer, or delivers nothing for 30 s.
pub fn scan(
    log: &dyn Log,
    topic: &str,
    ranges: &[OffsetRange],
    each: impl FnMut(Partition, LogRecord<'_>, Headers<'_>),
) -> Result<(), LogError> {
    scan_with(log, &mut MovingReader::new(topic, Isolation::Committed), ranges, each)
}

/// Returns the prints of the first records with a stamp at or after these offsets, `count` of each partition at most, and of open
/// transactions too.
///
/// # Errors
/// If the log does not answer, or delivers nothing for 30 s.
pub fn first_records(
    log: &dyn Log,
    topic: &str,
    from: &[(Partition, Offset)],
    count: usize,
) -> Result<Vec<Vec<RecordPrint>>, LogError> {
    let mut reader = MovingReader::new(topic, Isolation::Uncommitted);
    let mut found: BTreeMap<Partition, Vec<RecordPrint>> = BTreeMap::new();
    read_until(log, &mut reader, from, |partition, record, _| {
        let records = found.entry(partition).or_default();
        records.extend(RecordPrint::of_stamped(&record));
        records.len() >= count
    })?;
    Ok(from.iter().map(|(partition, _)| found.remove(partition).unwrap_or_default()).collect())
}

/// Does what [`scan`] does with a reader that further scans of the topic use again.
///
/// # Errors
/// Those of [`scan`].
pub fn scan_with(
    log: &dyn Log,
    reader: &mut MovingReader,
    ranges: &[OffsetRange],
    mut each: impl FnMut(Partition, LogRecord<'_>, Headers<'_>),
) -> Result<(), LogError> {
    let open: BTreeMap<Partition, OffsetRange> =
        ranges.iter().filter(|range| range.from < range.end).map(|&range| (range.partition, range)).collect();
    let from: Vec<(Partition, Offset)> = open.values().map(|range| (range.partition, range.from)).collect();
    read_until(log, reader, &from, |partition, record, headers| {
        let end = open[&partition].end;
        if record.offset < end {
            each(partition, record, headers);
        }
        record.offset.next() >= end
    })
}

/// Calls `each` with the records of every partition until it says that a record is the last one to be read of its partition, or
/// all that is visible was delivered, even where an open transaction holds back the rest.
fn read_until(
    log: &dyn Log,
    reader: &mut MovingReader,
    from: &[(Partition, Offset)],
    mut each: impl FnMut(Partition, LogRecord<'_>, Headers<'_>) -> bool,
) -> Result<(), LogError> {
    let mut open: BTreeSet<Partition> = from.iter().map(|&(partition, _)| partition).collect();
    if open.is_empty() {
        return Ok(());
    }
    reader.move_to(log, from)?;
    let mut last_delivery = Instant::now();
    while !open.is_empty() {
        for item in reader.poll(POLL)? {
            last_delivery = Instant::now();
            let (Item::Record(partition, ..) | Item::End(partition, _)) = item;
            let is_last = match item {
                _ if !open.contains(&partition) => continue,
                Item::Record(_, record, headers) => each(partition, record, headers),
                Item::End(..) => true,
            };
            if is_last {
                open.remove(&partition);
            }
        }
        check_progress(reader.topic(), last_delivery)?;
    }
    Ok(())
}

fn check_progress(topic: &str, last_delivery: Instant) -> Result<(), LogError> {
    if last_delivery.elapsed() <= PATIENCE {
        return Ok(());
    }
    let cause = Cause::new("no-progress", format!("nothing was delivered for {PATIENCE:?}"));
    Err(LogError::unavailable(format!("reading {topic}"), cause))
}

/// Returns all that is kept of a topic.
///
/// # Errors
/// If the log does not answer.
pub fn whole(log: &dyn Log, topic: &str, partitions: &[Partition]) -> Result<Vec<OffsetRange>, LogError> {
    let bounds = log.bounds(topic, partitions)?;
    let ranges = partitions.iter().zip(bounds);
    Ok(ranges
        .map(|(&partition, bounds)| OffsetRange { partition, from: bounds.start, end: bounds.end })
        .collect())
}

/// Returns what `group` has not committed of a topic.
///
/// # Errors
/// If the log does not answer.
pub fn uncommitted(
    log: &dyn Log,
    group: &str,
    topic: &str,
    partitions: &[Partition],
) -> Result<Vec<OffsetRange>, LogError> {
    let committed = log.committed(group, topic, partitions)?;
    let mut ranges = whole(log, topic, partitions)?;
    for (range, committed) in ranges.iter_mut().zip(committed) {
        if let Some(committed) = committed {
            range.from = range.from.max(committed.offset);
        }
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::embedded::EmbeddedLog;
    use crate::log::{Cleanup, CommittedOffset, NewRecord, OffsetCommit, TopicSpec};

    const ONLY: Partition = Partition(0);

    /// A topic of one partition with records of these keys, one a second from 1970 on, and what is left of it after `now_ms`.
    fn log(keys: &[u8], cleanup: Cleanup, now_ms: i64) -> (tempfile::TempDir, EmbeddedLog) {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path()).unwrap();
        log.create_topic(&TopicSpec {
            name: "topic".to_owned(),
            partitions: 1,
            replication: 1,
            cleanup,
            retention_ms: Some(10_000),
            timestamp_ahead_max_ms: None,
        })
        .unwrap();
        let record = |(&key, number): (&u8, i64)| NewRecord {
            topic: "topic".into(),
            partition: ONLY,
            timestamp_ms: number * 1_000,
            key: vec![key],
            value: Vec::new(),
            headers: Vec::new(),
        };
        let records: Vec<NewRecord> = keys.iter().zip(0..).map(record).collect();
        log.appender(PATIENCE).unwrap().append_and_wait(&records).unwrap();
        log.maintain(now_ms).unwrap();
        (folder, log)
    }

    /// Who asks for the one record at an offset must not be handed the next one.
    #[test]
    fn a_record_behind_the_end_does_not_stand_in_for_one_that_compaction_has_taken() {
        let (_folder, log) = log(b"aba", Cleanup::CompactAndDelete, 2_000);
        let check = |from: u64, end: u64, expected: &[u64]| {
            let range = OffsetRange { partition: ONLY, from: Offset(from), end: Offset(end) };
            let mut found = Vec::new();
            scan(&log, "topic", &[range], |_, record, _| found.push(record.offset.0)).unwrap();
            assert_eq!(found, expected, "{from}..{end}");
        };
        check(0, 1, &[]);
        check(0, 2, &[1]);
        check(1, 1, &[]);
        check(0, 3, &[1, 2]);
    }

    #[test]
    fn what_a_group_has_not_committed_begins_where_the_log_does() {
        let (_folder, log) = log(b"abcd", Cleanup::Delete, 12_000);
        let check = |committed: Option<u64>, expected: u64| {
            if let Some(offset) = committed {
                let committed = CommittedOffset { offset: Offset(offset), metadata: String::new() };
                log.commit("group", &[OffsetCommit { topic: "topic", partition: ONLY, committed }]).unwrap();
            }
            let expected = OffsetRange { partition: ONLY, from: Offset(expected), end: Offset(4) };
            assert_eq!(uncommitted(&log, "group", "topic", &[ONLY]).unwrap(), [expected], "{committed:?}");
        };
        check(None, 2);
        check(Some(1), 2);
        check(Some(3), 3);
    }
}
