//! All rounds of all cases as one table: least, middle and greatest value, and what the middle one has reached.

use std::fmt;

use serde::Serialize;

use crate::report::Spread;
use crate::sheet::{Figure, Sheet, Wanted};

/// All figures of a run of the program.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Table {
    cases: Vec<Case>,
}

#[derive(Clone, Debug, Serialize)]
struct Case {
    case: String,
    rows: Vec<Row>,
    /// Failed checks of all rounds: the figures are void.
    wrong: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    figure: Figure,
    /// The value of each round.
    rounds: Vec<f64>,
    verdict: Option<&'static str>,
}

impl Table {
    /// Adds what a round of a case came to.
    pub(super) fn add(&mut self, name: &str, sheet: Sheet) {
        let known = self.cases.iter().position(|case| case.case == name);
        let index = known.unwrap_or_else(|| {
            self.cases.push(Case { case: name.to_owned(), rows: Vec::new(), wrong: Vec::new() });
            self.cases.len() - 1
        });
        self.cases[index].add(sheet);
    }

    /// Whether a check has failed.
    pub(super) fn is_void(&self) -> bool {
        self.cases.iter().any(|case| !case.wrong.is_empty())
    }
}

impl Case {
    fn add(&mut self, sheet: Sheet) {
        self.wrong.extend(sheet.wrong);
        for figure in sheet.figures {
            match self.rows.iter_mut().find(|row| row.figure.name == figure.name) {
                Some(row) => row.add(figure.value),
                None => self.rows.push(Row::of(figure)),
            }
        }
    }
}

impl Row {
    fn of(figure: Figure) -> Self {
        let first = figure.value;
        let mut row = Self { figure, rounds: Vec::new(), verdict: None };
        row.add(first);
        row
    }

    /// One more round; the figure's value is the middle of all.
    fn add(&mut self, value: f64) {
        self.rounds.push(value);
        self.figure.value = self.spread().median;
        self.verdict = self.figure.target.map(|target| target.verdict(self.figure.value));
    }

    fn spread(&self) -> Spread {
        Spread::of(self.rounds.iter().copied()).expect("a row has at least one round")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, median, max] = ["min", "median", "max"];
        writeln!(formatter, "{:62} {min:>11} {median:>11} {max:>11}  unit", "case, figure")?;
        for case in &self.cases {
            writeln!(formatter, "{}", case.case)?;
            case.rows.iter().try_for_each(|row| writeln!(formatter, "  {row}"))?;
            case.wrong.iter().try_for_each(|wrong| writeln!(formatter, "  VOID: {wrong}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { min, median, max } = self.spread();
        let [min, median, max] = [min, median, max].map(in_digits);
        let Figure { name, unit, target, .. } = &self.figure;
        write!(formatter, "{name:60} {min:>11} {median:>11} {max:>11}  {unit}")?;
        let Some(target) = target else { return Ok(()) };
        let sign = match target.wanted {
            Wanted::AtMost => "<=",
            Wanted::AtLeast => ">=",
        };
        write!(formatter, "; goal {sign} {}", in_digits(target.goal))?;
        if let Some(gate) = target.gate {
            write!(formatter, ", gate {sign} {}", in_digits(gate))?;
        }
        write!(formatter, ": {}", self.verdict.unwrap_or_default())
    }
}

/// A number in as many digits as its size is worth.
fn in_digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 10.0 => format!("{value:.3}"),
        size if size < 1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
