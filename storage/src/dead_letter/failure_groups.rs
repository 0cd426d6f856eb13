//! Failures of many records, grouped by their codes.

use std::collections::BTreeMap;
use std::fmt;

use super::headers::FailureHeaders;

/// Different failures that are counted by themselves; the rest counts as none. Texts of former versions, which have no code, may
/// name rows.
const GROUPS_MAX: usize = 1_000;

/// Failures of the same code, or of the same text where they have no code. Shown as in `3 times 53100: disk full`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureGroup {
    /// Their code; records of former versions have none.
    pub code: Option<String>,
    /// The text of the first of them.
    pub example: String,
    /// How many they are.
    pub records: u64,
}

/// Counts failures by group.
#[derive(Clone, Debug, Default)]
pub struct FailureTally(BTreeMap<String, FailureGroup>);

impl FailureTally {
    /// Counts one failure. A record that says nothing about its failure is not counted.
    pub fn count(&mut self, code: Option<&str>, error: Option<&str>) {
        let error = error.unwrap_or_default();
        let name = code.unwrap_or(error);
        // A text may read like a code: apart from each other they stay.
        let key = format!("{}{name}", if code.is_some() { 'c' } else { 't' });
        if name.is_empty() || (self.0.len() >= GROUPS_MAX && !self.0.contains_key(&key)) {
            return;
        }
        let new = || FailureGroup { code: code.map(str::to_owned), example: error.to_owned(), records: 0 };
        self.0.entry(key).or_insert_with(new).records += 1;
    }

    /// Counts the failure of a record.
    pub fn count_headers(&mut self, headers: &FailureHeaders) {
        self.count(headers.code.as_deref(), headers.error.as_deref());
    }

    /// Returns the groups, the most frequent first.
    #[must_use]
    pub fn groups(self) -> Vec<FailureGroup> {
        let mut groups: Vec<FailureGroup> = self.0.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.records));
        groups
    }
}

impl fmt::Display for FailureGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, example, records } = self;
        match code {
            Some(code) => write!(formatter, "{records} times {code}: {example}"),
            None => write!(formatter, "{records} times: {example}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failures: &[(Option<&str>, Option<&str>)], expected: &[&str]) {
        let mut tally = FailureTally::default();
        failures.iter().for_each(|&(code, error)| tally.count(code, error));
        let texts: Vec<String> = tally.groups().iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn failures_are_grouped_by_code_and_without_one_by_text() {
        check(&[], &[]);
        check(&[(None, None), (None, Some(""))], &[]);
        check(
            &[(Some("22003"), Some("row 1")), (Some("53100"), Some("full")), (Some("22003"), Some("row 2"))],
            &["2 times 22003: row 1", "1 times 53100: full"],
        );
        check(
            &[(None, Some("full")), (None, Some("locked")), (None, Some("locked"))],
            &["2 times: locked", "1 times: full"],
        );
        check(
            &[(Some("full"), Some("no room")), (None, Some("full"))],
            &["1 times full: no room", "1 times: full"],
        );
    }

    #[test]
    fn groups_are_bounded() {
        let mut tally = FailureTally::default();
        for row in 0..2 * GROUPS_MAX {
            tally.count(None, Some(&format!("row {row}")));
            tally.count(None, Some("row 0"));
        }
        let groups = tally.groups();
        assert_eq!(groups.len(), GROUPS_MAX);
        assert_eq!(groups[0].records, 2 * GROUPS_MAX as u64 + 1);
    }
}
