//! Log lines that were lost on the way, per app and code, spread over the time in which they were lost.
//!
//! A notice says how many lines were lost up to its own time; ingress adds since when. The raw record keeps it
//! whole, and the job spreads it: every minute gets the part of the count that is its part of the time, in integers that
//! add up to the count. Minutes with a part that rounds to nothing are named all the same (`notices`).
//!
//! With lines received, completeness is `received / (received + lost)`, estimated from below: what was sent
//! three times and answered too late counts as lost though it arrived. L11 speaks of tail sessions, not of drains, so it
//! is a series of its own and says nothing about completeness.

use yahtzee::prelude::*;
use yahtzee_pipeline_proto::{RawMeasurement, RecordOf, raw, summary};

use crate::policy;

const MINUTE_US: i64 = 60_000_000;

/// Minutes that a notice is spread over, one by one. What is older has its minutes closed under any policy in use, and
/// goes into one measurement, which then counts as late.
const MINUTES_MAX: i64 = 60;

/// Reads the measurements of [`raw::LogLoss`].
#[derive(Clone, Copy, Debug)]
pub struct LogLoss;

accumulator! {
    /// One code of one app in one window.
    pub struct Losses {
        lost: u64,
        notices: u64,
    }
}

impl Job for LogLoss {
    const NAME: &'static str = "log-loss";
    const MEASUREMENT: &'static str = raw::LogLoss::TYPE;
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["code"];
    type Record<'a> = RecordOf<raw::LogLoss>;
    type Accumulator = Losses;
    type Summary = summary::LogLoss;

    fn fold(&self, record: &Self::Record<'_>, intake: &mut Intake<'_, Self>) {
        for loss in &record.measurements {
            for (time_us, lost) in shares(loss) {
                intake.add(time_us, [&loss.code], |losses| {
                    losses.lost = losses.lost.saturating_add(lost);
                    losses.notices += 1;
                });
            }
        }
    }

    fn summarize(&self, losses: &Losses) -> summary::LogLoss {
        summary::LogLoss { lost: losses.lost, notices: losses.notices }
    }

    fn figures(summary: &summary::LogLoss) -> Figures {
        figures_of([("lost", summary.lost), ("notices", summary.notices)])
    }

    fn policy(&self) -> Policy {
        policy::of_rare_measurements()
    }
}

/// Returns event times, one per minute, and the lines lost in each; the oldest first.
fn shares(loss: &raw::LogLoss) -> impl Iterator<Item = (i64, u64)> {
    let (from_us, to_us, count) = (loss.since_us.min(loss.time_us), loss.time_us, loss.count);
    let lost_by = move |time_us: i64| {
        let lost = u128::from(count) * u128::from(time_us.abs_diff(from_us));
        let lost = lost.checked_div(to_us.abs_diff(from_us).into());
        lost.and_then(|lost| u64::try_from(lost).ok()).unwrap_or(count)
    };
    let last = to_us.div_euclid(MINUTE_US);
    let first = from_us.div_euclid(MINUTE_US).max(last - MINUTES_MAX);
    (first..=last).scan((from_us, 0), move |(begin_us, before), minute| {
        let end_us = if minute == last { to_us } else { (minute + 1) * MINUTE_US };
        let share = (*begin_us, lost_by(end_us) - *before);
        (*begin_us, *before) = (end_us, lost_by(end_us));
        Some(share)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND_US: i64 = 1_000_000;

    fn spread(since_us: i64, time_us: i64, count: u64) -> Vec<(i64, u64)> {
        shares(&raw::LogLoss { time_us, since_us, count, ..raw::LogLoss::default() }).collect()
    }

    #[test]
    fn shares_are_parts_of_the_time() {
        fn check(since_s: i64, time_s: i64, count: u64, expected: &[(i64, u64)]) {
            let expected: Vec<_> =
                expected.iter().map(|&(time_s, lost)| (time_s * SECOND_US, lost)).collect();
            assert_eq!(
                spread(since_s * SECOND_US, time_s * SECOND_US, count),
                expected,
                "{since_s} to {time_s}"
            );
        }
        check(30, 30, 7, &[(30, 7)]);
        check(0, 59, 7, &[(0, 7)]);
        check(30, 90, 10, &[(30, 5), (60, 5)]);
        check(0, 150, 10, &[(0, 4), (60, 4), (120, 2)]);
        check(0, 180, 2, &[(0, 0), (60, 1), (120, 1), (180, 0)]);
        check(90, 30, 7, &[(30, 7)]);
        check(-30, 30, 10, &[(-30, 5), (0, 5)]);
    }

    #[test]
    fn what_is_very_old_is_one_share() {
        let hours_us = 3 * 60 * MINUTE_US;
        let shares = spread(0, hours_us, 180);
        assert_eq!(shares.len(), 61);
        assert_eq!(shares[0], (0, 121));
        assert_eq!(shares[1..60], (121..180).map(|minute| (minute * MINUTE_US, 1)).collect::<Vec<_>>());
        assert_eq!(shares[60], (hours_us, 0));
    }

    proptest! {
        #[test]
        fn shares_add_up_in_a_minute_each(since_us: i64, time_us: i64, count: u64) {
            let shares = spread(since_us, time_us, count);
            prop_assert!(shares.len() as i64 <= MINUTES_MAX + 1);
            prop_assert_eq!(shares.iter().map(|&(_, lost)| u128::from(lost)).sum::<u128>(), u128::from(count));
            let minutes: Vec<_> = shares.iter().map(|&(time_us, _)| time_us.div_euclid(MINUTE_US)).collect();
            prop_assert!(minutes.is_sorted_by(|left, right| left < right));
            prop_assert_eq!(minutes.last(), Some(&time_us.div_euclid(MINUTE_US)));
        }

        #[test]
        fn near_shares_add_up_too(since_us in 0_i64..9_000_000_000, length_us in 0_i64..900_000_000, count in 0_u64..99) {
            let shares = spread(since_us, since_us + length_us, count);
            prop_assert_eq!(shares.iter().map(|&(_, lost)| lost).sum::<u64>(), count);
        }
    }
}
