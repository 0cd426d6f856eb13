//! The header of a syslog message as Logplex writes it: RFC 5424, except that structured data is left out
//! without a NILVALUE.

/// One log line, header and text apart. Bytes throughout: UTF-8 is not guaranteed anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// Priority, 0 to 191; `None` if out of range, or if the form has none. Never used to route.
    pub priority: Option<u8>,
    /// Timestamp as written.
    pub time: &'a [u8],
    /// HOSTNAME; empty in forms without one.
    pub hostname: &'a [u8],
    /// APP-NAME: `heroku`, `app`, or a log token.
    pub app_name: &'a [u8],
    /// PROCID: `router`, `web.1`, `api` ...
    pub proc_id: &'a [u8],
    /// MSGID; `-` where there is none.
    pub message_id: &'a [u8],
    /// Everything after the header, structured data included.
    pub text: &'a [u8],
}

impl<'a> LogLine<'a> {
    /// Reads `<PRI>VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID [SP MSG]`.
    ///
    /// `None` if a field is missing or empty, or PRI or VERSION is not made of digits.
    #[must_use]
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let (priority, rest) = split(message.strip_prefix(b"<")?, b'>')?;
        let (version, rest) = split(rest, b' ')?;
        if !is_number(priority) || !is_number(version) {
            return None;
        }
        let (time, rest) = field(rest)?;
        let (hostname, rest) = field(rest)?;
        let (app_name, rest) = field(rest)?;
        let (proc_id, rest) = field(rest)?;
        let (message_id, text) = split(rest, b' ').unwrap_or((rest, b""));
        let priority =
            number(priority).and_then(|value| u8::try_from(value).ok()).filter(|&value| value <= 191);
        let line = Self { priority, time, hostname, app_name, proc_id, message_id, text };
        (!message_id.is_empty()).then_some(line)
    }

    /// Returns the text behind optional structured data (`- `, or `[...]` with escapes).
    ///
    /// Only for lines that no application writes: in application output, `- x` and `[x]` are text.
    #[must_use]
    pub fn text_after_structured_data(&self) -> &'a [u8] {
        if let Some(rest) = self.text.strip_prefix(b"- ") {
            return rest;
        }
        match elements_bytes(self.text) {
            0 => self.text,
            end if end == self.text.len() => b"",
            end => self.text[end..].strip_prefix(b" ").unwrap_or(self.text),
        }
    }
}

fn split(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    split(bytes, b' ').filter(|(field, _)| !field.is_empty())
}

fn is_number(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

fn number(digits: &[u8]) -> Option<u64> {
    super::values::integer(digits)
}

/// Returns the length of the run of `[...]` elements at the start of `text`; 0 if it does not begin with a closed one.
fn elements_bytes(text: &[u8]) -> usize {
    let mut end = 0;
    while text.get(end) == Some(&b'[') {
        let Some(length) = closing_bracket(&text[end..]) else { break };
        end += length + 1;
    }
    end
}

/// Returns the position of the first `]` that no backslash escapes.
fn closing_bracket(element: &[u8]) -> Option<usize> {
    let mut escaped = false;
    element.iter().position(|&byte| {
        let closes = byte == b']' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn header_fields_are_found_by_their_blanks() {
        fn check(message: &str, expected: Option<[&str; 6]>) {
            let line = LogLine::parse(message.as_bytes());
            let fields = line.map(|line| {
                [line.time, line.hostname, line.app_name, line.proc_id, line.message_id, line.text]
                    .map(|field| std::str::from_utf8(field).unwrap())
            });
            assert_eq!(fields, expected, "{message:?}");
        }
        check(
            "<158>1 T host heroku router - at=info x\n",
            Some(["T", "host", "heroku", "router", "-", "at=info x\n"]),
        );
        check("<158>1 T host heroku router -", Some(["T", "host", "heroku", "router", "-", ""]));
        check("<158>1 T host heroku router - ", Some(["T", "host", "heroku", "router", "-", ""]));
        check("<999>123 T h a p id - x", Some(["T", "h", "a", "p", "id", "- x"]));
        check("<158>1 T host heroku router", None);
        check("<158>1 T host heroku router ", None);
        check("<158>1  T host heroku router - x", None);
        check("<158> T host heroku router - x", None);
        check("<>1 T host heroku router - x", None);
        check("158>1 T host heroku router - x", None);
        check("", None);
    }

    #[test]
    fn priorities_above_191_are_no_error() {
        fn check(priority: &str, expected: Option<u8>) {
            let message = format!("<{priority}>1 T host heroku router - x");
            assert_eq!(LogLine::parse(message.as_bytes()).unwrap().priority, expected, "{priority}");
        }
        check("0", Some(0));
        check("191", Some(191));
        check("192", None);
        check("99999999999999999999999", None);
    }

    #[test]
    fn structured_data_is_skipped_whole_or_not_at_all() {
        fn check(text: &str, expected: &str) {
            let message = format!("<1>1 T h heroku router - {text}");
            let line = LogLine::parse(message.as_bytes()).unwrap();
            assert_eq!(line.text_after_structured_data(), expected.as_bytes(), "{text}");
        }
        check("- text", "text");
        check("-text", "-text");
        check("[a b=\"c\"] text", "text");
        check("[a b=\"c\\]d\"][e] text", "text");
        check("[a \\\\] text", "text");
        check("[a]", "");
        check("[a]text", "[a]text");
        check("[a]|b] text", "[a]|b] text");
        check("[open text", "[open text");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(line) = LogLine::parse(&message) {
                prop_assert!(message.ends_with(line.text_after_structured_data()));
            }
        }

        #[test]
        fn fields_come_back(fields in proptest::collection::vec("[!-~]{1,12}", 5), text in "[ -~]{0,40}") {
            let message = format!("<13>1 {} {text}", fields.join(" "));
            let line = LogLine::parse(message.as_bytes()).unwrap();
            let read = [line.time, line.hostname, line.app_name, line.proc_id, line.message_id];
            for (read, written) in read.iter().zip(&fields) {
                prop_assert_eq!(*read, written.as_bytes());
            }
            prop_assert_eq!(line.text, text.as_bytes());
        }
    }
}
