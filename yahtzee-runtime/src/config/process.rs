//! `[admin]` and `[logging]`: what every process has.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::error::ConfigError;
use crate::telemetry::logging::{LogFormat, parse_filter};

/// The admin address.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSection {
    /// Address of `/metrics`, `/healthz` and `/readyz`; empty for nowhere. Port 0 takes any free one.
    pub listen: String,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9100".to_owned() }
    }
}

/// Log lines, on standard error.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoggingSection {
    /// `text` (default) or `json`.
    pub format: LogFormat,
    /// A level, or directives such as `info,yahtzee_runtime=debug`.
    pub filter: String,
}

impl Default for LoggingSection {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info,fjall=warn,lsm_tree=warn".to_owned() }
    }
}

impl LoggingSection {
    /// Checks the section.
    ///
    /// # Errors
    /// If the filter cannot be read.
    pub fn check(&self) -> Result<(), ConfigError> {
        let checked = parse_filter(&self.filter).map(|_| ());
        checked.map_err(|reason| ConfigError::Contradiction(format!("logging.filter: {reason}")))
    }
}

impl AdminSection {
    /// Checks the section; `None` is nowhere.
    ///
    /// # Errors
    /// If the address is none.
    pub fn check(&self) -> Result<Option<SocketAddr>, ConfigError> {
        if self.listen.is_empty() { Ok(None) } else { parse_address("admin.listen", &self.listen).map(Some) }
    }
}

/// Parses the address under `key`.
///
/// # Errors
/// If it is none; the error shows the form of one.
pub fn parse_address(key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
    text.parse().map_err(|_| {
        ConfigError::Contradiction(format!("{key} = {text:?} is not an address, as in \"127.0.0.1:8080\""))
    })
}
