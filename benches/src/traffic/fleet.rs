//! The apps: whose they are, how often each is drawn, how fast each answers.

use yahtzee_core::owner::Owner;

use super::rng::Rng;

/// Apps in the fleet.
const APPS: usize = 10_000;

/// Slowest answer: the router gives up after 30 s and logs H12.
const SERVICE_MAX_MS: u32 = 30_000;

/// One app.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) owner: Owner,
    /// Half of its requests take at most about twice as long as this.
    base_ms: u32,
}

/// Apps with frequencies after Zipf with exponent 1: the app of rank r has the weight 1/r.
#[derive(Debug)]
pub(super) struct Fleet {
    apps: Vec<App>,
    /// Sums of the weights up to and including each app.
    cumulated: Vec<u64>,
}

impl Fleet {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let apps = (0..APPS).map(|_| App::drawn(rng)).collect();
        let weights = (1..=APPS as u64).map(|rank| (1 << 32) / rank);
        let cumulated = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { apps, cumulated: cumulated.collect() }
    }

    /// An app, each as often as its weight says.
    pub(super) fn draw(&self, rng: &mut Rng) -> &App {
        let total = self.cumulated[APPS - 1];
        let drawn = rng.below(total);
        &self.apps[self.cumulated.partition_point(|&sum| sum <= drawn)]
    }
}

impl App {
    /// Any app.
    pub(super) fn drawn(rng: &mut Rng) -> Self {
        Self { owner: Owner(rng.bytes()), base_ms: 3 << rng.below(9) }
    }

    /// A service time with a long tail, in milliseconds: the base divided by a uniform number of (0, 1].
    pub(super) fn service_ms(&self, rng: &mut Rng) -> u32 {
        let divisor = 1 + rng.below(1_024);
        u32::try_from(u64::from(self.base_ms) * 1_024 / divisor)
            .map_or(SERVICE_MAX_MS, |ms| ms.min(SERVICE_MAX_MS))
    }
}
