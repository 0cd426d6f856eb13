//! Releases and scaling per app: what charts mark.
//!
//! A series each for the releases, with version numbers as values, and for the wanted dynos of each process type. The
//! last value is that of the greatest event time; of two at one instant the greater, so that the order of arrival
//! does not matter.

use yahtzee::prelude::*;
use yahtzee_pipeline_proto::{RawMeasurement, RecordOf, raw, summary};

use crate::{figures, policy, wire};

/// Reads the measurements of [`raw::AppEvent`].
#[derive(Clone, Copy, Debug)]
pub struct AppEvents;

impl Job for AppEvents {
    const NAME: &'static str = "app-events";
    const MEASUREMENT: &'static str = raw::AppEvent::TYPE;
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["kind", "process_type"];
    type Record<'a> = RecordOf<raw::AppEvent>;
    type Accumulator = Gauge;
    type Summary = summary::AppEvents;

    fn fold(&self, record: &Self::Record<'_>, intake: &mut Intake<'_, Self>) {
        for event in &record.measurements {
            let mut add = |series: [&str; 2], value: u32| {
                intake.add(event.time_us, series, |gauge| gauge.record(event.time_us, value.into()));
            };
            event.release.into_iter().for_each(|version| add(["release", ""], version));
            event.formation.iter().for_each(|(name, &dynos)| add(["formation", name], dynos));
        }
    }

    fn summarize(&self, gauge: &Gauge) -> summary::AppEvents {
        summary::AppEvents { value: wire::gauge(gauge) }
    }

    /// Returns `events`, and of the version numbers or the dynos `last`, `min`, `max` and `mean`.
    fn figures(summary: &summary::AppEvents) -> Figures {
        let events = summary.value.as_ref().map_or(0, |gauge| gauge.count);
        let mut figures = figures_of([("events", events)]);
        figures::gauge(summary.value.as_ref(), 1.0, &mut figures);
        figures
    }

    fn policy(&self) -> Policy {
        policy::of_rare_measurements()
    }
}
