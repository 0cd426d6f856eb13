//! Random numbers from a seed: equal seeds give equal traffic, on any day and with any version of any library.

use std::time::Duration;

use uuid::Uuid;

/// Means above this are drawn from the normal approximation of the Poisson distribution.
const LARGE_MEAN: f64 = 30.0;

/// splitmix64 by Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014). Written out because
/// libraries reserve the right to change what a seed gives, and figures of one version are compared with another's.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Creates the generator of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Creates the generator of stream `stream` of `seed`; streams of one seed are unrelated to one another.
    #[must_use]
    pub fn stream(seed: u64, stream: u64) -> Self {
        let seed = Self(seed).bits();
        Self(Self(seed ^ stream).bits())
    }

    /// Returns 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns 16 uniform bytes.
    pub fn bytes(&mut self) -> [u8; 16] {
        (u128::from(self.bits()) << 64 | u128::from(self.bits())).to_be_bytes()
    }

    /// Returns a UUID of version 4.
    pub fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// Returns a number from 0 to `bound` - 1; 0 for a `bound` of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the upper half of 128 bits")
    }

    /// Returns a whole number from `low` to `high`, both included.
    pub fn from_to(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Returns a time in whole milliseconds from `low` to `high`; `low` if it is the greater.
    pub fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        let (low, high) = (low.as_millis() as u64, high.as_millis() as u64);
        Duration::from_millis(self.from_to(low, high.max(low)))
    }

    /// Returns a number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number in [`low`, `high`).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Returns true with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Returns true once in `times` on average.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Returns one of `items`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// Returns one of `choices`, which must not be empty, each as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, choices: &[(f64, T)]) -> T {
        let total: f64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.between(0.0, total);
        for &(weight, choice) in choices {
            left -= weight;
            if left < 0.0 {
                return choice;
            }
        }
        choices[choices.len() - 1].1
    }

    /// Returns a lognormal number, by its median and the standard deviation of its logarithm.
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// Returns the number of events in a time in which `mean` are expected: Knuth, The Art of Computer Programming 2,
    /// 3.4.1.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean > LARGE_MEAN {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let limit = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0;
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// Returns a number in (0, 1], of which there is a logarithm.
    pub fn positive_unit(&mut self) -> f64 {
        (1 + (self.bits() >> 11)) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a standard normal number: Box and Muller, "A Note on the Generation of Random Normal Deviates" (1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.positive_unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.positive_unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First outputs of the reference program (<https://prng.di.unimi.it/splitmix64.c>) for the state 1234567.
    #[test]
    fn agrees_with_the_reference_program() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!([rng.bits(), rng.bits()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn distributions_have_their_means() {
        fn check(expected: f64, mut draw: impl FnMut(&mut Rng) -> f64) {
            const DRAWS: u32 = 20_000;
            let mut rng = Rng::new(7);
            let mean = (0..DRAWS).map(|_| draw(&mut rng)).sum::<f64>() / f64::from(DRAWS);
            assert!((mean / expected - 1.0).abs() < 0.05, "{mean} instead of {expected}");
        }
        check(0.5, Rng::unit);
        check(4.5, |rng| rng.below(10) as f64);
        check(4.5, |rng| rng.from_to(2, 7) as f64);
        check(2.5, |rng| rng.poisson(2.5) as f64);
        check(90.0, |rng| rng.poisson(90.0) as f64);
        check(0.2, |rng| f64::from(u8::from(rng.chance(0.2))));
        check(0.2, |rng| f64::from(u8::from(rng.one_in(5))));
        check(0.75, |rng| rng.weighted(&[(1.0, 0.0), (3.0, 1.0)]));
        // The mean of a lognormal distribution is median * exp(sigma^2 / 2).
        check(100.0 * (0.125_f64).exp(), |rng| rng.lognormal(100.0, 0.5));
    }

    #[test]
    fn streams_of_one_seed_differ() {
        assert_ne!(Rng::stream(1, 0).bits(), Rng::stream(1, 1).bits());
        assert_ne!(Rng::stream(1, 0).bits(), Rng::stream(2, 0).bits());
        assert_eq!(Rng::stream(1, 0).uuid().get_version_num(), 4);
    }

    #[test]
    fn a_time_without_a_span_is_its_low_end() {
        let second = Duration::from_secs(1);
        assert_eq!(Rng::new(1).duration(second, Duration::ZERO), second);
    }
}
