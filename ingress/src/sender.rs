//! The sender of a drain request, by its headers, its path and its credentials.

use axum::http::HeaderMap;
use yahtzee_core::owner::Owner;
use yahtzee_pipeline_proto::raw::SourceKind;

use crate::auth::SenderIdentity;
use crate::line::values::token_uuid;
use crate::sender_name::SenderName;
use crate::token_table::{TokenTable, derived_owner};

/// Header with the token of a Logplex drain.
const DRAIN_TOKEN: &str = "logplex-drain-token";

/// Header with the id of a Logplex frame, the same for every attempt.
const FRAME_ID: &str = "logplex-frame-id";

/// Header with the id of a log-shuttle batch, the same for every attempt.
const REQUEST_ID: &str = "x-request-id";

/// The sender of a request, and the name of the delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Owner of all lines without a log token.
    pub owner: Owner,
    /// Whether the owner is known, rather than derived from a token that is in no table.
    pub is_known: bool,
    /// Whether wrong octet counts are repaired.
    pub repair: bool,
    /// [`SenderName::frame_id`]; `None` if the request has no id, so that its attempts look like different requests.
    pub frame_id: Option<[u8; 16]>,
    /// UUID of the drain token.
    pub drain: Option<[u8; 16]>,
    /// The kind of the sender.
    pub source_kind: SourceKind,
}

impl Sender {
    /// Reads the sender: it is named by its drain token; without one by the path, then by the user of the credentials.
    ///
    /// The owner is that of the name in `tokens`, else that of the path, else derived from the name.
    #[must_use]
    pub fn of(
        headers: &HeaderMap,
        path_owner: Option<Owner>,
        identity: &SenderIdentity,
        tokens: &TokenTable,
    ) -> Self {
        let value = |name| headers.get(name).map(|value| value.as_bytes()).filter(|value| !value.is_empty());
        let token = value(DRAIN_TOKEN);
        let name = sender_name(token, path_owner, identity);
        let text = name.text();
        let id = value(FRAME_ID).or_else(|| value(REQUEST_ID));
        let is_logplex = token.is_some() || value(FRAME_ID).is_some();
        let entry = tokens.get(&text);
        let known = entry.map(|entry| entry.owner).or(path_owner);
        let owner = known.unwrap_or_else(|| derived_owner(&text));
        Self {
            owner,
            is_known: known.is_some(),
            repair: entry.is_none_or(|entry| entry.repair),
            frame_id: id.map(|id| name.frame_id(owner, id)),
            drain: token.and_then(|token| token_uuid(token, b"d.")),
            source_kind: match (is_logplex, id) {
                (true, _) => SourceKind::Logplex,
                (false, Some(_)) => SourceKind::LogShuttle,
                (false, None) => SourceKind::Unknown,
            },
        }
    }
}

fn sender_name(token: Option<&[u8]>, path_owner: Option<Owner>, identity: &SenderIdentity) -> SenderName {
    match (token, path_owner, &identity.user) {
        (Some(token), ..) => SenderName::DrainToken(token.to_vec()),
        (None, Some(owner), _) => SenderName::PathOwner(owner),
        (None, None, Some(user)) => SenderName::User(user.clone()),
        (None, None, None) => SenderName::Anonymous,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PATH_OWNER: Owner = Owner([3; 16]);
    const TOKEN: &str = "d.11111111-2222-4333-8444-555555555555";

    fn sender(headers: &[(&'static str, &str)], path_owner: Option<Owner>, user: Option<&str>) -> Sender {
        let headers = headers
            .iter()
            .map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()));
        let identity =
            SenderIdentity { user: user.map(|user| user.as_bytes().to_vec()), ..SenderIdentity::default() };
        let tokens = [("d.known", Owner([1; 16])), ("user.known", Owner([2; 16]))].into_iter().collect();
        Sender::of(&headers.collect(), path_owner, &identity, &tokens)
    }

    #[test]
    fn owners_of_requests() {
        fn check(
            token: &str,
            path_owner: Option<Owner>,
            user: Option<&str>,
            expected: Owner,
            expected_known: bool,
        ) {
            let sender = sender(&[(DRAIN_TOKEN, token)], path_owner, user);
            assert_eq!(
                (sender.owner, sender.is_known),
                (expected, expected_known),
                "{token} {path_owner:?} {user:?}"
            );
        }
        check("d.known", Some(PATH_OWNER), Some("known"), Owner([1; 16]), true);
        check("d.other", Some(PATH_OWNER), Some("known"), PATH_OWNER, true);
        check("d.other", None, Some("known"), derived_owner(b"d.other"), false);
        check("", Some(PATH_OWNER), Some("known"), PATH_OWNER, true);
        check("", None, Some("known"), Owner([2; 16]), true);
        check("", None, Some("other"), derived_owner(b"user.other"), false);
        check("", None, None, derived_owner(b"anonymous"), false);
    }

    #[test]
    fn what_a_request_is_called() {
        fn check(headers: &[(&'static str, &str)], expected: Option<[u8; 16]>, expected_kind: SourceKind) {
            let sender = sender(headers, None, Some("u"));
            assert_eq!((sender.frame_id, sender.source_kind), (expected, expected_kind), "{headers:?}");
        }
        let logplex = SourceKind::Logplex;
        let of_drain =
            |token: &[u8], owner| Some(SenderName::DrainToken(token.to_vec()).frame_id(owner, b"F"));
        let of_user = SenderName::User(b"u".to_vec()).frame_id(derived_owner(b"user.u"), b"R");
        check(&[(DRAIN_TOKEN, "d.1"), (FRAME_ID, "F")], of_drain(b"d.1", derived_owner(b"d.1")), logplex);
        check(&[(DRAIN_TOKEN, "d.known"), (FRAME_ID, "F")], of_drain(b"d.known", Owner([1; 16])), logplex);
        // The platform's router gives every attempt a request id of its own.
        let of_frame = SenderName::User(b"u".to_vec()).frame_id(derived_owner(b"user.u"), b"F");
        check(&[(FRAME_ID, "F"), (REQUEST_ID, "R")], Some(of_frame), logplex);
        check(&[(DRAIN_TOKEN, "d.1")], None, logplex);
        check(&[(REQUEST_ID, "R")], Some(of_user), SourceKind::LogShuttle);
        check(&[], None, SourceKind::Unknown);
    }

    #[test]
    fn the_drain_is_the_uuid_of_its_token() {
        let uuid = token_uuid(TOKEN.as_bytes(), b"d.");
        assert_eq!(sender(&[(DRAIN_TOKEN, TOKEN)], None, None).drain, uuid);
        assert_eq!(sender(&[(DRAIN_TOKEN, "d.1")], None, None).drain, None);
    }
}
