//! Router lines about one request, in the legacy format and in that of Router 2.0.

use std::fmt::Write as _;

use uuid::Uuid;

use super::line::LineSource;

/// Router that serves an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Router {
    /// Priority 158; `protocol=https` ends the line.
    Legacy,
    /// Priority 134; protocol version and TLS follow.
    V2 {
        /// Whether the host is a custom domain: for shared names the TLS version is `unknown`.
        has_own_domain: bool,
    },
}

impl Router {
    pub(super) fn source(self) -> LineSource {
        LineSource::router(match self {
            Self::Legacy => 158,
            Self::V2 { .. } => 134,
        })
    }

    fn transport(self) -> &'static str {
        match self {
            Self::Legacy => "protocol=https",
            Self::V2 { has_own_domain: false } => "protocol=http1.1 tls=true tls_version=unknown",
            Self::V2 { has_own_domain: true } => "protocol=http2.0 tls=true tls_version=tls1.3",
        }
    }
}

/// An error of the router.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RouterError {
    sock: Option<&'static str>,
    at: &'static str,
    code: &'static str,
    desc: &'static str,
}

impl RouterError {
    /// Every dyno has crashed.
    pub(super) const H10: Self = Self::new("H10", "App crashed");
    /// No first byte within 30 s.
    pub(super) const H12: Self = Self::new("H12", "Request timeout");
    /// The dyno closed the connection without an answer.
    pub(super) const H13: Self = Self::new("H13", "Connection closed without response");
    /// The formation has no web dyno.
    pub(super) const H14: Self = Self::new("H14", "No web processes running");
    /// The dyno reset the connection.
    pub(super) const H18: Self =
        Self { sock: Some("backend"), ..Self::new("H18", "Server Request Interrupted") };
    /// The client went away.
    pub(super) const H27: Self =
        Self { sock: Some("client"), at: "warning", ..Self::new("H27", "Client Request Interrupted") };

    const fn new(code: &'static str, desc: &'static str) -> Self {
        Self { sock: None, at: "error", code, desc }
    }
}

/// One line of the router. A value of `None` is written as an empty one (`dyno= connect= service=`).
#[derive(Debug)]
pub(super) struct RouterLine<'a> {
    pub(super) error: Option<&'static RouterError>,
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) host: &'a str,
    pub(super) request_id: Uuid,
    pub(super) fwd: &'a str,
    pub(super) dyno: Option<&'a str>,
    pub(super) connect_ms: Option<u32>,
    pub(super) service_ms: Option<u32>,
    pub(super) status: u16,
    pub(super) bytes: Option<u64>,
}

impl RouterLine<'_> {
    /// Returns the text after the header, without newline.
    pub(super) fn text(&self, router: Router) -> String {
        let mut text = String::with_capacity(320);
        match self.error {
            Some(RouterError { sock, at, code, desc }) => {
                let sock = sock.map(|sock| format!("sock={sock} ")).unwrap_or_default();
                let _ = write!(text, "{sock}at={at} code={code} desc=\"{desc}\"");
            }
            None => text.push_str("at=info"),
        }
        let Self { method, path, host, request_id, fwd, status, .. } = self;
        let _ = write!(
            text,
            " method={method} path=\"{path}\" host={host} request_id={request_id} fwd=\"{fwd}\""
        );
        let _ = write!(text, " dyno={}", self.dyno.unwrap_or_default());
        let _ = write!(
            text,
            " connect={} service={}",
            milliseconds(self.connect_ms),
            milliseconds(self.service_ms)
        );
        let bytes = self.bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
        let _ = write!(text, " status={status} bytes={bytes} {}", router.transport());
        text
    }
}

fn milliseconds(value: Option<u32>) -> String {
    value.map(|value| format!("{value}ms")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(error: Option<&'static RouterError>, dyno: Option<&'static str>) -> RouterLine<'static> {
        RouterLine {
            error,
            method: "GET",
            path: "/",
            host: "app.example.com",
            request_id: Uuid::nil(),
            fwd: "192.0.2.17",
            dyno,
            connect_ms: dyno.map(|_| 1),
            service_ms: dyno.map(|_| 18),
            status: 503,
            bytes: None,
        }
    }

    /// Shapes as the platform documents them (Dev Center, "HTTP Routing" and "Heroku Error Codes").
    #[test]
    fn lines_have_the_documented_shapes() {
        const MIDDLE: &str = "method=GET path=\"/\" host=app.example.com \
            request_id=00000000-0000-0000-0000-000000000000 fwd=\"192.0.2.17\"";
        fn check(line: &RouterLine<'_>, router: Router, head: &str, tail: &str) {
            assert_eq!(line.text(router), format!("{head} {MIDDLE} {tail}"));
        }
        check(
            &line(None, Some("web.1")),
            Router::V2 { has_own_domain: false },
            "at=info",
            "dyno=web.1 connect=1ms service=18ms status=503 bytes= protocol=http1.1 tls=true tls_version=unknown",
        );
        check(
            &line(Some(&RouterError::H14), None),
            Router::Legacy,
            "at=error code=H14 desc=\"No web processes running\"",
            "dyno= connect= service= status=503 bytes= protocol=https",
        );
        check(
            &line(Some(&RouterError::H27), Some("web.2")),
            Router::Legacy,
            "sock=client at=warning code=H27 desc=\"Client Request Interrupted\"",
            "dyno=web.2 connect=1ms service=18ms status=503 bytes= protocol=https",
        );
    }
}
