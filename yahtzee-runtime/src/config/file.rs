//! Reading one strict file into whatever sections it is composed of, and writing such a file.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::environment::{Environment, merge, overrides};
use super::error::ConfigError;

/// Reads the text of `path` (or nothing, for defaults alone), and its name for errors.
///
/// # Errors
/// [`ConfigError::Unreadable`].
pub fn read_text(path: Option<&Path>) -> Result<(String, String), ConfigError> {
    let Some(path) = path else { return Ok((String::new(), "(defaults)".to_owned())) };
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    Ok((text, path.display().to_string()))
}

/// Parses a configuration text strictly and applies the overrides of the environment; `origin` names the text in
/// errors.
///
/// # Errors
/// [`ConfigError::Malformed`] with line, column and the keys that would be known, or the name of the variable.
pub fn parse_file<T: DeserializeOwned>(
    text: &str,
    origin: &str,
    environment: &Environment,
) -> Result<T, ConfigError> {
    let overrides = overrides(environment)?;
    let parsed = toml::from_str(text).map_err(|error| ConfigError::malformed(origin, &error))?;
    if overrides.is_empty() { Ok(parsed) } else { merge(text, origin, &overrides) }
}

/// Returns sections as the text of a file.
///
/// # Errors
/// If a number is beyond those of a file.
pub fn written<T: Serialize>(file: &T) -> Result<String, ConfigError> {
    toml::to_string(file).map_err(|error| ConfigError::Malformed {
        origin: "the values in force".to_owned(),
        reason: error.to_string(),
    })
}
