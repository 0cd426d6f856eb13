//! The metric jobs of this pipeline. One file each; [`all`] is the list.

use std::sync::Arc;

use yahtzee::prelude::AnyJob;

pub mod app_events;
pub mod dyno_events;
pub mod dyno_load;
pub mod dyno_memory;
pub mod errors;
pub mod figures;
pub mod language_metrics;
pub mod log_loss;
mod policy;
pub mod router_latency;
pub mod view;
mod wire;

/// Returns every job, in alphabetical order of their names. A new job is one file and one line here.
#[must_use]
pub fn all() -> Vec<Arc<dyn AnyJob>> {
    vec![
        Arc::new(app_events::AppEvents),
        Arc::new(dyno_events::DynoEvents),
        Arc::new(dyno_load::DynoLoad),
        Arc::new(dyno_memory::DynoMemory),
        Arc::new(errors::Errors),
        Arc::new(language_metrics::LanguageMetrics),
        Arc::new(log_loss::LogLoss),
        Arc::new(router_latency::RouterLatency),
    ]
}

/// Returns the job of this name.
#[must_use]
pub fn find(name: &str) -> Option<Arc<dyn AnyJob>> {
    all().into_iter().find(|job| job.name() == name)
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
