//! How long to wait before the next try: the waits of [`WaitBounds`], with the randomness and the count of tries.

use std::time::Duration;

use yahtzee_core::delivery::WaitBounds;

/// Waiting times between tries of one task. Each task needs a seed of its own, or all come back at the same time.
#[derive(Clone, Debug)]
pub struct BackOff {
    bounds: WaitBounds,
    tries: u32,
    random: fastrand::Rng,
}

impl BackOff {
    /// Creates a back-off of which the first wait is at most `base`, and none is longer than `cap`.
    #[must_use]
    pub fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        Self { bounds: WaitBounds { base, cap }, tries: 0, random: fastrand::Rng::with_seed(seed) }
    }

    /// Returns the next wait: anything from nothing to the bound, each length as likely as any other.
    pub fn next_wait(&mut self) -> Duration {
        self.next_wait_within(Duration::MAX)
    }

    /// Returns the next wait with a bound of at most `cap`. Where that cuts it short, no later wait is
    /// longer for it.
    pub fn next_wait_within(&mut self, cap: Duration) -> Duration {
        let bounds = WaitBounds { cap: self.bounds.cap.min(cap), ..self.bounds };
        let wait = bounds.wait(self.tries, self.random.u64(..));
        if self.bounds.bound(self.tries) < cap {
            self.tries = self.tries.saturating_add(1);
        }
        wait
    }

    /// Starts again at the base: something has worked.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// Returns the tries since the last success that make the next wait longer.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }
}

/// Draws a seed that differs between places and between processes.
#[must_use]
pub fn seed() -> u64 {
    fastrand::u64(..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_wait_is_longer_than_cap_or_doubled_base(
            base_ms in 0..10_000_u64,
            cap_ms in 0..100_000_u64,
            seed: u64,
            tries in 1..200_u32,
        ) {
            let mut back_off = BackOff::new(Duration::from_millis(base_ms), Duration::from_millis(cap_ms), seed);
            for failed in 0..tries {
                let wait = back_off.next_wait();
                prop_assert!(wait <= Duration::from_millis(cap_ms));
                prop_assert!(failed > 30 || wait <= Duration::from_millis(base_ms << failed));
            }
        }

        /// Who was away for long and comes back with an error is not left alone for the longest wait.
        #[test]
        fn waits_that_a_cap_of_their_own_has_cut_short_lengthen_no_later_one(seed: u64, tries in 0..100_u32) {
            let (base, within) = (Duration::from_millis(500), Duration::from_secs(1));
            let mut back_off = BackOff::new(base, Duration::from_secs(30), seed);
            for _ in 0..tries {
                back_off.next_wait_within(within);
            }
            prop_assert!(back_off.next_wait() <= within * 2);
        }

        #[test]
        fn a_success_starts_again_at_the_base(seed: u64, tries in 0..100_u32) {
            let (base, cap) = (Duration::from_millis(200), Duration::from_mins(1));
            let mut back_off = BackOff::new(base, cap, seed);
            for _ in 0..tries {
                back_off.next_wait();
            }
            back_off.reset();
            prop_assert_eq!(back_off.tries(), 0);
            prop_assert!(back_off.next_wait() <= base);
        }
    }

    #[test]
    fn a_cap_of_one_wait_bounds_that_one_only() {
        let (base, cap) = (Duration::from_secs(1), Duration::from_mins(1));
        let within = Duration::from_secs(2);
        let mut back_off = BackOff::new(base, cap, 7);
        let waits: Vec<Duration> = (0..100).map(|_| back_off.next_wait_within(within)).collect();
        assert!(waits.iter().all(|wait| *wait <= within), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait > base) && waits.iter().any(|wait| *wait < base), "{waits:?}");
        assert!((0..20).any(|_| back_off.next_wait() > within));
    }

    #[test]
    fn every_task_has_a_seed_of_its_own() {
        assert_ne!(seed(), seed());
    }

    /// A maximum that is ignored, or jitter that is none, shows in the spread of many waits.
    #[test]
    fn waits_fill_the_whole_range_up_to_the_cap() {
        let cap = Duration::from_mins(1);
        let mut back_off = BackOff::new(Duration::from_millis(200), cap, 7);
        let waits: Vec<Duration> = (0..1_000).map(|_| back_off.next_wait()).skip(20).collect();
        let share = |from: u32, to: u32| {
            waits.iter().filter(|wait| (cap * from / 4..cap * to / 4).contains(wait)).count()
        };
        for quarter in 0..4 {
            // 245 expected of 980; 150 is seven standard deviations (13.6) below.
            assert!(share(quarter, quarter + 1) > 150, "quarter {quarter} of the range");
        }
    }
}
