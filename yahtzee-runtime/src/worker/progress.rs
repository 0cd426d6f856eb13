//! Figures of the running jobs, for displays and reports in the same process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use yahtzee_core::record::MeasurementCounts;

/// Figures of one job on this worker. Counts grow over restarts of the job's thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobProgress {
    /// Raw records read.
    pub records: u64,
    /// Measurements by outcome.
    pub outcomes: MeasurementCounts,
    /// Records that could not be used.
    pub poison: u64,
    /// Summaries acknowledged, changes and finals.
    pub summaries: u64,
    /// Commits acknowledged, counted per partition.
    pub commits: u64,
    /// Sum of the read positions of all partitions.
    pub positions: u64,
    /// Raw records between position and end, over all partitions.
    pub position_lag: u64,
    /// Raw records between committed offset and position, over all partitions.
    pub replay_lag: u64,
    /// Age of the stalest partition's last commit that covered everything read, in milliseconds.
    pub commit_age_ms: u64,
    /// Memory of the windows and of what waits to be written, in bytes.
    pub memory_bytes: u64,
    /// Whether every partition has reached the end that it saw at its start.
    pub is_caught_up: bool,
}

/// The figures of all jobs by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<BTreeMap<&'static str, JobProgress>>>);

impl Progress {
    /// Changes the figures of a job.
    pub fn update(&self, job: &'static str, change: impl FnOnce(&mut JobProgress)) {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(jobs.entry(job).or_default());
    }

    /// The figures of every job that has started.
    #[must_use]
    pub fn jobs(&self) -> BTreeMap<&'static str, JobProgress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Memory of all jobs together, in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.jobs().values().map(|progress| progress.memory_bytes).sum()
    }

    /// Commits of one job so far.
    pub(super) fn commits(&self, job: &str) -> u64 {
        self.jobs().get(job).map_or(0, |progress| progress.commits)
    }
}
