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

/// Returns a parser's error without the line that it quotes and the text that it found: either may be a password.
fn without_values(error: &str) -> String {
    let is_quoted = |line: &&str| {
        line.trim_start_matches([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']).starts_with('|')
    };
    let lines: Vec<&str> = error.lines().filter(|line| !is_quoted(line)).map(str::trim_end).collect();
    let text = lines.join(": ");
    let found = text.split_once("string \"").zip(text.rsplit_once("\", expected"));
    match found {
        Some(((before, _), (_, expected))) => format!("{before}a string, expected{expected}"),
        None => text,
    }
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
        check("secret = hunter2", &["line 1"]);
        check("secret = \"hunter2\"", &["a string, expected a sequence"]);
        check("secret = \"hunter\\\", expected 2\"", &["expected a sequence"]);
        check("secret = [\"hunter2\"]", &["a string, expected u16"]);
    }
}
