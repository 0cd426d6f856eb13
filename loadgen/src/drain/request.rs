//! Requests to one app: their paths, service times and outcomes.

use super::router_line::{RouterError, RouterLine};
use crate::rng::Rng;

/// Time that the platform allows an app for its first byte.
const TIMEOUT_MS: u32 = 30_000;

/// Longest service time of an answered request.
const LONGEST_ANSWER_MS: f64 = 29_500.0;

/// Longest time to connect while a dyno boots.
const LONGEST_CONNECT_MS: f64 = 7_001.0;

/// Factor on the service times of an app in trouble.
const TROUBLE_FACTOR: f64 = 12.0;

const DOCUMENTATION_NETS: &[&str] = &["192.0.2", "198.51.100", "203.0.113"];

/// Kind of request. `#` in the path is replaced by a number.
#[derive(Clone, Copy)]
struct Endpoint {
    method: &'static str,
    path: &'static str,
    /// Its median service time relative to the app's.
    cost: f64,
}

const ENDPOINTS: &[(f64, Endpoint)] = &[
    (20.0, Endpoint { method: "GET", path: "/", cost: 0.8 }),
    (30.0, Endpoint { method: "GET", path: "/items/#", cost: 1.0 }),
    (12.0, Endpoint { method: "GET", path: "/api/v1/items?page=#", cost: 1.4 }),
    (8.0, Endpoint { method: "GET", path: "/assets/app-#.js", cost: 0.1 }),
    (6.0, Endpoint { method: "GET", path: "/search?q=status=500 service=1ms", cost: 3.0 }),
    (9.0, Endpoint { method: "POST", path: "/api/v1/events", cost: 0.6 }),
    (5.0, Endpoint { method: "POST", path: "/orders", cost: 2.5 }),
    (3.0, Endpoint { method: "PUT", path: "/api/v1/items/#", cost: 1.3 }),
    (2.0, Endpoint { method: "DELETE", path: "/sessions/#", cost: 0.5 }),
    (1.0, Endpoint { method: "GET", path: "/reports/#", cost: 12.0 }),
];

/// Outcome of a request.
#[derive(Clone, Copy)]
enum End {
    Status(u16),
    Websocket,
    Timeout,
    NoResponse,
    DynoReset,
    ClientGone,
}

const USUAL_ENDS: &[(f64, End)] = &[
    (845.0, End::Status(200)),
    (30.0, End::Status(201)),
    (20.0, End::Status(204)),
    (12.0, End::Status(301)),
    (50.0, End::Status(304)),
    (25.0, End::Status(404)),
    (5.0, End::Status(422)),
    (3.0, End::Status(500)),
    (1.0, End::Status(503)),
    (5.0, End::Websocket),
    (0.3, End::Timeout),
    (0.3, End::NoResponse),
    (0.3, End::DynoReset),
    (1.5, End::ClientGone),
];

const ENDS_IN_TROUBLE: &[(f64, End)] = &[
    (75.0, End::Status(200)),
    (4.0, End::Status(500)),
    (14.0, End::Timeout),
    (3.0, End::NoResponse),
    (4.0, End::ClientGone),
];

/// Possible target of a request.
#[derive(Clone, Copy)]
pub(super) enum RouterTarget<'a> {
    /// A running dyno (`web.1`).
    Up(&'a str),
    /// A dyno that is about to accept connections.
    Booting(&'a str),
    /// All web dynos have crashed.
    Crashed,
    /// The formation has no web dyno.
    NoWeb,
}

/// Service times of an app: lognormal.
#[derive(Clone, Debug)]
pub(super) struct ServiceTimes {
    pub(super) median_ms: f64,
    pub(super) sigma: f64,
}

/// Strings of a request, which its line borrows.
pub(super) struct Request {
    endpoint: Endpoint,
    path: String,
    fwd: String,
}

impl Request {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let endpoint = rng.weighted(ENDPOINTS);
        let path = endpoint.path.replace('#', &rng.below(5_000).to_string());
        let address = |rng: &mut Rng| format!("{}.{}", rng.pick(DOCUMENTATION_NETS), 1 + rng.below(254));
        let fwd = if rng.chance(0.1) { format!("{}, {}", address(rng), address(rng)) } else { address(rng) };
        Self { endpoint, path, fwd }
    }

    /// Returns the router's line about the request, sent to `target`.
    pub(super) fn line<'a>(
        &'a self,
        host: &'a str,
        target: RouterTarget<'a>,
        times: &ServiceTimes,
        is_in_trouble: bool,
        rng: &mut Rng,
    ) -> RouterLine<'a> {
        let refused = RouterLine {
            error: None,
            method: self.endpoint.method,
            path: &self.path,
            host,
            request_id: rng.uuid(),
            fwd: &self.fwd,
            dyno: None,
            connect_ms: None,
            service_ms: None,
            status: 503,
            bytes: None,
        };
        let (dyno, connect_ms) = match target {
            RouterTarget::Crashed => return RouterLine { error: Some(&RouterError::H10), ..refused },
            RouterTarget::NoWeb => return RouterLine { error: Some(&RouterError::H14), ..refused },
            RouterTarget::Up(dyno) => (dyno, rng.lognormal(0.8, 0.7).min(LONGEST_CONNECT_MS)),
            RouterTarget::Booting(dyno) => (dyno, rng.lognormal(2_500.0, 0.5).min(LONGEST_CONNECT_MS)),
        };
        let slowness = if is_in_trouble { TROUBLE_FACTOR } else { 1.0 };
        let answer_ms = rng.lognormal(times.median_ms * self.endpoint.cost * slowness, times.sigma);
        let sent =
            RouterLine { dyno: Some(dyno), connect_ms: Some(connect_ms as u32), bytes: Some(0), ..refused };
        let ends = if is_in_trouble { ENDS_IN_TROUBLE } else { USUAL_ENDS };
        self.end(sent, rng.weighted(ends), answer_ms.clamp(1.0, LONGEST_ANSWER_MS) as u32, rng)
    }

    fn end<'a>(&self, sent: RouterLine<'a>, end: End, answer_ms: u32, rng: &mut Rng) -> RouterLine<'a> {
        let failed = |error: &'static RouterError| RouterLine { error: Some(error), ..sent };
        match end {
            End::Status(status) => RouterLine {
                status,
                service_ms: Some(answer_ms),
                bytes: Some(if matches!(status, 204 | 304) { 0 } else { rng.lognormal(1_800.0, 1.4) as u64 }),
                ..sent
            },
            End::Websocket => {
                let bytes = Some(rng.lognormal(20_000.0, 1.5) as u64);
                let service_ms = Some(rng.lognormal(180_000.0, 1.2).min(86_400_000.0) as u32);
                RouterLine { method: "GET", path: "/cable", status: 101, service_ms, bytes, ..sent }
            }
            End::Timeout => {
                let service_ms = Some(TIMEOUT_MS + rng.below(4) as u32);
                RouterLine { service_ms, ..failed(&RouterError::H12) }
            }
            End::NoResponse => RouterLine { service_ms: Some(answer_ms), ..failed(&RouterError::H13) },
            End::DynoReset => RouterLine { service_ms: Some(answer_ms), ..failed(&RouterError::H18) },
            End::ClientGone => RouterLine {
                service_ms: Some(answer_ms),
                status: 499,
                bytes: None,
                ..failed(&RouterError::H27)
            },
        }
    }
}
