//! Figures of summaries, for people and machines: named numbers with units in their names.

use yahtzee::accumulate::{Accumulator, Counts, Distribution};
pub use yahtzee::job::Figures;
use yahtzee_pipeline_proto::summary;

/// Reads the value of a summary record of the job named `job`.
///
/// # Errors
/// If the job is unknown, or the value is not its summary; with a text that says so.
pub fn read(job: &str, value: &[u8]) -> Result<Figures, String> {
    let known = crate::find(job).ok_or_else(|| format!("there is no job named {job}"))?;
    known.figures(value).map_err(|error| format!("not a summary of job {job}: {error}"))
}

/// Adds mean, minimum and maximum under `name_mean`, `name_min` and `name_max`.
pub(crate) fn moments(name: &str, moments: Option<&summary::Moments>, figures: &mut Figures) {
    let Some(moments) = moments.filter(|moments| moments.count > 0) else { return };
    figures.insert(format!("{name}_mean"), moments.sum as f64 / moments.count as f64);
    figures.insert(format!("{name}_min"), moments.min as f64);
    figures.insert(format!("{name}_max"), moments.max as f64);
}

/// Adds mean and maximum of values in thousandths, in whole units, under `name_mean` and `name_max`.
pub(crate) fn thousandths(name: &str, moments: Option<&summary::Moments>, figures: &mut Figures) {
    let Some(moments) = moments.filter(|moments| moments.count > 0) else { return };
    figures.insert(format!("{name}_mean"), moments.sum as f64 / moments.count as f64 / 1_000.0);
    figures.insert(format!("{name}_max"), moments.max as f64 / 1_000.0);
}

/// Adds `last`, `min`, `max`, and `mean` unless the sum is saturated, all divided by `scale`.
pub(crate) fn gauge(gauge: Option<&summary::Gauge>, scale: f64, figures: &mut Figures) {
    let Some(gauge) = gauge.filter(|gauge| gauge.count > 0) else { return };
    figures.insert("last".to_owned(), gauge.last as f64 / scale);
    figures.insert("min".to_owned(), gauge.min as f64 / scale);
    figures.insert("max".to_owned(), gauge.max as f64 / scale);
    if !gauge.saturated {
        figures.insert("mean".to_owned(), gauge.sum as f64 / gauge.count as f64 / scale);
    }
}

/// Returns the key of a counter as figures name it; `other` for all that [`Counts`] does not tell apart.
pub(crate) fn key(key: u32) -> String {
    if key == Counts::GREATER_KEYS { "other".to_owned() } else { key.to_string() }
}

/// Decodes the distribution; `None` if there is none that can be read.
pub(crate) fn distribution(encoded: Option<&summary::Distribution>) -> Option<Distribution> {
    Distribution::decode(&encoded?.encoded).ok()
}

/// Adds median, 95th and 99th percentile under `prefix` and `p50`, `p95`, `p99`.
pub(crate) fn quantiles(prefix: &str, distribution: &Distribution, figures: &mut Figures) {
    for (name, quantile) in ["p50", "p95", "p99"].into_iter().zip(distribution.quantiles(&[0.5, 0.95, 0.99]))
    {
        if let Some(quantile) = quantile {
            figures.insert(format!("{prefix}{name}"), quantile as f64);
        }
    }
}
