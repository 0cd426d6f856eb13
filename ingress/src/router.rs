//! The figures of a router line.
//!
//! The client controls `path`, `host`, `fwd` and `agent`, and how the router escapes a quote is not
//! documented. So no quote is read: position decides. Keys that stand before `path` count where they first
//! occur, and only before `path`; keys that stand after `fwd` count where they last occur, read from the
//! right end. `agent`, which comes last and only with H31, ends the reading.

use crate::value::{Dyno, error_code, integer, milliseconds, status};

/// The letter of the router's error codes.
const CODE_LETTER: u8 = b'H';

/// The one code whose lines end in text of the client's own (`agent="..."`).
const MISDIRECTED_REQUEST: u32 = 31;

/// What one router line says. Everything may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// 12 for H12.
    pub h_code: Option<u32>,
    /// The dyno that was chosen.
    pub dyno: Option<Dyno<'a>>,
    /// Time to connect to the dyno, in milliseconds.
    pub connect_ms: Option<u32>,
    /// Time to the end of the response, in milliseconds.
    pub service_ms: Option<u32>,
    /// HTTP status, 100 to 599.
    pub status: Option<u32>,
    /// Bytes sent to the client.
    pub bytes: Option<u64>,
    /// Whether the line ends before its figures do.
    pub cut: bool,
}

/// Reads the text of a router line; `None` if it has none of the keys `at`, `code` and `status`.
#[must_use]
pub fn read(text: &[u8]) -> Option<Request<'_>> {
    let text = text.trim_ascii_end();
    let head = Head::read(text);
    let h_code = head.code.and_then(|code| error_code(code, CODE_LETTER));
    let rest = head.path.map_or(text, |path| &text[path..]);
    let rest = if h_code == Some(MISDIRECTED_REQUEST) { before_agent(rest) } else { rest };
    let tail = Tail::read(rest);
    // A path without `fwd` behind it is cut off inside the client's own text: nothing in it is a figure.
    let tail = if head.path.is_some() && !tail.after_fwd { Tail::default() } else { tail };
    head.at.or(head.code).or(tail.status)?;
    let status = tail.status.and_then(status);
    Some(Request {
        h_code,
        dyno: tail.dyno.and_then(Dyno::parse),
        connect_ms: tail.connect.and_then(milliseconds),
        service_ms: tail.service.and_then(milliseconds),
        status,
        bytes: tail.bytes.and_then(integer),
        cut: !tail.after_fwd && status.is_none(),
    })
}

/// Values of keys before `path`, first occurrences.
#[derive(Default)]
struct Head<'a> {
    at: Option<&'a [u8]>,
    code: Option<&'a [u8]>,
    /// Where `path=` begins.
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

/// Values of keys after `fwd`, last occurrences.
#[derive(Default)]
struct Tail<'a> {
    dyno: Option<&'a [u8]>,
    connect: Option<&'a [u8]>,
    service: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    bytes: Option<&'a [u8]>,
    /// Whether `fwd` was found in front of them.
    after_fwd: bool,
}

impl<'a> Tail<'a> {
    fn read(text: &'a [u8]) -> Self {
        let mut tail = Self::default();
        for token in tokens(text).rev() {
            let Some(equals) = token.iter().position(|&byte| byte == b'=') else { continue };
            let value = &token[equals + 1..];
            let slot = match &token[..equals] {
                b"dyno" => &mut tail.dyno,
                b"connect" => &mut tail.connect,
                b"service" => &mut tail.service,
                b"status" => &mut tail.status,
                b"bytes" => &mut tail.bytes,
                b"fwd" => {
                    tail.after_fwd = true;
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

    fn honest() -> Request<'static> {
        Request {
            h_code: None,
            dyno: Dyno::parse(b"web.2"),
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
            assert_eq!(read(line(path, fwd).as_bytes()), Some(honest()), "{path} {fwd}");
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
        let expected = Request { h_code: Some(31), status: Some(421), ..Request::default() };
        assert_eq!(read(text), Some(expected));
    }

    #[test]
    fn missing_figures_stay_missing() {
        fn check(text: &str, expected: Option<Request<'_>>) {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
        check("", None);
        check("foo bar baz", None);
        check("Error H10 (App crashed) -> GET example.com/ web=web.1 service=0ms bytes=0", None);
        check("at=info", Some(Request { cut: true, ..Request::default() }));
        check(
            "at=error code=H12 desc=\"Req",
            Some(Request { h_code: Some(12), cut: true, ..Request::default() }),
        );
        let forged_and_cut = "at=info method=GET path=\"/x service=1ms status=500 bytes=1";
        check(forged_and_cut, Some(Request { cut: true, ..Request::default() }));
        let repeated = "at=info path=/ fwd=x service=5ms service= status=200 status=500";
        check(repeated, Some(Request { status: Some(500), ..Request::default() }));
    }

    #[test]
    fn forms_of_2012_have_no_path_key() {
        let text = b"GET example.com/x?q=y dyno=web.4 queue=0 wait=0ms service=17ms status=200 bytes=496";
        let request = read(text).unwrap();
        assert_eq!((request.status, request.service_ms, request.cut), (Some(200), Some(17), false));
    }

    proptest! {
        #[test]
        fn figures_do_not_depend_on_path_and_fwd(path in "[ -~]{0,60}", fwd in "[ -~]{0,60}") {
            let text = line(&path, &fwd);
            prop_assert_eq!(read(text.as_bytes()), Some(honest()));
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&text);
        }

        #[test]
        fn cut_lines_are_read_without_panic(length in 0_usize..200) {
            let text = line("/x status=500", "192.0.2.17");
            let request = read(&text.as_bytes()[..length.min(text.len())]);
            prop_assert!(request.is_none_or(|request| request.status.is_none() || request.status == Some(200)));
        }
    }
}
