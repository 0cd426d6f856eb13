//! SenderCredentials of senders.

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The credentials that are accepted, as digests.
#[derive(Clone, Debug)]
pub struct SenderCredentials {
    digests: Vec<[u8; 32]>,
}

/// A sender that may post.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderIdentity {
    /// The user's name of Basic credentials.
    pub user: Option<Vec<u8>>,
}

impl SenderCredentials {
    /// Accepts these: `user:password` for Basic, any other text for a bearer token. None: anybody may post.
    #[must_use]
    pub fn new<'a>(credentials: impl IntoIterator<Item = &'a str>) -> Self {
        let digest = |credential: &str| {
            let scheme = if credential.contains(':') { Scheme::Basic } else { Scheme::Bearer };
            scheme.digest(credential.as_bytes())
        };
        Self { digests: credentials.into_iter().map(digest).collect() }
    }

    /// Checks the `Authorization` header; `None` if its sender may not post.
    #[must_use]
    pub fn check(&self, header: Option<&HeaderValue>) -> Option<SenderIdentity> {
        let presented = header.and_then(|header| Presented::read(header.as_bytes()));
        let Some(presented) = presented else { return self.digests.is_empty().then(SenderIdentity::default) };
        let digest = presented.scheme.digest(&presented.secret);
        // Every digest is compared in full, so that time tells nothing about any of them.
        let known = self.digests.iter().fold(false, |known, other| known | equal(&digest, other));
        (known || self.digests.is_empty()).then(|| presented.identity())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Basic,
    Bearer,
}

impl Scheme {
    fn digest(self, secret: &[u8]) -> [u8; 32] {
        let scheme: &[u8] = match self {
            Self::Basic => b"basic\0",
            Self::Bearer => b"bearer\0",
        };
        Sha256::new().chain_update(scheme).chain_update(secret).finalize().into()
    }
}

struct Presented {
    scheme: Scheme,
    secret: Vec<u8>,
}

impl Presented {
    fn read(header: &[u8]) -> Option<Self> {
        let blank = header.iter().position(|&byte| byte == b' ')?;
        let (scheme, value) = (&header[..blank], header[blank..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"basic") {
            Some(Self { scheme: Scheme::Basic, secret: STANDARD.decode(value).ok()? })
        } else if scheme.eq_ignore_ascii_case(b"bearer") {
            Some(Self { scheme: Scheme::Bearer, secret: value.to_vec() })
        } else {
            None
        }
    }

    fn identity(&self) -> SenderIdentity {
        let colon =
            self.secret.iter().position(|&byte| byte == b':').filter(|_| self.scheme == Scheme::Basic);
        SenderIdentity { user: colon.map(|colon| self.secret[..colon].to_vec()) }
    }
}

/// Compares without a branch on the content.
fn equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let differing = left.iter().zip(right).fold(0, |differing, (left, right)| differing | (left ^ right));
    std::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accepted: &[&str], header: Option<&str>, expected: Option<Option<&str>>) {
        let header = header.map(|header| HeaderValue::from_str(header).unwrap());
        let identity = SenderCredentials::new(accepted.iter().copied()).check(header.as_ref());
        let user = identity.map(|identity| identity.user.map(|user| String::from_utf8(user).unwrap()));
        assert_eq!(user, expected.map(|user| user.map(str::to_owned)), "{accepted:?} {header:?}");
    }

    #[test]
    fn credentials_must_match_scheme_and_secret() {
        let accepted = ["user:pass", "other:a:b", "token"];
        check(&accepted, Some("Basic dXNlcjpwYXNz"), Some(Some("user")));
        check(&accepted, Some("basic dXNlcjpwYXNz"), Some(Some("user")));
        check(&accepted, Some("Basic b3RoZXI6YTpi"), Some(Some("other")));
        check(&accepted, Some("Bearer token"), Some(None));
        for header in [
            "Basic d3Jvbmc6d3Jvbmc=",
            "Basic !!!",
            "Basic dG9rZW4=",
            "Bearer user:pass",
            "Bearer tokens",
            "token",
            "Digest token",
            "Basic",
            "",
        ] {
            check(&accepted, Some(header), None);
        }
        check(&accepted, None, None);
    }

    #[test]
    fn without_credentials_anybody_may_post() {
        check(&[], None, Some(None));
        check(&[], Some("Basic dXNlcjpwYXNz"), Some(Some("user")));
        check(&[], Some("nonsense"), Some(None));
    }
}
