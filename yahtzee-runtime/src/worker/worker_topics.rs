//! The topics of a job, as its worker reads and writes them.

use std::sync::Arc;

use yahtzee_core::effect::Destination;

/// The topics of a job.
#[derive(Clone)]
pub(super) struct WorkerTopics {
    pub(super) job: &'static str,
    pub(super) raw: String,
    pub(super) summary: Arc<str>,
    pub(super) dead_letters: Arc<str>,
    pub(super) late: Arc<str>,
    /// Partitions of each.
    pub(super) partitions: u32,
    pub(super) window_length_ms: u32,
    pub(super) generation: u32,
}

impl WorkerTopics {
    pub(super) fn of(&self, destination: Destination) -> Arc<str> {
        Arc::clone(match destination {
            Destination::Summaries => &self.summary,
            Destination::DeadLetters => &self.dead_letters,
            Destination::Late => &self.late,
        })
    }
}
