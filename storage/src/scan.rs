//! Reads a stretch of a topic once, from explicit offsets to the ends as they are at the start.

use std::time::{Duration, Instant};

use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_runtime::log::{Headers, Isolation, Item, Log, LogCause, LogError};

const POLL: Duration = Duration::from_millis(50);
/// Without a record for so long the log is taken for unreachable.
const PATIENCE: Duration = Duration::from_secs(30);

/// Part of a partition: `from..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) partition: Partition,
    pub(crate) from: Offset,
    pub(crate) end: Offset,
}

/// Calls `each` with every record of the stretches, per partition in the order of offsets.
pub(crate) fn scan(
    log: &dyn Log,
    topic: &str,
    stretches: &[Stretch],
    mut each: impl FnMut(Partition, LogRecord<'_>, Headers<'_>),
) -> Result<(), LogError> {
    let mut open: Vec<Stretch> =
        stretches.iter().copied().filter(|stretch| stretch.from < stretch.end).collect();
    if open.is_empty() {
        return Ok(());
    }
    let from: Vec<(Partition, Offset)> =
        open.iter().map(|stretch| (stretch.partition, stretch.from)).collect();
    let mut reader = log.reader(topic, &from, Isolation::Committed)?;
    let mut heard = Instant::now();
    while !open.is_empty() {
        for item in reader.poll(POLL)? {
            heard = Instant::now();
            match item {
                // All that is visible was delivered, even where an open transaction holds back the rest.
                Item::End(partition, _) => open.retain(|stretch| stretch.partition != partition),
                Item::Record(partition, record, headers) => {
                    let is_inside =
                        |stretch: &Stretch| stretch.partition == partition && record.offset < stretch.end;
                    if open.iter().any(is_inside) {
                        each(partition, record, headers);
                    }
                    open.retain(|stretch| {
                        stretch.partition != partition || record.offset.next() < stretch.end
                    });
                }
            }
        }
        if heard.elapsed() > PATIENCE {
            let cause = LogCause::new("no-progress", format!("nothing was delivered for {PATIENCE:?}"));
            return Err(LogError::unavailable(format!("reading {topic}"), cause));
        }
    }
    Ok(())
}

/// All that is kept of a topic.
pub(crate) fn whole(log: &dyn Log, topic: &str, partitions: &[Partition]) -> Result<Vec<Stretch>, LogError> {
    let bounds = log.bounds(topic, partitions)?;
    let stretch = |(&partition, bounds): (&Partition, yahtzee_runtime::log::Bounds)| Stretch {
        partition,
        from: bounds.start,
        end: bounds.end,
    };
    Ok(partitions.iter().zip(bounds).map(stretch).collect())
}

/// What `group` has not committed of a topic.
pub(crate) fn uncommitted(
    log: &dyn Log,
    group: &str,
    topic: &str,
    partitions: &[Partition],
) -> Result<Vec<Stretch>, LogError> {
    let committed = log.committed(group, topic, partitions)?;
    let mut stretches = whole(log, topic, partitions)?;
    for (stretch, committed) in stretches.iter_mut().zip(committed) {
        if let Some(committed) = committed {
            stretch.from = stretch.from.max(committed.offset);
        }
    }
    Ok(stretches)
}
