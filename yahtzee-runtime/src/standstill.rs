//! Standstills of the whole process, by a signal or by its machine. A thread that does nothing but note the time tells them
//! apart from a thread that waits for an answer: while it waits, the others go on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
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
    /// `None` before the first one: then nothing is known.
    newest_ms: Option<u64>,
    /// End and length of standstills, oldest first.
    standstills: VecDeque<(u64, u64)>,
}

impl StandstillWatch {
    /// Ticks until the stop.
    pub fn run(&self, clock: &MonotonicClock, stop: &StopSignal) {
        while !stop.is_stopped() {
            self.tick(clock.now_ms());
            stop.wait(TICK);
        }
    }

    /// Notes that the process goes on.
    pub fn tick(&self, now_ms: u64) {
        let mut ticks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let length_ms = ticks.newest_ms.map_or(0, |newest_ms| now_ms.saturating_sub(newest_ms));
        if length_ms >= NOTED_MS_MIN {
            ticks.standstills.push_back((now_ms, length_ms));
            if ticks.standstills.len() > NOTED_MAX {
                ticks.standstills.pop_front();
            }
        }
        ticks.newest_ms = Some(now_ms);
    }

    /// Returns the longest standstill that ended after `since_ms`, or has not been noted yet; zero if nothing ticks.
    #[must_use]
    pub fn longest_since(&self, since_ms: u64, now_ms: u64) -> Duration {
        let ticks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unnoted_ms = ticks.newest_ms.map_or(0, |newest_ms| now_ms.saturating_sub(newest_ms));
        let noted = ticks.standstills.iter().filter(|(ended_ms, _)| *ended_ms > since_ms);
        let longest_ms = noted.map(|&(_, length_ms)| length_ms).fold(unnoted_ms, u64::max);
        Duration::from_millis(longest_ms)
    }
}

#[cfg(test)]
mod tests {
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
        check(&[0, 100, 7_100, 7_200], (50, 7_200), 7_000);
        check(&[0, 100, 7_100, 8_100], (50, 8_100), 7_000);
        check(&[0, 100, 7_100, 8_100], (7_100, 8_100), 1_000);
        check(&[0, 100, 7_100, 7_200], (7_200, 7_200), 0);
        check(&[0, 100], (50, 9_100), 9_000);
    }

    #[test]
    fn few_standstills_are_remembered_and_the_newest_are() {
        let watch = StandstillWatch::default();
        for number in 0..=2 * NOTED_MAX as u64 {
            watch.tick(number * 1_000 + number * number);
        }
        let newest_ms = 2 * NOTED_MAX as u64 * 1_000 + 4 * (NOTED_MAX * NOTED_MAX) as u64;
        assert_eq!(
            watch.longest_since(0, newest_ms),
            Duration::from_millis(1_000 + 4 * NOTED_MAX as u64 - 1)
        );
        assert_eq!(watch.0.lock().unwrap().standstills.len(), NOTED_MAX);
    }
}
