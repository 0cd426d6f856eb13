//! Notices that log lines were lost on the way: L10 to L13.

use yahtzee_pipeline_proto::raw::LogLoss;

use super::context::CommonFields;
use super::timestamp;
use super::values::integer;

/// Reads the loss that a notice with this code announces; `None` if it has no number of messages. It begins with the
/// notice itself where that says no time; the rest of the body may show that it began earlier.
///
/// `... 3 messages dropped since <time>.`, or `... dropped 17 messages since <time>.`: the wording has changed over the
/// years, so only the number and the time are looked for.
pub(super) fn read(text: &[u8], code: &str, common: CommonFields<'_>) -> Option<LogLoss> {
    let (count, since_us) = count_and_begin(text)?;
    let CommonFields { time_us, frame_index, flags, .. } = common;
    let since_us = since_us.map_or(time_us, |since_us| since_us.min(time_us));
    Some(LogLoss { time_us, frame_index, flags, code: code.to_owned(), count, since_us })
}

fn count_and_begin(text: &[u8]) -> Option<(u64, Option<i64>)> {
    let words = || text.trim_ascii_end().split(|&byte| byte == b' ');
    let at = words().position(|word| word == b"messages")?;
    let number = words().nth(at.checked_sub(1)?)?;
    // Digits in front of the number would be part of it.
    let before = at.checked_sub(2).and_then(|before| words().nth(before));
    if before.is_some_and(|word| word.iter().all(u8::is_ascii_digit)) {
        return None;
    }
    let since = words().skip_while(|word| *word != b"since").nth(1);
    let since_us = since.and_then(|time| timestamp::parse_us(time.strip_suffix(b".").unwrap_or(time)));
    Some((integer(number)?, since_us))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wordings_of_all_years() {
        fn check(text: &str, expected: Option<(u64, Option<i64>)>) {
            assert_eq!(count_and_begin(text.as_bytes()), expected, "{text}");
        }
        let since = Some(1_772_600_400_000_000);
        let time = "2026-03-04T05:00:00+00:00";
        check(
            &format!("Error L10 (output buffer overflow): 3 messages dropped since {time}."),
            Some((3, since)),
        );
        let with_drain = "Error L10 (output buffer overflow): drain 'd.1' dropped 17 messages";
        check(&format!("{with_drain} since {time}."), Some((17, since)));
        check(with_drain, Some((17, None)));
        check(
            &format!(
                "Error L11 (Tail buffer overflow) -> This tail session dropped 1101 messages since {time}"
            ),
            Some((1_101, since)),
        );
        check(&format!("Error L13: 111 messages lost since {time}\n"), Some((111, since)));
        check("Error L12: 2 messages dropped since yesterday", Some((2, None)));
        check("Error L12: many messages dropped", None);
        check("Error L12: 99999999999999999999 messages dropped", None);
        check("messages", None);
        check("", None);
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_panic(text in "((messages|since|[0-9]{1,3}|[ -~]{0,9}) ?){0,8}") {
            let _ = count_and_begin(text.as_bytes());
        }
    }
}
