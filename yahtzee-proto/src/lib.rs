//! The framework's own messages on the wire, whatever a pipeline measures: the [`Provenance`] in every summary, and
//! the records of DLQ and LATE topics.
//!
//! Generated from `yahtzee/*.proto` by `cargo test -p yahtzee-proto`; no logic lives here. Field numbers are permanent.
#![allow(missing_docs, reason = "generated; the documentation is in yahtzee-proto/yahtzee/*.proto")]

include!("generated/yahtzee.v1.rs");
