//! Dynos: their load and memory, their crashes and restarts, and the platform's lines about them.

use uuid::Uuid;

use super::line::{Line, LineSource};
use crate::rng::Rng;

const SECOND_US: i64 = 1_000_000;
const SAMPLE_PERIOD_US: i64 = 20 * SECOND_US;

/// Age below which a dyno has no load average over 5 and 15 minutes.
const YOUNG_US: i64 = 60 * SECOND_US;

/// Probability of a crash before a sample: one crash in some 20 minutes.
const CRASH_CHANCE: f64 = 1.0 / 60.0;

/// Share of its old value that a load average keeps from sample to sample: exp(-20 s / length).
const LOAD_DECAY: [f64; 3] = [0.716_531, 0.935_507, 0.978_022];

/// State of a dyno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Running since this time, microseconds since 1970.
    Up { since_us: i64 },
    /// Restarting; up at this time.
    Booting { until_us: i64 },
    /// Crashed; restarted at this time.
    Crashed { until_us: i64 },
}

/// One dyno of a formation.
#[derive(Clone, Debug)]
pub(super) struct Dyno {
    /// `web.1`.
    pub(super) name: String,
    pub(super) state: State,
    is_web: bool,
    app_number: u64,
    uuid: Uuid,
    quota_mb: f64,
    total_mb: f64,
    leak_mb: f64,
    usual_load: f64,
    load: [f64; 3],
    pages_in: u64,
    next_sample_us: i64,
}

/// Properties shared by the dynos of one app.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// The platform's number of the app.
    pub(super) app_number: u64,
    /// Memory per dyno.
    pub(super) quota_mb: f64,
}

impl Dyno {
    /// Creates dyno `number` of `process_type`, which has been up for some hours at `start_us`.
    pub(super) fn new(process_type: &str, number: u32, size: Size, start_us: i64, rng: &mut Rng) -> Self {
        let usual_load = rng.lognormal(0.4, 0.8);
        let is_leaky = rng.chance(0.12);
        let fill = if is_leaky { rng.pick(&[0.95, 1.02, 1.1, 1.2, 1.95]) } else { rng.between(0.25, 0.8) };
        Self {
            name: format!("{process_type}.{number}"),
            state: State::Up { since_us: start_us - rng.between(3_600e6, 80_000e6) as i64 },
            is_web: process_type == "web",
            app_number: size.app_number,
            uuid: rng.uuid(),
            quota_mb: size.quota_mb,
            total_mb: size.quota_mb * fill,
            leak_mb: if is_leaky { size.quota_mb * 0.03 } else { 0.0 },
            usual_load,
            load: [usual_load; 3],
            pages_in: rng.below(1_000_000),
            next_sample_us: start_us + rng.below(SAMPLE_PERIOD_US.cast_unsigned()).cast_signed(),
        }
    }

    /// Restarts the dyno, as a deploy does.
    pub(super) fn restart(&mut self, time_us: i64, rng: &mut Rng, lines: &mut Vec<Line>) {
        let mut say = Speaker { time_us, dyno: &self.name, lines };
        say.line("Restarting");
        say.line("State changed from up to starting");
        say.line("Stopping all processes with SIGTERM");
        if rng.chance(0.1) {
            say.line(
                "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of \
                 SIGTERM",
            );
            say.line("Stopping remaining processes with SIGKILL");
            say.line("Process exited with status 137");
        } else {
            say.line("Process exited with status 143");
        }
        self.state = State::Booting { until_us: time_us + rng.between(3e6, 8e6) as i64 };
    }

    /// Returns the platform's lines about the dyno up to `end_us`.
    pub(super) fn lines(&mut self, end_us: i64, is_in_trouble: bool, rng: &mut Rng, lines: &mut Vec<Line>) {
        match self.state {
            State::Booting { until_us } | State::Crashed { until_us } if until_us < end_us => {
                self.come_up(until_us, rng, lines);
            }
            State::Up { since_us } if self.next_sample_us < end_us => {
                let time_us = self.next_sample_us;
                self.next_sample_us += SAMPLE_PERIOD_US;
                self.sample(time_us, time_us - since_us, is_in_trouble, rng, lines);
            }
            _ => {}
        }
    }

    fn come_up(&mut self, time_us: i64, rng: &mut Rng, lines: &mut Vec<Line>) {
        let command =
            if self.is_web { "bundle exec puma -C config/puma.rb" } else { "bundle exec rake jobs:work" };
        let mut say = Speaker { time_us, dyno: &self.name, lines };
        say.line(format!("Starting process with command `{command}`"));
        say.line("State changed from starting to up");
        self.state = State::Up { since_us: time_us };
        self.uuid = rng.uuid();
        self.load = [0.0; 3];
        self.total_mb = self.quota_mb * rng.between(0.25, 0.5);
        self.pages_in = rng.below(10_000);
        self.next_sample_us = time_us + SAMPLE_PERIOD_US;
    }

    fn sample(
        &mut self,
        time_us: i64,
        age_us: i64,
        is_in_trouble: bool,
        rng: &mut Rng,
        lines: &mut Vec<Line>,
    ) {
        if rng.chance(CRASH_CHANCE) {
            let mut say = Speaker { time_us, dyno: &self.name, lines };
            say.line("Process exited with status 1");
            self.crash(time_us, rng, lines);
            return;
        }
        self.advance(is_in_trouble && self.is_web, rng);
        let text = self.load_text(age_us < YOUNG_US);
        let mut say = Speaker { time_us, dyno: &self.name, lines };
        say.line(text);
        say.line(self.memory_text());
        let percent = 100.0 * self.total_mb / self.quota_mb;
        if percent <= 100.0 {
            return;
        }
        say.line(format!("Process running mem={:.0}M({percent:.1}%)", self.total_mb));
        if percent <= 200.0 {
            say.line("Error R14 (Memory quota exceeded)");
            return;
        }
        say.line("Error R15 (Memory quota vastly exceeded)");
        say.line("Stopping process with SIGKILL");
        say.line("Process exited with status 137");
        self.crash(time_us, rng, lines);
    }

    fn crash(&mut self, time_us: i64, rng: &mut Rng, lines: &mut Vec<Line>) {
        let mut say = Speaker { time_us, dyno: &self.name, lines };
        say.line("State changed from up to crashed");
        self.state = State::Crashed { until_us: time_us + rng.between(4e6, 12e6) as i64 };
    }

    /// Advances load and memory by one sample.
    fn advance(&mut self, is_in_trouble: bool, rng: &mut Rng) {
        let present = rng.lognormal(self.usual_load, 0.4) * if is_in_trouble { 6.0 } else { 1.0 };
        for (load, decay) in self.load.iter_mut().zip(LOAD_DECAY) {
            *load = *load * decay + present * (1.0 - decay);
        }
        self.total_mb = (self.total_mb * rng.between(0.99, 1.01) + self.leak_mb).min(self.quota_mb * 2.1);
        self.pages_in += rng.below(2_000);
    }

    fn load_text(&self, is_young: bool) -> String {
        let [one, five, fifteen] = self.load;
        let Self { name, app_number, uuid, .. } = self;
        let head = format!("source={name} dyno=heroku.{app_number}.{uuid} sample#load_avg_1m={one:.2}");
        if is_young {
            head
        } else {
            format!("{head} sample#load_avg_5m={five:.2} sample#load_avg_15m={fifteen:.2}")
        }
    }

    fn memory_text(&self) -> String {
        let Self { name, app_number, uuid, total_mb, quota_mb, pages_in, .. } = self;
        let cache_mb = quota_mb * 0.02;
        format!(
            "source={name} dyno=heroku.{app_number}.{uuid} sample#memory_total={total_mb:.2}MB \
             sample#memory_rss={:.2}MB sample#memory_cache={cache_mb:.2}MB sample#memory_swap=0.00MB \
             sample#memory_pgpgin={pages_in}pages \
             sample#memory_pgpgout={}pages sample#memory_quota={quota_mb:.2}MB",
            total_mb - cache_mb,
            pages_in * 9 / 10,
        )
    }
}

/// Writer of consecutive platform lines about one dyno.
struct Speaker<'a> {
    time_us: i64,
    dyno: &'a str,
    lines: &'a mut Vec<Line>,
}

impl Speaker<'_> {
    fn line(&mut self, text: impl Into<Vec<u8>>) {
        self.lines.push(Line::new(self.time_us, LineSource::platform(self.dyno), text));
        self.time_us += 90;
    }
}
