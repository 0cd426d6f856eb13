//! A realistic fleet of apps and the Logplex drain frames it sends: equal seeds give equal frames.
//!
//! The apps depend on the seed alone. The frames depend on the settings and the start: the fleet reads no clock, the
//! caller says how far to advance, and the number of calls changes nothing. Frame ids depend on the start too, so that
//! a second run over the same data is not mistaken for a redelivery of the first.

mod app;
mod delivery;
mod dyno;
mod line;
mod names;
mod output_line;
mod request;
mod router_line;
mod traffic;

use crate::rng::Rng;
use crate::zipf::harmonic;
pub use app::AppIdentity;
use app::{App, LINES_PER_REQUEST, Span};
use delivery::Delivery;
use traffic::Incidents;

/// Interval at which drain processes send the lines gathered.
const TICK_US: i64 = 100_000;

/// Rate of log lines of one dyno about its load and memory, per second.
const SAMPLES_PER_DYNO_S: f64 = 0.1;

/// Minimum share of requests in a very small rate, however many dynos there are.
const LEAST_REQUEST_SHARE: f64 = 0.2;

/// First random stream of the apps; streams below it belong to the fleet.
const FIRST_APP_STREAM: u64 = 16;
const DELIVERY_STREAM: u64 = 0;
const INCIDENT_STREAM: u64 = 1;

/// Greatest mean number of log lines per second that a fleet is asked for: several times of what one machine generates, sends
/// and aggregates.
pub const LINES_PER_SECOND_MAX: f64 = 1_000_000.0;

/// Settings of a fleet: its apps, and how busy they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FleetSettings {
    /// Seed of all randomness.
    pub seed: u64,
    /// Number of apps; 0 counts as 1.
    pub apps: u32,
    /// Mean number of log lines per second over the whole fleet.
    pub lines_per_second: f64,
}

impl Default for FleetSettings {
    fn default() -> Self {
        Self { seed: 1, apps: 40, lines_per_second: 600.0 }
    }
}

/// Kind of frame, as its receiver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A first delivery.
    Fresh,
    /// A frame that was sent before, under the same frame id.
    Redelivery,
    /// A first delivery with a wrong count, a missing end, or garbage.
    Broken,
}

/// One request of a drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainFrame {
    /// `d.<uuid>`.
    pub drain_token: String,
    /// 32 upper-case hexadecimal digits.
    pub frame_id: String,
    /// Number of messages in the body, a leading notice of loss included.
    pub message_count: u32,
    /// `<octets> SP <message>`, repeated.
    pub body: Vec<u8>,
    /// Kind of the frame.
    pub kind: FrameKind,
}

/// The state of the fleet.
#[derive(Clone, Debug)]
pub struct Fleet {
    apps: Vec<App>,
    incidents: Incidents,
    delivery: Delivery,
    now_us: i64,
}

impl Fleet {
    /// Creates the fleet of `settings` at `start_us`, microseconds since 1970, with all its apps up and running.
    pub fn new(settings: FleetSettings, start_us: i64) -> Self {
        let FleetSettings { seed, lines_per_second, .. } = settings;
        let count = settings.apps.max(1);
        let life_seed = Rng::stream(seed, start_us.cast_unsigned()).bits();
        let app = |rank| {
            let stream = FIRST_APP_STREAM + u64::from(rank);
            App::new(rank, start_us, Rng::stream(seed, stream), Rng::stream(life_seed, stream))
        };
        let mut apps: Vec<App> = (0..count).map(app).collect();
        share_out(lines_per_second, &mut apps);
        let incidents = Incidents::new(Rng::stream(life_seed, INCIDENT_STREAM), count.into(), start_us);
        Self {
            apps,
            incidents,
            delivery: Delivery::new(Rng::stream(life_seed, DELIVERY_STREAM)),
            now_us: start_us,
        }
    }

    /// Returns the apps, the busiest first.
    pub fn apps(&self) -> impl Iterator<Item = &AppIdentity> {
        self.apps.iter().map(|app| &app.identity)
    }

    /// Returns all frames that are sent after the last call and up to `now_us`, in the order of sending.
    ///
    /// A jump ahead returns all frames in between: a caller paced by a wall clock that stopped for a while may prefer a
    /// new fleet.
    pub fn frames_until(&mut self, now_us: i64) -> Vec<DrainFrame> {
        let mut frames = Vec::new();
        while self.now_us + TICK_US <= now_us {
            self.tick(&mut frames);
        }
        frames
    }

    fn tick(&mut self, frames: &mut Vec<DrainFrame>) {
        let span = Span { start_us: self.now_us, end_us: self.now_us + TICK_US };
        let in_trouble = self.incidents.app_in_trouble(span.start_us);
        self.delivery.send_again(span.end_us, frames);
        for (rank, app) in self.apps.iter_mut().enumerate() {
            let lines = app.lines(span, in_trouble == Some(rank));
            if !lines.is_empty() {
                self.delivery.send(&app.identity.drain_token, lines, span.end_us, frames);
            }
        }
        self.now_us = span.end_us;
    }
}

/// Gives each app its rate of requests by Zipf's law: the n-th busiest gets 1/n of what the first gets.
fn share_out(lines_per_second: f64, apps: &mut [App]) {
    let dynos: usize = apps.iter().map(App::dyno_count).sum();
    let samples_per_s = dynos as f64 * SAMPLES_PER_DYNO_S;
    let lines_per_s = (lines_per_second - samples_per_s).max(lines_per_second * LEAST_REQUEST_SHARE);
    let harmonic = harmonic(apps.len() as u64);
    for (app, rank) in apps.iter_mut().zip(1_u32..) {
        app.set_requests_per_s(lines_per_s / LINES_PER_REQUEST / harmonic / f64::from(rank));
    }
}

#[cfg(test)]
mod tests;
