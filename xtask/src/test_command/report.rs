//! The table at the end of a run: step, seconds, result.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use super::Outcome;
use super::step::Step;

/// Steps and how they ended.
pub(super) struct Report {
    rows: Vec<Row>,
}

struct Row {
    step: Step,
    took: Option<Duration>,
    result: String,
}

impl Report {
    /// A report in which no step has run yet.
    pub(super) fn new(steps: &[Step]) -> Self {
        let row = |&step| Row { step, took: None, result: "not run".to_owned() };
        Self { rows: steps.iter().map(row).collect() }
    }

    /// Runs the steps up to the first failure, which it returns.
    pub(super) fn run_in_order(
        &mut self,
        mut run: impl FnMut(Step) -> Result<Outcome>,
    ) -> Option<(Step, Error)> {
        for row in &mut self.rows {
            let started_at = Instant::now();
            let outcome = run(row.step);
            row.took = Some(started_at.elapsed());
            row.result = match outcome {
                Ok(Outcome::Passed) => "passed".to_owned(),
                Ok(Outcome::Skipped(why)) => format!("SKIPPED: {why}"),
                Err(error) => {
                    row.result = "FAILED".to_owned();
                    return Some((row.step, error));
                }
            };
        }
        None
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:>7}  result", "step", "seconds")?;
        for Row { step, took, result } in &self.rows {
            let seconds = took.map_or("-".to_owned(), |took| format!("{:.1}", took.as_secs_f64()));
            write!(f, "\n{step:<8} {seconds:>7}  {result}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn the_first_failure_ends_the_run_and_the_table_says_so() {
        let mut report = Report::new(&[Step::Deny, Step::Clippy, Step::Doc]);
        let failure = report.run_in_order(|step| match step {
            Step::Deny => Ok(Outcome::Skipped("no such tool")),
            Step::Clippy => bail!("a lint"),
            _ => panic!("{step} ran after a failure"),
        });
        assert!(matches!(failure, Some((Step::Clippy, _))));
        let table = report.to_string();
        let results: Vec<_> = table.lines().skip(1).map(|line| &line[18..]).collect();
        assert_eq!(results, ["SKIPPED: no such tool", "FAILED", "not run"]);
    }

    #[test]
    fn a_run_without_failure_reaches_the_end() {
        let mut report = Report::new(&[Step::Fmt, Step::Doc]);
        assert!(report.run_in_order(|_| Ok(Outcome::Passed)).is_none());
        assert_eq!(report.to_string().matches("passed").count(), 2);
    }
}
