//! One app of the fleet: its identity, its dynos, and its log lines in a short span of time.

use yahtzee_core::owner::Owner;

use super::dyno::{Dyno, Size, State};
use super::line::{Line, LineSource};
use super::names::app_name;
use super::output_line::{self, AddOn};
use super::request::{Request, RouterTarget, ServiceTimes};
use super::router_line::Router;
use super::traffic::Wobble;
use crate::rng::Rng;

/// Number of lines that an app itself writes per request.
const OUTPUT_PER_REQUEST: f64 = 0.4;

/// Number of lines of dynos other than web per request.
const WORK_PER_REQUEST: f64 = 0.2;

/// Number of all lines per request, the router's included.
pub(super) const LINES_PER_REQUEST: f64 = 1.0 + OUTPUT_PER_REQUEST + WORK_PER_REQUEST;

/// Mean time between two deploys of one app.
const DEPLOY_PERIOD_S: f64 = 900.0;

/// Period of apps without web dynos, which get hardly any requests: one in this many.
const NO_WEB_EVERY: u32 = 9;

/// Share of requests that such an app still gets.
const NO_WEB_TRAFFIC: f64 = 0.02;

/// Maximum number of web dynos of an app.
const MAX_WEB_DYNOS: f64 = 8.0;

/// Public identity of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppIdentity {
    /// `proud-river-1234`.
    pub name: String,
    /// Its UUID.
    pub owner: Owner,
    /// `d.<uuid>`: what Logplex sends in its header.
    pub drain_token: String,
}

impl AppIdentity {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            name: app_name(rng),
            owner: Owner(rng.uuid().into_bytes()),
            drain_token: format!("d.{}", rng.uuid()),
        }
    }
}

/// A span of time, microseconds since 1970: `start_us` included, `end_us` not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start_us: i64,
    pub(super) end_us: i64,
}

impl Span {
    fn seconds(self) -> f64 {
        (self.end_us - self.start_us) as f64 / 1e6
    }

    fn draw_us(self, rng: &mut Rng) -> i64 {
        self.start_us + rng.below((self.end_us - self.start_us).cast_unsigned()).cast_signed()
    }
}

/// An app and all its state.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) identity: AppIdentity,
    host: String,
    router: Router,
    times: ServiceTimes,
    requests_per_s: f64,
    wobble: Wobble,
    dynos: Vec<Dyno>,
    add_ons: Vec<AddOn>,
    release: u64,
    rng: Rng,
}

impl App {
    /// Creates the app of this `rank` (0 is the busiest): `character` decides what it is, `rng` what happens to it.
    pub(super) fn new(rank: u32, start_us: i64, mut character: Rng, rng: Rng) -> Self {
        let identity = AppIdentity::draw(&mut character);
        let router = match character.below(3) {
            0 => Router::Legacy,
            kind => Router::V2 { has_own_domain: kind == 1 },
        };
        let domain =
            if router == (Router::V2 { has_own_domain: true }) { "example.com" } else { "herokuapp.com" };
        Self {
            host: format!("{}.{domain}", identity.name),
            router,
            times: ServiceTimes {
                median_ms: character.lognormal(60.0, 0.7),
                sigma: character.between(0.5, 1.0),
            },
            requests_per_s: 0.0,
            wobble: Wobble::new(&mut character),
            dynos: formation(rank, start_us, &mut character),
            add_ons: add_ons(start_us, &mut character),
            release: 1 + character.below(400),
            identity,
            rng,
        }
    }

    /// Returns the number of dynos.
    pub(super) fn dyno_count(&self) -> usize {
        self.dynos.len()
    }

    /// Sets the mean rate of requests, before waves, bursts and the limit of what the app can serve.
    pub(super) fn set_requests_per_s(&mut self, requests_per_s: f64) {
        let is_served = self.dynos.iter().any(is_web);
        self.requests_per_s = requests_per_s * if is_served { 1.0 } else { NO_WEB_TRAFFIC };
    }

    /// Returns all lines of `span`, in the order of their times.
    pub(super) fn lines(&mut self, span: Span, is_in_trouble: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        self.deploy(span, &mut lines);
        for dyno in &mut self.dynos {
            dyno.lines(span.end_us, is_in_trouble, &mut self.rng, &mut lines);
        }
        self.requests(span, is_in_trouble, &mut lines);
        self.work(span, &mut lines);
        let samples = self.add_ons.iter_mut().filter_map(|add_on| add_on.sample(span.end_us, &mut self.rng));
        lines.extend(samples);
        lines.sort_by_key(|line| line.time_us);
        lines
    }

    fn deploy(&mut self, span: Span, lines: &mut Vec<Line>) {
        if !self.rng.chance(span.seconds() / DEPLOY_PERIOD_S) {
            return;
        }
        self.release += 1;
        let text = format!("Release v{} created by user dev@example.com", self.release);
        lines.push(Line::new(span.start_us, LineSource::api(), text));
        for dyno in &mut self.dynos {
            if matches!(dyno.state, State::Up { .. }) {
                dyno.restart(span.start_us, &mut self.rng, lines);
            }
        }
    }

    fn requests(&mut self, span: Span, is_in_trouble: bool, lines: &mut Vec<Line>) {
        let mean = self.requests_per_s * self.wobble.factor(span.start_us) * span.seconds();
        for _ in 0..self.rng.poisson(mean) {
            let time_us = span.draw_us(&mut self.rng);
            let target = target(&self.dynos, &mut self.rng);
            let request = Request::draw(&mut self.rng);
            let line = request.line(&self.host, target, &self.times, is_in_trouble, &mut self.rng);
            lines.push(Line::new(time_us, self.router.source(), line.text(self.router)));
            if let RouterTarget::Up(dyno) = target
                && self.rng.chance(OUTPUT_PER_REQUEST)
            {
                lines.push(output_line::request_output(time_us, dyno, &mut self.rng));
            }
        }
    }

    fn work(&mut self, span: Span, lines: &mut Vec<Line>) {
        let others: Vec<&Dyno> = self.dynos.iter().filter(|dyno| !is_web(dyno) && is_up(dyno)).collect();
        if others.is_empty() {
            return;
        }
        for _ in 0..self.rng.poisson(self.requests_per_s * WORK_PER_REQUEST * span.seconds()) {
            let time_us = span.draw_us(&mut self.rng);
            let dyno = self.rng.pick(&others);
            lines.push(output_line::work_output(time_us, &dyno.name, &mut self.rng));
        }
    }
}

fn is_web(dyno: &Dyno) -> bool {
    dyno.name.starts_with("web.")
}

fn is_up(dyno: &Dyno) -> bool {
    matches!(dyno.state, State::Up { .. })
}

/// Returns the target of the next request.
fn target<'a>(dynos: &'a [Dyno], rng: &mut Rng) -> RouterTarget<'a> {
    let web: Vec<&Dyno> = dynos.iter().filter(|dyno| is_web(dyno)).collect();
    let up: Vec<&Dyno> = web.iter().copied().filter(|dyno| is_up(dyno)).collect();
    if !up.is_empty() {
        return RouterTarget::Up(&rng.pick(&up).name);
    }
    let booting = web.iter().find(|dyno| matches!(dyno.state, State::Booting { .. }));
    match booting {
        Some(dyno) => RouterTarget::Booting(&dyno.name),
        None if web.is_empty() => RouterTarget::NoWeb,
        None => RouterTarget::Crashed,
    }
}

fn formation(rank: u32, start_us: i64, rng: &mut Rng) -> Vec<Dyno> {
    let size = Size {
        app_number: 4_000_000 + rng.below(90_000_000),
        quota_mb: rng.weighted(&[(6.0, 512.0), (3.0, 1_024.0), (2.0, 2_560.0), (1.0, 14_336.0)]),
    };
    let has_web = !(rank + 1).is_multiple_of(NO_WEB_EVERY);
    let web = if has_web { (MAX_WEB_DYNOS / f64::from(rank + 1).powf(0.75)).ceil() as u32 } else { 0 };
    let worker = if has_web { rng.weighted(&[(3.0, 0), (4.0, 1), (2.0, 2), (1.0, 4)]) } else { 2 };
    let clock = u32::from(rng.chance(0.3));
    let urgent_worker = rng.weighted(&[(8.0, 0), (1.0, 1), (1.0, 2)]);
    [("web", web), ("worker", worker), ("clock", clock), ("urgentworker", urgent_worker)]
        .into_iter()
        .flat_map(|(process_type, count)| (1..=count).map(move |number| (process_type, number)))
        .map(|(process_type, number)| Dyno::new(process_type, number, size, start_us, rng))
        .collect()
}

fn add_ons(start_us: i64, rng: &mut Rng) -> Vec<AddOn> {
    let mut add_ons = Vec::new();
    for (is_postgres, share) in [(true, 0.6), (false, 0.4)] {
        if rng.chance(share) {
            add_ons.push(AddOn::new(is_postgres, start_us, rng));
        }
    }
    add_ons
}
