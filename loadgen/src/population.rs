//! Any number of apps, generated on demand: input that need not fit into memory.

use yahtzee_core::owner::Owner;
use yahtzee_pipeline_proto::RecordOf;
use yahtzee_pipeline_proto::raw::{RouterRequest, SourceKind};

use crate::apps::App;
use crate::rng::Rng;
use crate::steady::request;
use crate::zipf::harmonic;

/// Mean number of requests per app and window in the [`Mix::Zipf`]: of a million apps, 100,000 per second.
const ZIPF_MEAN: f64 = 6.0;
const FRAME_REQUESTS_MAX: u64 = 10;
/// Greatest mean that is drawn from a Poisson distribution; greater ones vary too little to matter.
const POISSON_MEAN_MAX: f64 = 30.0;
/// A prime above any number of apps: its multiples visit all of them before one again.
const STRIDE: u64 = 4_294_967_311;

/// Distribution of requests over apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// One request of every app in every window, in a frame of its own.
    Flat,
    /// 6 requests per app and window on average, by Zipf's law with exponent 1; up to 10 per frame.
    Zipf,
}

impl Mix {
    /// Returns its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Zipf => "zipf",
        }
    }
}

/// Apps, each with one process type.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    apps: u64,
    mix: Mix,
    /// Requests per window of the app of rank 1.
    first_mean: f64,
}

impl Population {
    /// Creates a population of `apps` apps, at least one and at most 2^32.
    #[must_use]
    pub fn new(apps: u64, mix: Mix) -> Self {
        Self { apps, mix, first_mean: ZIPF_MEAN * apps as f64 / harmonic(apps) }
    }

    /// Returns the frames of one window, received at its `recv_us` or just before; the order of apps differs by window.
    pub fn frames(&self, window: u64, recv_us: i64) -> impl Iterator<Item = RecordOf<RouterRequest>> + '_ {
        let visited = move |turn: u64| {
            let turn = u128::from(turn) * u128::from(STRIDE) + u128::from(window * self.apps / 7);
            u64::try_from(turn % u128::from(self.apps)).expect("below a number of 64 bits")
        };
        (0..self.apps).flat_map(move |turn| self.frames_of(visited(turn), window, recv_us))
    }

    fn frames_of(
        &self,
        rank: u64,
        window: u64,
        recv_us: i64,
    ) -> impl Iterator<Item = RecordOf<RouterRequest>> + use<> {
        let app = App::drawn(&mut Rng::new(rank));
        let mut rng = Rng::new(rank << 8 ^ window << 48 ^ 0x5eed);
        let mut left = match self.mix {
            Mix::Flat => 1,
            Mix::Zipf => match self.first_mean / (rank + 1) as f64 {
                mean if mean > POISSON_MEAN_MAX => mean.round() as u64,
                mean => rng.poisson(mean),
            },
        };
        std::iter::from_fn(move || {
            let count = left.min(FRAME_REQUESTS_MAX);
            left -= count;
            (count > 0).then(|| frame(&app, count, recv_us, &mut rng))
        })
    }
}

fn frame(app: &App, requests: u64, recv_us: i64, rng: &mut Rng) -> RecordOf<RouterRequest> {
    RecordOf {
        owner: app.owner.0.to_vec(),
        recv_us,
        frame_id: rng.bytes().to_vec(),
        source_kind: SourceKind::Logplex.into(),
        drain: app.owner.0.to_vec(),
        measurements: (0..requests).map(|index| request(app, recv_us, index, rng)).collect(),
    }
}

/// Returns the owner of a message that the population has generated.
#[must_use]
pub fn owner_of(frame: &RecordOf<RouterRequest>) -> Owner {
    Owner::from_bytes(&frame.owner).expect("owners are written with 16 bytes")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn requests_of_apps(mix: Mix, window: u64) -> BTreeMap<Owner, usize> {
        let mut of_apps = BTreeMap::new();
        for frame in Population::new(1_000, mix).frames(window, 0) {
            *of_apps.entry(owner_of(&frame)).or_default() += frame.measurements.len();
        }
        of_apps
    }

    #[test]
    fn flat_is_one_request_of_every_app() {
        let of_apps = requests_of_apps(Mix::Flat, 3);
        assert_eq!(of_apps.len(), 1_000);
        assert!(of_apps.values().all(|&requests| requests == 1));
        assert!(of_apps.keys().eq(requests_of_apps(Mix::Flat, 4).keys()), "the same apps in every window");
    }

    #[test]
    fn zipf_has_few_busy_apps_and_many_quiet_ones() {
        let of_apps = requests_of_apps(Mix::Zipf, 0);
        let total: usize = of_apps.values().sum();
        assert!((5_500..6_500).contains(&total), "6 per app are expected, {total} were made");
        // The harmonic number of 1,000 is 7.4855.
        assert_eq!(of_apps.values().max(), Some(&802), "6,000 / 7.4855");
        assert!(of_apps.len() < 1_000, "some are silent");
        assert_ne!(of_apps, requests_of_apps(Mix::Zipf, 1));
    }
}
