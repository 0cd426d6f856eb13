//! Times as operators write them.

use jiff::{SpanRelativeTo, Timestamp};

/// A time as it was written, and in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) written: String,
    pub(crate) time_ms: i64,
}

impl Moment {
    /// Parses RFC 3339, or a duration back from now, as in `-2h` or `-1d6h`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::parse_at(text, Timestamp::now())
    }

    fn parse_at(text: &str, now: Timestamp) -> Result<Self, String> {
        let time = if text.starts_with('-') { before(text, now) } else { text.parse().ok() };
        let time: Timestamp = time.ok_or_else(|| {
            format!(
                "{text:?} is neither a time like 2026-03-04T05:06:00Z nor a duration back from now like -2h"
            )
        })?;
        Ok(Self { written: text.to_owned(), time_ms: time.as_millisecond() })
    }
}

fn before(text: &str, now: Timestamp) -> Option<Timestamp> {
    let span: jiff::Span = text.parse().ok()?;
    now.checked_add(span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use yahtzee_runtime::utc;

    #[test]
    fn times_are_absolute_or_back_from_now() {
        let now: Timestamp = "2026-03-04T05:06:00Z".parse().unwrap();
        let check = |text: &str, expected: Option<&str>| {
            let read = Moment::parse_at(text, now).ok().map(|moment| utc::date_and_time(moment.time_ms));
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("2016-05-04T10:00:00Z", Some("2016-05-04T10:00:00Z"));
        check("2016-05-04T12:00:00+02:00", Some("2016-05-04T10:00:00Z"));
        check("-2h", Some("2026-03-04T03:06:00Z"));
        check("-1d6h", Some("2026-03-02T23:06:00Z"));
        check("-90s", Some("2026-03-04T05:04:30Z"));
        for text in ["", "-", "yesterday", "2016-05-04", "-soon"] {
            check(text, None);
        }
    }
}
