//! Days of event time: the unit by which stores are divided, and which retention drops.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use yahtzee_runtime::clock::wall_clock_ms;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A day in UTC: the number of days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// A day before any that a window can lie in: the floor of a store that has dropped nothing.
    pub const MIN: Self = Self(i64::MIN.div_euclid(DAY_MS));

    /// Returns the day of a time in milliseconds since 1970.
    #[must_use]
    pub fn of_ms(time_ms: i64) -> Self {
        Self(time_ms.div_euclid(DAY_MS))
    }

    /// Returns the current day by the wall clock.
    #[must_use]
    pub fn today() -> Self {
        Self::of_ms(wall_clock_ms())
    }

    /// Returns the start of the day in milliseconds since 1970.
    #[must_use]
    pub fn start_ms(self) -> i64 {
        self.0.saturating_mul(DAY_MS)
    }

    /// Returns the day `days` later, or earlier if negative.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Returns the calendar date; `None` outside the years -9999 to 9999.
    fn date(self) -> Option<Date> {
        let days = jiff::Span::new().try_days(self.0).ok()?;
        Date::constant(1970, 1, 1).checked_add(days).ok()
    }
}

/// Returns where a floor moves on its way to `wanted`: up only, and with `days_max` by so many days at most, counted from
/// the first day that is held. Where nothing is held there is nothing to lose.
pub(crate) fn next_floor(floor: Day, first_held: Option<Day>, wanted: Day, days_max: Option<u32>) -> Day {
    let reach = match (first_held, days_max) {
        (Some(first_held), Some(days)) => first_held.max(floor).plus(i64::from(days)),
        _ => wanted,
    };
    wanted.min(reach).max(floor)
}

/// Writes `2026-11-21`; the bare number for a day that has no date, and words for [`Day::MIN`].
impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.date() {
            _ if *self == Self::MIN => formatter.write_str("the beginning of time"),
            Some(date) => fmt::Display::fmt(&date, formatter),
            None => write!(formatter, "day {}", self.0),
        }
    }
}

/// Error for a text that is not a date of the form `2026-11-21`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a date as in 2026-11-21")]
pub struct NotADay(String);

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        let date: Date = text.parse().map_err(|_| NotADay(text.to_owned()))?;
        let since = date.since(Date::constant(1970, 1, 1)).map_err(|_| NotADay(text.to_owned()))?;
        Ok(Self(i64::from(since.get_days())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_moves_up_by_a_few_days() {
        let check = |floor: i64, first_held: Option<i64>, days_max: Option<u32>, expected: i64| {
            let found = next_floor(Day(floor), first_held.map(Day), Day(100), days_max);
            assert_eq!(found, Day(expected), "{floor} {first_held:?} {days_max:?}");
        };
        check(90, Some(90), Some(2), 92);
        check(99, Some(99), Some(2), 100);
        check(90, Some(95), Some(2), 97);
        check(Day::MIN.0, Some(60), Some(2), 62);
        check(Day::MIN.0, None, Some(2), 100);
        check(90, Some(90), None, 100);
        check(120, Some(130), Some(2), 120);
        check(90, Some(130), Some(2), 100);
    }

    #[test]
    fn days_are_shown_and_read_as_dates() {
        fn check(day: i64, text: &str) {
            assert_eq!(Day(day).to_string(), text);
            assert_eq!(text.parse(), Ok(Day(day)));
        }
        check(0, "1970-01-01");
        check(-1, "1969-12-31");
        check(59, "1970-03-01");
        // 30 years with 7 leap days (1972 to 1996).
        check(30 * 365 + 7, "2000-01-01");
        assert_eq!(Day(9_000_000).to_string(), "day 9000000");
        assert_eq!(Day::MIN.to_string(), "the beginning of time");
        assert!("21.11.2026".parse::<Day>().is_err());
    }

    #[test]
    fn a_day_is_half_open_and_works_before_1970() {
        fn check(time_ms: i64, day: i64) {
            assert_eq!(Day::of_ms(time_ms), Day(day));
            assert!(Day(day).start_ms() <= time_ms && time_ms < Day(day).plus(1).start_ms());
        }
        check(0, 0);
        check(DAY_MS - 1, 0);
        check(DAY_MS, 1);
        check(-1, -1);
        assert_eq!(Day::of_ms(i64::MIN), Day::MIN);
    }
}
