//! Checks what may be written, within the transaction that writes, so that no cache can be out of date.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::classify::ServerFailure;
use super::connection::{Connection, Purpose};
use super::names::TableName;
use super::shard::PostgresShard;
use super::shard_map::Place;
use super::sql_types::PgDay;
use crate::store::Day;

/// A table to check.
#[derive(Clone, Debug)]
pub(super) struct TableRef<'a> {
    pub(super) day: Day,
    pub(super) job: &'a str,
}

/// Whether a table may be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TableVerdict {
    /// It may be written to.
    Open,
    /// It must be created first.
    Missing,
    /// Its day was dropped.
    Expired,
    /// Its day was created with another shard map, which this text describes.
    OtherMap(String),
}

impl TableVerdict {
    /// Returns the text about another map.
    pub(super) fn other_map(self) -> Option<String> {
        match self {
            Self::OtherMap(text) => Some(text),
            Self::Open | Self::Missing | Self::Expired => None,
        }
    }
}

const QUESTION: &str = "\
    SELECT s.shard, s.floor, d.shard_count, d.shard_place, d.shard_key, to_regclass(w.name) IS NOT NULL, \
           (SELECT max(day) FROM yahtzee.days) \
    FROM yahtzee.shard AS s \
    CROSS JOIN unnest($1::date[], $2::text[]) WITH ORDINALITY AS w (day, name, place) \
    LEFT JOIN yahtzee.days AS d ON d.day = w.day \
    ORDER BY w.place";

/// Begins a transaction and checks the tables; verdicts in the order of `asked`.
pub(super) async fn begin(
    connection: &Connection,
    shard: &PostgresShard,
    purpose: Purpose,
    asked: &[TableRef<'_>],
) -> Result<Vec<TableVerdict>, ServerFailure> {
    let (days, names) = lists(asked);
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&days, Type::DATE_ARRAY), (&names, Type::TEXT_ARRAY)];
    let rows = connection.begin(purpose, QUESTION, &params).await?;
    verdicts(shard, asked, &rows)
}

/// Checks the tables within a transaction.
pub(super) async fn ask(
    connection: &Connection,
    shard: &PostgresShard,
    asked: &[TableRef<'_>],
) -> Result<Vec<TableVerdict>, ServerFailure> {
    let (days, names) = lists(asked);
    let rows = connection.query(QUESTION, &[(&days, Type::DATE_ARRAY), (&names, Type::TEXT_ARRAY)]).await?;
    verdicts(shard, asked, &rows)
}

fn lists(asked: &[TableRef<'_>]) -> (Vec<PgDay>, Vec<String>) {
    let days = asked.iter().map(|it| PgDay(it.day)).collect();
    let names = asked.iter().map(|it| TableName::new(it.day, it.job).to_string()).collect();
    (days, names)
}

fn verdicts(
    shard: &PostgresShard,
    asked: &[TableRef<'_>],
    rows: &[Row],
) -> Result<Vec<TableVerdict>, ServerFailure> {
    if rows.len() != asked.len() {
        return Err(ServerFailure::Missing("the database does not know yet which shard it is".to_owned()));
    }
    let pairs = asked.iter().zip(rows);
    pairs.map(|(it, row)| verdict(shard, it.day, row)).collect()
}

fn verdict(shard: &PostgresShard, day: Day, row: &Row) -> Result<TableVerdict, ServerFailure> {
    shard.check_identity(row.try_get(0)?)?;
    let PgDay(floor) = row.try_get(1)?;
    if day < floor {
        return Ok(TableVerdict::Expired);
    }
    let ours = shard.place_on(day);
    let Some(count) = row.try_get::<_, Option<i32>>(2)? else {
        return Ok(match ours {
            Some(_) => TableVerdict::Missing,
            None => TableVerdict::OtherMap(format!("the shard map of {day} has no shard {}", shard.name)),
        });
    };
    let theirs = Place { count, index: row.try_get(3)?, key: row.try_get(4)? };
    if ours.as_ref() != Some(&theirs) {
        let last: Option<PgDay> = row.try_get(6)?;
        return Ok(TableVerdict::OtherMap(other_map(day, &theirs, ours.as_ref(), last)));
    }
    Ok(if row.try_get(5)? { TableVerdict::Open } else { TableVerdict::Missing })
}

/// Describes the day, both maps, and from which day on a new map can hold.
pub(super) fn other_map(day: Day, theirs: &Place, ours: Option<&Place>, last: Option<PgDay>) -> String {
    let ours = ours.map_or_else(|| "no place".to_owned(), ToString::to_string);
    let free = last.map_or(day, |PgDay(last)| last).plus(1);
    format!(
        "{day} was created with another shard map: {theirs} then, {ours} in the configuration; rows would be in two \
         places. Keep the old map up to {} and let the new one start on {free} or later (`from = \"{free}\"`)",
        free.plus(-1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_map_is_told_with_the_first_free_day() {
        let place = |count, index| Place { count, index, key: "owner".to_owned() };
        let day: Day = "2026-11-21".parse().unwrap();
        let text = other_map(day, &place(7, 3), Some(&place(9, 3)), Some(PgDay(day.plus(2))));
        for part in ["2026-11-21", "place 3 of 7 by owner then", "place 3 of 9", "from = \"2026-11-24\""] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
