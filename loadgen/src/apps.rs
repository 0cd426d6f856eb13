//! The apps: their owners, how often each is drawn, how fast each answers.

use yahtzee_core::owner::Owner;

use crate::rng::Rng;
use crate::zipf::Zipf;

/// Number of apps in the fleet.
const APPS: usize = 10_000;

/// Slowest answer: the router gives up after 30 s and logs H12.
const SERVICE_MAX_MS: u32 = 30_000;

/// One app.
#[derive(Clone, Debug)]
pub struct App {
    /// Owner of the measurements.
    pub owner: Owner,
    /// Base service time: half of the requests take at most about twice as long.
    base_ms: u32,
}

/// Apps, drawn by Zipf's law.
#[derive(Debug)]
pub(crate) struct AppMix {
    apps: Vec<App>,
    zipf: Zipf,
}

impl AppMix {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self { apps: (0..APPS).map(|_| App::drawn(rng)).collect(), zipf: Zipf::new(APPS) }
    }

    /// Draws an app, each as often as its weight says.
    pub(crate) fn draw(&self, rng: &mut Rng) -> &App {
        &self.apps[self.zipf.draw(rng)]
    }
}

impl App {
    /// Creates a random app.
    pub(crate) fn drawn(rng: &mut Rng) -> Self {
        Self { owner: Owner(rng.bytes()), base_ms: 3 << rng.below(9) }
    }

    /// Draws a service time with a long tail, in milliseconds: the base divided by a uniform number of (0, 1].
    pub(crate) fn service_ms(&self, rng: &mut Rng) -> u32 {
        let divisor = 1 + rng.below(1_024);
        u32::try_from(u64::from(self.base_ms) * 1_024 / divisor)
            .map_or(SERVICE_MAX_MS, |ms| ms.min(SERVICE_MAX_MS))
    }
}
