//! Summaries as rows: checked, sorted, and grouped by the table they go into.

use std::collections::BTreeMap;

use tokio_postgres::types::{ToSql, Type};
use yahtzee_runtime::cause::Cause;

use super::names::TableName;
use super::preflight::TableRef;
use super::series;
use super::sql_types::{PgTime, PgUuid};
use crate::store::Day;
use crate::store::Outcome;
use crate::store::{Summary, newest_by_key};

/// Columns in the order of [`TableRow::values`] and [`RowColumns::params`].
pub(super) const COLUMNS: &str = "owner, series, window_start, window_length_ms, generation, last_offset, final, \
                                  first_offset, count, value";

/// Types of the columns, in their order.
pub(super) const TYPES: [Type; 10] = [
    Type::UUID,
    Type::TEXT,
    Type::TIMESTAMPTZ,
    Type::INT4,
    Type::INT8,
    Type::INT8,
    Type::BOOL,
    Type::INT8,
    Type::INT8,
    Type::BYTEA,
];

/// One summary as a row.
#[derive(Clone, Debug)]
pub(super) struct TableRow<'a> {
    /// Its index in the batch.
    pub(super) index: usize,
    pub(super) owner: PgUuid,
    pub(super) series: String,
    pub(super) start: PgTime,
    pub(super) length_ms: i32,
    generation: i64,
    last_offset: i64,
    is_final: bool,
    first_offset: i64,
    count: i64,
    value: &'a [u8],
}

/// Rows that go into one table, in the order that every writer writes them in.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    pub(super) day: Day,
    pub(super) job: &'a str,
    pub(super) table: TableName,
    pub(super) lines: Vec<TableRow<'a>>,
}

/// Returns the newest summary of each key as rows by table, tables in order; reports in `outcomes` what cannot be a
/// row.
pub(super) fn group<'a>(batch: &[Summary<'a>], outcomes: &mut [Outcome]) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<(&str, Day), Vec<TableRow<'a>>> = BTreeMap::new();
    for index in newest_by_key(batch, outcomes) {
        let summary = &batch[index];
        match TableRow::of(summary, index) {
            Ok(line) => groups.entry((summary.job, summary.day())).or_default().push(line),
            Err(fault) => outcomes[index] = Outcome::Poison(fault),
        }
    }
    let groups = groups.into_iter();
    groups.map(|((job, day), lines)| Group { day, job, table: TableName::new(day, job), lines }).collect()
}

impl<'a> TableRow<'a> {
    /// Returns the row of a summary; a fault if a number is one that neither Kafka nor a job can produce.
    fn of(summary: &Summary<'a>, index: usize) -> Result<Self, Cause> {
        let (parts, provenance) = (summary.parts, &summary.provenance);
        let start = PgTime::of_ms(parts.window_start_ms);
        Ok(Self {
            index,
            owner: PgUuid(parts.owner.0),
            series: series::encode(&parts.dimensions),
            start: start.ok_or_else(|| unfit("window start in ms", parts.window_start_ms))?,
            length_ms: i32::try_from(parts.window_length_ms)
                .map_err(|_| unfit("window length in ms", parts.window_length_ms))?,
            generation: i64::from(provenance.generation),
            last_offset: signed("last offset", provenance.last_offset)?,
            is_final: provenance.is_final,
            first_offset: signed("first offset", provenance.first_offset)?,
            count: signed("count", provenance.count)?,
            value: summary.value,
        })
    }

    /// Returns the columns that identify the row in the answer of the server.
    pub(super) fn key(&self) -> (PgUuid, &str, PgTime, i32) {
        (self.owner, &self.series, self.start, self.length_ms)
    }

    /// Returns the values in the order of [`COLUMNS`].
    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.owner,
            &self.series,
            &self.start,
            &self.length_ms,
            &self.generation,
            &self.last_offset,
            &self.is_final,
            &self.first_offset,
            &self.count,
            &self.value,
        ]
    }
}

impl<'a> Group<'a> {
    /// Creates an empty group for a table.
    pub(super) fn empty(table: &TableName) -> Self {
        Self { day: Day::MIN, job: "", table: table.clone(), lines: Vec::new() }
    }

    pub(super) fn table_ref(&self) -> TableRef<'a> {
        TableRef { day: self.day, job: self.job }
    }

    /// Splits the group into two halves; returns the group itself as the error if it has a single row.
    pub(super) fn halves(mut self) -> Result<[Self; 2], Self> {
        if self.lines.len() < 2 {
            return Err(self);
        }
        let lines = self.lines.split_off(self.lines.len() / 2);
        let other = Self { lines, table: self.table.clone(), ..self };
        Ok([self, other])
    }
}

/// Rows turned into one array per column, as `unnest` takes them.
pub(super) struct RowColumns<'a> {
    owners: Vec<PgUuid>,
    series: Vec<&'a str>,
    starts: Vec<PgTime>,
    lengths_ms: Vec<i32>,
    generations: Vec<i64>,
    last_offsets: Vec<i64>,
    finals: Vec<bool>,
    first_offsets: Vec<i64>,
    counts: Vec<i64>,
    values: Vec<&'a [u8]>,
}

impl<'a> RowColumns<'a> {
    pub(super) fn of(lines: &'a [TableRow<'a>]) -> Self {
        Self {
            owners: lines.iter().map(|line| line.owner).collect(),
            series: lines.iter().map(|line| &*line.series).collect(),
            starts: lines.iter().map(|line| line.start).collect(),
            lengths_ms: lines.iter().map(|line| line.length_ms).collect(),
            generations: lines.iter().map(|line| line.generation).collect(),
            last_offsets: lines.iter().map(|line| line.last_offset).collect(),
            finals: lines.iter().map(|line| line.is_final).collect(),
            first_offsets: lines.iter().map(|line| line.first_offset).collect(),
            counts: lines.iter().map(|line| line.count).collect(),
            values: lines.iter().map(|line| line.value).collect(),
        }
    }

    /// Returns the values in the order of [`COLUMNS`].
    pub(super) fn params(&self) -> [(&(dyn ToSql + Sync), Type); 10] {
        [
            (&self.owners, Type::UUID_ARRAY),
            (&self.series, Type::TEXT_ARRAY),
            (&self.starts, Type::TIMESTAMPTZ_ARRAY),
            (&self.lengths_ms, Type::INT4_ARRAY),
            (&self.generations, Type::INT8_ARRAY),
            (&self.last_offsets, Type::INT8_ARRAY),
            (&self.finals, Type::BOOL_ARRAY),
            (&self.first_offsets, Type::INT8_ARRAY),
            (&self.counts, Type::INT8_ARRAY),
            (&self.values, Type::BYTEA_ARRAY),
        ]
    }
}

fn signed(what: &str, number: u64) -> Result<i64, Cause> {
    i64::try_from(number).map_err(|_| unfit(what, number))
}

fn unfit(what: &str, number: impl std::fmt::Display) -> Cause {
    Cause::new("out-of-range", format!("{what} {number} is out of the range that PostgreSQL stores"))
}
