//! What every run must have found: computed from the input alone, without the core.

use std::collections::HashSet;

use prost::Message;
use serde::{Deserialize, Serialize};
use yahtzee_core::summary::Provenance;
use yahtzee_core::window::Policy;
use yahtzee_jobs::view::RouterRequest;
use yahtzee_pipeline_proto::summary::RouterLatency;
use yahtzee_pipeline_proto::{RecordOf, raw};

use crate::traffic::RawRecord;

/// What a run has found in its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Of a consumer that does nothing.
    Read {
        /// Records.
        records: u64,
        /// Bytes of keys and values.
        bytes: u64,
    },
    /// Of decoding alone.
    Decoded(Decoded),
    /// Of everything that folds.
    Folded(Totals),
}

/// Sums over all measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoded {
    /// How many there are.
    pub measurements: u64,
    /// Sum of all event times in microseconds since 1970, modulo 2^64.
    pub times_us: u64,
    /// Sum of all service times in milliseconds.
    pub service_ms: u64,
    /// Bytes of all process types.
    pub text_bytes: u64,
}

impl Decoded {
    /// Adds one measurement.
    #[inline]
    pub fn add(&mut self, request: &RouterRequest<'_>) {
        self.measurements += 1;
        self.times_us = self.times_us.wrapping_add(request.time_us.cast_unsigned());
        self.service_ms += u64::from(request.service_ms.unwrap_or(0));
        self.text_bytes += request.process_type.len() as u64;
    }
}

/// Sums over the newest summaries of all series and windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Measurements in the summaries.
    pub accepted: u64,
    /// Measurements that came too late for their window.
    pub late: u64,
    /// Series, counted once per window.
    pub series: u64,
    /// Sum of all service times in milliseconds.
    pub service_ms: u64,
    /// Sum of all bytes sent to clients.
    pub bytes: u64,
}

impl Totals {
    /// Adds the newest summary of a series in a window.
    ///
    /// # Errors
    /// Where the value is not a summary of router latency.
    pub fn add_summary(&mut self, value: &[u8]) -> Result<(), prost::DecodeError> {
        let summary = RouterLatency::decode(value)?;
        self.accepted += Provenance::of_value(value).map_or(0, |provenance| provenance.count);
        self.series += 1;
        self.service_ms += summary.service_moments_ms.map_or(0, |moments| moments.sum);
        self.bytes += summary.bytes;
        Ok(())
    }
}

/// What decoding the records must find.
#[must_use]
pub fn decoded(records: &[RawRecord]) -> Output {
    let mut decoded = Decoded::default();
    for (_, message) in messages(records) {
        message.measurements.iter().for_each(|request| decoded.add(&request.into()));
    }
    Output::Decoded(decoded)
}

/// Measurements of the records.
#[must_use]
pub fn measurements(records: &[RawRecord]) -> u64 {
    messages(records).map(|(_, message)| message.measurements.len() as u64).sum()
}

/// What a consumer that does nothing must count.
#[must_use]
pub fn read(records: &[RawRecord]) -> Output {
    let bytes = records.iter().map(|record| (record.key.len() + record.value.len()) as u64).sum();
    Output::Read { records: records.len() as u64, bytes }
}

/// What folding under `policy` must come to. Timestamps grow in the order of the records, so the watermark is always
/// the record's own; no measurement lies ahead of it and no frame comes twice.
#[must_use]
pub fn folded(records: &[RawRecord], policy: &Policy) -> Output {
    let length_us = i64::from(policy.length_ms) * 1_000;
    let mut totals = Totals::default();
    let mut series = HashSet::new();
    for (record, message) in messages(records) {
        let oldest = (record.timestamp_ms * 1_000).div_euclid(length_us) - i64::from(policy.lateness_windows);
        for request in &message.measurements {
            let window = request.time_us.div_euclid(length_us);
            if window < oldest {
                totals.late += 1;
                continue;
            }
            totals.accepted += 1;
            totals.service_ms += u64::from(request.service_ms.unwrap_or(0));
            totals.bytes += request.bytes.unwrap_or(0);
            series.insert((record.key, request.process_type.clone(), window));
        }
    }
    totals.series = series.len() as u64;
    Output::Folded(totals)
}

fn messages(records: &[RawRecord]) -> impl Iterator<Item = (&RawRecord, RecordOf<raw::RouterRequest>)> {
    let decode = |record: &RawRecord| {
        RecordOf::<raw::RouterRequest>::decode(&*record.value).expect("the traffic is well formed")
    };
    records.iter().map(move |record| (record, decode(record)))
}
