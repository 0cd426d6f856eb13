//! Settings of the HTTP service.

use std::net::SocketAddr;
use std::time::Duration;

use crate::auth::{Credential, WriteScope};

/// Settings of the HTTP service, with their defaults.
#[derive(Clone)]
pub struct Settings {
    /// Credentials, of which a request must have one. Several are valid at once, so that they can be rotated. None means
    /// anybody, which [`Settings::validate`] allows on loopback only.
    pub credentials: Vec<Credential>,
    /// Largest body, in bytes, compressed or not.
    pub max_body_bytes: usize,
    /// Bytes that the bodies of all requests may take together, while they arrive and are read; more are answered with 503.
    pub body_memory_bytes: usize,
    /// Time in which a body must arrive.
    pub body_timeout: Duration,
    /// Time in which the log must acknowledge; then the answer is to try again. Logplex itself gives up
    /// after 5 s.
    pub ack_budget: Duration,
    /// Time that a connection may be idle or take to send the head of a request. Logplex closes idle
    /// connections after at most 159 s.
    pub idle_timeout: Duration,
    /// Most open connections; more wait to be accepted.
    pub max_connections: usize,
    /// Most deliveries that wait for the log at a time; more are answered with 503.
    pub max_deliveries: usize,
    /// Time for which a delivery is remembered, so that another attempt is not stored again.
    pub dedupe_retention: Duration,
    /// Most deliveries that are remembered; each takes about 100 bytes.
    pub dedupe_entries: usize,
    /// Most body bytes per second and owner, with bursts of ten seconds' worth; `None` for no limit.
    pub owner_bytes_per_second: Option<u32>,
    /// Most owners in an hour that the configuration does not name; bodies of more are answered with 429.
    pub unknown_owners_max: usize,
    /// Time in which open requests must end after a shutdown begins.
    pub shutdown_budget: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credentials: Vec::new(),
            max_body_bytes: 4 << 20,
            body_memory_bytes: 256 << 20,
            body_timeout: Duration::from_secs(5),
            ack_budget: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(165),
            max_connections: 20_000,
            max_deliveries: 4_096,
            dedupe_retention: Duration::from_secs(600),
            dedupe_entries: 500_000,
            owner_bytes_per_second: None,
            unknown_owners_max: 1_000,
            shutdown_budget: Duration::from_secs(10),
        }
    }
}

/// Credentials are left out.
impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let credentials = format_args!("{} not shown", self.credentials.len());
        formatter.debug_struct("Settings").field("credentials", &credentials).finish_non_exhaustive()
    }
}

/// Settings that must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngressSettingsError {
    /// Anybody could post.
    #[error(
        "refusing to listen on a non-loopback address without credentials; set ingress.credentials ({0})"
    )]
    Open(SocketAddr),
    /// A credential without a secret.
    #[error("ingress.credentials: entry {0} has no secret; write `user:password` or a bearer token")]
    EmptyCredential(usize),
    /// A credential that is there twice, with a scope each.
    #[error(
        "ingress.credentials: entry {0} has the secret of an earlier one; write one entry with the apps and drains of both"
    )]
    RepeatedCredential(usize),
}

impl Settings {
    /// Checks whether the service may listen on `address` with these settings.
    ///
    /// # Errors
    /// If anybody could post from another machine, or a credential is empty or repeated (entries count from 1).
    pub fn validate(&self, address: SocketAddr) -> Result<(), IngressSettingsError> {
        let secrets: Vec<&str> =
            self.credentials.iter().map(|credential| credential.secret.reveal()).collect();
        let is_empty =
            |secret: &&str| secret.split_once(':').map_or(*secret, |(_, password)| password).is_empty();
        if let Some(empty) = secrets.iter().position(is_empty) {
            return Err(IngressSettingsError::EmptyCredential(empty + 1));
        }
        if let Some(again) = (1..secrets.len()).find(|&at| secrets[..at].contains(&secrets[at])) {
            return Err(IngressSettingsError::RepeatedCredential(again + 1));
        }
        if self.credentials.is_empty() && !address.ip().is_loopback() {
            return Err(IngressSettingsError::Open(address));
        }
        Ok(())
    }

    /// Returns a warning if somebody may write for every app.
    #[must_use]
    pub fn open_access(&self) -> Option<String> {
        if self.credentials.is_empty() {
            return Some("no credentials: whoever reaches the drain address may write for every app; set ingress.credentials".to_owned());
        }
        let open = self.credentials.iter().filter(|credential| credential.scope == WriteScope::Any).count();
        let all = self.credentials.len();
        (open > 0).then(|| format!("{open} of {all} credentials may write for every app; bind them to apps or drains in ingress.credentials"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_may_be_open() {
        fn check(credentials: &[&str], address: &str, expected: Result<(), IngressSettingsError>) {
            let credentials = credentials.iter().map(|&credential| credential.into()).collect();
            let settings = Settings { credentials, ..Settings::default() };
            assert_eq!(settings.validate(address.parse().unwrap()), expected, "{address}");
        }
        let (loopback, world) = ("127.0.0.1:80", "0.0.0.0:80");
        check(&[], loopback, Ok(()));
        check(&[], "[::1]:80", Ok(()));
        check(&[], world, Err(IngressSettingsError::Open(world.parse().unwrap())));
        check(&["user:pass", "token"], world, Ok(()));
        check(&["user:pass", "user:"], loopback, Err(IngressSettingsError::EmptyCredential(2)));
        check(&[""], world, Err(IngressSettingsError::EmptyCredential(1)));
        check(&["user:pass", "token", "user:pass"], world, Err(IngressSettingsError::RepeatedCredential(3)));
    }

    #[test]
    fn who_may_write_for_every_app_is_said() {
        fn check(scopes: &[WriteScope], expected: Option<&str>) {
            let credential =
                |scope: &WriteScope| Credential { scope: scope.clone(), ..Credential::from("token") };
            let credentials = scopes.iter().map(credential).collect();
            let warning = Settings { credentials, ..Settings::default() }.open_access();
            assert_eq!(warning.is_some(), expected.is_some(), "{warning:?}");
            assert!(warning.unwrap_or_default().starts_with(expected.unwrap_or_default()));
        }
        let bound = || WriteScope::Owners(std::sync::Arc::default());
        check(&[], Some("no credentials"));
        check(&[WriteScope::Any, bound()], Some("1 of 2 credentials"));
        check(&[bound(), bound()], None);
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = Settings { credentials: vec!["user:hush".into()], ..Settings::default() };
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
