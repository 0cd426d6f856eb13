//! Reading a part of a topic once, from explicit offsets to the ends as they are at the start.

use std::time::{Duration, Instant};

use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};

use super::error::LogError;
use super::header::Headers;
use super::interface::Log;
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
    mut each: impl FnMut(Partition, LogRecord<'_>, Headers<'_>),
) -> Result<(), LogError> {
    let mut open: Vec<OffsetRange> = ranges.iter().copied().filter(|range| range.from < range.end).collect();
    if open.is_empty() {
        return Ok(());
    }
    let from: Vec<(Partition, Offset)> = open.iter().map(|range| (range.partition, range.from)).collect();
    let mut reader = log.reader(topic, &from, Isolation::Committed)?;
    let mut last_delivery = Instant::now();
    while !open.is_empty() {
        for item in reader.poll(POLL)? {
            last_delivery = Instant::now();
            match item {
                // All that is visible was delivered, even where an open transaction holds back the rest.
                Item::End(partition, _) => open.retain(|range| range.partition != partition),
                Item::Record(partition, record, headers) => {
                    let is_inside =
                        |range: &OffsetRange| range.partition == partition && record.offset < range.end;
                    if open.iter().any(is_inside) {
                        each(partition, record, headers);
                    }
                    open.retain(|range| range.partition != partition || record.offset.next() < range.end);
                }
            }
        }
        if last_delivery.elapsed() > PATIENCE {
            let cause = Cause::new("no-progress", format!("nothing was delivered for {PATIENCE:?}"));
            return Err(LogError::unavailable(format!("reading {topic}"), cause));
        }
    }
    Ok(())
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
