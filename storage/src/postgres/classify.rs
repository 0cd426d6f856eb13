//! Classifies failures by what they mean for the rows being written: one function, one table.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use yahtzee_runtime::cause::Cause;

use crate::store::{Outcome, StoreError};

/// Class of a failure, by what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Temporary: try again later.
    Retryable,
    /// An object is missing, or not as it was created: create what is missing, then try again.
    Schema,
    /// A row can never be stored: find it and continue without it.
    Poison,
    /// Every try fails until an operator corrects the configuration.
    Configuration,
}

/// Reason why a request to a shard failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerFailure {
    /// The server returned an error.
    Server {
        /// SQLSTATE, message with the detail if there is one, and the client's error.
        cause: Cause,
        /// Schema of the object concerned, if the server names it.
        schema: Option<String>,
    },
    /// The connection broke, or was not established.
    Connection(Cause),
    /// The server did not answer in time.
    Timeout(Duration),
    /// A table or the bookkeeping is missing.
    Missing(String),
    /// A table that was believed to be empty was not, or it refused a row that was copied into it.
    NotCopied,
    /// The settings are wrong, or contradict what is in the database.
    Settings(Cause),
}

impl From<tokio_postgres::Error> for ServerFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(database) = error.as_db_error() {
            let detail = database.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
            let text = format!("{}{detail}", database.message());
            let (code, schema) =
                (database.code().code().to_owned(), database.schema().map(ToOwned::to_owned));
            return Self::Server { cause: Cause::new(code, text).with_source(error), schema };
        }
        let cause = error.source();
        // A certificate that is not trusted is wrapped in such an error too.
        let io = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
        let is_io = io.is_some_and(|io| io.kind() != std::io::ErrorKind::InvalidData);
        let text = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        // The client tells its own kinds of errors by their text only.
        let is_refused = ["invalid configuration", "authentication error", "error performing TLS handshake"];
        match !is_io && is_refused.contains(&error.to_string().as_str()) {
            true => {
                let text = format!("{text}; mend the url of the shard, or `ca_file`");
                Self::Settings(Cause::new("settings", text).with_source(error))
            }
            false => Self::Connection(Cause::new("connection", text).with_source(error)),
        }
    }
}

/// Returns the class of a failure. SQLSTATE codes: PostgreSQL documentation, appendix A.
pub(super) fn classify(failure: &ServerFailure) -> Class {
    match failure {
        ServerFailure::Server { cause, schema } => classify_code(cause.code(), schema.as_deref()),
        ServerFailure::Connection(_) | ServerFailure::Timeout(_) => Class::Retryable,
        ServerFailure::Missing(_) => Class::Schema,
        ServerFailure::NotCopied => Class::Retryable,
        ServerFailure::Settings(_) => Class::Configuration,
    }
}

fn classify_code(code: &str, schema: Option<&str>) -> Class {
    match (code, code.get(..2).unwrap_or_default()) {
        // Two sessions that create the same thing at once collide in the catalogue.
        ("23505", _) if schema == Some("pg_catalog") => Class::Schema,
        // A missing right; a database that is not there; a pooler that does not keep transactions together.
        ("42501" | "3D000" | "26000" | "42P05" | "57P04", _) => Class::Configuration,
        // What is not there, is there already, or has another shape than was created.
        ("3F000", _) | (_, "42") => Class::Schema,
        // A row too large for the index; one that breaks a rule, or that a trigger refuses.
        ("54000", _) | (_, "21" | "22" | "23" | "44" | "P0") => Class::Poison,
        // Who we are, and what is not supported here.
        (_, "28" | "0A" | "0L" | "0P") => Class::Configuration,
        // Connection, resources, locks, shutdown, standby; and what nobody knows loses nothing by waiting.
        _ => Class::Retryable,
    }
}

impl ServerFailure {
    /// Creates a [`Self::Settings`] from what is wrong and what to do.
    pub(super) fn settings(text: impl Into<Arc<str>>) -> Self {
        Self::Settings(Cause::new("settings", text))
    }

    /// Returns whether the session cannot be used again.
    pub(super) fn breaks_connection(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Timeout(_) => true,
            Self::Server { cause, .. } => cause.code().starts_with("57P") || cause.code().starts_with("08"),
            _ => false,
        }
    }

    /// Returns whether some of the rows may be the cause, so that it is worth trying others by themselves. False if the
    /// shard is down, or is the wrong one.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Server { cause, .. } if cause.code().starts_with("28") || cause.code() == "3D000" => false,
            Self::Settings(_) => false,
            _ => self.is_lock() || (classify(self) != Class::Retryable && !self.breaks_connection()),
        }
    }

    /// Returns whether another session held a lock.
    pub(super) fn is_lock(&self) -> bool {
        matches!(self, Self::Server { cause, .. } if matches!(cause.code(), "55P03" | "40P01" | "40001"))
    }

    /// Returns whether a schema or a table is missing.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            Self::Missing(_) => true,
            Self::Server { cause, .. } => matches!(cause.code(), "3F000" | "42P01"),
            _ => false,
        }
    }

    /// Returns the outcome of the rows after the last try. `table` is the one they were to be written to.
    pub(super) fn outcome(&self, shard: &str, table: &str) -> Outcome {
        match classify(self) {
            Class::Schema if !self.is_missing() => Outcome::Misconfigured(self.cause(format!(
                "shard {shard}: {self}: table {table} is not as Yahtzee creates it; rename or drop it, and it is \
                 created anew and filled from the log"
            ))),
            Class::Retryable | Class::Schema => Outcome::Retryable(self.cause_on(shard)),
            Class::Poison => Outcome::Poison(self.cause(format!("shard {shard}, table {table}: {self}"))),
            Class::Configuration => Outcome::Misconfigured(self.cause_on(shard)),
        }
    }

    fn cause_on(&self, shard: &str) -> Cause {
        self.cause(format!("shard {shard}: {self}{}", self.advice()))
    }

    /// Returns the failure under the server's SQLSTATE, or a word for what the server did not say.
    fn cause(&self, text: String) -> Cause {
        match self {
            Self::Server { cause, .. } | Self::Connection(cause) | Self::Settings(cause) => {
                cause.clone().with_text(text)
            }
            Self::Timeout(_) => Cause::new("timeout", text),
            Self::Missing(_) => Cause::new("missing-table", text),
            Self::NotCopied => Cause::new("not-copied", text),
        }
    }

    /// Returns the advice in the message, from its second word on.
    fn advice(&self) -> &'static str {
        let Self::Server { cause, .. } = self else { return "" };
        match (cause.code(), cause.code().get(..2).unwrap_or_default()) {
            ("42501", _) => {
                "; give the role the right (GRANT CREATE ON DATABASE, or make it owner of the schema)"
            }
            ("3D000", _) => "; create the database, or mend the url of the shard",
            ("26000" | "42P05", _) => "; the pooler must run with pool_mode = transaction or session",
            (_, "28") => "; mend user and password in the url of the shard, or pg_hba.conf",
            _ => "",
        }
    }

    /// Converts the failure into the error for readers and operators.
    pub(super) fn into_store_error(self, shard: &str) -> StoreError {
        let place = format!("shard {shard}");
        let cause = self.cause(format!("{self}{}", self.advice()));
        match classify(&self) {
            Class::Retryable => StoreError::Unavailable { place, cause },
            Class::Schema if self.is_missing() => StoreError::Unavailable { place, cause },
            _ => StoreError::Misconfigured { place, cause },
        }
    }
}

impl fmt::Display for ServerFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { cause, .. } => write!(formatter, "SQLSTATE {}: {cause}", cause.code()),
            Self::Connection(cause) | Self::Settings(cause) => fmt::Display::fmt(cause, formatter),
            Self::Missing(text) => formatter.write_str(text),
            Self::Timeout(limit) => write!(formatter, "no answer within {} ms", limit.as_millis()),
            Self::NotCopied => formatter.write_str("rows could not be copied; it is tried row by row"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &str, schema: Option<&str>) -> ServerFailure {
        let cause = Cause::new(code.to_owned(), "said no").with_source(fmt::Error);
        ServerFailure::Server { cause, schema: schema.map(ToOwned::to_owned) }
    }

    #[test]
    fn every_code_has_its_class() {
        fn check(class: Class, codes: &[&str]) {
            for code in codes {
                assert_eq!(classify(&server(code, None)), class, "{code}");
            }
        }
        check(
            Class::Retryable,
            &[
                "08000", "08003", "08006", "08P01", "25006", "25P02", "40001", "40P01", "53100", "53200",
                "53300", "55006", "55P03", "57014", "57P01", "57P02", "57P03", "58000", "58030", "XX000",
                "99999", "",
            ],
        );
        check(
            Class::Schema,
            &["3F000", "42P01", "42703", "42804", "42704", "42883", "42P06", "42P07", "42P10"],
        );
        check(
            Class::Poison,
            &["21000", "22001", "22003", "22P05", "23502", "23505", "23514", "44000", "54000", "P0001"],
        );
        check(
            Class::Configuration,
            &["0A000", "0P000", "26000", "28000", "28P01", "3D000", "42501", "42P05", "57P04"],
        );
    }

    #[test]
    fn a_collision_in_the_catalogue_is_no_poison() {
        assert_eq!(classify(&server("23505", Some("pg_catalog"))), Class::Schema);
        assert_eq!(classify(&server("23505", Some("yahtzee_20261121"))), Class::Poison);
    }

    #[test]
    fn what_has_no_code_is_worth_another_try() {
        assert_eq!(classify(&ServerFailure::Connection(Cause::new("connection", "reset"))), Class::Retryable);
        assert_eq!(classify(&ServerFailure::Timeout(Duration::from_secs(1))), Class::Retryable);
        assert_eq!(classify(&ServerFailure::settings("two shards")), Class::Configuration);
        assert_eq!(classify(&ServerFailure::Missing("yahtzee".into())), Class::Schema);
    }

    #[test]
    fn a_fault_says_what_to_do() {
        fn check(code: &str, name: &str, word: &str) {
            let outcome = server(code, None).outcome("3", "yahtzee_20261121.errors");
            assert_eq!(outcome.name(), name, "{code}");
            let (Outcome::Poison(fault) | Outcome::Misconfigured(fault) | Outcome::Retryable(fault)) =
                outcome
            else {
                panic!("{code} has no fault")
            };
            assert_eq!(fault.code(), code);
            assert!(fault.text().contains("shard 3") && fault.text().contains(word), "{fault}");
            assert!(fault.source().is_some_and(|source| source.is::<fmt::Error>()), "{fault:?}");
        }
        check("42703", "misconfigured", "drop it");
        check("42501", "misconfigured", "GRANT");
        check("28P01", "misconfigured", "password");
        check("42P01", "retryable", "said no");
        check("23514", "poison", "yahtzee_20261121.errors");
    }

    #[test]
    fn what_the_server_did_not_say_has_a_code_too() {
        fn check(failure: &ServerFailure, code: &str) {
            let outcome = failure.outcome("3", "yahtzee_20261121.errors");
            assert_eq!(outcome.fault().map(Cause::code), Some(code), "{failure}");
        }
        check(&ServerFailure::Connection(Cause::new("connection", "reset")), "connection");
        check(&ServerFailure::Timeout(Duration::from_secs(1)), "timeout");
        check(&ServerFailure::Missing("yahtzee".into()), "missing-table");
        check(&ServerFailure::NotCopied, "not-copied");
        check(&ServerFailure::settings("two shards"), "settings");
    }

    #[test]
    fn a_lock_is_the_matter_of_one_table_and_a_shutdown_of_all() {
        fn check(code: &str, is_local: bool, breaks: bool) {
            assert_eq!(
                (server(code, None).is_local(), server(code, None).breaks_connection()),
                (is_local, breaks),
                "{code}"
            );
        }
        check("55P03", true, false);
        check("40P01", true, false);
        check("40001", true, false);
        check("23514", true, false);
        check("42501", true, false);
        check("28P01", false, false);
        check("3D000", false, false);
        check("57014", false, false);
        check("53300", false, false);
        check("57P01", false, true);
    }
}
