//! What the checkers get to see of a run.

use std::collections::BTreeMap;

use yahtzee_core::partition::HistoryVerdict;
use yahtzee_core::quarantine::Quarantine;
use yahtzee_core::record::Fate;
use yahtzee_core::window::Window;

use crate::failure::Findings;

/// What one incarnation of a partition started from.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) generation: u32,
    pub(crate) partition: u32,
    /// Committed offset and metadata as stored at that time.
    pub(crate) committed: Option<(u64, String)>,
    pub(crate) log_start: u64,
    pub(crate) verdict: HistoryVerdict,
    pub(crate) quarantine: Quarantine,
    /// First record with a log timestamp that it was handed.
    pub(crate) first_record: Option<u64>,
    /// Quarantine after that record.
    pub(crate) settled: Option<Quarantine>,
}

/// Everything observed.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) opened: Vec<Opened>,
    /// Per generation and partition, by offset: what became of the record when it was read for the first time by an
    /// incarnation that had lost nothing.
    pub(crate) fates: BTreeMap<(u32, u32), Vec<Option<Fate>>>,
    /// The process that was the last to open a slot of a version.
    pub(crate) latest: BTreeMap<(u32, u32), u64>,
    /// Most series that a partition has kept at once.
    pub(crate) series_peak: u64,
    pub(crate) crashes: u64,
    pub(crate) zombies: u64,
    pub(crate) records: u64,
    pub(crate) refusals: u64,
    /// What was found wrong on the way.
    pub(crate) findings: Findings,
}

impl Watch {
    pub(crate) fn fate(&mut self, generation: u32, partition: u32, offset: u64, fate: Fate) {
        let fates = self.fates.entry((generation, partition)).or_default();
        let index = usize::try_from(offset).expect("simulated logs are short");
        if fates.len() <= index {
            fates.resize(index + 1, None);
        }
        fates[index] = Some(fate);
    }

    /// Whether an incarnation has reported that the window may have lost input.
    pub(crate) fn is_quarantined(&self, generation: u32, partition: u32, window: Window) -> bool {
        let of_partition = self
            .opened
            .iter()
            .filter(|opened| (opened.generation, opened.partition) == (generation, partition));
        let mut reported = of_partition.filter_map(|opened| opened.settled.as_ref());
        reported.any(|quarantine| quarantine.covers(window))
    }
}
