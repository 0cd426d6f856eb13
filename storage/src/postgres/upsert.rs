//! The statement that writes: one round trip, guarded per row, without session state that a pooler could lose.

use std::collections::HashMap;

use super::classify::{Class, ServerFailure, classify};
use super::connection::Connection;
use super::names::TableName;
use super::rows::{COLUMNS, Group, RowColumns, TYPES, TableRow};
use super::sql_types::{PgTime, PgUuid};
use crate::store::Outcome;

/// Value of `chain` in a row whose latest revision cannot have come after the one it replaced.
const BROKEN_NOW: i16 = 2;

/// Value of `chain` in a row whose revision has come again with other bytes.
const CONTRADICTED: i16 = 3;

/// Decides whether stale rows are looked up before the write.
///
/// A conflict whose row turns out not to be newer still locks, dirties and logs the stored row; a look-up costs less.
/// If most rows are newer, the look-up is wasted. So the decision follows the last batch: catching up and rebuilds
/// bring mostly stale rows, steady state hardly any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StaleFilter {
    is_on: bool,
}

/// Minimum number of rows in a batch to decide by.
const FILTER_ROWS_MIN: usize = 32;

impl StaleFilter {
    pub(super) fn is_on(self) -> bool {
        self.is_on
    }

    /// Turns the look-up on if at least half of the rows are stale, off below a quarter.
    pub(super) fn observe(&mut self, rows: usize, stale: usize) {
        if rows < FILTER_ROWS_MIN {
            return;
        }
        if stale * 2 >= rows {
            self.is_on = true;
        } else if stale * 4 < rows {
            self.is_on = false;
        }
    }
}

/// Writes the rows of a group; returns the outcome of each, in their order.
pub(super) async fn upsert(
    connection: &Connection,
    group: &Group<'_>,
    has_filter: bool,
) -> Result<Vec<Outcome>, ServerFailure> {
    let lines = RowColumns::of(&group.lines);
    let rows = connection.query(&statement(&group.table, has_filter), &lines.params()).await?;
    let mut chains = HashMap::with_capacity(rows.len());
    for row in &rows {
        let key: (PgUuid, &str, PgTime, i32) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        chains.insert(key, row.try_get::<_, i16>(4)?);
    }
    let outcome = |chain: Option<&i16>| match chain {
        None => Outcome::Stale,
        Some(&BROKEN_NOW) => Outcome::StoredAgainstChain,
        Some(&CONTRADICTED) => Outcome::StaleAgainstChain,
        Some(_) => Outcome::Stored,
    };
    Ok(group.lines.iter().map(|line| outcome(chains.get(&line.key()))).collect())
}

/// Whether the stored row has the revision of the new one.
const SAME: &str = "(old.generation, old.last_offset, old.final) \
                    = (excluded.generation, excluded.last_offset, excluded.final)";

/// Returns the statement. The guard is the order of `Revision`; `chain` is `Provenance::can_be_followed_by`, given that
/// the guard held. The constraint is named, because while an index is rebuilt concurrently its columns alone do not
/// identify it. A row whose revision comes again with other bytes keeps them, is marked and returned: bytes are compared
/// only where revisions are equal, of a row that was read for the guard. The look-up of stale rows is a correlated sub-query, because the planner turns a join into a scan of
/// the whole table.
fn statement(table: &TableName, has_filter: bool) -> String {
    let filter = match has_filter {
        false => String::new(),
        true => format!(
            "WHERE coalesce(( \
                 SELECT (old.generation, old.last_offset, old.final) < (new.generation, new.last_offset, new.final) \
                     OR (old.generation, old.last_offset, old.final) \
                         = (new.generation, new.last_offset, new.final) AND old.value <> new.value \
                 FROM {table} AS old \
                 WHERE (old.owner, old.series, old.window_start, old.window_length_ms) \
                     = (new.owner, new.series, new.window_start, new.window_length_ms)), true) "
        ),
    };
    format!(
        "INSERT INTO {table} AS old ({COLUMNS}) \
         SELECT {COLUMNS} FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS new ({COLUMNS}) {filter}\
         ON CONFLICT ON CONSTRAINT {} DO UPDATE SET \
             generation = excluded.generation, last_offset = excluded.last_offset, final = excluded.final, \
             first_offset = CASE WHEN {SAME} THEN old.first_offset ELSE excluded.first_offset END, \
             count = CASE WHEN {SAME} THEN old.count ELSE excluded.count END, \
             value = CASE WHEN {SAME} THEN old.value ELSE excluded.value END, \
             chain = CASE WHEN {SAME} THEN {CONTRADICTED} WHEN old.generation < excluded.generation \
                     OR (old.first_offset = excluded.first_offset \
                         AND CASE WHEN old.last_offset = excluded.last_offset THEN old.count = excluded.count \
                             ELSE old.count < excluded.count END) \
                 THEN least(old.chain, 1) ELSE {BROKEN_NOW} END \
         WHERE (old.generation, old.last_offset, old.final) \
             < (excluded.generation, excluded.last_offset, excluded.final) \
             OR {SAME} AND old.value <> excluded.value \
         RETURNING owner, series, window_start, window_length_ms, chain",
        table.key_constraint()
    )
}

/// Copies the rows of a group into a table that should have none of their keys.
///
/// # Errors
/// If a row exists already or is refused ([`ServerFailure::NotCopied`]): [`upsert`] then finds the precise reason,
/// because a binary COPY into a table with other columns may read the bytes of one type as another.
pub(super) async fn copy(connection: &Connection, group: &Group<'_>) -> Result<Vec<Outcome>, ServerFailure> {
    let sql = format!("COPY {} ({COLUMNS}) FROM STDIN (FORMAT binary)", group.table);
    let rows = group.lines.iter().map(TableRow::values);
    match connection.copy(&sql, &TYPES, rows).await {
        Ok(()) => Ok(vec![Outcome::Stored; group.lines.len()]),
        Err(failure) if classify(&failure) == Class::Poison => Err(ServerFailure::NotCopied),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_follows_what_the_rows_are_like() {
        fn check(filter: &mut StaleFilter, rows: usize, stale: usize, expected: bool) {
            filter.observe(rows, stale);
            assert_eq!(filter.is_on(), expected, "{stale} of {rows}");
        }
        let mut filter = StaleFilter::default();
        check(&mut filter, 1_024, 100, false);
        check(&mut filter, 1_024, 1_000, true);
        check(&mut filter, 1_024, 300, true);
        check(&mut filter, 4, 0, true);
        check(&mut filter, 1_024, 255, false);
        check(&mut filter, 1_024, 300, false);
    }

    #[test]
    fn the_statement_takes_one_array_per_column() {
        let table = TableName::new(crate::store::Day(0), "errors");
        let columns = COLUMNS.split(',').count();
        assert_eq!(columns, TYPES.len());
        assert!(statement(&table, false).contains(&format!("${columns})")));
        assert!(
            !statement(&table, false).contains("coalesce") && statement(&table, true).contains("coalesce")
        );
    }
}
