//! Summaries as people and machines read them: named figures with units in their names.

use std::collections::BTreeMap;

use prost::Message;
use yahtzee_core::accumulate::{Accumulator, Distribution};
use yahtzee_core::job::Job;
use yahtzee_proto::summary;

use crate::{dyno_load, dyno_memory, errors, router_latency};

/// Figures of one summary by name, in alphabetical order. Absent figures are left out, never 0.
pub type Figures = BTreeMap<String, f64>;

/// Reads the value of a summary record of the job named `job`.
///
/// # Errors
/// The text of what is wrong: an unknown job, or a value that is not its summary.
pub fn read(job: &str, value: &[u8]) -> Result<Figures, String> {
    match job {
        router_latency::RouterLatency::NAME => decode(value, router),
        dyno_load::DynoLoad::NAME => decode(value, load),
        dyno_memory::DynoMemory::NAME => decode(value, memory),
        errors::Errors::NAME => decode(value, |summary: &summary::Errors, figures| {
            figures.insert("occurrences".to_owned(), summary.occurrences as f64);
            Ok(())
        }),
        other => Err(format!("there is no job named {other}")),
    }
}

fn decode<M: Message + Default>(
    value: &[u8],
    fill: impl Fn(&M, &mut Figures) -> Result<(), String>,
) -> Result<Figures, String> {
    let message = M::decode(value).map_err(|error| format!("not a summary of this job: {error}"))?;
    let mut figures = Figures::new();
    fill(&message, &mut figures)?;
    Ok(figures)
}

fn router(summary: &summary::RouterLatency, figures: &mut Figures) -> Result<(), String> {
    figures.insert("requests".to_owned(), summary.requests as f64);
    figures.insert("bytes".to_owned(), summary.bytes as f64);
    for (status, count) in &summary.by_status {
        figures.insert(format!("status_{status}"), *count as f64);
    }
    moments("service_ms", summary.service_moments_ms.as_ref(), figures);
    moments("connect_ms", summary.connect_moments_ms.as_ref(), figures);
    let Some(encoded) = &summary.service_ms else { return Ok(()) };
    let distribution =
        Distribution::decode(&encoded.encoded).map_err(|error| format!("service_ms: {error}"))?;
    let names = ["service_ms_p50", "service_ms_p95", "service_ms_p99"];
    for (name, quantile) in names.into_iter().zip(distribution.quantiles(&[0.5, 0.95, 0.99])) {
        if let Some(quantile) = quantile {
            figures.insert(name.to_owned(), quantile as f64);
        }
    }
    Ok(())
}

fn load(summary: &summary::DynoLoad, figures: &mut Figures) -> Result<(), String> {
    let milli = |moments: &Option<summary::Moments>, name: &str, figures: &mut Figures| {
        let Some(moments) = moments else { return };
        figures.insert(format!("{name}_mean"), moments.sum as f64 / moments.count as f64 / 1_000.0);
        figures.insert(format!("{name}_max"), moments.max as f64 / 1_000.0);
    };
    milli(&summary.load_1m_milli, "load_1m", figures);
    milli(&summary.load_5m_milli, "load_5m", figures);
    milli(&summary.load_15m_milli, "load_15m", figures);
    Ok(())
}

fn memory(summary: &summary::DynoMemory, figures: &mut Figures) -> Result<(), String> {
    moments("total_bytes", summary.total_bytes.as_ref(), figures);
    moments("rss_bytes", summary.rss_bytes.as_ref(), figures);
    moments("swap_bytes", summary.swap_bytes.as_ref(), figures);
    moments("cache_bytes", summary.cache_bytes.as_ref(), figures);
    moments("quota_bytes", summary.quota_bytes.as_ref(), figures);
    Ok(())
}

/// Mean, minimum and maximum under `name_mean`, `name_min` and `name_max`.
fn moments(name: &str, moments: Option<&summary::Moments>, figures: &mut Figures) {
    let Some(moments) = moments.filter(|moments| moments.count > 0) else { return };
    figures.insert(format!("{name}_mean"), moments.sum as f64 / moments.count as f64);
    figures.insert(format!("{name}_min"), moments.min as f64);
    figures.insert(format!("{name}_max"), moments.max as f64);
}
