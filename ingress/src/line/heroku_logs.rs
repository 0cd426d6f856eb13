//! The text form of `heroku logs`: `2026-03-04T05:06:07.080910+00:00 heroku[router]: at=info ...`.

use super::LogLine;
use super::timestamp;

/// Reads one line of `heroku logs`, without its newline; `None` if it is not of that form.
#[must_use]
pub fn parse(line: &[u8]) -> Option<LogLine<'_>> {
    let (time, rest) = split(line, b" ")?;
    let (source, text) =
        split(rest, b"]: ").or_else(|| rest.strip_suffix(b"]:").map(|source| (source, &b""[..])))?;
    let (app_name, proc_id) = split(source, b"[")?;
    let named = !app_name.is_empty() && !proc_id.is_empty() && !source.contains(&b' ');
    timestamp::parse_us(time).filter(|_| named)?;
    Some(LogLine { priority: None, time, hostname: b"", app_name, proc_id, message_id: b"-", text })
}

fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn source_and_text_are_separated() {
        fn check(line: &str, expected: Option<[&str; 3]>) {
            let parsed = parse(line.as_bytes());
            let fields = parsed.map(|line| {
                [line.app_name, line.proc_id, line.text].map(|field| std::str::from_utf8(field).unwrap())
            });
            assert_eq!(fields, expected, "{line}");
        }
        let time = "2026-03-04T05:06:07.080910+00:00";
        check(&format!("{time} heroku[router]: at=info x"), Some(["heroku", "router", "at=info x"]));
        check(&format!("{time} app[web.1]: [x]: y"), Some(["app", "web.1", "[x]: y"]));
        check(&format!("{time} app[web.1]:"), Some(["app", "web.1", ""]));
        check(&format!("{time} app[web.1] no colon"), None);
        check(&format!("{time} a b[web.1]: x"), None);
        check(&format!("{time} [router]: x"), None);
        check("yesterday heroku[router]: at=info", None);
        check("", None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&line);
        }
    }
}
