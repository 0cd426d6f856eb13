//! One case of figures with goals: a [`Bench`] makes its own input, checks its own output and reports a [`Sheet`]; a sheet
//! with a failed check is void.

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Which side of a goal is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// Small figures are good.
    AtMost,
    /// Great figures are good.
    AtLeast,
}

/// What a figure is hoped to reach, and what it has to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Which side is good.
    pub wanted: Wanted,
    /// What is hoped for.
    pub goal: f64,
    /// What has to be; `None` where only a goal was set.
    pub gate: Option<f64>,
}

impl Target {
    /// Small figures are good.
    #[must_use]
    pub const fn at_most(goal: f64, gate: Option<f64>) -> Self {
        Self { wanted: Wanted::AtMost, goal, gate }
    }

    /// Great figures are good.
    #[must_use]
    pub const fn at_least(goal: f64, gate: Option<f64>) -> Self {
        Self { wanted: Wanted::AtLeast, goal, gate }
    }

    fn is_reached(&self, limit: f64, value: f64) -> bool {
        match self.wanted {
            Wanted::AtMost => value <= limit,
            Wanted::AtLeast => value >= limit,
        }
    }

    /// What a figure has reached, in words.
    #[must_use]
    pub fn verdict(&self, value: f64) -> &'static str {
        let reaches = |limit| self.is_reached(limit, value);
        match (reaches(self.goal), self.gate.map(reaches)) {
            (true, _) => "goal reached",
            (false, Some(true)) => "gate reached, goal not",
            (false, Some(false)) => "GATE NOT REACHED",
            (false, None) => "GOAL NOT REACHED",
        }
    }
}

/// One number that a case comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is, unique within its case.
    pub name: String,
    /// Unit of the value.
    pub unit: String,
    /// The number.
    pub value: f64,
    /// Goal and gate, where some were set.
    pub target: Option<Target>,
}

/// What one run of a case came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sheet {
    /// In the order in which they are printed.
    pub figures: Vec<Figure>,
    /// What the output should have been and was not. With one of these all figures are void.
    pub wrong: Vec<String>,
}

impl Sheet {
    /// Adds a figure without a goal.
    pub(crate) fn figure(&mut self, name: impl Into<String>, unit: &str, value: f64) {
        self.figures.push(Figure { name: name.into(), unit: unit.to_owned(), value, target: None });
    }

    /// Adds a figure with a goal.
    pub(crate) fn figure_for(&mut self, target: Target, name: impl Into<String>, unit: &str, value: f64) {
        let target = Some(target);
        self.figures.push(Figure { name: name.into(), unit: unit.to_owned(), value, target });
    }

    /// Compares a part of the output with what it must be.
    pub(crate) fn check<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: T, expected: T) {
        if found != expected {
            self.wrong.push(format!("{what}: found {found:?}, expected {expected:?}"));
        }
    }
}

/// How large the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// As in the README.
    Full,
    /// A hundredth and less, for the tests of this package.
    Small,
}

impl Scale {
    /// `full`, or the same small.
    pub(crate) fn of(self, full: usize, small: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Small => small,
        }
    }
}

/// What a run finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// How large the input is.
    pub scale: Scale,
    /// Connection string of a PostgreSQL server that may be filled with databases.
    pub postgres: Option<String>,
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Bench {
    /// Its suite, `/`, its own name.
    pub name: &'static str,
    /// Whether it needs [`Setting::postgres`].
    pub needs_postgres: bool,
    /// Whether one round tells all: no figure is a time.
    pub is_steady: bool,
    run: fn(&Setting) -> Result<Sheet>,
}

impl Bench {
    /// Figures that differ from round to round.
    pub(crate) const fn timed(name: &'static str, run: fn(&Setting) -> Result<Sheet>) -> Self {
        Self { name, needs_postgres: false, is_steady: false, run }
    }

    /// Figures of which one round tells all.
    pub(crate) const fn steady(name: &'static str, run: fn(&Setting) -> Result<Sheet>) -> Self {
        Self { name, needs_postgres: false, is_steady: true, run }
    }

    /// The same, with a PostgreSQL server.
    pub(crate) const fn on_postgres(self) -> Self {
        Self { needs_postgres: true, ..self }
    }

    /// Runs it once in this process.
    ///
    /// # Errors
    /// Where it cannot come to an end: a server is missing or refuses something.
    pub fn run(&self, setting: &Setting) -> Result<Sheet> {
        (self.run)(setting)
    }
}
