//! Whether a shard is worth a try: closed while it works, open after a failed write, with a probe per back-off.

use std::time::{Duration, Instant};
use yahtzee_runtime::back_off::BackOff;

/// The circuit breaker of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    open: Option<Open>,
    back_off: BackOff,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    since: Instant,
    probe_at: Instant,
}

impl Breaker {
    /// Closed.
    pub(crate) fn new(back_off: BackOff) -> Self {
        Self { open: None, back_off }
    }

    /// A write did not reach the shard: open, with the next probe after a longer wait.
    pub(crate) fn failed(&mut self, now: Instant) {
        let since = self.open.map_or(now, |open| open.since);
        self.open = Some(Open { since, probe_at: now + self.back_off.next_wait() });
    }

    /// The shard has answered: closed.
    pub(crate) fn answered(&mut self) {
        self.open = None;
        self.back_off.reset();
    }

    /// Whether the shard is taken for dead.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether it has been open for `time` or longer.
    pub(crate) fn is_open_for(&self, time: Duration, now: Instant) -> bool {
        self.open.is_some_and(|open| now.saturating_duration_since(open.since) >= time)
    }

    /// Whether a write may be tried now.
    pub(crate) fn may_try(&self, now: Instant) -> bool {
        self.open.is_none_or(|open| open.probe_at <= now)
    }

    /// When the next probe is due, and since when it has been open; `None` while closed.
    pub(crate) fn times(&self) -> Option<(Instant, Instant)> {
        self.open.map(|open| (open.probe_at, open.since))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(5);

    proptest! {
        #[test]
        fn it_is_open_from_the_first_failure_after_an_answer_to_the_next_answer(
            seed: u64,
            steps in prop::collection::vec((0..3_000_u64, any::<bool>()), 1..60),
        ) {
            let mut breaker = Breaker::new(BackOff::new(BASE, CAP, seed));
            let mut now = Instant::now();
            let mut failing_since = None;
            for (wait_ms, is_failure) in steps {
                now += Duration::from_millis(wait_ms);
                if is_failure {
                    breaker.failed(now);
                    failing_since.get_or_insert(now);
                } else {
                    breaker.answered();
                    failing_since = None;
                }
                prop_assert_eq!(breaker.is_open(), failing_since.is_some());
                prop_assert_eq!(breaker.times().map(|(_, since)| since), failing_since);
                for time in [Duration::ZERO, Duration::from_secs(2)] {
                    let is_long = failing_since.is_some_and(|since| now - since >= time);
                    prop_assert_eq!(breaker.is_open_for(time, now), is_long);
                }
                // However long it fails, a probe comes within the cap.
                prop_assert!(breaker.may_try(now + CAP));
                if let Some((probe_at, _)) = breaker.times() {
                    prop_assert!(probe_at - now <= CAP);
                    prop_assert_eq!(breaker.may_try(now), probe_at == now);
                } else {
                    prop_assert!(breaker.may_try(now));
                }
            }
        }
    }
}
