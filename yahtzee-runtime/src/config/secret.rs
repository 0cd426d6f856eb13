//! Texts that are not shown.

use std::collections::BTreeMap;

use serde::Serializer;

/// What is written in the place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// A text that is not shown: no `Debug`, `Display` or `Serialize` of it reveals the content.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Writes [`HIDDEN`] for a field.
pub fn hide<T, S: Serializer>(_: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(HIDDEN)
}

/// Writes [`HIDDEN`] for a field that has a value.
pub(super) fn hide_some<T, S: Serializer>(field: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match field {
        Some(_) => serializer.serialize_some(HIDDEN),
        None => serializer.serialize_none(),
    }
}

/// Writes [`HIDDEN`] for each value of a table.
pub(super) fn hide_values<S: Serializer>(
    field: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(field.keys().map(|key| (key, HIDDEN)))
}
