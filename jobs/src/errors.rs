//! Platform errors per app, process type and code: H of the router, R of dynos, L of the log system.

use yahtzee_core::job::{Figures, Job};
use yahtzee_core::window::Intake;
use yahtzee_proto::raw::PlatformErrors;
use yahtzee_proto::summary;

/// Reads `ERROR`.
#[derive(Clone, Copy, Debug)]
pub struct Errors;

impl Job for Errors {
    const NAME: &'static str = "errors";
    const MEASUREMENT: &'static str = "ERROR";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["process_type", "code"];
    type Record = PlatformErrors;
    type Accumulator = u64;
    type Summary = summary::Errors;

    fn frame_id(record: &PlatformErrors) -> &[u8] {
        &record.frame_id
    }

    fn fold(&self, record: &PlatformErrors, intake: &mut Intake<'_, u64>) {
        for error in &record.errors {
            intake.add(error.time_us, &[&error.process_type, &error.code], |occurrences| *occurrences += 1);
        }
    }

    fn summarize(&self, occurrences: &u64) -> summary::Errors {
        summary::Errors { provenance: None, occurrences: *occurrences }
    }

    fn figures(summary: &summary::Errors) -> Figures {
        Figures::from([("occurrences".to_owned(), summary.occurrences as f64)])
    }
}
