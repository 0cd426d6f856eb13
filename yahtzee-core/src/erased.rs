//! Jobs and partitions whose types are not visible: what lists of jobs and the shell hold.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use prost::Message as _;

use crate::commit::{Commit, Identity};
use crate::effect::{Effect, summary_bytes_max};
use crate::job::{Figures, Job};
use crate::partition::{History, Opened, PartitionCore, ResumeError, Status};
use crate::record::{LogRecord, Offset, RecordOutcome};
use crate::rules::Rules;
use crate::series::StateBytes;
use crate::summary::{self, UnreadableSummary};
use crate::window::Policy;

/// A job whose types are not visible: what lists and the shell hold. Every [`Job`] is one.
pub trait AnyJob: Send + Sync {
    /// [`Job::NAME`].
    fn name(&self) -> &'static str;
    /// [`Job::MEASUREMENT`].
    fn measurement(&self) -> &'static str;
    /// [`Job::SUMMARY`].
    fn summary(&self) -> &'static str;
    /// [`Job::GENERATION`].
    fn generation(&self) -> u32;
    /// [`Job::DIMENSIONS`].
    fn dimensions(&self) -> &'static [&'static str];
    /// [`Job::policy`].
    fn policy(&self) -> Policy;
    /// Bytes of its accumulator in one series and window, without what the accumulator allocates.
    fn accumulator_bytes(&self) -> u64;
    /// Returns the most memory that a partition of the job can come to hold under a policy: every window open, every series in it with
    /// the longest dimensions and the largest accumulator, every frame remembered. `None` where nothing bounds its accumulator. While
    /// a list or table grows, the smaller one that it takes the place of is there too.
    fn state_bytes_max(&self, policy: &Policy) -> Option<StateBytes>;
    /// Returns the most bytes that a summary of the job takes while it waits to be written.
    fn summary_effect_bytes_max(&self) -> u64;
    /// [`summary::reserved_field`] of [`Job::Summary`]: a job that has one is refused.
    fn reserved_field(&self) -> Option<u32>;
    /// [`Job::figures`] of a summary value.
    ///
    /// # Errors
    /// If the value is not a summary of this job, or its code panics on it.
    fn figures(&self, value: &[u8]) -> Result<Figures, UnreadableSummary>;
    /// Opens a partition of this job: see [`PartitionCore::open`].
    ///
    /// # Errors
    /// If the partition must not be worked on; see [`ResumeError`].
    fn open(
        self: Arc<Self>,
        policy: Policy,
        identity: Identity,
        history: History<'_>,
    ) -> Result<Opened<Box<dyn AnyPartition>>, ResumeError>;
}

impl<J: Job> AnyJob for J {
    fn name(&self) -> &'static str {
        J::NAME
    }

    fn measurement(&self) -> &'static str {
        J::MEASUREMENT
    }

    fn summary(&self) -> &'static str {
        J::SUMMARY
    }

    fn generation(&self) -> u32 {
        J::GENERATION
    }

    fn dimensions(&self) -> &'static [&'static str] {
        J::DIMENSIONS
    }

    fn policy(&self) -> Policy {
        Job::policy(self)
    }

    fn accumulator_bytes(&self) -> u64 {
        size_of::<J::Accumulator>() as u64
    }

    fn state_bytes_max(&self, policy: &Policy) -> Option<StateBytes> {
        StateBytes::most::<J::Accumulator>(policy, J::DIMENSIONS.len())
    }

    fn summary_effect_bytes_max(&self) -> u64 {
        // A list of effects doubles as it grows.
        (2 * size_of::<Effect>() + summary_bytes_max::<J::Accumulator>(J::DIMENSIONS.len())) as u64
    }

    fn reserved_field(&self) -> Option<u32> {
        summary::reserved_field::<J::Summary>()
    }

    fn figures(&self, value: &[u8]) -> Result<Figures, UnreadableSummary> {
        let summary = J::Summary::decode(value).map_err(|_| UnreadableSummary::Value)?;
        let figures = || <J as Job>::figures(&summary);
        catch_unwind(AssertUnwindSafe(figures)).map_err(|_| UnreadableSummary::Panic)
    }

    fn open(
        self: Arc<Self>,
        policy: Policy,
        identity: Identity,
        history: History<'_>,
    ) -> Result<Opened<Box<dyn AnyPartition>>, ResumeError> {
        PartitionCore::<J>::open(self, policy, identity, history).map(erase)
    }
}

/// A partition whose job's types are not visible; see [`erase`].
pub trait AnyPartition: Send {
    /// See [`PartitionCore::ingest`].
    fn ingest(&mut self, record: LogRecord<'_>, out: &mut Vec<Effect>) -> RecordOutcome;
    /// See [`PartitionCore::reached`].
    ///
    /// # Errors
    /// See there.
    fn reached(&mut self, next: Offset) -> Result<(), ResumeError>;
    /// See [`PartitionCore::tick`].
    fn tick(&mut self, now_ms: u64, out: &mut Vec<Effect>);
    /// See [`PartitionCore::flush`].
    fn flush(&mut self, out: &mut Vec<Effect>);
    /// See [`PartitionCore::next_due`].
    fn next_due(&self) -> u64;
    /// See [`PartitionCore::begin_write`].
    fn begin_write(&mut self);
    /// See [`PartitionCore::acknowledged`].
    fn acknowledged(&mut self, effects: u64) -> Option<Commit>;
    /// See [`PartitionCore::status`].
    fn status(&self) -> Status;
    /// See [`PartitionCore::state_bytes`].
    fn state_bytes(&self) -> StateBytes;
    /// See [`PartitionCore::identity`].
    fn identity(&self) -> &Identity;
}

/// Hides the types of a partition.
pub fn erase<J: Job, R: Rules>(opened: Opened<PartitionCore<J, R>>) -> Opened<Box<dyn AnyPartition>> {
    let Opened { core, read_from, verdict } = opened;
    Opened { core: Box::new(Erased(core)), read_from, verdict }
}

/// A type of its own, so that no method of the trait can call itself.
struct Erased<J: Job, R: Rules>(PartitionCore<J, R>);

impl<J: Job, R: Rules> AnyPartition for Erased<J, R> {
    fn ingest(&mut self, record: LogRecord<'_>, out: &mut Vec<Effect>) -> RecordOutcome {
        self.0.ingest(record, out)
    }

    fn reached(&mut self, next: Offset) -> Result<(), ResumeError> {
        self.0.reached(next)
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<Effect>) {
        self.0.tick(now_ms, out);
    }

    fn flush(&mut self, out: &mut Vec<Effect>) {
        self.0.flush(out);
    }

    fn next_due(&self) -> u64 {
        self.0.next_due()
    }

    fn begin_write(&mut self) {
        self.0.begin_write();
    }

    fn acknowledged(&mut self, effects: u64) -> Option<Commit> {
        self.0.acknowledged(effects)
    }

    fn status(&self) -> Status {
        self.0.status()
    }

    fn state_bytes(&self) -> StateBytes {
        self.0.state_bytes()
    }

    fn identity(&self) -> &Identity {
        self.0.identity()
    }
}
