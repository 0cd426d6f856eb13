//! Names in the database: a schema per day, a table per job in it.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::store::Day;

/// Maximum length of an identifier (`NAMEDATALEN` less 1). PostgreSQL truncates longer ones silently, and two jobs
/// would share a table.
const IDENTIFIER_BYTES_MAX: usize = 63;

/// Length of the longest suffix of a table name: `_by_time`.
const SUFFIX_BYTES_MAX: usize = 8;

/// Returns the name of the schema of a day: `yahtzee_20261121`; `yahtzee_day_m99999999` if there is no such date.
pub(super) fn schema_of(day: Day) -> String {
    let digits = day.to_string().replace('-', "");
    if digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("yahtzee_{digits}");
    }
    format!("yahtzee_day_{}", day.0.to_string().replace('-', "m"))
}

/// Returns the name of the table of a job: the job's name, or its start and a hash if that is no identifier.
pub(super) fn table_of(job: &str) -> String {
    if job.len() <= IDENTIFIER_BYTES_MAX - SUFFIX_BYTES_MAX && !job.contains('\0') {
        return job.to_owned();
    }
    let start: String = job.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    format!("{start}_{:016x}", xxh3_64(job.as_bytes()))
}

/// Name of the table of one job and day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TableName {
    schema: String,
    table: String,
}

impl TableName {
    pub(super) fn new(day: Day, job: &str) -> Self {
        Self { schema: schema_of(day), table: table_of(job) }
    }

    /// Returns the name of the primary key's constraint, quoted.
    pub(super) fn key_constraint(&self) -> String {
        quoted(&format!("{}_key", self.table))
    }

    /// Returns the name of the index by time, quoted; the index lies in the table's schema.
    pub(super) fn time_index(&self) -> String {
        quoted(&format!("{}_by_time", self.table))
    }
}

/// Writes the name qualified and quoted, as SQL takes it.
impl fmt::Display for TableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", quoted(&self.schema), quoted(&self.table))
    }
}

/// Returns the name quoted as an SQL identifier.
pub(super) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_schema() {
        fn check(day: Day, expected: &str) {
            assert_eq!(schema_of(day), expected);
        }
        check("2026-11-21".parse().unwrap(), "yahtzee_20261121");
        check(Day(0), "yahtzee_19700101");
        check(Day(-1_000_000), "yahtzee_day_m1000000");
        check(Day(i64::MAX), "yahtzee_day_9223372036854775807");
    }

    #[test]
    fn identifiers_are_quoted_and_never_cut() {
        let name = TableName::new(Day(0), "odd\"job");
        assert_eq!(name.to_string(), "\"yahtzee_19700101\".\"odd\"\"job\"");
        let long = "j".repeat(80);
        let (one, other) = (table_of(&format!("{long}1")), table_of(&format!("{long}2")));
        assert_ne!(one, other);
        assert!(one.len() + SUFFIX_BYTES_MAX <= IDENTIFIER_BYTES_MAX);
    }
}
