//! Platform errors per app, process type and code: H of the router, R of dynos, L of the log system.

use yahtzee::prelude::*;
use yahtzee_pipeline_proto::{RawMeasurement, raw, summary};

use crate::view::{Measurements, PlatformError};

/// Reads the measurements of [`raw::PlatformError`].
#[derive(Clone, Copy, Debug)]
pub struct Errors;

impl Job for Errors {
    const NAME: &'static str = "errors";
    const MEASUREMENT: &'static str = raw::PlatformError::TYPE;
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["process_type", "code"];
    type Record<'a> = Measurements<'a, PlatformError<'a>>;
    type Accumulator = u64;
    type Summary = summary::Errors;

    fn fold(&self, record: &Self::Record<'_>, intake: &mut Intake<'_, Self>) {
        for error in record.iter() {
            intake.add(error.time_us, [error.process_type, error.code], |occurrences| *occurrences += 1);
        }
    }

    fn summarize(&self, occurrences: &u64) -> summary::Errors {
        summary::Errors { occurrences: *occurrences }
    }

    fn figures(summary: &summary::Errors) -> Figures {
        figures_of([("occurrences", summary.occurrences)])
    }
}
