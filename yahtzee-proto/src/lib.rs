//! The framework's own messages on the wire, whatever a pipeline measures: the [`Provenance`] in every summary, and
//! the records of DLQ and LATE topics.
//!
//! Generated at build time from `yahtzee/*.proto`; no logic lives here. Field numbers are permanent.
#![allow(missing_docs, reason = "generated; the documentation is in yahtzee-proto/yahtzee/*.proto")]

include!(concat!(env!("OUT_DIR"), "/yahtzee.v1.rs"));
