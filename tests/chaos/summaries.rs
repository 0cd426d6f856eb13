//! What a reader of the summary topic sees, and whether it could have been misled.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use yahtzee_core::owner::Partition;
use yahtzee_core::record::LogRecord;
use yahtzee_core::summary::{Provenance, SummaryKey, key_of_record};
use yahtzee_runtime::clock::wall_clock_ms;
use yahtzee_runtime::worker::Guarantee;

use crate::policy::{CLOCK_SKEW_MS, LATENESS, WINDOW_MS};
use crate::watch::Sight;

/// The summaries under every key, and what was wrong with their order.
#[derive(Default)]
pub(crate) struct Summaries {
    keys: BTreeMap<Vec<u8>, Visible>,
    guarantee: Guarantee,
    pub(crate) count: u64,
    /// A summary older than the one that was visible: a reader of the topic sees it go back.
    pub(crate) dips_topic: u64,
    /// Other bytes under the same revision: a store that keeps the greatest revision cannot tell which is right.
    pub(crate) dips_sink: u64,
    /// A newer summary that has not folded in all that the older one had.
    pub(crate) chain_violations: u64,
    /// Final summaries of windows that no stamp within the clock skew can have closed by then.
    pub(crate) closed_early: u64,
    /// When each raw record was first seen in a summary, as the last one folded in.
    pub(crate) seen_at: Vec<(Partition, u64, Instant)>,
}

/// The summary of a key that counts: the last one, which compaction keeps, or without a fence the greatest, which stores
/// keep.
pub(crate) struct Visible {
    pub(crate) provenance: Provenance,
    pub(crate) value: Vec<u8>,
}

impl Sight for Summaries {
    fn see(&mut self, partition: Partition, record: &LogRecord<'_>) {
        self.count += 1;
        let Ok(new) = Provenance::of_value(record.value) else {
            self.chain_violations += 1;
            return;
        };
        let key = key_of_record(record.key, record.value);
        self.closed_early += u64::from(new.is_final && is_early(key, wall_clock_ms()));
        let before = self.keys.get(key);
        if let Some(before) = before {
            let order = before.provenance.revision().cmp(&new.revision());
            self.dips_topic += u64::from(order.is_gt());
            self.dips_sink += u64::from(order.is_eq() && before.value != record.value);
            let (older, newer) =
                if order.is_gt() { (&new, &before.provenance) } else { (&before.provenance, &new) };
            self.chain_violations += u64::from(order.is_ne() && !older.can_be_followed_by(newer));
            if order.is_gt() && self.guarantee == Guarantee::AtLeastOnce {
                return;
            }
        }
        if before.is_none_or(|before| before.provenance.last_offset < new.last_offset) {
            self.seen_at.push((partition, new.last_offset, Instant::now()));
        }
        self.keys.insert(key.to_vec(), Visible { provenance: new, value: record.value.to_vec() });
    }
}

impl Summaries {
    /// Nothing seen yet of workers with this guarantee.
    pub(crate) fn under(guarantee: Guarantee) -> Self {
        Self { guarantee, ..Self::default() }
    }

    /// The summary of every key that counts.
    pub(crate) fn visible(&self) -> &BTreeMap<Vec<u8>, Visible> {
        &self.keys
    }
}

/// Whether a window is still open for every watermark that is ahead of the true time by no more than the clock skew.
fn is_early(key: &[u8], true_time_ms: i64) -> bool {
    SummaryKey::decode(key).is_ok_and(|key| {
        let closes_at_ms = key.window_start_ms + (1 + LATENESS) * WINDOW_MS;
        closes_at_ms > true_time_ms + CLOCK_SKEW_MS
    })
}

/// The value below which `percent` of the times lie, by nearest rank; `None` where there are none.
pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> Option<Duration> {
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100);
    times.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use yahtzee_core::record::Offset;
    use yahtzee_pipeline_proto::summary;

    use super::*;

    /// Shows summaries `(first, last, count, final)` of one key and counts dips of topic and sink, and violations.
    fn check(shown: &[(u64, u64, u64, bool)], expected: (u64, u64, u64)) {
        see(Guarantee::Fenced, shown, expected);
    }

    /// The same under a guarantee; returns the last offset of what counts in the end.
    fn see(guarantee: Guarantee, shown: &[(u64, u64, u64, bool)], expected: (u64, u64, u64)) -> u64 {
        let mut summaries = Summaries::under(guarantee);
        for (&(first_offset, last_offset, count, is_final), requests) in shown.iter().zip(0..) {
            let provenance = Provenance { generation: 1, first_offset, last_offset, count, is_final };
            let value = provenance.join(&summary::RouterLatency { requests, ..Default::default() });
            let record = LogRecord { offset: Offset(0), timestamp_ms: 0, key: b"key", value: &value };
            summaries.see(Partition(0), &record);
        }
        let Summaries { dips_topic, dips_sink, chain_violations, ref keys, .. } = summaries;
        assert_eq!((dips_topic, dips_sink, chain_violations), expected, "{shown:?}");
        keys[&b"key"[..]].provenance.last_offset
    }

    #[test]
    fn what_misleads_a_reader_is_counted() {
        check(&[(1, 1, 1, false), (1, 3, 2, false), (1, 3, 2, true)], (0, 0, 0));
        check(&[(1, 3, 2, false), (1, 1, 1, false)], (1, 0, 0));
        check(&[(1, 3, 2, true), (3, 5, 1, false)], (0, 0, 1));
        // `requests` differs with each summary shown.
        check(&[(1, 3, 2, false), (1, 3, 2, false)], (0, 1, 0));
    }

    #[test]
    fn without_a_fence_the_greatest_summary_counts() {
        let check = |shown: &[_], expected, fenced, at_least_once| {
            assert_eq!(see(Guarantee::Fenced, shown, expected), fenced, "{shown:?}");
            assert_eq!(see(Guarantee::AtLeastOnce, shown, expected), at_least_once, "{shown:?}");
        };
        check(&[(1, 1, 1, false), (1, 3, 2, false)], (0, 0, 0), 3, 3);
        check(&[(1, 3, 2, true), (1, 1, 1, false)], (1, 0, 0), 1, 3);
        // What comes late must be a part of what it comes after all the same.
        check(&[(1, 3, 2, true), (0, 1, 1, false)], (1, 0, 1), 1, 3);
    }

    #[test]
    fn a_window_closes_early_if_no_clock_within_the_skew_can_have_closed_it() {
        let owner = yahtzee_core::owner::Owner([1; 16]);
        let (window_start_ms, window_length_ms) = (10_000, WINDOW_MS as u32);
        let key = SummaryKey { owner, dimensions: Vec::new(), window_start_ms, window_length_ms }.encode();
        // Lateness of five windows: a stamp of 16 s closes it.
        assert_eq!([13_999, 14_000, 16_000].map(|now_ms| is_early(&key, now_ms)), [true, false, false]);
        assert!(!is_early(b"key", 0));
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let check = |count: u64, percent, expected: Option<u64>| {
            let mut times: Vec<Duration> = (1..=count).rev().map(Duration::from_secs).collect();
            assert_eq!(percentile(&mut times, percent), expected.map(Duration::from_secs));
        };
        check(0, 50, None);
        check(1, 99, Some(1));
        check(100, 50, Some(50));
        check(100, 99, Some(99));
    }
}
