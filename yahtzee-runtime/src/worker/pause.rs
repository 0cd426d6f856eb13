//! What it means for a job that its process stood still.

use std::time::Duration;

use crate::threads::TaskFailure as _;

use super::{JobFailure, ProcessContext, WorkerSettings};

/// Whether the process stood still for so long that another one may have taken over.
#[derive(Clone, Copy, Debug)]
pub(super) struct PauseCheck<'a> {
    context: &'a ProcessContext,
    pause_max: Option<Duration>,
}

impl<'a> PauseCheck<'a> {
    pub(super) fn new(settings: &WorkerSettings, context: &'a ProcessContext) -> Self {
        Self { context, pause_max: settings.pause_max }
    }

    /// Returns the failure of a process that stood still for too long after `since_ms`.
    ///
    /// # Errors
    /// If it did.
    pub(super) fn check(&self, since_ms: u64) -> Result<(), JobFailure> {
        let stood_still = self.context.standstills.longest_since(since_ms, self.context.clock.now_ms());
        match self.pause_max {
            Some(pause_max) if stood_still > pause_max => Err(JobFailure::Paused(stood_still)),
            _ => Ok(()),
        }
    }

    /// Returns what a failure is after `active_at_ms`. Who stood still while a request waited for its answer has most likely a
    /// successor by now, and must not take the slot back from it.
    pub(super) fn paused_or(&self, failure: JobFailure, active_at_ms: u64) -> JobFailure {
        match failure.is_transient() {
            true => self.check(active_at_ms).err().unwrap_or(failure),
            false => failure,
        }
    }
}
