//! Standstills of the whole process, by a signal or by its machine. A thread that does nothing but note the time tells them
//! apart from a thread that waits for an answer: while it waits, the others go on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::MonotonicClock;
use crate::shutdown::StopSignal;

/// Time between two ticks.
const TICK: Duration = Duration::from_millis(100);

/// A shorter time without a tick is the scheduler's.
const NOTED_MS_MIN: u64 = 500;

/// Standstills that are remembered.
const NOTED_MAX: usize = 16;

/// Knows when the process stood still. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct StandstillWatch(Arc<Mutex<Ticks>>);

#[derive(Debug, Default)]
struct Ticks {
    /// `None` before the first one and after the last: then nothing is known.
    newest_ms: Option<u64>,
    /// End and length of standstills, oldest first and each longer than those after it: one before a longer one tells nothing.
    standstills: VecDeque<(u64, u64)>,
}

impl StandstillWatch {
    /// Ticks until the stop. What passes after it is no standstill.
    pub fn run(&self, clock: &MonotonicClock, stop: &StopSignal) {
        while !stop.is_stopped() {
            self.tick(clock.now_ms());
            stop.wait(TICK);
        }
        self.lock().newest_ms = None;
    }

    /// Notes that the process goes on.
    pub fn tick(&self, now_ms: u64) {
        let mut ticks = self.lock();
        let length_ms = ticks.newest_ms.map_or(0, |newest_ms| now_ms.saturating_sub(newest_ms));
        if length_ms >= NOTED_MS_MIN {
            let kept = ticks.standstills.partition_point(|&(_, earlier_ms)| earlier_ms > length_ms);
            ticks.standstills.truncate(kept);
            ticks.standstills.push_back((now_ms, length_ms));
            if ticks.standstills.len() > NOTED_MAX {
                ticks.standstills.pop_front();
            }
        }
        ticks.newest_ms = Some(now_ms);
    }

    /// Returns the longest standstill after `since_ms`, when a thread has worked, whether it has been noted yet or not; zero if
    /// nothing ticks.
    #[must_use]
    pub fn longest_since(&self, since_ms: u64, now_ms: u64) -> Duration {
        let ticks = self.lock();
        let unnoted_ms =
            ticks.newest_ms.map_or(0, |newest_ms| now_ms.saturating_sub(newest_ms.max(since_ms)));
        let noted = ticks.standstills.iter().filter(|(ended_ms, _)| *ended_ms > since_ms);
        let longest_ms =
            noted.map(|&(ended_ms, length_ms)| length_ms.min(ended_ms - since_ms)).fold(unnoted_ms, u64::max);
        Duration::from_millis(longest_ms)
    }

    fn lock(&self) -> MutexGuard<'_, Ticks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    /// Ticks at these times, and compares the longest standstill after `since_ms`.
    fn check(ticks_ms: &[u64], (since_ms, now_ms): (u64, u64), expected_ms: u64) {
        let watch = StandstillWatch::default();
        ticks_ms.iter().for_each(|&at_ms| watch.tick(at_ms));
        let found = watch.longest_since(since_ms, now_ms);
        assert_eq!(found, Duration::from_millis(expected_ms), "{ticks_ms:?}");
    }

    #[test]
    fn a_standstill_is_the_time_between_two_ticks_and_the_time_since_the_newest() {
        check(&[], (0, 90_000), 0);
        check(&[0, 100, 200], (0, 300), 100);
        check(&[90_000, 90_100], (0, 90_100), 0);
        check(&[0, 500, 600], (0, 600), 500);
        // At 8,000 a thread has worked.
        check(&[0, 9_000], (8_000, 9_000), 1_000);
        check(&[0], (8_000, 9_000), 1_000);
        check(&[0, 100, 7_100, 7_200], (50, 7_200), 7_000);
        check(&[0, 100, 7_100, 8_100], (50, 8_100), 7_000);
        check(&[0, 100, 7_100, 8_100], (7_100, 8_100), 1_000);
        check(&[0, 100, 7_100, 7_200], (7_200, 7_200), 0);
        check(&[0, 100], (50, 9_100), 9_000);
    }

    proptest! {
        /// Few are remembered, and the longest of those that end after any moment is among them.
        #[test]
        fn the_longest_standstill_is_known_however_many_shorter_ones_come_after_it(
            lengths_ms in proptest::collection::vec(0..20_000_u64, 0..100),
            since_ms in 0..1_000_000_u64,
        ) {
            let watch = StandstillWatch::default();
            let (mut now_ms, mut longest_ms) = (0, 0);
            watch.tick(now_ms);
            for length_ms in lengths_ms {
                now_ms += length_ms;
                watch.tick(now_ms);
                if length_ms >= NOTED_MS_MIN && now_ms > since_ms {
                    longest_ms = longest_ms.max(length_ms.min(now_ms - since_ms));
                }
            }
            prop_assert_eq!(watch.longest_since(since_ms, now_ms), Duration::from_millis(longest_ms));
        }
    }

    /// They have a bound even where each is shorter than the one before; then the oldest is forgotten.
    #[test]
    fn few_standstills_are_remembered() {
        let watch = StandstillWatch::default();
        let (mut now_ms, most) = (0, NOTED_MAX as u64);
        watch.tick(now_ms);
        for number in 0..=most {
            now_ms += 10_000 - number;
            watch.tick(now_ms);
        }
        assert_eq!(watch.longest_since(0, now_ms), Duration::from_millis(9_999));
        let newest_ms = 10_000 - most;
        assert_eq!(watch.longest_since(now_ms - newest_ms, now_ms), Duration::from_millis(newest_ms));
    }

    /// The clock is read at every tick; where there were no second one, the test would not end.
    #[test]
    fn ticks_go_on_until_the_stop() {
        let (watch, stop) = (StandstillWatch::default(), StopSignal::new());
        let (reads, stopping) = (AtomicU64::new(0), stop.clone());
        let clock = MonotonicClock::new(move || {
            let read = reads.fetch_add(1, Ordering::Relaxed);
            if read == 3 {
                stopping.stop();
            }
            read * NOTED_MS_MIN
        });
        watch.run(&clock, &stop);
        assert_eq!(watch.longest_since(0, 0), Duration::from_millis(NOTED_MS_MIN));
    }

    /// Or an orderly end that takes long would be one.
    #[test]
    fn nothing_is_a_standstill_once_nobody_ticks_any_more() {
        let (watch, stop) = (StandstillWatch::default(), StopSignal::new());
        watch.tick(0);
        stop.stop();
        watch.run(&MonotonicClock::new(|| 0), &stop);
        assert_eq!(watch.longest_since(0, 90_000), Duration::ZERO);
    }
}
