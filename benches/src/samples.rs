//! Numbers to be summarised, drawn from distributions of several shapes.

use yahtzee_loadgen::Rng;

/// Longest service time in milliseconds: the router's own limit is 30 s, streaming answers take longer.
pub(crate) const SERVICE_MAX_MS: u64 = 60_000;

/// Shape of a distribution of milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each of 1 to 60,000 alike.
    Uniform,
    /// Median 100 ms, sigma 1.1, to 60 s: service times of an app.
    Lognormal,
    /// Four of five near 20 ms, one near 2 s: a cache and what is behind it.
    Bimodal,
    /// Pareto from 1 ms with exponent 0.5, cut at a day: no mean to speak of.
    HeavyTailed,
}

impl Shape {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Uniform, Self::Lognormal, Self::Bimodal, Self::HeavyTailed];

    /// As in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Lognormal => "lognormal",
            Self::Bimodal => "bimodal",
            Self::HeavyTailed => "heavy-tailed",
        }
    }

    /// One number.
    pub(crate) fn draw(self, rng: &mut Rng) -> u64 {
        match self {
            Self::Uniform => 1 + rng.below(SERVICE_MAX_MS),
            Self::Lognormal => lognormal(100.0, 1.1, rng),
            Self::Bimodal if rng.below(5) == 0 => lognormal(2_000.0, 0.3, rng),
            Self::Bimodal => lognormal(20.0, 0.3, rng),
            Self::HeavyTailed => (rng.positive_unit().powi(-2) as u64).clamp(1, 86_400_000),
        }
    }

    /// So many numbers.
    pub(crate) fn draw_many(self, count: usize, rng: &mut Rng) -> Vec<u64> {
        (0..count).map(|_| self.draw(rng)).collect()
    }
}

/// A number whose logarithm is normal, in 1 to [`SERVICE_MAX_MS`].
pub(crate) fn lognormal(median: f64, sigma: f64, rng: &mut Rng) -> u64 {
    (rng.lognormal(median, sigma) as u64).clamp(1, SERVICE_MAX_MS)
}
