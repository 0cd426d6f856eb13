//! Credentials of senders, and the owners that each may write for.

use std::collections::BTreeSet;
use std::iter;
use std::sync::Arc;

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use yahtzee_core::owner::Owner;
use yahtzee_runtime::config::Secret;

use crate::dedupe::DeliveryId;
use crate::packer::digest_of;

/// A credential that is accepted.
#[derive(Clone, Debug)]
pub struct Credential {
    /// `user:password` for Basic, any other text for a bearer token.
    pub secret: Secret,
    /// The owners that it may write for.
    pub scope: WriteScope,
}

/// The owners that a sender may write for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WriteScope {
    /// All.
    #[default]
    Any,
    /// These.
    Owners(Arc<BTreeSet<Owner>>),
}

impl WriteScope {
    /// Returns whether it has `owner`.
    #[must_use]
    pub fn allows(&self, owner: Owner) -> bool {
        match self {
            Self::Any => true,
            Self::Owners(owners) => owners.contains(&owner),
        }
    }

    /// Returns the identity of a delivery with this frame id by a sender of this scope. In another scope other lines of the same
    /// body are stored, so that its delivery is another one.
    pub(crate) fn delivery_id(&self, frame_id: [u8; 16]) -> DeliveryId {
        let Self::Owners(owners) = self else { return frame_id };
        let owners = owners.iter().map(|owner| owner.0.as_slice());
        digest_of(&iter::once(frame_id.as_slice()).chain(owners).collect::<Vec<_>>())
    }

    /// Returns the owners that it names.
    pub fn named(&self) -> impl Iterator<Item = Owner> {
        let owners = match self {
            Self::Any => None,
            Self::Owners(owners) => Some(owners),
        };
        owners.into_iter().flat_map(|owners| owners.iter().copied())
    }
}

/// Creates a credential that may write for any owner.
impl From<&str> for Credential {
    fn from(secret: &str) -> Self {
        Self { secret: Secret::new(secret.to_owned()), scope: WriteScope::Any }
    }
}

/// The credentials that are accepted, as digests.
#[derive(Clone, Debug)]
pub struct SenderCredentials {
    accepted: Vec<([u8; 32], WriteScope)>,
}

/// A sender that may post.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderIdentity {
    /// The user's name of Basic credentials.
    pub user: Option<Vec<u8>>,
    /// The owners that it may write for.
    pub scope: WriteScope,
}

impl SenderCredentials {
    /// Accepts these. None: anybody may post for any owner.
    #[must_use]
    pub fn new(credentials: &[Credential]) -> Self {
        let accept = |credential: &Credential| {
            let secret = credential.secret.reveal();
            let scheme = if secret.contains(':') { Scheme::Basic } else { Scheme::Bearer };
            (scheme.digest(secret.as_bytes()), credential.scope.clone())
        };
        Self { accepted: credentials.iter().map(accept).collect() }
    }

    /// Checks the `Authorization` header; `None` if its sender may not post.
    #[must_use]
    pub fn check(&self, header: Option<&HeaderValue>) -> Option<SenderIdentity> {
        let presented = header.and_then(|header| Presented::read(header.as_bytes()));
        let Some(presented) = presented else {
            return self.accepted.is_empty().then(SenderIdentity::default);
        };
        if self.accepted.is_empty() {
            return Some(presented.identity(WriteScope::Any));
        }
        let digest = presented.scheme.digest(&presented.secret);
        // Every digest is compared in full, so that time tells nothing about any of them.
        let scope = self.accepted.iter().fold(
            None,
            |found, (other, scope)| {
                if equal(&digest, other) { Some(scope) } else { found }
            },
        );
        Some(presented.identity(scope?.clone()))
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

    fn identity(&self, scope: WriteScope) -> SenderIdentity {
        let colon =
            self.secret.iter().position(|&byte| byte == b':').filter(|_| self.scheme == Scheme::Basic);
        SenderIdentity { user: colon.map(|colon| self.secret[..colon].to_vec()), scope }
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
        let accepted: Vec<Credential> = accepted.iter().map(|&secret| secret.into()).collect();
        let identity = SenderCredentials::new(&accepted).check(header.as_ref());
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
    fn each_credential_has_a_scope_of_its_own() {
        let owners =
            |ids: &[u8]| WriteScope::Owners(Arc::new(ids.iter().map(|&id| Owner([id; 16])).collect()));
        let credential = |secret: &str, scope| Credential { scope, ..secret.into() };
        let accepted = [
            credential("one", owners(&[1])),
            credential("all", WriteScope::Any),
            credential("two", owners(&[1, 2])),
        ];
        let check = |token: &str, expected: &[u8]| {
            let header = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
            let scope = SenderCredentials::new(&accepted).check(Some(&header)).unwrap().scope;
            let allowed: Vec<u8> = (1..4).filter(|&id| scope.allows(Owner([id; 16]))).collect();
            assert_eq!(allowed, expected, "{token}");
        };
        check("one", &[1]);
        check("two", &[1, 2]);
        check("all", &[1, 2, 3]);
    }

    #[test]
    fn without_credentials_anybody_may_post() {
        check(&[], None, Some(None));
        check(&[], Some("Basic dXNlcjpwYXNz"), Some(Some("user")));
        check(&[], Some("nonsense"), Some(None));
    }
}
