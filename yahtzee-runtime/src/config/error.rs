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
        Self::Malformed { origin: origin.to_owned(), reason: without_values(&error.to_string()) }
    }
}

/// Returns a parser's error without the text that it found, and of the line that it quotes the key alone: what is behind
/// it may be a password.
fn without_values(error: &str) -> String {
    let mut parts = Vec::new();
    for line in error.lines() {
        match line.trim_start_matches(|of_number: char| of_number == ' ' || of_number.is_ascii_digit()) {
            quoted if quoted.starts_with('|') => {
                parts.extend(key_of(&quoted[1..]).map(|key| format!("key `{key}`")))
            }
            text => parts.push(text.trim_end().to_owned()),
        }
    }
    let text = parts.join(": ");
    let found = text.split_once("string \"").zip(text.rsplit_once("\", expected"));
    match found {
        Some(((before, _), (_, expected))) => format!("{before}a string, expected{expected}"),
        None => text,
    }
}

/// Returns the key of a line of TOML, if it begins with one.
fn key_of(line: &str) -> Option<&str> {
    let key = line.split_once('=')?.0.trim();
    let is_bare = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    (!key.is_empty() && key.chars().all(is_bare)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_in_the_error_of_a_malformed_text() {
        fn check(text: &str, parts: &[&str]) {
            let error = toml::from_str::<toml::Table>(text).map(|table| {
                table.try_into::<std::collections::BTreeMap<String, Vec<u16>>>().expect_err(text)
            });
            let error =
                ConfigError::malformed("yahtzee.toml", &error.unwrap_or_else(|error| error)).to_string();
            assert!(!error.contains("hunter"), "{error}");
            for part in parts {
                assert!(error.contains(part), "{part:?} is missing in: {error}");
            }
        }
        check("a = 1\nsecret = \"hunter", &["yahtzee.toml", "line 2", "string"]);
        check("secret = hunter2", &["line 1", "key `secret`"]);
        check("secret = \"hunter2\"", &["`secret`", "a string, expected a sequence"]);
        check("secret = \"hunter\\\", expected 2\"", &["expected a sequence"]);
        check("secret = [\"hunter2\"]", &["a string, expected u16"]);
    }
}
