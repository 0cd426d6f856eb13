//! The kinds of metrics, and the macro with which a crate declares its list of them.
//!
//! The macros of the `metrics` crate are banned elsewhere: a metric that is in no list cannot be written.
#![allow(clippy::disallowed_macros, reason = "this is the place that the ban points to")]

use metrics::Label;

/// A count that only grows.
#[derive(Debug)]
pub struct CounterMetric(pub MetricDefinition);

/// A value that goes up and down.
#[derive(Debug)]
pub struct GaugeMetric(pub MetricDefinition);

/// A distribution of observed values, exposed as quantiles.
#[derive(Debug)]
pub struct HistogramMetric(pub MetricDefinition);

/// Name and meaning of a metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricDefinition {
    /// Kind.
    pub kind: MetricKind,
    /// Prometheus name, with the unit last and `_total` for counters.
    pub name: &'static str,
    /// One sentence for operators.
    pub help: &'static str,
    /// Names of its labels; their values are few and bounded.
    pub labels: &'static [&'static str],
    /// Unit.
    pub unit: MetricUnit,
}

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// [`CounterMetric`].
    Counter,
    /// [`GaugeMetric`].
    Gauge,
    /// [`HistogramMetric`].
    Histogram,
}

/// Unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricUnit {
    /// A number of things, which the name says.
    Count,
    /// Seconds.
    Seconds,
}

impl MetricDefinition {
    /// Pairs the label names with `values`.
    fn labelled(&self, values: &[&str]) -> Vec<Label> {
        debug_assert_eq!(self.labels.len(), values.len(), "labels of {}", self.name);
        let pairs = self.labels.iter().zip(values);
        pairs.map(|(&name, &value)| Label::new(name, value.to_owned())).collect()
    }

    /// Registers name, unit and help with the installed recorder.
    pub(crate) fn describe(&self) {
        let (name, help) = (self.name.into(), self.help.into());
        let unit = (self.unit == MetricUnit::Seconds).then_some(metrics::Unit::Seconds);
        metrics::with_recorder(|recorder| match self.kind {
            MetricKind::Counter => recorder.describe_counter(name, unit, help),
            MetricKind::Gauge => recorder.describe_gauge(name, unit, help),
            MetricKind::Histogram => recorder.describe_histogram(name, unit, help),
        });
    }
}

impl CounterMetric {
    /// Returns a handle for these label values, in the order of the definition. Keep it where the path is hot.
    pub fn with(&self, label_values: &[&str]) -> metrics::Counter {
        metrics::counter!(self.0.name, self.0.labelled(label_values))
    }
}

impl GaugeMetric {
    /// Returns a handle for these label values, in the order of the definition. Keep it where the path is hot.
    pub fn with(&self, label_values: &[&str]) -> metrics::Gauge {
        metrics::gauge!(self.0.name, self.0.labelled(label_values))
    }
}

impl HistogramMetric {
    /// Returns a handle for these label values, in the order of the definition. Keep it where the path is hot.
    pub fn with(&self, label_values: &[&str]) -> metrics::Histogram {
        metrics::histogram!(self.0.name, self.0.labelled(label_values))
    }
}

/// Declares the metrics of a crate: one constant per metric, and `ALL` with the definitions of all of them.
#[macro_export]
macro_rules! metrics {
    ($($kind:ident $constant:ident = $name:literal [$($label:literal),*] $unit:ident, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: $crate::metrics!(@type $kind) =
                $crate::metrics!(@type $kind)($crate::telemetry::metric::MetricDefinition {
                    kind: $crate::telemetry::metric::MetricKind::$kind,
                    name: $name,
                    help: $help,
                    labels: &[$($label),*],
                    unit: $crate::telemetry::metric::MetricUnit::$unit,
                });
        )*

        /// Every definition, in the order of the list.
        pub const ALL: &[$crate::telemetry::metric::MetricDefinition] = &[$($constant.0),*];
    };
    (@type Counter) => { $crate::telemetry::metric::CounterMetric };
    (@type Gauge) => { $crate::telemetry::metric::GaugeMetric };
    (@type Histogram) => { $crate::telemetry::metric::HistogramMetric };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric_names::{ALL, COMMIT_AGE_SECONDS, JOB_RESTARTS};

    #[test]
    fn metrics_are_exposed_with_their_kinds_and_helps() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            ALL.iter().for_each(MetricDefinition::describe);
            JOB_RESTARTS.with(&["errors"]).increment(2);
            COMMIT_AGE_SECONDS.with(&["errors"]).set(1.5);
        });
        let text = recorder.handle().render();
        let check = |line: &str| assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        check(&format!("# HELP yahtzee_job_restarts_total {}", JOB_RESTARTS.0.help));
        check("# TYPE yahtzee_job_restarts_total counter");
        check("yahtzee_job_restarts_total{job=\"errors\"} 2");
        check("# TYPE yahtzee_commit_age_seconds gauge");
        check("yahtzee_commit_age_seconds{job=\"errors\"} 1.5");
    }
}
