//! The job of the simulated world: its summaries say exactly which measurements were folded in.

use prost::Message;
use yahtzee_core::job::{Intake, Job, RawMessage};
use yahtzee_core::summary::Provenance;

use crate::rng::mix;

/// A raw record: what one drain frame says about one owner.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SimRecord {
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) frame_id: Vec<u8>,
    #[prost(message, repeated, tag = "16")]
    pub(crate) measurements: Vec<Measurement>,
    /// The job panics on it, every time.
    #[prost(bool, tag = "17")]
    pub(crate) panics: bool,
    /// What makes it large.
    #[prost(bytes = "vec", tag = "18")]
    pub(crate) filling: Vec<u8>,
}

impl RawMessage for SimRecord {
    fn frame_id(&self) -> &[u8] {
        &self.frame_id
    }
}

/// One measurement. No two frames have one with the same id.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Measurement {
    #[prost(sint64, tag = "1")]
    pub(crate) time_ms: i64,
    #[prost(uint32, tag = "2")]
    pub(crate) dimension: u32,
    #[prost(uint64, tag = "3")]
    pub(crate) id: u64,
}

/// What the job publishes.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct SimSummary {
    #[prost(fixed64, tag = "16")]
    pub(crate) digest: u64,
}

/// A whole summary value, as a reader of the topic decodes it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct SimValue {
    #[prost(message, optional, tag = "1")]
    pub(crate) provenance: Option<Provenance>,
    #[prost(fixed64, tag = "16")]
    pub(crate) digest: u64,
}

/// Sums a hash of every measurement's id: equal digests mean, but for one case in 2^64, equal sets. Every version
/// of the fold gives other digests for the same records.
#[derive(Debug)]
pub(crate) struct SimJob {
    pub(crate) version: u32,
}

/// What one measurement adds to a digest.
pub(crate) fn digest_of(id: u64, version: u32) -> u64 {
    mix(id.wrapping_add(u64::from(version) << 48))
}

/// The value of the only dimension.
pub(crate) fn dimension_name(dimension: u32) -> String {
    format!("d{dimension}")
}

impl Job for SimJob {
    const NAME: &'static str = "simulated";
    const MEASUREMENT: &'static str = "SIMULATED";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["dimension"];
    type Record<'a> = SimRecord;
    type Accumulator = u64;
    type Summary = SimSummary;

    fn fold(&self, record: &SimRecord, intake: &mut Intake<'_, Self>) {
        if record.panics {
            // A panic without the message that `panic!` would print for each.
            std::panic::resume_unwind(Box::new("planted"));
        }
        for measurement in &record.measurements {
            let name = dimension_name(measurement.dimension);
            let hash = digest_of(measurement.id, self.version);
            intake
                .add(measurement.time_ms.saturating_mul(1_000), [&name], |sum| *sum = sum.wrapping_add(hash));
        }
    }

    fn summarize(&self, sum: &u64) -> SimSummary {
        SimSummary { digest: *sum }
    }
}
