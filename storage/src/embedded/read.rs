//! Reads of a view: days in order, and in each day from series to series.

use std::ops::Range;

use fjall::Keyspace;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::Provenance;

use super::folder::FolderView;
use super::row_key::{after, at, job_prefix, owner_prefix, parts, series_prefix};
use crate::store::Day;
use crate::store::{NewestCounts, OwnerCount, Row, Rows};

/// Reason why a read failed.
pub(super) enum UnreadableRow {
    /// Error of fjall or the operating system.
    Failed(fjall::Error),
    /// A row of this day is not of the documented form.
    Malformed(Day),
}

impl From<fjall::Error> for UnreadableRow {
    fn from(error: fjall::Error) -> Self {
        Self::Failed(error)
    }
}

/// See [`crate::store::SummaryStore::range`].
pub(super) fn range(
    view: &FolderView,
    job: &str,
    owner: Option<Owner>,
    times_ms: Range<i64>,
) -> Result<Rows, UnreadableRow> {
    let mut rows = Vec::new();
    if !times_ms.is_empty() {
        let days = Day::of_ms(times_ms.start)..=Day::of_ms(times_ms.end - 1);
        let prefix = owner.map_or_else(|| job_prefix(job), |owner| owner_prefix(job, owner));
        for (&day, keyspace) in view.days.range(days) {
            for series in (Steps { keyspace, day, prefix: prefix.clone(), last: None }) {
                collect(day, keyspace, &series?, &times_ms, &mut rows)?;
            }
        }
    }
    rows.sort_unstable_by(|left: &Row, right| left.key.cmp(&right.key));
    Ok(Rows { rows, floor: view.floor })
}

/// See [`crate::store::SummaryStore::top_owners`].
pub(super) fn top_owners(
    view: &FolderView,
    job: &str,
    window_start_ms: i64,
    limit: usize,
) -> Result<Vec<OwnerCount>, UnreadableRow> {
    let day = Day::of_ms(window_start_ms);
    let mut rows = Vec::new();
    let mut counts = NewestCounts::default();
    if let Some(keyspace) = view.days.get(&day) {
        let times_ms = window_start_ms..window_start_ms.saturating_add(1);
        for series in (Steps { keyspace, day, prefix: job_prefix(job), last: None }) {
            collect(day, keyspace, &series?, &times_ms, &mut rows)?;
            for row in rows.drain(..) {
                counts.add(row.key.owner, row.provenance.generation, row.provenance.count);
            }
        }
    }
    Ok(counts.top(limit))
}

/// Calls `each` with every row, by day, job, owner and series.
pub(super) fn scan(view: &FolderView, mut each: impl FnMut(Row)) -> Result<(), UnreadableRow> {
    for (&day, keyspace) in &view.days {
        for guard in keyspace.iter() {
            let (key, value) = guard.into_inner()?;
            each(row(&key, &value).ok_or(UnreadableRow::Malformed(day))?);
        }
    }
    Ok(())
}

/// Appends the rows of a series with windows that start in the range.
fn collect(
    day: Day,
    keyspace: &Keyspace,
    series: &[u8],
    times_ms: &Range<i64>,
    rows: &mut Vec<Row>,
) -> Result<(), UnreadableRow> {
    // Beyond the day there is no row, and starts of one sign sort as their bytes do.
    let first_ms = times_ms.start.max(day.start_ms());
    let end = match times_ms.end < day.plus(1).start_ms() {
        true => at(series, times_ms.end),
        false => after(series),
    };
    for guard in keyspace.range(at(series, first_ms)..end) {
        let (key, value) = guard.into_inner()?;
        rows.push(row(&key, &value).ok_or(UnreadableRow::Malformed(day))?);
    }
    Ok(())
}

fn row(row_key: &[u8], value: &[u8]) -> Option<Row> {
    let (job, key) = parts(row_key)?;
    let provenance = Provenance::of_value(value).ok()?;
    Some(Row { job: job.to_owned(), key, provenance, value: value.to_vec() })
}

/// Iterator over the series of a day whose rows start with a prefix: one look-up each, however many windows it has.
struct Steps<'a> {
    keyspace: &'a Keyspace,
    day: Day,
    prefix: Vec<u8>,
    last: Option<Vec<u8>>,
}

impl Steps<'_> {
    fn step(&mut self) -> Result<Option<Vec<u8>>, UnreadableRow> {
        let from = self.last.as_deref().map_or_else(|| self.prefix.clone(), after);
        let Some(guard) = self.keyspace.range(from..).next() else { return Ok(None) };
        let key = guard.key()?;
        if !key.starts_with(&self.prefix) {
            return Ok(None);
        }
        Ok(Some(series_prefix(&key).ok_or(UnreadableRow::Malformed(self.day))?.to_vec()))
    }
}

impl Iterator for Steps<'_> {
    type Item = Result<Vec<u8>, UnreadableRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose()?;
        if let Ok(series) = &step {
            self.last = Some(series.clone());
        }
        Some(step)
    }
}
