//! Requests that took a second or longer, per app and process type.

use yahtzee::prelude::*;
use yahtzee_pipeline_proto::raw::RouterRequest;
use yahtzee_pipeline_proto::{RawMeasurement, RecordOf};

/// The message that is published.
pub mod summary {
    #![allow(missing_docs, reason = "generated; see proto/slow_requests.proto")]
    include!(concat!(env!("OUT_DIR"), "/slow_requests.rs"));
}

/// From this service time on a request is slow.
const SLOW_MS: u32 = 1_000;

/// Reads the requests of the router.
#[derive(Clone, Copy, Debug)]
pub struct SlowRequests;

impl Job for SlowRequests {
    const NAME: &'static str = "slow-requests";
    const MEASUREMENT: &'static str = RouterRequest::TYPE;
    const SUMMARY: &'static str = "SLOW_REQUESTS";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["process_type"];
    type Record<'a> = RecordOf<RouterRequest>;
    /// Service times in milliseconds, and how many of them were slow.
    type Accumulator = (Moments, u64);
    type Summary = summary::SlowRequests;

    fn fold(&self, record: &Self::Record<'_>, intake: &mut Intake<'_, Self>) {
        for request in &record.measurements {
            let Some(service_ms) = request.service_ms else { continue };
            intake.add(request.time_us, [&request.process_type], |(service_times_ms, slow)| {
                service_times_ms.record(service_ms.into());
                *slow += u64::from(service_ms >= SLOW_MS);
            });
        }
    }

    fn summarize(&self, (service_ms, slow): &(Moments, u64)) -> summary::SlowRequests {
        let slowest_ms = service_ms.max().unwrap_or(0);
        summary::SlowRequests { requests: service_ms.count(), slow: *slow, slowest_ms }
    }

    fn figures(summary: &summary::SlowRequests) -> Figures {
        let summary::SlowRequests { requests, slow, slowest_ms } = *summary;
        figures_of([("requests", requests), ("slow", slow), ("slowest_ms", slowest_ms)])
    }
}

#[cfg(test)]
mod tests {
    use yahtzee_testkit::{Bench, START_US, check_job};

    use super::*;

    const APP: Owner = Owner([1; 16]);

    /// A frame with one request per service time.
    fn frame(number: u8, service_ms: &[u32]) -> RecordOf<RouterRequest> {
        let request = |&service_ms| RouterRequest {
            time_us: START_US,
            process_type: "web".to_owned(),
            service_ms: Some(service_ms),
            ..RouterRequest::default()
        };
        let measurements = service_ms.iter().map(request).collect();
        RecordOf { frame_id: vec![number; 16], measurements, ..RecordOf::default() }
    }

    #[test]
    fn slow_requests_are_counted_over_a_crash() {
        let expected = summary::SlowRequests { requests: 4, slow: 2, slowest_ms: 30_000 };
        Bench::new(SlowRequests)
            .feed(APP, &frame(1, &[12, 1_000]))
            .flush()
            .feed(APP, &frame(2, &[999, 30_000]))
            .crash()
            .restart()
            .advance_minutes(7)
            .assert_summaries(&[((APP, vec!["web".to_owned()], 0), expected)]);
    }

    #[test]
    fn the_job_keeps_the_laws() {
        let records = [frame(1, &[1, 2_000]), frame(2, &[5_000]), frame(3, &[7, 8, 9])];
        check_job(SlowRequests, &records.map(|record| (APP, record)));
    }
}
