//! RFC 3339 timestamps as log lines carry them.

/// Days before each month of a common year.
const DAYS_BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// Most fractional digits that are read.
const MAX_FRACTION_DIGITS: usize = 9;

/// Microseconds since 1970 of `2026-03-04T05:06:07.080910+00:00`; `None` if it is not a time.
///
/// Zero to nine fractional digits, cut to microseconds; `Z`, any offset, or the `Z+00:00` of old Logplex
/// versions; second 60 is the first of the next minute.
#[must_use]
pub fn parse_us(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.strip_prefix(b"T")?.split_at_checked(8)?;
    let (fraction_us, rest) = fraction_us(rest)?;
    let seconds = days(date)? * 86_400 + seconds_of_day(time)? - offset_s(rest)?;
    Some(seconds * 1_000_000 + fraction_us)
}

/// Days from 1970-01-01 to `YYYY-MM-DD` in the proleptic Gregorian calendar.
fn days(date: &[u8]) -> Option<i64> {
    let [year, month, day] = numbers(date, [(0, 4), (5, 7), (8, 10)])?;
    if date[4] != b'-' || date[7] != b'-' || !(1..=12).contains(&month) {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_index = usize::try_from(month - 1).expect("1 to 12");
    let month_days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let leap_day = i64::from(leap && month > 2);
    let before_year = 365 * (year - 1970) + leap_days_before(year) - leap_days_before(1970);
    let before_day = before_year + DAYS_BEFORE_MONTH[month_index] + leap_day;
    (1..=month_days).contains(&day).then(|| before_day + day - 1)
}

/// Returns the leap days from year 0 to the start of `year`, less a constant.
fn leap_days_before(year: i64) -> i64 {
    let last = year - 1;
    last.div_euclid(4) - last.div_euclid(100) + last.div_euclid(400)
}

fn seconds_of_day(time: &[u8]) -> Option<i64> {
    let [hour, minute, second] = numbers(time, [(0, 2), (3, 5), (6, 8)])?;
    let valid = time[2] == b':' && time[5] == b':' && hour < 24 && minute < 60 && second <= 60;
    valid.then_some(hour * 3_600 + minute * 60 + second)
}

/// Reads an optional `.digits`; returns it in microseconds with what follows.
fn fraction_us(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > MAX_FRACTION_DIGITS {
        return None;
    }
    let micros = (0..6).map(|index| if index < digits { i64::from(text[index] - b'0') } else { 0 });
    Some((micros.fold(0, |sum, digit| sum * 10 + digit), &text[digits..]))
}

/// Seconds east of UTC of `Z`, `+hh:mm`, `-hh:mm` or `Z+00:00`.
fn offset_s(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        b"Z" | b"Z+00:00" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let [hours, minutes] = numbers(rest, [(0, 2), (3, 5)])?;
    let valid = rest.len() == 5 && rest[2] == b':' && hours < 24 && minutes < 60;
    valid.then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Reads the numbers at these positions of `text`.
fn numbers<const N: usize>(text: &[u8], places: [(usize, usize); N]) -> Option<[i64; N]> {
    let mut values = [0; N];
    for (value, (from, to)) in values.iter_mut().zip(places) {
        *value = i64::try_from(super::values::integer(text.get(from..to)?)?).expect("at most four digits");
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_seen_in_logs() {
        fn check(text: &str, expected: Option<i64>) {
            assert_eq!(parse_us(text.as_bytes()), expected, "{text}");
        }
        let micros = 1_772_600_767_080_910;
        check("2026-03-04T05:06:07.080910+00:00", Some(micros));
        check("2026-03-04T05:06:07.08091Z", Some(micros));
        check("2026-03-04T05:06:07.080910999+00:00", Some(micros));
        check("2026-03-04T07:06:07.080910+02:00", Some(micros));
        check("2026-03-03T19:36:07.080910-09:30", Some(micros));
        check("2026-03-04T05:06:07Z+00:00", Some(1_772_600_767_000_000));
        check("2026-03-04T05:06:60.000000+00:00", Some(1_772_600_820_000_000));
        check("1970-01-01T00:00:00Z", Some(0));
        check("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000));
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "-",
            "1772600767",
            "2026-03-04",
            "2026-03-04 05:06:07Z",
            "2026-03-04T05:06:07",
            "2026-03-04T05:06:07.Z",
            "2026-03-04T05:06:07.0123456789Z",
            "2026-13-04T05:06:07Z",
            "2026-02-29T05:06:07Z",
            "2026-04-31T05:06:07Z",
            "2026-03-00T05:06:07Z",
            "2026-03-04T24:06:07Z",
            "2026-03-04T05:60:07Z",
            "2026-03-04T05:06:61Z",
            "2026-03-04T05:06:07+0000",
            "2026-03-04T05:06:07+24:00",
            "+026-03-04T05:06:07Z",
            "2026-03-04T05:06:07Zx",
        ] {
            assert_eq!(parse_us(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(micros in Timestamp::from_second(-62_000_000_000).unwrap().as_microsecond()
            ..Timestamp::MAX.as_microsecond())
        {
            let text = Timestamp::from_microsecond(micros).unwrap().to_string();
            prop_assert_eq!(parse_us(text.as_bytes()), Some(micros));
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_us(&text);
        }

        #[test]
        fn nearly_times_are_read_without_panic(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{0,16}[Z+-]{0,2}[0-9:]{0,6}") {
            let _ = parse_us(text.as_bytes());
        }
    }
}
