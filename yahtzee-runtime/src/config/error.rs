//! Errors of a configuration.

use std::path::PathBuf;

/// An error of a configuration. Names the file, key or variable and what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {path}: {source}; `yahtzee config example` prints one to start from")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not TOML, has an unknown key or a value of the wrong kind.
    #[error("configuration {origin}: {reason}")]
    Malformed {
        /// A path, or the name of an environment variable.
        origin: String,
        /// Position and reason, as the parser reports them.
        reason: String,
    },
    /// Two settings contradict each other, or one is out of range.
    #[error("configuration: {0}")]
    Contradiction(String),
}

impl ConfigError {
    pub(super) fn malformed(origin: &str, error: &toml::de::Error) -> Self {
        let reason = error.to_string().trim_end().to_owned();
        Self::Malformed { origin: origin.to_owned(), reason }
    }
}
