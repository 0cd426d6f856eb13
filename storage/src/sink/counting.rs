//! The metrics of a sink.

use std::time::Duration;

use crate::metric_names as names;

use super::queue::Mode;
use crate::store::Outcome;

/// Ends of a summary, for the whole store.
pub(super) struct Ends {
    stored: metrics::Counter,
    stale: metrics::Counter,
    expired: metrics::Counter,
    pub(super) retry: metrics::Counter,
    pub(super) quarantined: metrics::Counter,
    pub(super) held: metrics::Counter,
    violations: metrics::Counter,
}

impl Ends {
    pub(super) fn new(store: &str) -> Self {
        let outcome = |outcome| names::SINK_SUMMARIES.with(&[store, outcome]);
        Self {
            stored: outcome("stored"),
            stale: outcome("stale"),
            expired: outcome("expired"),
            retry: outcome("retry"),
            quarantined: outcome("quarantined"),
            held: outcome("held"),
            violations: names::SINK_CHAIN_VIOLATIONS.with(&[store]),
        }
    }

    /// Counts what a store has settled; the other outcomes are counted when they are handed over.
    pub(super) fn settled(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Stored => self.stored.increment(1),
            Outcome::StoredAgainstChain => {
                self.stored.increment(1);
                self.violations.increment(1);
            }
            Outcome::Stale => self.stale.increment(1),
            Outcome::Expired => self.expired.increment(1),
            Outcome::Retryable(_) | Outcome::Poison(_) | Outcome::Misconfigured(_) => {}
        }
    }
}

/// One shard.
pub(super) struct ShardGauges {
    queued: metrics::Gauge,
    mode: metrics::Gauge,
    write_seconds: metrics::Histogram,
    write_rows: metrics::Histogram,
}

impl ShardGauges {
    pub(super) fn new(store: &str, shard: &str) -> Self {
        let labels = &[store, shard];
        Self {
            queued: names::SINK_QUEUED.with(labels),
            mode: names::SINK_SHARD_MODE.with(labels),
            write_seconds: names::SINK_WRITE_SECONDS.with(labels),
            write_rows: names::SINK_WRITE_ROWS.with(labels),
        }
    }

    pub(super) fn wrote(&self, rows: usize, took: Duration) {
        self.write_rows.record(rows as f64);
        self.write_seconds.record(took.as_secs_f64());
    }

    pub(super) fn stands(&self, queued: usize, mode: Mode) {
        self.queued.set(queued as f64);
        self.mode.set(f64::from(mode as u8));
    }
}

/// One job.
pub(super) struct JobGauges {
    pub(super) lag: metrics::Gauge,
    pub(super) span: metrics::Gauge,
    pub(super) open_records: metrics::Gauge,
}

impl JobGauges {
    pub(super) fn new(topic: &str) -> Self {
        Self {
            lag: names::SINK_LAG.with(&[topic]),
            span: names::SINK_UNSETTLED_SPAN.with(&[topic]),
            open_records: names::SINK_UNSETTLED.with(&[topic]),
        }
    }
}
