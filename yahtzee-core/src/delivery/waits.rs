//! How long to wait before the next try: full jitter below a bound that doubles up to a cap.
//!
//! Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog (2015).

use std::time::Duration;

/// Doublings after which only the cap counts, whatever the base: beyond them a shift would overflow.
const DOUBLINGS_MAX: u32 = 40;

/// First and greatest bound of the waits between tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitBounds {
    /// Longest first wait.
    pub base: Duration,
    /// Longest wait of all.
    pub cap: Duration,
}

impl WaitBounds {
    /// Returns the longest wait after `tries` failures in a row before this one.
    #[must_use]
    pub fn bound(self, tries: u32) -> Duration {
        let factor = 1_u128 << tries.min(DOUBLINGS_MAX);
        let bound_us = self.base.as_micros().saturating_mul(factor).min(self.cap.as_micros());
        Duration::from_micros(u64::try_from(bound_us).unwrap_or(u64::MAX))
    }

    /// Returns the wait: anything from nothing to the bound, chosen by `jitter`, a random word.
    #[must_use]
    pub fn wait(self, tries: u32, jitter: u64) -> Duration {
        let bound_us = self.bound(tries).as_micros();
        // The high half of the product of two 64-bit numbers is below both.
        let wait_us = (bound_us.saturating_add(1)).saturating_mul(u128::from(jitter)) >> 64;
        Duration::from_micros(u64::try_from(wait_us).unwrap_or(u64::MAX))
    }
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
            jitter: u64,
            tries in 0..200_u32,
        ) {
            let bounds = WaitBounds { base: Duration::from_millis(base_ms), cap: Duration::from_millis(cap_ms) };
            let wait = bounds.wait(tries, jitter);
            prop_assert!(wait <= Duration::from_millis(cap_ms));
            prop_assert!(tries > 30 || wait <= Duration::from_millis(base_ms << tries));
            prop_assert_eq!(bounds.wait(tries, 0), Duration::ZERO);
            prop_assert_eq!(bounds.wait(tries, u64::MAX), bounds.bound(tries));
        }
    }
}
