//! Distribution of load over apps: Zipf's law with exponent 1, by which the n-th busiest gets 1/n of what the first
//! gets.

use crate::rng::Rng;

/// Weight of the first rank: the weights are whole numbers, so that they add up to the same sum everywhere.
const FIRST_WEIGHT: u64 = 1 << 40;

/// Zipf's law over ranks from 0.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// Sums of the weights up to and including each rank.
    cumulated: Vec<u64>,
}

impl Zipf {
    /// Creates the law for `ranks` ranks.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn new(ranks: usize) -> Self {
        assert!(ranks > 0, "somebody has to be drawn");
        let weights = (1..=ranks as u64).map(|rank| FIRST_WEIGHT / rank);
        let cumulated = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { cumulated: cumulated.collect() }
    }

    /// Returns a rank, each as often as its weight says.
    pub fn draw(&self, rng: &mut Rng) -> usize {
        let drawn = rng.below(self.cumulated[self.cumulated.len() - 1]);
        self.cumulated.partition_point(|&sum| sum <= drawn)
    }
}

/// Returns the sum of the weights of `ranks` ranks, relative to the first.
#[must_use]
pub fn harmonic(ranks: u64) -> f64 {
    (1..=ranks).map(|rank| 1.0 / rank as f64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_drawn_as_often_as_its_share() {
        const DRAWS: u32 = 20_000;
        let (zipf, mut rng) = (Zipf::new(100), Rng::new(5));
        let firsts = (0..DRAWS).filter(|_| zipf.draw(&mut rng) == 0).count();
        let share = firsts as f64 / f64::from(DRAWS);
        assert!((share * harmonic(100) - 1.0).abs() < 0.05, "{share}");
    }
}
