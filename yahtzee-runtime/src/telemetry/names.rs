//! Every metric of every process, in one typed and documented list.
//!
//! The macros of the `metrics` crate are banned elsewhere: a metric that is not here cannot be written.
#![allow(clippy::disallowed_macros, reason = "this is the place that the ban points to")]

use metrics::{Label, Unit};

/// A count that only grows.
#[derive(Debug)]
pub struct Counter(Definition);

/// A value that goes up and down.
#[derive(Debug)]
pub struct Gauge(Definition);

/// A distribution of observed values, exposed as quantiles.
#[derive(Debug)]
pub struct Histogram(Definition);

/// What a metric is called and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Prometheus name, with the unit last and `_total` for counters.
    pub name: &'static str,
    /// One sentence for operators.
    pub help: &'static str,
    /// Names of its labels; their values are few and bounded.
    pub labels: &'static [&'static str],
    unit: Option<Unit>,
}

impl Definition {
    /// Pairs the label names with `values`.
    fn labelled(&self, values: &[&str]) -> Vec<Label> {
        debug_assert_eq!(self.labels.len(), values.len(), "labels of {}", self.name);
        let pairs = self.labels.iter().zip(values);
        pairs.map(|(&name, &value)| Label::new(name, value.to_owned())).collect()
    }
}

impl Counter {
    /// A handle for these label values, in the order of the definition. Keep it where the path is hot.
    pub fn with(&self, label_values: &[&str]) -> metrics::Counter {
        metrics::counter!(self.0.name, self.0.labelled(label_values))
    }
}

impl Gauge {
    /// A handle for these label values, in the order of the definition. Keep it where the path is hot.
    pub fn with(&self, label_values: &[&str]) -> metrics::Gauge {
        metrics::gauge!(self.0.name, self.0.labelled(label_values))
    }
}

impl Histogram {
    /// A handle for these label values, in the order of the definition. Keep it where the path is hot.
    pub fn with(&self, label_values: &[&str]) -> metrics::Histogram {
        metrics::histogram!(self.0.name, self.0.labelled(label_values))
    }
}

/// Declares the list: one constant per metric, and [`describe_all`] and [`ALL`] over all of them.
macro_rules! metrics {
    ($($kind:ident $constant:ident = $name:literal [$($label:literal),*] $unit:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: $kind =
                $kind(Definition { name: $name, help: $help, labels: &[$($label),*], unit: $unit });
        )*

        /// Every definition, in the order of the list.
        pub const ALL: &[Definition] = &[$($constant.0),*];

        /// Registers name, unit and help of every metric with the installed recorder.
        pub fn describe_all() {
            $(metrics!(@describe $kind $constant);)*
        }
    };
    (@describe Counter $constant:ident) => { describe(&$constant.0, |name, unit, help| match unit {
        Some(unit) => metrics::describe_counter!(name, unit, help),
        None => metrics::describe_counter!(name, help),
    }) };
    (@describe Gauge $constant:ident) => { describe(&$constant.0, |name, unit, help| match unit {
        Some(unit) => metrics::describe_gauge!(name, unit, help),
        None => metrics::describe_gauge!(name, help),
    }) };
    (@describe Histogram $constant:ident) => { describe(&$constant.0, |name, unit, help| match unit {
        Some(unit) => metrics::describe_histogram!(name, unit, help),
        None => metrics::describe_histogram!(name, help),
    }) };
}

fn describe(definition: &Definition, with: impl Fn(&'static str, Option<Unit>, &'static str)) {
    with(definition.name, definition.unit, definition.help);
}

metrics! {
    // Ingress
    Counter INGRESS_REQUESTS = "yahtzee_ingress_requests_total" ["status"] None,
        "Drain requests by HTTP status of the reply";
    Counter INGRESS_FRAMES = "yahtzee_ingress_frames_total" ["outcome"] None,
        "Drain requests that carried content, by outcome: stored, duplicate, unreadable, not_stored";
    Counter INGRESS_LINES = "yahtzee_ingress_lines_total" ["class"] None,
        "Log lines read, by class of line";
    Counter INGRESS_BYTES = "yahtzee_ingress_body_bytes_total" [] None,
        "Bytes of drain bodies after decompression";
    Counter INGRESS_MEASUREMENTS = "yahtzee_ingress_measurements_total" ["type"] None,
        "Measurements written to raw topics, by measurement type";
    Counter INGRESS_REPAIRED = "yahtzee_ingress_frames_repaired_total" [] None,
        "Messages whose octet count did not hold and whose border was found by repair";
    Counter INGRESS_SKIPPED_BYTES = "yahtzee_ingress_skipped_bytes_total" [] None,
        "Bytes of drain bodies that belong to no readable message";
    Counter INGRESS_COUNT_MISMATCHES = "yahtzee_ingress_count_mismatches_total" [] None,
        "Bodies whose number of messages differs from Logplex-Msg-Count";
    Counter INGRESS_TIME_REPLACED = "yahtzee_ingress_time_replaced_total" [] None,
        "Measurements whose time was unreadable or too far ahead and became the receive time";
    Counter INGRESS_TRUNCATED = "yahtzee_ingress_lines_truncated_total" [] None,
        "Platform lines that were cut and gave no measurement";
    Counter INGRESS_UNKNOWN_TOKENS = "yahtzee_ingress_unknown_tokens_total" [] None,
        "Bodies whose drain token is in no table, so that the owner was derived from the token";
    Counter INGRESS_REJECTED_VALUES = "yahtzee_ingress_rejected_values_total" [] None,
        "Values of language metrics that are no number in range, or have no usable name";
    Histogram INGRESS_ACK_SECONDS = "yahtzee_ingress_ack_seconds" [] Some(Unit::Seconds),
        "Time from the end of a drain request's body to its reply";

    // Record
    Counter RECORD_READ = "yahtzee_record_read_total" ["job"] None,
        "Raw records read";
    Counter RECORD_READ_BYTES = "yahtzee_record_read_bytes_total" ["job"] None,
        "Bytes of raw records read, keys and values";
    Counter RECORD_MEASUREMENTS = "yahtzee_record_measurements_total" ["job", "outcome"] None,
        "Measurements by outcome: accepted, late, future, duplicate, incomplete, capped";
    Counter RECORD_LATE = "yahtzee_record_late_total" ["job", "by"] None,
        "Late measurements by how far beyond the allowed lateness they were: 1m, 10m, 1h, more";
    Counter RECORD_DEAD_LETTERS = "yahtzee_record_dead_letters_total" ["job"] None,
        "Records written to the DLQ topic";
    Counter RECORD_POISON = "yahtzee_record_poison_total" ["job", "reason"] None,
        "Raw records that could not be used at all, by reason";
    Gauge RECORD_POSITION_LAG = "yahtzee_record_position_lag" ["job", "partition"] None,
        "Raw records between the read position and the end of the partition: work not yet done";
    Gauge RECORD_REPLAY_LAG = "yahtzee_record_replay_lag" ["job", "partition"] None,
        "Raw records between the committed offset and the read position: what a restart would read again. Trails by design";

    // Window
    Gauge WINDOW_OPEN = "yahtzee_window_open" ["job"] None,
        "Open windows over all partitions of this worker";
    Gauge WINDOW_SERIES = "yahtzee_window_series" ["job"] None,
        "Series over all open windows of this worker";
    Gauge WATERMARK_AGE_SECONDS = "yahtzee_watermark_age_seconds" ["job", "partition"] Some(Unit::Seconds),
        "Wall clock minus the partition's watermark";
    Gauge WINDOWS_INCOMPLETE = "yahtzee_windows_incomplete" ["job", "partition"] None,
        "Windows that may have lost input and are not published";

    // Summary
    Counter SUMMARY_EMITTED = "yahtzee_summaries_emitted_total" ["job", "kind"] None,
        "Summaries acknowledged by the log, by kind: change, final";
    Counter JOB_RESTARTS = "yahtzee_job_restarts_total" ["job"] None,
        "Times that a job started again from its last commit after a failure that may pass";

    // Commit
    Counter COMMIT_DONE = "yahtzee_commit_total" ["job"] None,
        "Commits acknowledged, counted per partition";
    Gauge COMMIT_AGE_SECONDS = "yahtzee_commit_age_seconds" ["job"] Some(Unit::Seconds),
        "Seconds since the commit of the partition that waits longest last said all there was to say";

    // Sink
    Counter SINK_SUMMARIES = "yahtzee_sink_summaries_total" ["store", "outcome"] None,
        "Summaries handled by the sink, by outcome: stored, stale, expired, retry, quarantined, held. Alarm on quarantined and held";
    Counter SINK_CHAIN_VIOLATIONS = "yahtzee_sink_chain_violations_total" ["store"] None,
        "Summaries that contradict the stored one of the same generation: must stay 0. Alarm on any";
    Gauge SINK_LAG = "yahtzee_sink_lag" ["topic"] None,
        "Summary records between the sink's position and the end, over all partitions";
    Gauge SINK_UNSETTLED = "yahtzee_sink_unsettled" ["topic"] None,
        "Summary records that were read and are neither stored nor handed over yet";
    Gauge SINK_UNSETTLED_SPAN = "yahtzee_sink_unsettled_span" ["topic"] None,
        "Offsets between the lowest unsettled record and the position, of the partition with most: what a restart reads again";
    Gauge SINK_QUEUED = "yahtzee_sink_queued" ["store", "shard"] None,
        "Summaries that wait for the shard in memory";
    Gauge SINK_SHARD_MODE = "yahtzee_sink_shard_mode" ["store", "shard"] None,
        "What becomes of the shard's summaries: 0 written, 1 waiting for a slow or failed write, 2 handed to RETRY, 3 held for a wrong configuration. Alarm on 2 and 3";
    Histogram SINK_WRITE_SECONDS = "yahtzee_sink_write_seconds" ["store", "shard"] Some(Unit::Seconds),
        "Time that one write of a batch takes";
    Histogram SINK_WRITE_ROWS = "yahtzee_sink_write_rows" ["store", "shard"] None,
        "Summaries per write of a batch";

    // Retry
    Counter RETRY_SUMMARIES = "yahtzee_retry_summaries_total" ["store", "outcome"] None,
        "Records that have left RETRY, by outcome: stored, stale, expired, superseded, requeued, moved, quarantined, foreign. Alarm on quarantined";
    Counter RETRY_WRITES = "yahtzee_retry_writes_total" ["store", "shard"] None,
        "Tries to write a batch from RETRY to the shard";
    Counter RETRY_LOST = "yahtzee_retry_lost_total" ["store"] None,
        "Offsets of RETRY that retention deleted before they were written: the store misses summaries. Alarm on any, and replay";
    Gauge RETRY_WAITING = "yahtzee_retry_waiting" ["store", "shard"] None,
        "Records of RETRY that are not settled yet. Alarm if it grows for longer than an outage should last";
    Gauge RETRY_OLDEST_AGE_SECONDS = "yahtzee_retry_oldest_age_seconds" ["store", "shard"] Some(Unit::Seconds),
        "Time since the oldest record at hand failed first. Alarm well before the retention of RETRY";

    // Retention
    Counter RETENTION_DAYS_DROPPED = "yahtzee_retention_days_dropped_total" ["store"] None,
        "Days that retention has dropped from the store";
    Counter RETENTION_FAILURES = "yahtzee_retention_failures_total" ["store", "task"] None,
        "Times that the store could not do a task: create, drop. Alarm if it lasts a day: midnight needs tomorrow's day";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_prefixed_and_carry_no_reserved_suffix() {
        let names: BTreeSet<&str> = ALL.iter().map(|definition| definition.name).collect();
        assert_eq!(names.len(), ALL.len(), "a name stands twice in the list");
        for name in names {
            assert!(name.starts_with("yahtzee_"), "{name}");
            assert!(name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{name}");
        }
    }
}
