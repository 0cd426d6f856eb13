//! Response time, throughput and status of requests, per app and process type.
//!
//! Latency counts every router line with a service time but websockets (status 101) and notices that are no request
//! (H80 to H82). H12 counts with its 30 s: leaving it out would make an overloaded app look fast. Throughput and
//! status count every line with a status, notices excepted.

use yahtzee::prelude::*;
use yahtzee_pipeline_proto::raw::Flag;
use yahtzee_pipeline_proto::{RawMeasurement, raw, summary};

use crate::view::{Measurements, RouterRequest};
use crate::{figures, wire};

const SWITCHING_PROTOCOLS: u32 = 101;

/// Reads the measurements of [`raw::RouterRequest`].
#[derive(Clone, Copy, Debug)]
pub struct RouterLatency;

accumulator! {
    /// One process type of one app in one window.
    pub struct Requests {
        service_ms: Distribution,
        service_moments_ms: Moments,
        connect_moments_ms: Moments,
        by_status: Counts,
        bytes: u64,
    }
}

impl Job for RouterLatency {
    const NAME: &'static str = "router-latency";
    const MEASUREMENT: &'static str = raw::RouterRequest::TYPE;
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["process_type"];
    type Record<'a> = Measurements<'a, RouterRequest<'a>>;
    type Accumulator = Requests;
    type Summary = summary::RouterLatency;

    fn fold(&self, record: &Self::Record<'_>, intake: &mut Intake<'_, Self>) {
        fold(record.iter(), intake);
    }

    fn summarize(&self, requests: &Requests) -> summary::RouterLatency {
        summary::RouterLatency {
            service_ms: wire::distribution(&requests.service_ms),
            service_moments_ms: wire::moments(&requests.service_moments_ms),
            connect_moments_ms: wire::moments(&requests.connect_moments_ms),
            by_status: requests.by_status.iter().collect(),
            requests: requests.by_status.total(),
            bytes: requests.bytes,
        }
    }

    fn figures(summary: &summary::RouterLatency) -> Figures {
        let mut figures = Figures::new();
        figures.insert("requests".to_owned(), summary.requests as f64);
        figures.insert("bytes".to_owned(), summary.bytes as f64);
        for (status, &count) in &summary.by_status {
            figures.insert(format!("status_{}", figures::key(*status)), count as f64);
        }
        figures::moments("service_ms", summary.service_moments_ms.as_ref(), &mut figures);
        figures::moments("connect_ms", summary.connect_moments_ms.as_ref(), &mut figures);
        if let Some(service_ms) = figures::distribution(summary.service_ms.as_ref()) {
            figures::quantiles("service_ms_", &service_ms, &mut figures);
        }
        figures
    }
}

/// Folds the requests of one record: [`Job::fold`] for those who have them decoded.
pub fn fold<'a, J: Job<Accumulator = Requests>>(
    requests: impl Iterator<Item = RouterRequest<'a>>,
    intake: &mut Intake<'_, J>,
) {
    for request in requests.filter(is_request) {
        intake.add(request.time_us, [request.process_type], |requests| requests.fold(&request));
    }
}

fn is_request(request: &RouterRequest<'_>) -> bool {
    request.flags & Flag::NotARequest as u32 == 0
}

impl Requests {
    fn fold(&mut self, request: &RouterRequest<'_>) {
        if let Some(status) = request.status {
            self.by_status.add(status, 1);
        }
        if let Some(service_ms) = request.service_ms
            && request.status != Some(SWITCHING_PROTOCOLS)
        {
            self.service_ms.record(service_ms.into());
            self.service_moments_ms.record(service_ms.into());
        }
        if let Some(connect_ms) = request.connect_ms {
            self.connect_moments_ms.record(connect_ms.into());
        }
        self.bytes = self.bytes.saturating_add(request.bytes.unwrap_or(0));
    }
}
