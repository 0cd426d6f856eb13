//! `[ingress]`: the section of the configuration file, and what it means.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use yahtzee_core::owner::Owner;
use yahtzee_runtime::config::{ConfigError, Environment, Secret, parse_address, platform_variable};

use crate::settings::Settings;
use crate::token_table::TokenTable;

/// The ingress process.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngressSection {
    /// Address to receive drains on. Heroku: `PORT` gives `0.0.0.0:PORT`.
    pub listen: String,
    /// `user:password` (Basic) or a bearer token, any of which lets a drain in. Several, for rotation. Required
    /// unless `listen` is a loopback address.
    pub credentials: Vec<String>,
    /// Drain token (`d.<uuid>`) to app UUID. An unknown token gets a UUID derived from it, and is counted.
    pub tokens: BTreeMap<String, String>,
    /// Owners, per process and hour, that `tokens` does not name: derived from tokens, or taken from paths. Bodies of more
    /// are answered with 429, and counted.
    pub unknown_owners_max: usize,
    /// Greatest body in bytes, after decompression. A drain request aims at 102,400.
    pub body_bytes_max: usize,
    /// Milliseconds from the end of a body to a 503. A drain gives up after 5,000.
    pub ack_budget_ms: u64,
}

impl Default for IngressSection {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            credentials: Vec::new(),
            tokens: BTreeMap::new(),
            unknown_owners_max: 1_000,
            body_bytes_max: 4 << 20,
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
    /// `user:password` pairs of Basic authentication, and bearer tokens.
    pub credentials: Vec<Secret>,
    /// Drain token to app.
    pub tokens: BTreeMap<String, Owner>,
    /// Most owners in an hour that the configuration does not name.
    pub unknown_owners_max: usize,
    /// Greatest body, in bytes, after decompression.
    pub body_bytes_max: usize,
    /// Time from the end of a body to its reply, after which the reply is 503.
    pub ack_budget: Duration,
}

impl IngressSection {
    /// Applies the platform's `PORT` and checks the section.
    ///
    /// # Errors
    /// If the address is none, or an app is no UUID.
    pub fn check(self, environment: &Environment) -> Result<IngressConfig, ConfigError> {
        let listen = match platform_variable(environment, "PORT", "ingress.listen") {
            Some(port) => format!("0.0.0.0:{port}"),
            None => self.listen,
        };
        Ok(IngressConfig {
            listen: parse_address("ingress.listen", &listen)?,
            credentials: self.credentials.into_iter().map(Secret::new).collect(),
            tokens: self.tokens.into_iter().map(owner_of).collect::<Result<_, _>>()?,
            unknown_owners_max: self.unknown_owners_max,
            body_bytes_max: self.body_bytes_max,
            ack_budget: Duration::from_millis(self.ack_budget_ms),
        })
    }
}

fn owner_of((token, owner): (String, String)) -> Result<(String, Owner), ConfigError> {
    let parsed = Owner::parse(&owner).ok_or_else(|| {
        ConfigError::Contradiction(format!("ingress.tokens: {owner:?} of {token} is not a UUID"))
    })?;
    Ok((token, parsed))
}

impl IngressConfig {
    /// Returns the settings of the HTTP service.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            credentials: self.credentials.iter().map(|secret| secret.reveal().to_owned()).collect(),
            max_body_bytes: self.body_bytes_max,
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
