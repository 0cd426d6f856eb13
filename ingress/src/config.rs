//! `[ingress]`: the section of the configuration file, and what it means.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use yahtzee_core::owner::Owner;
use yahtzee_runtime::config::{ConfigError, Environment, Secret, hide, parse_address, platform_variable};

use crate::auth::{Credential, WriteScope};
use crate::settings::Settings;
use crate::token_table::{TokenTable, derived_owner};

/// The ingress process. Secrets are not written.
#[derive(Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngressSection {
    /// Address to receive drains on. Heroku: `PORT` gives `0.0.0.0:PORT`.
    pub listen: String,
    /// Credentials, each of which lets a drain in. Several, for rotation. Required unless `listen` is a loopback address.
    pub credentials: Vec<CredentialSection>,
    /// Drain token (`d.<uuid>`) to app UUID. An unknown token gets a UUID derived from it, and is counted.
    pub tokens: BTreeMap<String, String>,
    /// Owners, per process and hour, that neither `tokens` nor `credentials` names: derived from tokens, or taken from paths. Bodies of more
    /// are answered with 429, and counted.
    pub unknown_owners_max: usize,
    /// Greatest body in bytes, after decompression. A drain request aims at 102,400.
    pub body_bytes_max: usize,
    /// MiB that the bodies of all requests may take together, while they arrive and are read. More are answered with 503, and
    /// counted; their senders try again.
    pub memory_max_mib: u32,
    /// Milliseconds from the end of a body to a 503. A drain gives up after 5,000.
    pub ack_budget_ms: u64,
}

/// An entry of `credentials`.
#[derive(Clone, Deserialize, Serialize)]
#[serde(
    untagged,
    expecting = "a credential is a table of `secret` (`user:password` or a bearer token), `apps` and `drains`"
)]
pub enum CredentialSection {
    /// One that says what it may write for.
    Bound(BoundCredentialSection),
    /// A secret alone, as it was accepted before. Refused: what it may write for must be said.
    #[serde(serialize_with = "hide")]
    Unbound(String),
}

/// A credential and what it may write for.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BoundCredentialSection {
    /// `user:password` or a bearer token.
    #[serde(serialize_with = "hide")]
    pub secret: String,
    /// UUIDs of apps, or [`EVERY_APP`].
    #[serde(default)]
    pub apps: Vec<String>,
    /// Drain tokens (`d.<uuid>`): their apps, from `tokens` or derived.
    #[serde(default)]
    pub drains: Vec<String>,
}

/// The app of a credential that may write for all.
pub const EVERY_APP: &str = "*";

impl Default for IngressSection {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            credentials: Vec::new(),
            tokens: BTreeMap::new(),
            unknown_owners_max: 1_000,
            body_bytes_max: 4 << 20,
            memory_max_mib: 256,
            ack_budget_ms: 2_000,
        }
    }
}

/// Credentials are not shown.
impl std::fmt::Debug for IngressSection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("IngressSection").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Settings of the ingress process.
#[derive(Clone, Debug)]
pub struct IngressConfig {
    /// Address to receive drains on.
    pub listen: SocketAddr,
    /// Credentials of senders.
    pub credentials: Vec<Credential>,
    /// Drain token to app.
    pub tokens: BTreeMap<String, Owner>,
    /// Most owners in an hour that the configuration does not name.
    pub unknown_owners_max: usize,
    /// Greatest body, in bytes, after decompression.
    pub body_bytes_max: usize,
    /// Bytes that the bodies of all requests may take together.
    pub memory_max_bytes: usize,
    /// Time from the end of a body to its reply, after which the reply is 503.
    pub ack_budget: Duration,
}

impl IngressSection {
    /// Returns the section with the platform's `PORT`.
    #[must_use]
    pub fn with_platform(mut self, environment: &Environment) -> Self {
        if let Some(port) = platform_variable(environment, "PORT", "ingress.listen") {
            self.listen = format!("0.0.0.0:{port}");
        }
        self
    }

    /// Applies the platform's `PORT` and checks the section.
    ///
    /// # Errors
    /// If the address is none, an app is no UUID, or a limit lets nothing through.
    pub fn check(self, environment: &Environment) -> Result<IngressConfig, ConfigError> {
        let section = self.with_platform(environment);
        refuse_zero("body_bytes_max", section.body_bytes_max as u64, "no body would be taken")?;
        refuse_zero("ack_budget_ms", section.ack_budget_ms, "every request would be answered 503")?;
        let memory_max_bytes = memory_max_bytes(section.memory_max_mib, section.body_bytes_max)?;
        let tokens: BTreeMap<String, Owner> =
            section.tokens.into_iter().map(owner_of_token).collect::<Result<_, _>>()?;
        let credential = |(section, place)| credential_of(section, place, &tokens);
        Ok(IngressConfig {
            listen: parse_address("ingress.listen", &section.listen)?,
            credentials: section
                .credentials
                .into_iter()
                .zip(1..)
                .map(credential)
                .collect::<Result<_, _>>()?,
            tokens,
            unknown_owners_max: section.unknown_owners_max,
            body_bytes_max: section.body_bytes_max,
            memory_max_bytes,
            ack_budget: Duration::from_millis(section.ack_budget_ms),
        })
    }
}

fn refuse_zero(key: &str, value: u64, consequence: &str) -> Result<(), ConfigError> {
    let refused =
        || ConfigError::Contradiction(format!("ingress.{key} = 0 must be at least 1, or {consequence}"));
    if value == 0 { Err(refused()) } else { Ok(()) }
}

/// Returns the bytes of `memory_max_mib`, in which the greatest body fits twice: as it came, and decompressed.
fn memory_max_bytes(memory_max_mib: u32, body_bytes_max: usize) -> Result<usize, ConfigError> {
    let bytes = usize::try_from(u64::from(memory_max_mib) << 20).unwrap_or(usize::MAX);
    let needed_mib = body_bytes_max.div_ceil(1 << 19);
    if bytes / 2 < body_bytes_max {
        return Err(ConfigError::Contradiction(format!(
            "ingress.memory_max_mib = {memory_max_mib} must be at least {needed_mib}, or a body of ingress.body_bytes_max = \
             {body_bytes_max} could never be taken: it needs that twice, compressed and decompressed"
        )));
    }
    Ok(bytes)
}

fn owner_of_token((token, owner): (String, String)) -> Result<(String, Owner), ConfigError> {
    let parsed = Owner::parse(&owner).ok_or_else(|| {
        ConfigError::Contradiction(format!("ingress.tokens: {owner:?} of {token} is not a UUID"))
    })?;
    Ok((token, parsed))
}

const BIND: &str = "bind it with `{ secret = \"...\", apps = [\"UUID\"], drains = [\"d.UUID\"] }`, or let it write for every \
                    app with `apps = [\"*\"]`";

/// Returns the credential of the entry in this place, from 1.
fn credential_of(
    section: CredentialSection,
    place: usize,
    tokens: &BTreeMap<String, Owner>,
) -> Result<Credential, ConfigError> {
    let BoundCredentialSection { secret, apps, drains } = match section {
        CredentialSection::Unbound(_) => {
            return Err(ConfigError::Contradiction(format!(
                "ingress.credentials: entry {place} is a secret alone, and does not say what it may write for; {BIND}"
            )));
        }
        CredentialSection::Bound(bound) => bound,
    };
    if apps.iter().any(|app| app == EVERY_APP) {
        return Ok(Credential { secret: Secret::new(secret), scope: WriteScope::Any });
    }
    let of_app = |app: &String| {
        Owner::parse(app).ok_or_else(|| {
            ConfigError::Contradiction(format!(
                "ingress.credentials: app {app:?} of entry {place} is not a UUID"
            ))
        })
    };
    let of_drain =
        |token: &String| tokens.get(token).copied().unwrap_or_else(|| derived_owner(token.as_bytes()));
    let mut owners = apps.iter().map(of_app).collect::<Result<BTreeSet<Owner>, _>>()?;
    owners.extend(drains.iter().map(of_drain));
    if owners.is_empty() {
        return Err(ConfigError::Contradiction(format!(
            "ingress.credentials: entry {place} has neither `apps` nor `drains`, so that it may write nothing; {BIND}"
        )));
    }
    Ok(Credential { secret: Secret::new(secret), scope: WriteScope::Owners(Arc::new(owners)) })
}

impl IngressConfig {
    /// Returns the settings of the HTTP service.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            credentials: self.credentials.clone(),
            max_body_bytes: self.body_bytes_max,
            body_memory_bytes: self.memory_max_bytes,
            ack_budget: self.ack_budget,
            unknown_owners_max: self.unknown_owners_max,
            ..Settings::default()
        }
    }

    /// Returns the apps of the drain tokens.
    #[must_use]
    pub fn token_table(&self) -> TokenTable {
        self.tokens.iter().map(|(token, &owner)| (token.clone(), owner)).collect()
    }
}

#[cfg(test)]
mod tests {
    use yahtzee_runtime::config::parse_file;

    use super::*;

    #[derive(Deserialize)]
    struct IngressFile {
        ingress: IngressSection,
    }

    const APP: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";

    fn config(text: &str) -> Result<IngressConfig, String> {
        let environment = Environment::new();
        let file = parse_file::<IngressFile>(&format!("[ingress]\n{text}"), "test.toml", &environment);
        file.and_then(|file| file.ingress.check(&environment)).map_err(|error| error.to_string())
    }

    fn credentials(text: &str) -> Result<Vec<Credential>, String> {
        config(text).map(|config| config.credentials)
    }

    #[test]
    fn the_service_has_the_limits_of_the_file() {
        let text = "body_bytes_max = 70\nmemory_max_mib = 3\nack_budget_ms = 40\nunknown_owners_max = 5";
        let settings = config(text).unwrap().settings();
        assert_eq!((settings.max_body_bytes, settings.body_memory_bytes), (70, 3 << 20));
        assert_eq!((settings.ack_budget, settings.unknown_owners_max), (Duration::from_millis(40), 5));
    }

    #[test]
    fn credentials_are_bound_to_apps_and_to_the_apps_of_drains() {
        let owner = |text: &str| Owner::parse(text).unwrap();
        let check = |entry: &str, expected: Option<&[Owner]>| {
            let text = format!("credentials = [{entry}]\ntokens = {{ \"d.1\" = \"{APP}\" }}");
            let credentials = credentials(&text).unwrap();
            assert_eq!(credentials[0].secret.reveal(), "user:pass");
            let expected = expected.map(|owners| Arc::new(owners.iter().copied().collect()));
            assert_eq!(credentials[0].scope, expected.map_or(WriteScope::Any, WriteScope::Owners), "{entry}");
        };
        check("{ secret = \"user:pass\", apps = [\"*\"] }", None);
        check(&format!("{{ secret = \"user:pass\", apps = [\"{APP}\"] }}"), Some(&[owner(APP)]));
        check(
            "{ secret = \"user:pass\", drains = [\"d.1\", \"d.2\"] }",
            Some(&[owner(APP), derived_owner(b"d.2")]),
        );
    }

    #[test]
    fn limits_that_let_nothing_through_are_refused() {
        let check = |key: &str| {
            let error = credentials(&format!("{key} = 0")).unwrap_err();
            assert!(error.contains(&format!("ingress.{key} = 0")), "{error}");
            assert!(credentials(&format!("{key} = 1")).is_ok(), "{key}");
        };
        check("body_bytes_max");
        check("ack_budget_ms");
    }

    #[test]
    fn the_greatest_body_fits_into_the_memory_twice() {
        let check = |mib: u32, body_bytes: usize, expected: Option<&str>| {
            let text = format!("memory_max_mib = {mib}\nbody_bytes_max = {body_bytes}");
            match (credentials(&text), expected) {
                (Ok(_), None) => {}
                (Err(error), Some(expected)) => assert!(error.contains(expected), "{error}"),
                (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
            }
        };
        check(8, 4 << 20, None);
        check(8, (4 << 20) + 1, Some("must be at least 9"));
        check(0, 1, Some("memory_max_mib = 0 must be at least 1"));
        check(u32::MAX, 1, None);
        check(256, usize::MAX, Some("body_bytes_max"));
    }

    #[test]
    fn credentials_that_make_no_sense_are_refused() {
        fn check(entry: &str, expected: &str) {
            let error =
                credentials(&format!("credentials = [{{ secret = \"token\", apps = [\"*\"] }}, {entry}]"))
                    .unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        check("\"user:hush\"", "entry 2 is a secret alone");
        check("\"user:hush\"", "apps = [\"*\"]");
        check("{ secret = \"hush\" }", "entry 2 has neither `apps` nor `drains`");
        check("{ secret = \"token\", apps = [\"shop\"] }", "app \"shop\" of entry 2 is not a UUID");
        check("{ secret = \"token\", drain = [] }", "a table of `secret` ");
        check("7", "a table of `secret` ");
    }
}
