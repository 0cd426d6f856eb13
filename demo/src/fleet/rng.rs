//! The fleet's own randomness: equal seeds give equal fleets, on any day and with any version of any library.

use uuid::Uuid;

/// Means above this are drawn from the normal approximation of the Poisson distribution.
const LARGE_MEAN: f64 = 30.0;

/// xoshiro256++ by Blackman and Vigna (<https://prng.di.unimi.it/>), its state filled by splitmix64 as they
/// advise.
#[derive(Clone, Debug)]
pub(super) struct Rng([u64; 4]);

impl Rng {
    /// The generator of stream `stream` of `seed`; streams of one seed are unrelated to one another.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut mixer = SplitMix64(seed);
        let mut mixer = SplitMix64(mixer.next() ^ stream);
        Self(std::array::from_fn(|_| mixer.next()))
    }

    /// 64 uniform bits.
    pub(super) fn bits(&mut self) -> u64 {
        let Self(state) = self;
        let result = state[0].wrapping_add(state[3]).rotate_left(23).wrapping_add(state[0]);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in [`low`, `high`).
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform among 0 to `bound` - 1; 0 for a `bound` of 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the upper half of 128 bits")
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of `items`, which must not be empty.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// One of `choices`, which must not be empty, each as often as its weight says.
    pub(super) fn weighted<T: Copy>(&mut self, choices: &[(f64, T)]) -> T {
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

    /// Lognormal, by its median and the standard deviation of its logarithm.
    pub(super) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// Number of events in a time in which `mean` are expected.
    pub(super) fn poisson(&mut self, mean: f64) -> u64 {
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

    /// A UUID of version 4.
    pub(super) fn uuid(&mut self) -> Uuid {
        let bytes = u128::from(self.bits()) << 64 | u128::from(self.bits());
        uuid::Builder::from_random_bytes(bytes.to_be_bytes()).into_uuid()
    }

    /// Standard normal, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// splitmix64 by Steele, Lea and Flood.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First outputs of the authors' reference program for the state 1, 2, 3, 4.
    #[test]
    fn agrees_with_the_reference_program() {
        let mut rng = Rng([1, 2, 3, 4]);
        for expected in [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386] {
            assert_eq!(rng.bits(), expected);
        }
        let mut mixer = SplitMix64(1_234_567);
        assert_eq!([mixer.next(), mixer.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn distributions_have_their_means() {
        fn check(expected: f64, mut draw: impl FnMut(&mut Rng) -> f64) {
            const DRAWS: u32 = 20_000;
            let mut rng = Rng::new(7, 0);
            let mean = (0..DRAWS).map(|_| draw(&mut rng)).sum::<f64>() / f64::from(DRAWS);
            assert!((mean / expected - 1.0).abs() < 0.05, "{mean} instead of {expected}");
        }
        check(0.5, Rng::unit);
        check(4.5, |rng| rng.below(10) as f64);
        check(2.5, |rng| rng.poisson(2.5) as f64);
        check(90.0, |rng| rng.poisson(90.0) as f64);
        check(0.2, |rng| f64::from(u8::from(rng.chance(0.2))));
        check(0.75, |rng| rng.weighted(&[(1.0, 0.0), (3.0, 1.0)]));
        // The mean of a lognormal distribution is median * exp(sigma^2 / 2).
        check(100.0 * (0.125_f64).exp(), |rng| rng.lognormal(100.0, 0.5));
    }

    #[test]
    fn streams_of_one_seed_differ() {
        assert_ne!(Rng::new(1, 0).bits(), Rng::new(1, 1).bits());
        assert_ne!(Rng::new(1, 0).bits(), Rng::new(2, 0).bits());
        assert_eq!(Rng::new(1, 0).uuid().get_version_num(), 4);
    }
}
