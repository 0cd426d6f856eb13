//! One log line before it is encoded: its source, time and text.

use jiff::Timestamp;

/// Source of a line: its priority, APP-NAME and PROCID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LineSource {
    priority: u8,
    app_name: &'static str,
    proc_id: String,
    has_fraction: bool,
}

impl LineSource {
    /// The router of this priority: 158 for the legacy router, 134 for Router 2.0.
    pub(super) fn router(priority: u8) -> Self {
        Self::heroku(priority, "router".to_owned())
    }

    /// The platform, about this dyno (`web.1`).
    pub(super) fn platform(dyno: &str) -> Self {
        Self::heroku(134, dyno.to_owned())
    }

    /// Output of this dyno.
    pub(super) fn output(dyno: &str) -> Self {
        Self { priority: 190, app_name: "app", proc_id: dyno.to_owned(), has_fraction: true }
    }

    /// The platform's API.
    pub(super) fn api() -> Self {
        Self { priority: 133, app_name: "app", proc_id: "api".to_owned(), has_fraction: true }
    }

    /// An add-on (`heroku-postgres`); add-ons stamp whole seconds.
    pub(super) fn add_on(name: &str) -> Self {
        Self { priority: 134, app_name: "app", proc_id: name.to_owned(), has_fraction: false }
    }

    /// Logplex itself, which stamps whole seconds.
    pub(super) fn logplex() -> Self {
        Self { has_fraction: false, ..Self::heroku(172, "logplex".to_owned()) }
    }

    fn heroku(priority: u8, proc_id: String) -> Self {
        Self { priority, app_name: "heroku", proc_id, has_fraction: true }
    }
}

/// A log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Microseconds since 1970.
    pub(super) time_us: i64,
    /// Source of the line.
    pub(super) source: LineSource,
    /// Message after the header: any bytes, and the closing newline if the source writes one.
    pub(super) text: Vec<u8>,
}

impl Line {
    /// Creates a line with the newline that nearly all sources write.
    pub(super) fn new(time_us: i64, source: LineSource, text: impl Into<Vec<u8>>) -> Self {
        let mut text = text.into();
        text.push(b'\n');
        Self { time_us, source, text }
    }

    /// Appends `<octets> SP <message>` to `body`: the form of Logplex's HTTP drains, without structured data.
    pub(super) fn append_to(&self, body: &mut Vec<u8>) {
        let LineSource { priority, app_name, proc_id, has_fraction } = &self.source;
        let time = if *has_fraction { with_fraction(self.time_us) } else { whole_seconds(self.time_us) };
        let header = format!("<{priority}>1 {time} host {app_name} {proc_id} - ");
        let octets = header.len() + self.text.len();
        body.extend_from_slice(octets.to_string().as_bytes());
        body.push(b' ');
        body.extend_from_slice(header.as_bytes());
        body.extend_from_slice(&self.text);
    }
}

/// `2026-03-04T05:06:07.080910+00:00`.
pub(super) fn with_fraction(time_us: i64) -> String {
    format_time(time_us, "%Y-%m-%dT%H:%M:%S%.6f+00:00")
}

/// `2026-03-04T05:06:07+00:00`.
fn whole_seconds(time_us: i64) -> String {
    format_time(time_us, "%Y-%m-%dT%H:%M:%S+00:00")
}

fn format_time(time_us: i64, format: &str) -> String {
    let time = Timestamp::from_microsecond(time_us).unwrap_or(if time_us < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    time.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_bytes_and_the_newline_counts() {
        fn check(line: &Line, expected: &[u8]) {
            let mut body = Vec::new();
            line.append_to(&mut body);
            assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(expected));
        }
        let time_us = 1_772_600_767_080_910;
        // 57 characters of header, then "é" in two bytes and the newline.
        check(
            &Line::new(time_us, LineSource::output("web.1"), "é"),
            "60 <190>1 2026-03-04T05:06:07.080910+00:00 host app web.1 - é\n".as_bytes(),
        );
        check(
            &Line { time_us, source: LineSource::logplex(), text: b"x".to_vec() },
            b"56 <172>1 2026-03-04T05:06:07+00:00 host heroku logplex - x",
        );
    }
}
