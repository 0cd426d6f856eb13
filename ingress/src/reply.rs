//! Replies.
//!
//! To a drain, the status is a switch between loss and repetition: Logplex takes 2xx as delivered, drops the frame for
//! good on any 4xx but 429, and sends it again on everything else. So content never gets a 4xx.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Frame, SizeHint};

/// The answer to a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Stored, or not worth sending again.
    Accepted,
    /// The same, for clients that look for a 200.
    AcceptedOk,
    /// No or wrong credentials.
    Unauthorized,
    /// Credentials that are bound to other apps.
    Forbidden,
    /// No such path.
    NotFound,
    /// Not a POST.
    MethodNotAllowed,
    /// Larger than allowed.
    TooLarge,
    /// Not a body of this kind.
    UnsupportedType,
    /// Over the owner's rate, or of more unknown owners than allowed: try again.
    TooManyRequests,
    /// Not stored: try again.
    Unavailable,
    /// Not stored by a mistake of the program: another process, or a later version, may take it.
    Panicked,
}

impl Reply {
    /// Its HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Accepted => StatusCode::NO_CONTENT,
            Self::AcceptedOk => StatusCode::OK,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns what the body says: only what an operator must mend.
    fn text(self) -> &'static str {
        match self {
            Self::Unauthorized => {
                "no credential, or an unknown one: send one of `credentials` of [ingress], as basic authentication or as a bearer \
                 token\n"
            }
            Self::NotFound => {
                "there are POST /drain, /drain/<app UUID> and /lang/<app UUID>/<process>[/<dyno UUID>]\n"
            }
            Self::UnsupportedType => {
                "expected is Content-Type application/logplex-1 for /drain and application/json for /lang, plain or with \
                 Content-Encoding gzip\n"
            }
            Self::Forbidden => {
                "this credential is not bound to this app: see `credentials` and `tokens` of [ingress]\n"
            }
            Self::Panicked => "the ingress has failed at this request: its log says where\n",
            _ => "",
        }
    }

    /// Returns the response: `Content-Length` even with 204, because Logplex wants it.
    #[must_use]
    pub fn into_response(self, close: bool) -> Response<Body> {
        let text = self.text();
        let body = if text.is_empty() { Body::new(Nothing) } else { Body::from(text) };
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
        if close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.add_headers(headers);
        response
    }

    fn add_headers(self, headers: &mut HeaderMap) {
        match self {
            Self::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"drain\""))
            }
            Self::MethodNotAllowed => headers.insert(header::ALLOW, HeaderValue::from_static("POST")),
            _ => None,
        };
    }
}

/// A body of no bytes that does not say so beforehand: hyper drops `Content-Length` where it knows that
/// nothing will follow.
struct Nothing;

impl HttpBody for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_an_operator_must_mend_says_how() {
        #[track_caller]
        fn check(reply: Reply, expected: &[&str]) {
            let text = reply.text();
            assert_eq!(text.ends_with('\n'), !expected.is_empty(), "{text:?}");
            for part in expected {
                assert!(text.contains(part), "{part:?} is missing in {text:?}");
            }
            let response = reply.into_response(false);
            assert_eq!(response.headers()[header::CONTENT_LENGTH], text.len().to_string().as_str());
        }
        check(Reply::Unauthorized, &["credentials", "[ingress]", "basic", "bearer"]);
        check(Reply::Forbidden, &["credentials", "tokens", "[ingress]"]);
        check(Reply::NotFound, &["POST", "/drain/<", "/lang/<"]);
        check(Reply::UnsupportedType, &["Content-Type", "application/logplex-1", "application/json", "gzip"]);
        check(Reply::Panicked, &["log"]);
        check(Reply::Accepted, &[]);
        check(Reply::Unavailable, &[]);
    }
}
