//! Reads from all days and shards that hold a part of an answer; fails if one of them does.

use tokio_postgres::types::{ToSql, Type};

use super::classify::ServerFailure;
use super::connection::{Connection, Purpose};
use super::names::{TableName, quoted, table_of};
use super::preflight::other_map;
use super::series;
use super::shard::PostgresShard;
use super::shard_map::Place;
use super::sql_types::{PgDay, PgTime, PgUuid};
use crate::store::Day;
use crate::store::{Row, Rows};
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, SummaryKey};

/// Maximum number of tries. Days can be dropped while they are read; each try sees a later floor, and few days are
/// dropped at once.
const TRIES_MAX: usize = 8;

/// A range to read from a shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeQuery<'a> {
    pub(super) job: &'a str,
    /// The only owner, or `None` for all.
    pub(super) owner: Option<Owner>,
    pub(super) from_ms: i64,
    /// End of the range, exclusive.
    pub(super) to_ms: i64,
}

impl RangeQuery<'_> {
    pub(super) fn first_day(&self) -> Day {
        Day::of_ms(self.from_ms)
    }

    pub(super) fn last_day(&self) -> Day {
        Day::of_ms(self.to_ms.saturating_sub(1))
    }
}

/// The days of a shard that have a table of the job, and the shard's floor.
struct Kept {
    floor: Day,
    days: Vec<Day>,
}

/// Returns the rows of a range that this shard holds, in no order.
pub(super) async fn range(shard: &PostgresShard, range: &RangeQuery<'_>) -> Result<Rows, ServerFailure> {
    let ask = async |connection: &Connection, kept: &Kept| {
        let (from, to) = (PgTime::clamped_ms(range.from_ms), PgTime::clamped_ms(range.to_ms));
        let owner = range.owner.map(|owner| PgUuid(owner.0));
        let mut params: Vec<(&(dyn ToSql + Sync), Type)> =
            vec![(&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ)];
        params.extend(owner.as_ref().map(|owner| (owner as &(dyn ToSql + Sync), Type::UUID)));
        let found = connection.query(&range_text(range, &kept.days), &params).await?;
        found.iter().map(|row| read_row(range, row)).collect::<Result<Vec<_>, ServerFailure>>()
    };
    let (floor, rows) = read(shard, range.job, range.first_day(), range.last_day(), ask).await?;
    Ok(Rows { rows, floor })
}

/// Returns owners, their newest generation and its measurements in the window that starts at `start_ms`: the greatest `limit`, or all for `None`.
pub(super) async fn counts(
    shard: &PostgresShard,
    job: &str,
    start_ms: i64,
    limit: Option<i64>,
) -> Result<Vec<(Owner, u32, u64)>, ServerFailure> {
    let ask = async |connection: &Connection, kept: &Kept| {
        let mut counts = Vec::new();
        for &day in &kept.days {
            let start = PgTime::clamped_ms(start_ms);
            let params: [(&(dyn ToSql + Sync), Type); 2] =
                [(&start, Type::TIMESTAMPTZ), (&limit, Type::INT8)];
            let found = connection.query(&counts_text(job, day), &params).await?;
            for row in &found {
                let PgUuid(owner) = row.try_get(0)?;
                let generation = u32::try_from(row.try_get::<_, i64>(2)?).unwrap_or(u32::MAX);
                counts.push((Owner(owner), generation, row.try_get::<_, i64>(1)?.cast_unsigned()));
            }
        }
        Ok(counts)
    };
    let day = Day::of_ms(start_ms);
    Ok(read(shard, job, day, day, ask).await?.1)
}

/// Runs `ask` in a read-only transaction on the days that are kept; repeats if one of them is dropped meanwhile.
async fn read<T>(
    shard: &PostgresShard,
    job: &str,
    first: Day,
    last: Day,
    ask: impl AsyncFn(&Connection, &Kept) -> Result<Vec<T>, ServerFailure>,
) -> Result<(Day, Vec<T>), ServerFailure> {
    let mut failed = None;
    for _ in 0..TRIES_MAX {
        let connection = shard.borrow().await?;
        let result = read_once(&connection, shard, job, (first, last), &ask).await;
        let connection = match &result {
            Ok(_) => Some(connection),
            Err(failure) => connection.recover(failure).await,
        };
        connection.into_iter().for_each(|connection| shard.give_back(connection));
        match result {
            Err(failure) if failure.is_missing() => failed = Some(failure),
            other => return other,
        }
    }
    Err(failed.expect("there was a try"))
}

async fn read_once<T>(
    connection: &Connection,
    shard: &PostgresShard,
    job: &str,
    (first, last): (Day, Day),
    ask: impl AsyncFn(&Connection, &Kept) -> Result<Vec<T>, ServerFailure>,
) -> Result<(Day, Vec<T>), ServerFailure> {
    let known =
        connection.begin(Purpose::Read, "SELECT to_regclass('yahtzee.days') IS NOT NULL", &[]).await?;
    let is_known: bool = known.first().map_or(Ok(false), |row| row.try_get(0))?;
    if !is_known {
        // Nothing was ever written here.
        connection.commit().await?;
        return Ok((Day::MIN, Vec::new()));
    }
    let kept = kept_days(connection, shard, job, first, last).await?;
    let found = if kept.days.is_empty() { Vec::new() } else { ask(connection, &kept).await? };
    connection.commit().await?;
    Ok((kept.floor, found))
}

const KEPT: &str = "\
    SELECT s.shard, s.floor, d.day, d.shard_count, d.shard_place, d.shard_key, \
           to_regclass(quote_ident(d.schema_name) || '.' || $3) IS NOT NULL \
    FROM yahtzee.shard AS s \
    LEFT JOIN yahtzee.days AS d ON d.day BETWEEN $1 AND $2 AND d.day >= s.floor";

async fn kept_days(
    connection: &Connection,
    shard: &PostgresShard,
    job: &str,
    first: Day,
    last: Day,
) -> Result<Kept, ServerFailure> {
    let (first, last, table) = (PgDay(first), PgDay(last), quoted(&table_of(job)));
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&first, Type::DATE), (&last, Type::DATE), (&table, Type::TEXT)];
    let mut kept = Kept { floor: Day::MIN, days: Vec::new() };
    for row in connection.query(KEPT, &params).await? {
        shard.check_identity(row.try_get(0)?)?;
        kept.floor = row.try_get::<_, PgDay>(1)?.0;
        let Some(PgDay(day)) = row.try_get::<_, Option<PgDay>>(2)? else { continue };
        let theirs = Place { count: row.try_get(3)?, index: row.try_get(4)?, key: row.try_get(5)? };
        let ours = shard.place_on(day);
        if ours.as_ref() != Some(&theirs) {
            return Err(ServerFailure::settings(other_map(day, &theirs, ours.as_ref(), None)));
        }
        if row.try_get(6)? {
            kept.days.push(day);
        }
    }
    Ok(kept)
}

fn range_text(range: &RangeQuery<'_>, days: &[Day]) -> String {
    let of_owner = if range.owner.is_some() { " AND owner = $3" } else { "" };
    let of_day = |&day: &Day| {
        format!(
            "SELECT series, window_start, window_length_ms, generation, first_offset, last_offset, count, final, \
             value, owner FROM {} WHERE window_start >= $1 AND window_start < $2{of_owner}",
            TableName::new(day, range.job)
        )
    };
    days.iter().map(of_day).collect::<Vec<_>>().join(" UNION ALL ")
}

/// Returns the query for counts per owner, of its newest generation. A sum of `bigint` is a `numeric` of any size; it is capped at the greatest
/// `bigint`.
fn counts_text(job: &str, day: Day) -> String {
    format!(
        "SELECT owner, least(sum(count), 9223372036854775807)::bigint AS total, generation FROM ( \
             SELECT owner, count, generation, max(generation) OVER (PARTITION BY owner) AS newest FROM {} \
             WHERE window_start = $1) AS row \
         WHERE generation = newest GROUP BY owner, generation ORDER BY total DESC, owner LIMIT $2",
        TableName::new(day, job)
    )
}

fn read_row(range: &RangeQuery<'_>, row: &tokio_postgres::Row) -> Result<Row, ServerFailure> {
    let text: &str = row.try_get(0)?;
    let foreign = || {
        ServerFailure::settings(format!(
            "job {}: a row that Yahtzee did not write: series {text:?}",
            range.job
        ))
    };
    let unsigned = |column: usize| Ok::<_, ServerFailure>(row.try_get::<_, i64>(column)?.cast_unsigned());
    let PgUuid(owner) = row.try_get(9)?;
    let key = SummaryKey {
        owner: Owner(owner),
        dimensions: series::decode(text).ok_or_else(foreign)?,
        window_start_ms: row.try_get::<_, PgTime>(1)?.ms(),
        window_length_ms: row.try_get::<_, i32>(2)?.cast_unsigned(),
    };
    let provenance = Provenance {
        generation: u32::try_from(row.try_get::<_, i64>(3)?).map_err(|_| foreign())?,
        first_offset: unsigned(4)?,
        last_offset: unsigned(5)?,
        count: unsigned(6)?,
        is_final: row.try_get(7)?,
    };
    Ok(Row { job: range.job.to_owned(), key, provenance, value: row.try_get(8)? })
}
