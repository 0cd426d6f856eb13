//! The figures of a router line.
//!
//! The client controls `path`, `host`, `fwd` and `agent`, and how the router escapes a quote is not
//! documented. So no quote is read: position decides. Keys that stand before `path` count where they first
//! occur, and only before `path`; keys that stand after `host`, `request_id` and `fwd` count where they last occur, read
//! from the right end. `agent`, which comes last and only with H31, ends the reading.

use yahtzee_pipeline_proto::raw::{Flag, PlatformError, RouterRequest};

use super::context::{CommonFields, DynoRef};
use super::platform_error;
use super::values::{DynoName, error_code, integer, milliseconds, status};

/// The process type that the router serves.
const PROCESS_TYPE: &str = "web";

/// Codes of the router that are no request of their own: maintenance mode, blank app, quota used up.
const NOTICE_CODES: std::ops::RangeInclusive<u32> = 80..=82;

/// The letter of the router's error codes.
const CODE_LETTER: u8 = b'H';

/// The one code with lines that end in text of the client's own (`agent="..."`).
const MISDIRECTED_REQUEST: u32 = 31;

/// A line of the router.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ParsedRouterLine {
    /// It has none of the keys `at`, `code` and `status`.
    Other,
    /// It ends before its figures do.
    Cut,
    /// A request, and the error if it has a code.
    Request(RouterRequest, Option<PlatformError>),
}

/// Reads the text of a router line.
pub(super) fn read(text: &[u8], common: CommonFields<'_>) -> ParsedRouterLine {
    let Some(fields) = RouterFields::read(text) else { return ParsedRouterLine::Other };
    if fields.status.is_none() && fields.h_code.is_none() {
        return ParsedRouterLine::Cut;
    }
    let is_notice = fields.h_code.is_some_and(|code| NOTICE_CODES.contains(&code));
    let common = common.with_flag(Flag::NotARequest, is_notice).with_flag(Flag::Truncated, fields.cut);
    let dyno = fields.dyno.map_or_else(|| DynoRef::of_type(PROCESS_TYPE), DynoRef::from);
    // An error is the app's, whatever the dyno: its process type is that of the router.
    let of_error = common.about(DynoRef { process_type: PROCESS_TYPE, ..dyno });
    let error = fields.h_code.map(|code| platform_error::error(&format!("H{code:02}"), of_error));
    let CommonFields { time_us, process_type, dyno_num, frame_index, flags } = common.about(dyno);
    let request = RouterRequest {
        time_us,
        process_type: process_type.to_owned(),
        dyno_num,
        frame_index,
        flags,
        status: fields.status,
        service_ms: fields.service_ms,
        connect_ms: fields.connect_ms,
        bytes: fields.bytes,
        h_code: fields.h_code,
    };
    ParsedRouterLine::Request(request, error)
}

/// The fields of a router line. Everything may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RouterFields<'a> {
    /// 12 for H12.
    h_code: Option<u32>,
    /// The dyno that was chosen.
    dyno: Option<DynoName<'a>>,
    /// Time to connect to the dyno, in milliseconds.
    connect_ms: Option<u32>,
    /// Time to the end of the response, in milliseconds.
    service_ms: Option<u32>,
    /// HTTP status, 100 to 599.
    status: Option<u32>,
    /// Bytes sent to the client.
    bytes: Option<u64>,
    /// Whether the line ends before its figures do.
    cut: bool,
}

impl<'a> RouterFields<'a> {
    /// Reads the text of a router line; `None` if it has none of the keys `at`, `code` and `status`.
    fn read(text: &'a [u8]) -> Option<Self> {
        let text = text.trim_ascii_end();
        let head = Head::read(text);
        let h_code = head.code.and_then(|code| error_code(code, CODE_LETTER));
        let rest = head.path.map_or(text, |path| &text[path..]);
        let rest = if h_code == Some(MISDIRECTED_REQUEST) { before_agent(rest) } else { rest };
        let tail = Tail::read(rest);
        // A path with nothing of the router's behind it is cut off inside the client's own text: nothing in it is a figure.
        let tail = if head.path.is_some() && !tail.after_client { Tail::default() } else { tail };
        head.at.or(head.code).or(tail.status)?;
        let status = tail.status.and_then(status);
        Some(Self {
            h_code,
            dyno: tail.dyno.and_then(DynoName::parse),
            connect_ms: tail.connect.and_then(milliseconds),
            service_ms: tail.service.and_then(milliseconds),
            status,
            bytes: tail.bytes.and_then(integer),
            cut: !tail.after_client && status.is_none(),
        })
    }
}

/// Values of keys before `path`, first occurrences.
#[derive(Default)]
struct Head<'a> {
    at: Option<&'a [u8]>,
    code: Option<&'a [u8]>,
    /// Position of `path=`.
    path: Option<usize>,
}

impl<'a> Head<'a> {
    fn read(text: &'a [u8]) -> Self {
        let mut head = Self::default();
        let mut position = 0;
        for token in tokens(text) {
            if token.starts_with(b"path=") {
                head.path = Some(position);
                break;
            }
            if let Some(value) = token.strip_prefix(b"at=") {
                head.at.get_or_insert(value);
            } else if let Some(value) = token.strip_prefix(b"code=") {
                head.code.get_or_insert(value);
            }
            position += token.len() + 1;
        }
        head
    }
}

/// Values of keys behind those that the client controls, last occurrences.
#[derive(Default)]
struct Tail<'a> {
    dyno: Option<&'a [u8]>,
    connect: Option<&'a [u8]>,
    service: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    bytes: Option<&'a [u8]>,
    /// Whether `fwd` was found in front of them, or, where it is missing, `request_id` or `host`.
    after_client: bool,
}

impl<'a> Tail<'a> {
    fn read(text: &'a [u8]) -> Self {
        let mut tail = Self::default();
        // Behind a value there is the next key, or the end. Anything else was part of the value.
        let mut is_followed_by_key = true;
        for (from_end, token) in tokens(text).rev().enumerate() {
            let Some(equals) = token.iter().position(|&byte| byte == b'=') else {
                is_followed_by_key = false;
                continue;
            };
            let value = &token[equals + 1..];
            // At the end, a time without its unit is part of one, 3 of 30ms, and a dyno may be, web.1 of web.12.
            let may_be_part = match &token[..equals] {
                b"connect" | b"service" => !value.ends_with(b"ms"),
                b"dyno" => true,
                _ => false,
            };
            let is_part = !is_followed_by_key || (from_end == 0 && may_be_part);
            let value = if is_part { b"" } else { value };
            is_followed_by_key = true;
            let slot = match &token[..equals] {
                b"dyno" => &mut tail.dyno,
                b"connect" => &mut tail.connect,
                b"service" => &mut tail.service,
                b"status" => &mut tail.status,
                b"bytes" => &mut tail.bytes,
                b"fwd" | b"request_id" | b"host" => {
                    tail.after_client = true;
                    return tail;
                }
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        tail
    }
}

fn tokens(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    text.split(|&byte| byte == b' ')
}

fn before_agent(text: &[u8]) -> &[u8] {
    const AGENT: &[u8] = b" agent=\"";
    let agent = text.windows(AGENT.len()).position(|window| window == AGENT);
    agent.map_or(text, |agent| &text[..agent])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAIL: &str = "dyno=web.2 connect=1ms service=18ms status=200 bytes=13 protocol=https";

    fn line(path: &str, fwd: &str) -> String {
        format!("at=info method=GET path=\"{path}\" host=example.com request_id=x fwd=\"{fwd}\" {TAIL}\n")
    }

    fn honest() -> RouterFields<'static> {
        RouterFields {
            h_code: None,
            dyno: DynoName::parse(b"web.2"),
            connect_ms: Some(1),
            service_ms: Some(18),
            status: Some(200),
            bytes: Some(13),
            cut: false,
        }
    }

    #[test]
    fn clients_cannot_forge_figures() {
        fn check(path: &str, fwd: &str) {
            assert_eq!(RouterFields::read(line(path, fwd).as_bytes()), Some(honest()), "{path} {fwd}");
        }
        check("/", "192.0.2.17");
        check("/x status=500 service=1ms", "192.0.2.17");
        check("/x\" code=H12 at=error status=500 fwd=\"1\" dyno=web.9 y=\"", "192.0.2.17");
        check("/x\" agent=\"", "192.0.2.17");
        check("/", "1\" dyno=web.9 connect= service=1ms status=500 bytes=1 x=\"");
        check("/", "");
    }

    #[test]
    fn a_client_cannot_forge_figures_through_its_agent() {
        let text = b"error code=H31 desc=\"Misdirected Request\" method=GET path=\"/\" host=h fwd=\"192.0.2.1\" dyno= \
            connect= service= status=421 bytes= protocol=http agent=\"a\" status=200 service=1ms b=\"\"";
        let expected = RouterFields { h_code: Some(31), status: Some(421), ..RouterFields::default() };
        assert_eq!(RouterFields::read(text), Some(expected));
    }

    #[test]
    fn missing_figures_stay_missing() {
        fn check(text: &str, expected: Option<RouterFields<'_>>) {
            assert_eq!(RouterFields::read(text.as_bytes()), expected, "{text}");
        }
        check("", None);
        check("foo bar baz", None);
        check("Error H10 (App crashed) -> GET example.com/ web=web.1 service=0ms bytes=0", None);
        check("at=info", Some(RouterFields { cut: true, ..RouterFields::default() }));
        check(
            "at=error code=H12 desc=\"Req",
            Some(RouterFields { h_code: Some(12), cut: true, ..RouterFields::default() }),
        );
        let forged_and_cut = "at=info method=GET path=\"/x service=1ms status=500 bytes=1";
        check(forged_and_cut, Some(RouterFields { cut: true, ..RouterFields::default() }));
        let repeated = "at=info path=/ fwd=x service=5ms service= status=200 status=500";
        check(repeated, Some(RouterFields { status: Some(500), ..RouterFields::default() }));
    }

    /// A key that is missing costs the figure that it has, whichever it is.
    #[test]
    fn a_missing_key_costs_nothing_else() {
        let whole = line("/", "192.0.2.17");
        for key in ["at", "method", "host", "request_id", "fwd", "protocol", "path"] {
            let without: Vec<&str> =
                whole.split(' ').filter(|token| !token.starts_with(&format!("{key}="))).collect();
            assert_eq!(RouterFields::read(without.join(" ").as_bytes()), Some(honest()), "{key}");
        }
        let check = |key: &str, expected: RouterFields<'_>| {
            let without: Vec<&str> =
                whole.split(' ').filter(|token| !token.starts_with(&format!("{key}="))).collect();
            assert_eq!(RouterFields::read(without.join(" ").as_bytes()), Some(expected), "{key}");
        };
        check("dyno", RouterFields { dyno: None, ..honest() });
        check("connect", RouterFields { connect_ms: None, ..honest() });
        check("service", RouterFields { service_ms: None, ..honest() });
        check("status", RouterFields { status: None, ..honest() });
        check("bytes", RouterFields { bytes: None, ..honest() });
    }

    #[test]
    fn forms_of_2012_have_no_path_key() {
        let text = b"GET example.com/x?q=y dyno=web.4 queue=0 wait=0ms service=17ms status=200 bytes=496";
        let request = RouterFields::read(text).unwrap();
        assert_eq!((request.status, request.service_ms, request.cut), (Some(200), Some(17), false));
    }

    proptest! {
        #[test]
        fn figures_do_not_depend_on_path_and_fwd(path in "[ -~]{0,60}", fwd in "[ -~]{0,60}") {
            let text = line(&path, &fwd);
            prop_assert_eq!(RouterFields::read(text.as_bytes()), Some(honest()));
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = RouterFields::read(&text);
        }

        /// Wherever a line is cut, a figure is the one that was written, or missing; but for bytes, which have no unit, and
        /// with which older lines end.
        #[test]
        fn a_cut_line_gives_no_figure_that_nobody_wrote(length in 0_usize..200) {
            let text = "at=info method=GET path=\"/\" host=h request_id=x fwd=\"192.0.2.1\" dyno=web.12 connect=12ms \
                        service=345ms status=200 bytes=678 protocol=https";
            let Some(fields) = RouterFields::read(&text.as_bytes()[..length.min(text.len())]) else { return Ok(()) };
            prop_assert!(fields.connect_ms.is_none_or(|ms| ms == 12), "{:?}", fields);
            prop_assert!(fields.service_ms.is_none_or(|ms| ms == 345), "{:?}", fields);
            prop_assert!(fields.status.is_none_or(|status| status == 200), "{:?}", fields);
            prop_assert!(fields.dyno.is_none_or(|dyno| Some(dyno) == DynoName::parse(b"web.12")), "{:?}", fields);
        }

        #[test]
        fn cut_lines_are_read_without_panic(length in 0_usize..200) {
            let text = line("/x status=500", "192.0.2.17");
            let request = RouterFields::read(&text.as_bytes()[..length.min(text.len())]);
            prop_assert!(request.is_none_or(|request| request.status.is_none() || request.status == Some(200)));
        }
    }
}
