//! The metrics of sinks and retry processes.

use std::time::Duration;

use crate::metric_names;
use yahtzee_core::delivery::ShardMode;

use super::DeliveryRole;
use crate::store::Outcome;

/// Way in which a record leaves its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Stored,
    Stale,
    Expired,
    /// Appended to RETRY: by a sink for the first time, or by a retry process at the end of the topic again.
    HandedOver,
    Quarantined,
    /// Left in the log for now, by a sink.
    Held,
    /// Superseded by a newer revision of its key that waits as well.
    Superseded,
    /// Moved to another partition of RETRY, because the shard map has changed.
    Moved,
    /// Belongs to another store.
    Foreign,
}

/// Names of endings in the metrics of a sink and of a retry process, in the order of the variants; `None` if that
/// process has no such ending.
const NAMES: [(Option<&str>, Option<&str>); 9] = [
    (Some("stored"), Some("stored")),
    (Some("stale"), Some("stale")),
    (Some("expired"), Some("expired")),
    (Some("retry"), Some("requeued")),
    (Some("quarantined"), Some("quarantined")),
    (Some("held"), None),
    (None, Some("superseded")),
    (None, Some("moved")),
    (None, Some("foreign")),
];

/// Counters of endings, over the whole store.
pub(super) struct Endings {
    counters: [metrics::Counter; 9],
    chain_violations: metrics::Counter,
}

impl Endings {
    pub(super) fn new(role: DeliveryRole, store: &str) -> Self {
        let counter = |(of_sink, of_retry): (Option<&str>, Option<&str>)| match role {
            DeliveryRole::Sink { .. } => {
                of_sink.map(|name| metric_names::SINK_SUMMARIES.with(&[store, name]))
            }
            DeliveryRole::Retry { .. } => {
                of_retry.map(|name| metric_names::RETRY_SUMMARIES.with(&[store, name]))
            }
        };
        Self {
            counters: NAMES.map(|names| counter(names).unwrap_or_else(metrics::Counter::noop)),
            chain_violations: metric_names::SINK_CHAIN_VIOLATIONS.with(&[store]),
        }
    }

    pub(super) fn count(&self, ending: Ending) {
        self.counters[ending as usize].increment(1);
    }

    /// Counts summaries that a store has settled; other outcomes are counted when they are handed over.
    pub(super) fn count_settled(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Stored => self.count(Ending::Stored),
            // What is stored against the chain is stored: the violation has a metric of its own.
            Outcome::StoredAgainstChain => {
                self.count(Ending::Stored);
                self.chain_violations.increment(1);
            }
            Outcome::Stale => self.count(Ending::Stale),
            Outcome::StaleAgainstChain => {
                self.count(Ending::Stale);
                self.chain_violations.increment(1);
            }
            Outcome::Expired => self.count(Ending::Expired),
            Outcome::Retryable(_) | Outcome::Poison(_) | Outcome::Misconfigured(_) => {}
        }
    }
}

#[cfg(test)]
impl Endings {
    /// Counts one ending, and nothing else.
    pub(super) fn counting(ending: Ending, counter: &std::sync::Arc<std::sync::atomic::AtomicU64>) -> Self {
        let mut counters = [const { metrics::Counter::noop() }; 9];
        counters[ending as usize] = metrics::Counter::from_arc(std::sync::Arc::clone(counter));
        Self { counters, chain_violations: metrics::Counter::noop() }
    }
}

/// Metrics of one shard.
pub(super) enum ShardMetrics {
    OfSink {
        queued: metrics::Gauge,
        mode: metrics::Gauge,
        write_seconds: metrics::Histogram,
        write_rows: metrics::Histogram,
    },
    OfRetry {
        writes: metrics::Counter,
    },
}

impl ShardMetrics {
    pub(super) fn new(role: DeliveryRole, store: &str, shard: &str) -> Self {
        let labels = &[store, shard];
        match role {
            DeliveryRole::Sink { .. } => Self::OfSink {
                queued: metric_names::SINK_QUEUED.with(labels),
                mode: metric_names::SINK_SHARD_MODE.with(labels),
                write_seconds: metric_names::SINK_WRITE_SECONDS.with(labels),
                write_rows: metric_names::SINK_WRITE_ROWS.with(labels),
            },
            DeliveryRole::Retry { .. } => Self::OfRetry { writes: metric_names::RETRY_WRITES.with(labels) },
        }
    }

    pub(super) fn record_write(&self, rows: usize, took: Duration) {
        match self {
            Self::OfSink { write_seconds, write_rows, .. } => {
                write_rows.record(rows as f64);
                write_seconds.record(took.as_secs_f64());
            }
            Self::OfRetry { writes } => writes.increment(1),
        }
    }

    pub(super) fn set(&self, waiting: usize, shard_mode: ShardMode) {
        if let Self::OfSink { queued, mode, .. } = self {
            queued.set(waiting as f64);
            mode.set(f64::from(shard_mode as u8));
        }
    }
}

/// Metrics of one source.
pub(super) enum SourceMetrics {
    OfSink { lag: metrics::Gauge, span: metrics::Gauge, open_records: metrics::Gauge },
    OfRetry { waiting: metrics::Gauge, oldest_age_s: metrics::Gauge },
}

impl SourceMetrics {
    pub(super) fn of_sink(topic: &str) -> Self {
        Self::OfSink {
            lag: metric_names::SINK_LAG.with(&[topic]),
            span: metric_names::SINK_UNSETTLED_SPAN.with(&[topic]),
            open_records: metric_names::SINK_UNSETTLED.with(&[topic]),
        }
    }

    pub(super) fn of_retry(store: &str, shards: &str) -> Self {
        let labels = &[store, shards];
        Self::OfRetry {
            waiting: metric_names::RETRY_WAITING.with(labels),
            oldest_age_s: metric_names::RETRY_OLDEST_AGE_SECONDS.with(labels),
        }
    }
}
