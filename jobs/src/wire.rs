//! Accumulators into the messages of `proto/yahtzee/summary.proto`.

use yahtzee::accumulate::{Accumulator, Distribution, Gauge, Moments};
use yahtzee_pipeline_proto::summary;

pub(crate) fn distribution(from: &Distribution) -> Option<summary::Distribution> {
    let mut encoded = Vec::new();
    from.encode(&mut encoded);
    (from.count() > 0).then_some(summary::Distribution { encoded })
}

pub(crate) fn moments(from: &Moments) -> Option<summary::Moments> {
    (from.count() > 0).then(|| summary::Moments {
        count: from.count(),
        sum: from.sum(),
        sum_squares_high: from.sum_squares_high(),
        sum_squares_low: from.sum_squares_low(),
        min: from.min().unwrap_or(0),
        max: from.max().unwrap_or(0),
        saturated: from.is_saturated(),
    })
}

pub(crate) fn gauge(from: &Gauge) -> Option<summary::Gauge> {
    (from.count() > 0).then(|| summary::Gauge {
        count: from.count(),
        sum: from.sum(),
        min: from.min().unwrap_or(0),
        max: from.max().unwrap_or(0),
        last: from.last().unwrap_or(0),
        last_time_us: from.last_event_time_us().unwrap_or(0),
        saturated: from.is_saturated(),
    })
}

/// Records a value if the line had one: missing is not zero.
pub(crate) fn record(into: &mut Moments, value: Option<u64>) {
    if let Some(value) = value {
        into.record(value);
    }
}
