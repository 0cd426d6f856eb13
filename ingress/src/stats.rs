//! Counts of the service, for reports and as metrics.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use yahtzee_pipeline_proto::Measurement;

use crate::collector::BodyCounts;
use crate::line::LineClass;
use crate::metric_names;

/// The outcome of a request with content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameOutcome {
    /// Everything in it that measures something is in the log.
    Stored,
    /// It had been stored before, or another attempt of it was.
    Duplicate,
    /// Not one line of it could be read.
    Unreadable,
    /// The log did not take it.
    NotStored,
}

impl FrameOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Stored, Self::Duplicate, Self::Unreadable, Self::NotStored];

    /// Returns the stable name, for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Unreadable => "unreadable",
            Self::NotStored => "not_stored",
        }
    }
}

/// Sums since the start of the process, all of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngressSnapshot {
    frames: [u64; FrameOutcome::ALL.len()],
    /// Bodies with another number of messages or metrics than their header says.
    pub count_mismatches: u64,
    /// Bodies of more unknown owners than allowed.
    pub unknown_owners_refused: u64,
    /// Bodies that were refused because those of other requests took the memory.
    pub bodies_without_memory: u64,
    /// Bytes of bodies after decompression.
    pub body_bytes: u64,
    /// Lines and measurements of stored and unreadable requests.
    pub counts: BodyCounts,
}

impl IngressSnapshot {
    /// Returns the number of requests with this outcome.
    #[must_use]
    pub fn frames(&self, outcome: FrameOutcome) -> u64 {
        self.frames[outcome as usize]
    }
}

/// Counts requests, lines and measurements.
pub struct IngressStats {
    sums: Mutex<IngressSnapshot>,
    metrics: IngressMetrics,
}

impl std::fmt::Debug for IngressStats {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("IngressStats").field(&self.snapshot()).finish()
    }
}

impl Default for IngressStats {
    fn default() -> Self {
        Self { sums: Mutex::default(), metrics: IngressMetrics::new() }
    }
}

impl IngressStats {
    /// Returns the sums so far.
    #[must_use]
    pub fn snapshot(&self) -> IngressSnapshot {
        self.with_sums(|sums| sums.clone())
    }

    /// Counts a request with content.
    pub(crate) fn frame(&self, outcome: FrameOutcome) {
        self.metrics.frames[outcome as usize].increment(1);
        self.with_sums(|sums| sums.frames[outcome as usize] += 1);
    }

    /// Counts the lines and measurements of a request.
    pub(crate) fn lines(&self, counts: &BodyCounts) {
        self.metrics.add(counts);
        self.with_sums(|sums| sums.counts.add(counts));
    }

    /// Counts a body of this size.
    pub(crate) fn body(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).expect("fits");
        self.metrics.body_bytes.increment(bytes);
        self.with_sums(|sums| sums.body_bytes += bytes);
    }

    /// Counts a body with more or fewer messages than its header says.
    pub(crate) fn count_mismatch(&self) {
        self.metrics.count_mismatches.increment(1);
        self.with_sums(|sums| sums.count_mismatches += 1);
    }

    /// Counts a body that was refused because the configuration does not name its owner, and too many others neither.
    pub(crate) fn unknown_owner_refused(&self) {
        self.metrics.unknown_owners_refused.increment(1);
        self.with_sums(|sums| sums.unknown_owners_refused += 1);
    }

    /// Counts a body that was refused because those of other requests took the memory.
    pub(crate) fn body_without_memory(&self) {
        self.metrics.bodies_without_memory.increment(1);
        self.with_sums(|sums| sums.bodies_without_memory += 1);
    }

    /// Counts a reply with this status.
    pub(crate) fn reply(&self, status: &str) {
        metric_names::INGRESS_REQUESTS.with(&[status]).increment(1);
    }

    /// Observes the time from the end of a body to its reply.
    pub(crate) fn ack(&self, elapsed: Duration) {
        self.metrics.ack_seconds.record(elapsed.as_secs_f64());
    }

    fn with_sums<T>(&self, read_or_add: impl FnOnce(&mut IngressSnapshot) -> T) -> T {
        read_or_add(&mut self.sums.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Handles of the metrics, one per label value.
struct IngressMetrics {
    frames: Vec<metrics::Counter>,
    lines: Vec<metrics::Counter>,
    measurements: Vec<metrics::Counter>,
    body_bytes: metrics::Counter,
    count_mismatches: metrics::Counter,
    unknown_owners_refused: metrics::Counter,
    bodies_without_memory: metrics::Counter,
    repaired: metrics::Counter,
    skipped_bytes: metrics::Counter,
    truncated: metrics::Counter,
    time_replaced: metrics::Counter,
    untimed: metrics::Counter,
    oversized: metrics::Counter,
    foreign: metrics::Counter,
    unknown_tokens: metrics::Counter,
    rejected_values: metrics::Counter,
    ack_seconds: metrics::Histogram,
}

impl IngressMetrics {
    fn new() -> Self {
        let frame = |outcome: FrameOutcome| metric_names::INGRESS_FRAMES.with(&[outcome.name()]);
        let line = |class: &LineClass| metric_names::INGRESS_LINES.with(&[class.name()]);
        let measurement = |name: &str| metric_names::INGRESS_MEASUREMENTS.with(&[name]);
        Self {
            frames: FrameOutcome::ALL.into_iter().map(frame).collect(),
            lines: LineClass::ALL.iter().map(line).collect(),
            measurements: Measurement::TYPES.iter().copied().map(measurement).collect(),
            body_bytes: metric_names::INGRESS_BYTES.with(&[]),
            count_mismatches: metric_names::INGRESS_COUNT_MISMATCHES.with(&[]),
            unknown_owners_refused: metric_names::INGRESS_UNKNOWN_OWNERS_REFUSED.with(&[]),
            bodies_without_memory: metric_names::INGRESS_BODIES_WITHOUT_MEMORY.with(&[]),
            repaired: metric_names::INGRESS_REPAIRED.with(&[]),
            skipped_bytes: metric_names::INGRESS_SKIPPED_BYTES.with(&[]),
            truncated: metric_names::INGRESS_TRUNCATED.with(&[]),
            time_replaced: metric_names::INGRESS_TIME_REPLACED.with(&[]),
            untimed: metric_names::INGRESS_UNTIMED.with(&[]),
            oversized: metric_names::INGRESS_OVERSIZED.with(&[]),
            foreign: metric_names::INGRESS_FOREIGN.with(&[]),
            unknown_tokens: metric_names::INGRESS_UNKNOWN_TOKENS.with(&[]),
            rejected_values: metric_names::INGRESS_REJECTED_VALUES.with(&[]),
            ack_seconds: metric_names::INGRESS_ACK_SECONDS.with(&[]),
        }
    }

    fn add(&self, counts: &BodyCounts) {
        for (counter, &class) in self.lines.iter().zip(LineClass::ALL) {
            counter.increment(counts.lines(class));
        }
        for (counter, (_, count)) in self.measurements.iter().zip(counts.measurements()) {
            counter.increment(count);
        }
        self.repaired.increment(counts.repaired);
        self.skipped_bytes.increment(counts.skipped_bytes);
        self.truncated.increment(counts.truncated);
        self.time_replaced.increment(counts.time_replaced);
        self.untimed.increment(counts.untimed);
        self.oversized.increment(counts.oversized);
        self.foreign.increment(counts.foreign);
        self.unknown_tokens.increment(counts.unknown_tokens);
        self.rejected_values.increment(counts.rejected_values);
    }
}
