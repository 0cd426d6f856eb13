//! A limit per owner, so that one tenant cannot take the service from the others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use yahtzee_core::owner::Owner;

/// The burst that is let in at once, as time at the allowed rate.
const BURST: Duration = Duration::from_secs(10);

/// Number of owners from which on those that send nothing are forgotten.
const SWEEP_ABOVE: usize = 10_000;

/// Limits bytes per second and owner, by the generic cell rate algorithm (ITU-T I.371): per owner, the time
/// at which all that was let in would have arrived at the allowed rate.
#[derive(Debug)]
pub struct OwnerRateLimit {
    bytes_per_second: u32,
    paid_until: Mutex<HashMap<Owner, Instant>>,
}

impl OwnerRateLimit {
    /// Creates a limit of this many bytes per second and owner, with bursts of ten seconds' worth.
    #[must_use]
    pub fn new(bytes_per_second: u32) -> Self {
        Self { bytes_per_second, paid_until: Mutex::default() }
    }

    /// Returns whether `owner` may send `bytes` more at time `now`. A single body may exceed the burst.
    #[must_use]
    pub fn admit(&self, owner: Owner, bytes: usize, now: Instant) -> bool {
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        if paid_until.len() > SWEEP_ABOVE {
            paid_until.retain(|_, until| *until > now);
        }
        let until = paid_until.entry(owner).or_insert(now);
        let start = (*until).max(now);
        if start - now >= BURST {
            return false;
        }
        #[allow(clippy::cast_precision_loss, reason = "bodies are far below 2^53 bytes")]
        let cost = Duration::from_secs_f64(bytes as f64 / f64::from(self.bytes_per_second.max(1)));
        *until = start + cost;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_gets_a_burst_and_then_the_rate() {
        let (limit, start) = (OwnerRateLimit::new(1_000), Instant::now());
        let check = |owner, seconds, expected| {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(limit.admit(Owner([owner; 16]), 1_000, now), expected, "owner {owner} at {seconds} s");
        };
        for _ in 0..10 {
            check(1, 0, true);
        }
        check(1, 0, false);
        check(2, 0, true);
        check(1, 1, true);
        check(1, 1, false);
    }

    #[test]
    fn idle_owners_are_forgotten() {
        let (limit, start) = (OwnerRateLimit::new(1_000), Instant::now());
        for id in 0..=u16::MAX {
            let mut owner = [0; 16];
            owner[..2].copy_from_slice(&id.to_be_bytes());
            assert!(limit.admit(Owner(owner), 1, start + Duration::from_secs(id.into())));
        }
        assert!(limit.paid_until.lock().unwrap().len() <= SWEEP_ABOVE + 1);
    }
}
