//! Wire truth: the messages of raw topics ([`raw`]) and of summary topics ([`summary`]).
//!
//! Generated from `proto/yahtzee/*.proto` by `cargo test -p yahtzee-pipeline-proto`; no logic lives here. Field numbers are permanent. Which measurement
//! types there are, and in which topic each lies, is said once: [`Measurement`].

mod measurement;

pub use measurement::{Measurement, RawMeasurement, RecordOf};

/// Records of the raw topics, one per (drain frame, owner, measurement type), and the measurements in them.
#[allow(missing_docs, reason = "generated; the documentation is in proto/yahtzee/raw.proto")]
pub mod raw {
    include!("generated/yahtzee.raw.v1.rs");
}

/// Values of the compacted summary topics.
#[allow(missing_docs, reason = "generated; the documentation is in proto/yahtzee/summary.proto")]
pub mod summary {
    include!("generated/yahtzee.summary.v1.rs");
}
