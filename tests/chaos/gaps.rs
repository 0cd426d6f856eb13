//! Which windows lost input when the log forgot records, by the rule of the design: they are not published, and they
//! are named.

use std::collections::BTreeSet;

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use crate::commits::Commits;
use crate::oracle::Oracle;
use crate::policy::{CLOCK_SKEW_MS, FUTURE, window_of_ms};

/// What a worker found when it opened a partition after the log had forgotten records.
pub(crate) struct Gap {
    pub(crate) partition: Partition,
    /// Position of the last commit; `None` where the offsets were deleted too.
    pub(crate) position: Option<Offset>,
    /// First offset that is left.
    pub(crate) log_start: Offset,
}

impl Gap {
    /// Whether the record was forgotten before anybody had read it.
    pub(crate) fn is_unread(&self, partition: Partition, offset: u64) -> bool {
        let read_below = self.position.unwrap_or(self.log_start);
        self.partition == partition && (read_below.0..self.log_start.0).contains(&offset)
    }

    /// The windows that may have lost input.
    ///
    /// With a commit at or behind the log's start: the windows that were open there and whose first record is gone.
    /// Otherwise what is missing reaches, at the most, a clock difference beyond the first record left.
    pub(crate) fn windows(&self, oracle: &Oracle) -> BTreeSet<i64> {
        let Some(fold) = oracle.partition(self.partition) else { return BTreeSet::new() };
        let log_start = self.log_start.0;
        let open_from = self.position.and_then(|position| fold.open_from(position.0)).unwrap_or(i64::MIN);
        if self.position.is_some_and(|position| log_start <= position.0) {
            let hit = fold.first_offsets(open_from).filter(|&(_, first)| first < log_start);
            return hit.map(|(window, _)| window).collect();
        }
        let Some(next_ms) = fold.timestamp_from(log_start) else { return BTreeSet::new() };
        let through = window_of_ms(next_ms + CLOCK_SKEW_MS) + FUTURE;
        fold.first_offsets(open_from).map(|(window, _)| window).filter(|&window| window <= through).collect()
    }
}

/// The windows of a partition that were named: in commits, or in the log of a worker.
pub(crate) struct Named {
    windows: BTreeSet<i64>,
    through: Option<i64>,
}

impl Named {
    /// Collects the names from all commits and from what the workers have logged.
    pub(crate) fn collect(partition: Partition, commits: &Commits, logged: &[String]) -> Self {
        let history = commits.history(partition);
        let mut windows = history.map(|history| history.incomplete.clone()).unwrap_or_default();
        windows.extend(logged.iter().flat_map(|line| windows_in(line, partition)));
        let through = history.and_then(|history| history.reaches.iter().max().copied());
        Self { windows, through }
    }

    /// Whether nothing was named.
    pub(crate) fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.through.is_none()
    }

    pub(crate) fn includes(&self, window: i64) -> bool {
        self.windows.contains(&window) || self.through.is_some_and(|through| window <= through)
    }
}

/// The windows that a log line names as incomplete.
fn windows_in(line: &str, partition: Partition) -> Vec<i64> {
    let is_about = line.contains("incomplete") && line.contains(&format!("partition={partition} "));
    let numbers = line.split("Window(").skip(1).filter_map(|rest| rest.split(')').next()?.parse().ok());
    if is_about { numbers.collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_name_windows() {
        let line = "WARN input was lost partition=3 incomplete=IncompleteWindows { windows: {Window(7), Window(9)} }";
        assert_eq!(windows_in(line, Partition(3)), [7, 9]);
        assert!(windows_in(line, Partition(4)).is_empty());
    }
}
