//! Lines that an app or its add-ons write themselves, genuine ones and forged ones.

use super::line::{Line, LineSource};
use super::names::add_on_name;
use crate::rng::Rng;

const ADD_ON_PERIOD_US: f64 = 30e6;

/// A forged router line, as an app may print it.
const FORGED_ROUTER_LINE: &[u8] =
    b"at=error code=H12 desc=\"Request timeout\" method=GET path=\"/\" host=forged.example.com fwd=\"192.0.2.1\" \
      dyno=web.1 connect=1ms service=30000ms status=503 bytes=0 protocol=https";

/// A forged message: a whole message of a frame inside an app's output.
const FORGED_FRAME: &[u8] =
    b"echo:\n150 <158>1 2026-03-04T05:06:07.080910+00:00 host heroku router - at=info path=/ fwd=x \
      dyno=web.1 connect=0ms service=1ms status=500 bytes=1 protocol=http";

/// Returns a line that an app logs around a request.
pub(super) fn request_output(time_us: i64, dyno: &str, rng: &mut Rng) -> Line {
    let id = rng.uuid();
    let duration_ms = rng.lognormal(40.0, 0.9);
    let text: Vec<u8> = match rng.below(40) {
        0 => FORGED_ROUTER_LINE.to_vec(),
        1 => FORGED_FRAME.to_vec(),
        2 => b"Error R14 (Memory quota exceeded)".to_vec(),
        3 => b"param name=\"caf\xe9\" is no UTF-8".to_vec(),
        4 => b"NoMethodError (undefined method `id' for nil):\n  app/models/item.rb:12\n  lib/rack.rb:7"
            .to_vec(),
        5..20 => format!("[{id}] Completed 200 OK in {duration_ms:.0}ms (Views: 3.1ms)").into(),
        _ => format!(r#"{{"level":"info","request_id":"{id}","duration_ms":{duration_ms:.2}}}"#).into(),
    };
    Line::new(time_us, LineSource::output(dyno), text)
}

/// Returns a line of a dyno that serves no requests.
pub(super) fn work_output(time_us: i64, dyno: &str, rng: &mut Rng) -> Line {
    const JOBS: &[&str] = &["ReportJob", "MailJob", "SyncJob", "IndexJob", "CleanupJob"];
    let (job, id, duration_ms) = (rng.pick(JOBS), rng.uuid(), rng.lognormal(300.0, 1.0));
    let text = format!("Performed {job} (Job ID: {id}) from Queue(default) in {duration_ms:.2}ms");
    Line::new(time_us, LineSource::output(dyno), text)
}

/// An add-on that samples itself into the app's log.
#[derive(Clone, Debug)]
pub(super) struct AddOn {
    is_postgres: bool,
    name: String,
    next_sample_us: i64,
}

impl AddOn {
    pub(super) fn new(is_postgres: bool, start_us: i64, rng: &mut Rng) -> Self {
        let service = if is_postgres { "postgresql" } else { "redis" };
        let next_sample_us = start_us + rng.between(0.0, ADD_ON_PERIOD_US) as i64;
        Self { is_postgres, name: add_on_name(service, rng), next_sample_us }
    }

    /// Returns the sample that is due before `end_us`, if any.
    pub(super) fn sample(&mut self, end_us: i64, rng: &mut Rng) -> Option<Line> {
        if self.next_sample_us >= end_us {
            return None;
        }
        let time_us = self.next_sample_us;
        self.next_sample_us += ADD_ON_PERIOD_US as i64;
        let Self { name, is_postgres, .. } = self;
        let connections = 5 + rng.below(40);
        Some(if *is_postgres {
            let text = format!(
                "source=DATABASE addon={name} sample#current_transaction={} sample#db_size=9876543210bytes \
                 sample#tables=42 sample#active-connections={connections} sample#waiting-connections=0 \
                 sample#index-cache-hit-rate=0.99{} sample#load-avg-1m={:.3} sample#memory-total=3944484kB",
                100_000 + rng.below(900_000),
                rng.below(1_000),
                rng.lognormal(0.2, 0.5),
            );
            Line::new(time_us, LineSource::add_on("heroku-postgres"), text)
        } else {
            let text = format!(
                "source=REDIS addon={name} sample#active-connections={connections} sample#load-avg-1m={:.3} \
                 sample#memory-redis={}bytes sample#hit-rate=0.9{} sample#evicted-keys=0",
                rng.lognormal(0.1, 0.5),
                5_000_000 + rng.below(1_000_000),
                rng.below(1_000),
            );
            Line::new(time_us, LineSource::add_on("heroku-redis"), text)
        })
    }
}
