//! Formats numbers in few characters.

/// Formats a count in at most four characters: `999`, `9.9k`, `999k`, `9.9M`. Truncated, not rounded up.
pub(super) fn count(value: u64) -> String {
    scaled(value, &[(1, ""), (1_000, "k"), (1_000_000, "M"), (1_000_000_000, "G")])
}

/// Formats a time in at most four characters: `34` is milliseconds, then `1.2s`, `30s`, `16m`, `9h`.
pub(super) fn duration(value_ms: f64) -> String {
    let value_ms = value_ms.round() as u64;
    match value_ms {
        0..1_000_000 => scaled(value_ms, &[(1, ""), (1_000, "s")]),
        1_000_000..60_000_000 => format!("{}m", value_ms / 60_000),
        _ => format!("{}h", value_ms / 3_600_000),
    }
}

/// Formats a number in at most four characters up to 9,999: `0.46`, `12.3`, `123`.
pub(super) fn decimal(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// Formats a number with all digits, in groups of three: `12,345`.
pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats `value` in the greatest unit that it fills; one decimal below ten of a unit other than the first.
fn scaled(value: u64, units: &[(u64, &str)]) -> String {
    let fits = |&&(size, _): &&(u64, &str)| value >= size;
    let &(size, unit) = units.iter().rev().find(fits).unwrap_or(&units[0]);
    if size > 1 && value < 10 * size {
        format!("{}.{}{unit}", value / size, value % size * 10 / size)
    } else {
        format!("{}{unit}", value / size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_their_size() {
        fn check(value: u64, expected: &str) {
            assert_eq!(count(value), expected);
        }
        check(0, "0");
        check(999, "999");
        check(1_000, "1.0k");
        check(9_999, "9.9k");
        check(123_456, "123k");
        check(1_250_000, "1.2M");
    }

    #[test]
    fn durations_change_their_unit() {
        fn check(value_ms: f64, expected: &str) {
            assert_eq!(duration(value_ms), expected);
        }
        check(0.4, "0");
        check(34.0, "34");
        check(999.6, "1.0s");
        check(1_240.0, "1.2s");
        check(30_001.0, "30s");
        check(999_999.0, "999s");
        check(1_000_000.0, "16m");
        check(36_000_000.0, "600m");
        check(86_400_000.0, "24h");
    }

    #[test]
    fn decimals_keep_three_digits() {
        fn check(value: f64, expected: &str) {
            assert_eq!(decimal(value), expected);
        }
        check(0.456, "0.46");
        check(9.996, "10.0");
        check(99.96, "100");
    }

    #[test]
    fn groups_are_of_three() {
        fn check(value: u64, expected: &str) {
            assert_eq!(grouped(value), expected);
        }
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(1_234_567, "1,234,567");
    }
}
