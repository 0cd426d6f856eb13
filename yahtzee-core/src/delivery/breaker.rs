//! Whether a shard is worth a try: closed while it works, open after a failed write, with a probe per back-off.

use std::time::Duration;

use super::waits::WaitBounds;

/// The circuit breaker of one shard.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    open: Option<Open>,
    waits: WaitBounds,
    tries: u32,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    since: Duration,
    probe_at: Duration,
}

impl Breaker {
    /// Creates a closed one.
    pub(super) fn new(waits: WaitBounds) -> Self {
        Self { open: None, waits, tries: 0 }
    }

    /// Notes a write that failed: open, with the next probe after a longer wait.
    pub(super) fn failed(&mut self, now: Duration, jitter: u64) {
        let since = self.open.map_or(now, |open| open.since);
        self.open = Some(Open { since, probe_at: now + self.waits.wait(self.tries, jitter) });
        self.tries = self.tries.saturating_add(1);
    }

    /// Notes that the shard has answered: closed.
    pub(super) fn answered(&mut self) {
        self.open = None;
        self.tries = 0;
    }

    /// Returns whether the shard is taken for dead.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns for how long it has been open; `None` while closed.
    pub(super) fn open_for(&self, now: Duration) -> Option<Duration> {
        self.open.map(|open| now.saturating_sub(open.since))
    }

    /// Returns whether a write may be tried now.
    pub(super) fn may_try(&self, now: Duration) -> bool {
        self.open.is_none_or(|open| open.probe_at <= now)
    }

    /// Returns when the next probe is due, and since when it has been open; `None` while closed.
    pub(super) fn times(&self) -> Option<(Duration, Duration)> {
        self.open.map(|open| (open.probe_at, open.since))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAP: Duration = Duration::from_secs(5);
    const WAITS: WaitBounds = WaitBounds { base: Duration::from_millis(100), cap: CAP };

    proptest! {
        #[test]
        fn it_is_open_from_the_first_failure_after_an_answer_to_the_next_answer(
            steps in prop::collection::vec((0..3_000_u64, any::<bool>(), any::<u64>()), 1..60),
        ) {
            let mut breaker = Breaker::new(WAITS);
            let mut now = Duration::ZERO;
            let mut failing_since = None;
            for (wait_ms, is_failure, jitter) in steps {
                now += Duration::from_millis(wait_ms);
                if is_failure {
                    breaker.failed(now, jitter);
                    failing_since.get_or_insert(now);
                } else {
                    breaker.answered();
                    failing_since = None;
                }
                prop_assert_eq!(breaker.is_open(), failing_since.is_some());
                prop_assert_eq!(breaker.times().map(|(_, since)| since), failing_since);
                for time in [Duration::ZERO, Duration::from_secs(2)] {
                    let is_long = failing_since.is_some_and(|since| now - since >= time);
                    prop_assert_eq!(breaker.open_for(now).is_some_and(|open| open >= time), is_long);
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
