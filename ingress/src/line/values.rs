//! Values inside log lines: integers, decimals in fixed point, units, codes, names of dynos.
//!
//! A value that is not exactly in the expected form is missing, never guessed: zero would be a wrong figure.

use uuid::Uuid;

/// Longest process type that is kept, in bytes.
const MAX_PROCESS_TYPE_BYTES: usize = 64;

/// Most fractional digits that are read; a line with more is no sample of the platform.
const MAX_FRACTION_DIGITS: usize = 15;

/// One mebibyte: what the platform writes as `MB`.
const MEBIBYTE: u64 = 1 << 20;

/// Reads unsigned decimal digits and nothing else.
#[must_use]
pub fn integer(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Reads whole milliseconds; the suffix `ms` may be missing.
#[must_use]
pub fn milliseconds(text: &[u8]) -> Option<u32> {
    u32::try_from(integer(text.strip_suffix(b"ms").unwrap_or(text))?).ok()
}

/// Reads an HTTP status, 100 to 599.
#[must_use]
pub fn status(text: &[u8]) -> Option<u32> {
    let status = u32::try_from(integer(text)?).ok()?;
    (text.len() == 3 && (100..600).contains(&status)).then_some(status)
}

/// Reads the number in an error code: `letter` and two or three digits. 12 for `H12`.
#[must_use]
pub fn error_code(text: &[u8], letter: u8) -> Option<u32> {
    let digits = text.strip_prefix(&[letter])?;
    if !(2..=3).contains(&digits.len()) {
        return None;
    }
    u32::try_from(integer(digits)?).ok()
}

/// Reads a load average in thousandths.
#[must_use]
pub fn load_milli(text: &[u8]) -> Option<u64> {
    decimal(text, 1_000)
}

/// Reads an amount of memory in bytes, from `MB`, `kB`, `bytes`, or no unit, which stands for `MB` as usual.
#[must_use]
pub fn memory_bytes(text: &[u8]) -> Option<u64> {
    let (number, unit) = split_unit(text);
    match unit {
        b"MB" | b"" => decimal(number, MEBIBYTE),
        b"kB" => decimal(number, 1_024),
        b"bytes" => decimal(number, 1),
        _ => None,
    }
}

/// Reads a percentage in thousandths of the whole: 1,152 for `115.2`.
#[must_use]
pub fn permille(percent: &[u8]) -> Option<u32> {
    u32::try_from(decimal(percent, 10)?).ok()
}

/// Reads a number of memory pages; the unit may be missing.
#[must_use]
pub fn pages(text: &[u8]) -> Option<u64> {
    let (number, unit) = split_unit(text);
    matches!(unit, b"pages" | b"").then(|| integer(number)).flatten()
}

fn split_unit(text: &[u8]) -> (&[u8], &[u8]) {
    let number = text.iter().take_while(|&&byte| byte.is_ascii_digit() || byte == b'.').count();
    text.split_at(number)
}

/// Reads `text` times `scale`, rounded half up. Digits with at most one point; no sign, no exponent.
fn decimal(text: &[u8], scale: u64) -> Option<u64> {
    let (whole, fraction) = match text.iter().position(|&byte| byte == b'.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &b"0"[..]),
    };
    if fraction.len() > MAX_FRACTION_DIGITS {
        return None;
    }
    let unit = 10_u128.pow(u32::try_from(fraction.len()).expect("few digits"));
    let value = u128::from(integer(whole)?) * unit + u128::from(integer(fraction)?);
    let scaled = value.checked_mul(u128::from(scale))?.checked_add(unit / 2)? / unit;
    u64::try_from(scaled).ok()
}

/// `<process type>.<number>`, as in `web.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynoName<'a> {
    /// `web`, `worker`, `run` ...
    pub process_type: &'a str,
    /// The number behind the last point.
    pub number: u32,
}

impl<'a> DynoName<'a> {
    /// Reads `web.1`.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let point = text.iter().rposition(|&byte| byte == b'.')?;
        let number = u32::try_from(integer(&text[point + 1..])?).ok()?;
        Some(Self { process_type: process_type(&text[..point])?, number })
    }
}

/// Reads a process type: letters, digits, `_` and `-`, at most 64.
#[must_use]
pub fn process_type(text: &[u8]) -> Option<&str> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let valid = (1..=MAX_PROCESS_TYPE_BYTES).contains(&text.len()) && text.iter().all(allowed);
    valid.then(|| std::str::from_utf8(text).expect("ASCII"))
}

/// Reads the UUID of a token such as `d.<uuid>` or `t.<uuid>`, in its hyphenated form.
#[must_use]
pub fn token_uuid(token: &[u8], prefix: &[u8]) -> Option<[u8; 16]> {
    hyphenated_uuid(token.strip_prefix(prefix)?)
}

/// Reads a UUID in its form of 36 characters.
#[must_use]
pub fn hyphenated_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let uuid = Uuid::try_parse_ascii(text).ok().filter(|_| text.len() == 36)?;
    Some(uuid.into_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn milliseconds_with_and_without_unit() {
        fn check(text: &str, expected: Option<u32>) {
            assert_eq!(milliseconds(text.as_bytes()), expected, "{text}");
        }
        check("34ms", Some(34));
        check("34", Some(34));
        check("4294967295ms", Some(u32::MAX));
        for text in
            ["", "ms", "-5ms", "1.5ms", "4294967296ms", "99999999999999999999ms", "34s", "+3ms", "3 ms"]
        {
            check(text, None);
        }
    }

    #[test]
    fn status_has_three_digits_from_100_to_599() {
        fn check(text: &str, expected: Option<u32>) {
            assert_eq!(status(text.as_bytes()), expected, "{text}");
        }
        check("100", Some(100));
        check("599", Some(599));
        for text in ["", "099", "600", "999", "0200", "2xx", "20"] {
            check(text, None);
        }
    }

    #[test]
    fn codes_have_two_or_three_digits() {
        fn check(text: &str, expected: Option<u32>) {
            assert_eq!(error_code(text.as_bytes(), b'R'), expected, "{text}");
        }
        check("R14", Some(14));
        check("R151", Some(151));
        for text in ["R", "R1", "R1x", "R1234", "H14", "14", ""] {
            check(text, None);
        }
    }

    #[test]
    fn loads_are_exact_thousandths() {
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(load_milli(text.as_bytes()), expected, "{text}");
        }
        check("2.46", Some(2_460));
        check("0.00", Some(0));
        check("7", Some(7_000));
        check("0.0004", Some(0));
        check("0.0005", Some(1));
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1.00",
            "1e9",
            "NaN",
            "inf",
            "1.2.3",
            "99999999999999999999",
            "1.0000000000000000",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn memory_units() {
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(memory_bytes(text.as_bytes()), expected, "{text}");
        }
        check("512.00MB", Some(512 << 20));
        check("21.22MB", Some(22_250_783)); // 21.22 * 1048576 = 22250782.72
        check("0.5", Some(512 << 10));
        check("3kB", Some(3_072));
        check("8945836.0bytes", Some(8_945_836));
        for text in ["429.68KB", "0.48GB", "MB", "-1MB", "1 MB", "18446744073709551615MB"] {
            check(text, None);
        }
    }

    #[test]
    fn page_counts_use_all_64_bits() {
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(pages(text.as_bytes()), expected, "{text}");
        }
        check("18446744073709551615pages", Some(u64::MAX));
        check("18446744073709551616pages", None);
        check("12", Some(12));
        check("12MB", None);
        check("1.5pages", None);
    }

    #[test]
    fn dyno_names() {
        fn check(text: &str, expected: Option<(&str, u32)>) {
            let dyno = DynoName::parse(text.as_bytes());
            assert_eq!(dyno.map(|dyno| (dyno.process_type, dyno.number)), expected, "{text}");
        }
        check("web.1", Some(("web", 1)));
        check("my-worker_2.17", Some(("my-worker_2", 17)));
        for text in ["", "web", "web.", ".1", "web.x", "web.-1", "a b.1", "web.4294967296", "w\u{e9}b.1"] {
            check(text, None);
        }
        check(&format!("{}.1", "x".repeat(65)), None);
    }

    #[test]
    fn tokens_carry_a_hyphenated_uuid() {
        let token = b"d.11111111-2222-4333-8444-555555555555";
        assert_eq!(token_uuid(token, b"d.").map(|uuid| (uuid[0], uuid[15])), Some((0x11, 0x55)));
        assert_eq!(token_uuid(token, b"t."), None);
        assert_eq!(token_uuid(b"d.11111111222243338444555555555555", b"d."), None);
        assert_eq!(token_uuid(b"d.1234-drain-identifier-567", b"d."), None);
    }

    proptest! {
        #[test]
        fn two_decimals_are_read_exactly(hundredths in 0_u64..1_000_000_000) {
            let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
            prop_assert_eq!(load_milli(text.as_bytes()), Some(hundredths * 10));
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (milliseconds(&text), memory_bytes(&text), pages(&text), load_milli(&text), status(&text));
            let _ = (DynoName::parse(&text), token_uuid(&text, b"d."), error_code(&text, b'H'));
        }
    }
}
