//! Times as text for people: UTC.

use jiff::Timestamp;
use yahtzee_core::window::Window;

/// Returns `2026-03-04T05:06:00Z`, from milliseconds since 1970; a fraction only where there is one.
#[must_use]
pub fn date_and_time(time_ms: i64) -> String {
    timestamp(time_ms).to_string()
}

/// Returns the start of a window, as [`date_and_time`].
#[must_use]
pub fn window_start(window: Window, length_ms: u32) -> String {
    date_and_time(window.start_ms(length_ms))
}

/// Returns `05:06`, from milliseconds since 1970.
#[must_use]
pub fn hour_and_minute(time_ms: i64) -> String {
    timestamp(time_ms).strftime("%H:%M").to_string()
}

/// Times beyond the calendar's ends are the ends.
fn timestamp(time_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(time_ms).unwrap_or(if time_ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(date_and_time(1_772_600_760_000), "2026-03-04T05:06:00Z");
        assert_eq!(hour_and_minute(1_772_600_760_000), "05:06");
        assert!(date_and_time(i64::MAX).starts_with("9999-12-30T"), "the calendar's end");
    }
}
