//! The steps of a test run: one visible list, each a plain cargo command.

use std::fmt;
use std::process::Command;

use clap::ValueEnum;

/// One step, in the order they run: what is quick to fail comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Step {
    /// Formatting
    Fmt,
    /// Lints
    Clippy,
    /// Lints of what `cargo run` builds, without Kafka
    ClippyEmbedded,
    /// Kafka, PostgreSQL, PgBouncer and promtool for the tests; comes with `test`
    #[value(skip)]
    Servers,
    /// Every test, the ones that need a server included
    Test,
    /// Documentation builds without a warning
    Doc,
    /// Licences, bans and sources of dependencies
    Deny,
}

const ALL: [Step; 7] =
    [Step::Fmt, Step::Clippy, Step::ClippyEmbedded, Step::Servers, Step::Test, Step::Doc, Step::Deny];

/// The steps of a run that was asked for `only` these; nothing asked for means all.
pub(super) fn selected(only: &[Step]) -> Vec<Step> {
    ALL.into_iter().filter(|step| only.is_empty() || only.contains(&step.asked_for_as())).collect()
}

impl Step {
    /// What to ask for to get this step: servers are there for the tests only.
    pub(super) fn asked_for_as(self) -> Self {
        if self == Self::Servers { Self::Test } else { self }
    }

    /// The command of the step, as CI and a person would type it.
    pub(super) fn command(self) -> Command {
        let line = match self {
            Self::Fmt => "fmt --all --check",
            Self::Clippy => "clippy --workspace --all-targets --locked -- -D warnings",
            Self::ClippyEmbedded => "clippy -p yahtzee-cli --locked -- -D warnings",
            Self::Servers => "xtask services up",
            Self::Test => "test --workspace --locked",
            Self::Doc => "doc --workspace --no-deps --locked",
            Self::Deny => "deny check licenses bans sources",
        };
        let mut cargo = Command::new("cargo");
        cargo.args(line.split(' '));
        if self == Self::Doc {
            cargo.env("RUSTDOCFLAGS", "-Dwarnings");
        }
        cargo
    }
}

/// The tests that need nothing but processors, and those for minutes: [`Step::Test`] runs them beside the others.
pub(super) fn simulator() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--workspace", "--locked", "--test", "sim"]);
    cargo
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::ClippyEmbedded => "clippy-embedded",
            Self::Servers => "servers",
            Self::Test => "test",
            Self::Doc => "doc",
            Self::Deny => "deny",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_selected_in_their_usual_order() {
        let check = |only: &[Step], expected: &[Step]| assert_eq!(selected(only), expected);
        check(&[], &ALL);
        check(&[Step::Doc, Step::Fmt], &[Step::Fmt, Step::Doc]);
        check(&[Step::Test], &[Step::Servers, Step::Test]);
    }

    #[test]
    fn a_step_is_called_on_the_command_line_what_the_report_calls_it() {
        for step in Step::value_variants() {
            let value = step.to_possible_value().expect("variants of this list are not skipped");
            assert_eq!(value.get_name(), step.to_string());
        }
    }
}
