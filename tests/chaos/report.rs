//! The one line that a run prints.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::clocks::{ClockFigures, ClockZeros};
use crate::eras::{LogFigures, LogFindings};
use crate::returns::ReturnFigures;

/// Everything about a run, in the order of the line.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) test: String,
    /// Of the repository, where it is known.
    pub(crate) commit: Option<String>,
    pub(crate) seed: u64,
    pub(crate) duration_s: f64,
    pub(crate) window_s: f64,
    pub(crate) rate_rps: u32,
    /// Of the workers.
    pub(crate) guarantee: &'static str,
    /// Processes ended without warning: workers, sinks, retry processes and servers.
    pub(crate) kills: u64,
    /// Processes that went on after their successor had started.
    pub(crate) zombies: u64,
    pub(crate) records: u64,
    pub(crate) accepted: u64,
    pub(crate) late: u64,
    pub(crate) future: u64,
    pub(crate) poison: u64,
    pub(crate) dup_frames: u64,
    /// Summary records that a reader saw.
    pub(crate) summaries: u64,
    pub(crate) must_be_zero: MustBeZero,
    pub(crate) recovery_p50_s: Option<f64>,
    pub(crate) recovery_p99_s: Option<f64>,
    /// From a raw record being there to be read until a summary with it was seen, faults included.
    pub(crate) freshness_p99_s: Option<f64>,
    /// Only of scenarios with PostgreSQL.
    #[serde(flatten)]
    pub(crate) stores: Option<StoreFigures>,
    /// Only of the scenarios that measure them.
    #[serde(flatten)]
    pub(crate) returns: Option<ReturnFigures>,
    /// Only where the log has lost what was read.
    #[serde(flatten)]
    pub(crate) lost_log: Option<LogFigures>,
    /// Only where clocks are wrong.
    #[serde(flatten)]
    pub(crate) clocks: Option<ClockFigures>,
    pub(crate) rss_max_mb: f64,
    /// The greatest bound that a worker printed, of its windows alone.
    pub(crate) rss_bound_mb: Option<f64>,
    pub(crate) oracle_sha: String,
    pub(crate) result_sha: String,
}

/// What may not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct MustBeZero {
    /// Keys whose last summary in the topic, or without a fence whose greatest, is not the oracle's.
    pub(crate) diverged_topic: u64,
    /// Keys whose row in the store is not the oracle's.
    pub(crate) diverged_sink: u64,
    /// Different summaries under one revision: a store cannot tell which is right.
    pub(crate) dips_sink: u64,
    /// Summaries older than the one that a reader had seen; not judged without a fence.
    pub(crate) dips_topic: u64,
    /// Summaries that do not contain what their predecessor contained, and with a fence commits that
    /// went back.
    pub(crate) chain_violations: u64,
    /// Processes that took longer than five seconds to go on after a return of the broker.
    pub(crate) slow_returns: u64,
    /// Acknowledged raw records that are not in the log, and unusable ones without a dead letter.
    pub(crate) lost_acked: u64,
    /// Windows that lost input, are not published, and were named nowhere.
    pub(crate) unreported_gaps: u64,
    /// Commits, and the summaries in their transactions, of a worker after its successor's; not
    /// judged without a fence.
    pub(crate) zombie_visible: u64,
    /// Only of scenarios with PostgreSQL.
    #[serde(flatten)]
    pub(crate) stores: Option<StoreZeros>,
    /// Only where the log has lost what was read.
    #[serde(flatten)]
    pub(crate) lost_log: Option<LogFindings>,
    /// Only where clocks are wrong.
    #[serde(flatten)]
    pub(crate) clocks: Option<ClockZeros>,
}

/// What may not happen with PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct StoreZeros {
    /// Rows that are not the oracle's.
    pub(crate) rows_wrong: u64,
    /// Summaries of the oracle without a row.
    pub(crate) rows_missing: u64,
    /// Rows that the oracle does not know, or has in another shard.
    pub(crate) rows_extra: u64,
    /// Rows that a reader saw go back or vanish.
    pub(crate) rows_back: u64,
    /// Rows of which the store has noted that a revision cannot have come after the one it replaced.
    pub(crate) rows_against_chain: u64,
    /// Records that wait in RETRY at the end.
    pub(crate) retry_waiting: u64,
    /// Summaries that are in quarantine and should not be, or the other way round.
    pub(crate) quarantine_wrong: u64,
    /// Rows that shards that worked did not have while others were down.
    pub(crate) healthy_behind: u64,
}

/// What happened with PostgreSQL.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct StoreFigures {
    pub(crate) rows: u64,
    /// Records that came to lie in RETRY.
    pub(crate) retry_records: u64,
    /// Summaries that were in quarantine, as they should.
    pub(crate) quarantined: u64,
    /// From a raw record being there to be read until a row with it was seen, in shards that are never down.
    pub(crate) healthy_p99_s: Option<f64>,
    /// The same while others are down.
    pub(crate) healthy_p99_outage_s: Option<f64>,
}

impl MustBeZero {
    pub(crate) fn is_zero(&self) -> bool {
        let Self { stores, lost_log, clocks, .. } = *self;
        stores.unwrap_or_default() == StoreZeros::default()
            && lost_log.unwrap_or_default() == LogFindings::default()
            && clocks.unwrap_or_default() == ClockZeros::default()
            && Self { stores: None, lost_log: None, clocks: None, ..*self } == Self::default()
    }
}

/// Seconds with three decimals.
pub(crate) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000.0).round() / 1_000.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        for (name, value) in json.as_object().into_iter().flatten() {
            match value.as_object() {
                None => writeln!(f, "{name:<18} {value}")?,
                Some(parts) => {
                    writeln!(f, "{name}")?;
                    parts.iter().try_for_each(|(name, value)| writeln!(f, "  {name:<16} {value}"))?;
                }
            }
        }
        Ok(())
    }
}
