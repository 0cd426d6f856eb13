//! What a developer writes: a metric job.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use prost::Message;

use crate::accumulate::Accumulator;
use crate::commit::Identity;
use crate::partition::{History, Opened, PartitionCore, PartitionState, Refusal};
use crate::summary::UnreadableSummary;
use crate::window::{Intake, Policy};

/// One metric: how raw records become one summary per owner, series and window.
///
/// A job is pure. It gets no clock, no randomness and no I/O, so that reading the same records again rebuilds the
/// same summaries, byte for byte. Everything around the fold is the framework's.
pub trait Job: Send + Sync + 'static {
    /// Names the job in configuration, metrics, consumer groups and on the command line. Permanent once released.
    const NAME: &'static str;

    /// Measurement type: the stem of the raw topic. Permanent once released.
    const MEASUREMENT: &'static str;

    /// Stem of the summary topic: to be set where several jobs read one raw topic. Permanent once released.
    const SUMMARY: &'static str = Self::MEASUREMENT;

    /// Version of the fold: raise it with every change that gives other bytes for the same records.
    const GENERATION: u32;

    /// Names of the values that, with the owner, make a series; in the order of [`Intake::add`].
    const DIMENSIONS: &'static [&'static str];

    /// The message in a raw record.
    type Record: Message + Default;

    /// The state of one series in one window.
    type Accumulator: Accumulator + Debug;

    /// The message that is published. Its fields start at 16; those below are the framework's.
    type Summary: Message + Default;

    /// The drain frame the record came in (16 bytes), by which redelivered frames are recognised; empty for none.
    fn frame_id(record: &Self::Record) -> &[u8];

    /// Hands every measurement of the record to [`Intake::add`].
    ///
    /// The folded state must not depend on the order of the measurements within a window.
    fn fold(&self, record: &Self::Record, intake: &mut Intake<'_, Self::Accumulator>);

    /// What is published of a series.
    fn summarize(&self, accumulator: &Self::Accumulator) -> Self::Summary;

    /// The figures of a summary for people and programs that do not know its message, with units in their names.
    /// Absent ones are left out, never 0.
    fn figures(_summary: &Self::Summary) -> Figures {
        Figures::new()
    }

    /// Which windows are kept and how often summaries go out, where configuration does not say otherwise.
    fn policy(&self) -> Policy {
        Policy::default()
    }
}

/// Figures of a summary by name.
pub type Figures = BTreeMap<String, f64>;

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
    /// [`Job::figures`] of a summary value.
    ///
    /// # Errors
    /// Where the value is not a summary of this job.
    fn figures(&self, value: &[u8]) -> Result<Figures, UnreadableSummary>;
    /// Opens a partition of this job: see [`PartitionCore::open`].
    ///
    /// # Errors
    /// Where the partition must not be worked on; see [`Refusal`].
    fn open(
        self: Arc<Self>,
        policy: Policy,
        identity: Identity,
        history: History<'_>,
    ) -> Result<Opened<Box<dyn PartitionState>>, Refusal>;
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

    fn figures(&self, value: &[u8]) -> Result<Figures, UnreadableSummary> {
        let summary = J::Summary::decode(value).map_err(|_| UnreadableSummary::Value)?;
        Ok(<J as Job>::figures(&summary))
    }

    fn open(
        self: Arc<Self>,
        policy: Policy,
        identity: Identity,
        history: History<'_>,
    ) -> Result<Opened<Box<dyn PartitionState>>, Refusal> {
        let Opened { core, read_from, verdict } = PartitionCore::<J>::open(self, policy, identity, history)?;
        Ok(Opened { core: Box::new(core), read_from, verdict })
    }
}
