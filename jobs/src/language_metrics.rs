//! Metrics that language runtimes post, per app, process type, name and kind.
//!
//! Counters are summed over all dynos: each post says what was added since the one before. A gauge's figures are those of
//! the samples of all dynos. Distributions merge.

use yahtzee::prelude::*;
use yahtzee_pipeline_proto::raw::lang_metric::Value;
use yahtzee_pipeline_proto::{RawMeasurement, RecordOf, raw, summary};

use crate::{figures, wire};

/// Reads the measurements of [`raw::LangMetric`].
#[derive(Clone, Copy, Debug)]
pub struct LanguageMetrics;

accumulator! {
    /// One metric of one process type of one app in one window. Of one kind, except where it takes what the caps leave
    /// no room for.
    pub struct Metric {
        counter_posts: u64,
        counter_milli: u64,
        gauge_milli: Gauge,
        distribution: Distribution,
    }
}

impl Job for LanguageMetrics {
    const NAME: &'static str = "language-metrics";
    const MEASUREMENT: &'static str = raw::LangMetric::TYPE;
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["process_type", "name", "kind"];
    type Record<'a> = RecordOf<raw::LangMetric>;
    type Accumulator = Metric;
    type Summary = summary::LanguageMetric;

    fn fold(&self, record: &Self::Record<'_>, intake: &mut Intake<'_, Self>) {
        for metric in &record.measurements {
            let Some(value) = &metric.value else { continue };
            let series = [&*metric.process_type, &*metric.name, kind(value)];
            intake.add(metric.time_us, series, |state| state.fold(metric.time_us, value));
        }
    }

    fn summarize(&self, metric: &Metric) -> summary::LanguageMetric {
        summary::LanguageMetric {
            counter_milli: (metric.counter_posts > 0).then_some(metric.counter_milli),
            gauge_milli: wire::gauge(&metric.gauge_milli),
            distribution: wire::distribution(&metric.distribution),
        }
    }

    /// Returns, in the poster's units, `total` of a counter; `last`, `min`, `max`, `mean` of a gauge; `samples` and percentiles of a
    /// distribution.
    fn figures(summary: &summary::LanguageMetric) -> Figures {
        let mut figures = Figures::new();
        if let Some(milli) = summary.counter_milli {
            figures.insert("total".to_owned(), milli as f64 / 1_000.0);
        }
        figures::gauge(summary.gauge_milli.as_ref(), 1_000.0, &mut figures);
        if let Some(samples) = figures::distribution(summary.distribution.as_ref()) {
            figures.insert("samples".to_owned(), samples.count() as f64);
            figures::quantiles("", &samples, &mut figures);
        }
        figures
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::CounterMilli(_) => "counter",
        Value::GaugeMilli(_) => "gauge",
        Value::Distribution(_) => "distribution",
    }
}

impl Metric {
    fn fold(&mut self, time_us: i64, value: &Value) {
        match value {
            Value::CounterMilli(added) => {
                self.counter_posts += 1;
                self.counter_milli = self.counter_milli.saturating_add(*added);
            }
            Value::GaugeMilli(value) => self.gauge_milli.record(time_us, *value),
            Value::Distribution(samples) => {
                samples.values.iter().for_each(|&value| self.distribution.record(value));
            }
        }
    }
}
