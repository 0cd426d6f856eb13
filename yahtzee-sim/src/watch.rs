//! What the checkers get to see of a run.

use std::collections::{BTreeMap, BTreeSet};

use yahtzee_core::incomplete::IncompleteWindows;
use yahtzee_core::lost_tail::LostTail;
use yahtzee_core::partition::ResumeKind;
use yahtzee_core::record::RecordOutcome;
use yahtzee_core::window::Window;

use crate::broker::OffsetCommit;
use crate::failure::Findings;

/// What one incarnation of a partition started from.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) generation: u32,
    pub(crate) partition: u32,
    /// Committed offset and metadata as stored at that time.
    pub(crate) committed: Option<(u64, String)>,
    /// Life of the partition that its writer had read.
    pub(crate) life_of_commit: usize,
    /// What earlier versions have committed, the newest one first.
    pub(crate) earlier: Vec<OffsetCommit>,
    /// Which topic of its name it believed to read.
    pub(crate) topic: u8,
    pub(crate) log_start: u64,
    pub(crate) log_end: u64,
    pub(crate) verdict: ResumeKind,
    pub(crate) incomplete: IncompleteWindows,
    /// What the log is said to have lost before.
    pub(crate) losses: Vec<LostTail>,
    /// First record with a log timestamp that it was handed.
    pub(crate) first_record: Option<u64>,
    /// Life of the partition that it reads.
    pub(crate) life: usize,
    /// IncompleteWindows after that record.
    pub(crate) settled: Option<IncompleteWindows>,
}

impl Opened {
    /// Whether it started behind a gap, or has a loss to pass.
    pub(crate) fn has_gap(&self) -> bool {
        !self.incomplete.is_empty() || !self.losses.is_empty()
    }
}

/// Everything observed.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) opened: Vec<Opened>,
    /// Per generation, partition and life of it, by offset: what became of the record when it was read for the first time
    /// by an incarnation that had lost nothing.
    pub(crate) fates: BTreeMap<(u32, u32, usize), Vec<Option<RecordOutcome>>>,
    /// Per generation and partition: first and last window of what a log has lost, as it was named.
    pub(crate) lost: BTreeMap<(u32, u32), BTreeSet<(Window, Window)>>,
    /// The process that was the last to open a slot of a version.
    pub(crate) latest: BTreeMap<(u32, u32), u64>,
    /// Most series that a partition has kept at once.
    pub(crate) series_peak: u64,
    /// Most memory that the windows of a partition have taken, without remembered frames.
    pub(crate) bytes_peak: u64,
    pub(crate) crashes: u64,
    pub(crate) zombies: u64,
    pub(crate) records: u64,
    /// Partitions that were refused although their logs had everything that was read.
    pub(crate) refusals: u64,
    /// Per generation: partitions of slots that were refused because a log has lost what was read.
    pub(crate) refused: BTreeSet<(u32, u32)>,
    /// What was found wrong on the way.
    pub(crate) findings: Findings,
}

impl Watch {
    pub(crate) fn fate(&mut self, key: (u32, u32, usize), offset: u64, fate: RecordOutcome) {
        let fates = self.fates.entry(key).or_default();
        let index = usize::try_from(offset).expect("simulated logs are short");
        if fates.len() <= index {
            fates.resize(index + 1, None);
        }
        fates[index] = Some(fate);
    }

    /// Whether an incarnation has reported that the window may have lost input.
    pub(crate) fn is_incomplete(&self, generation: u32, partition: u32, window: Window) -> bool {
        let of_partition = self
            .opened
            .iter()
            .filter(|opened| (opened.generation, opened.partition) == (generation, partition));
        let mut reported = of_partition.filter_map(|opened| opened.settled.as_ref());
        reported.any(|incomplete| incomplete.covers(window)) || self.is_lost(generation, partition, window)
    }

    /// Whether an incarnation has reported that the window may lack what the log has lost from its end.
    pub(crate) fn is_lost(&self, generation: u32, partition: u32, window: Window) -> bool {
        let mut ranges = self.lost.get(&(generation, partition)).into_iter().flatten();
        ranges.any(|&(first, last)| (first..=last).contains(&window))
    }
}
