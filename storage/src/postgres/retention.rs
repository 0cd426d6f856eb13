//! Drops days: raises the floor first, so that nobody creates or reads them any more, then drops their schemas.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::classify::ServerFailure;
use super::connection::{Connection, Purpose};
use super::define::{LOCK, create_bookkeeping};
use super::names::quoted;
use super::shard::PostgresShard;
use super::sql_types::PgDay;
use crate::store::Day;

/// Time that a drop waits for its lock. A drop waits for readers, and new readers queue behind it, so it waits briefly
/// and is tried again.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Tries per day; the next item is the pause between two of them.
const TRIES_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(250);

/// The days that were dropped, and the failures of other days.
pub(super) struct Dropped {
    pub(super) days: Vec<Day>,
    pub(super) failure: Option<ServerFailure>,
}

/// Returns the first day that a shard holds.
pub(super) async fn first_held(shard: &PostgresShard) -> Result<Option<Day>, ServerFailure> {
    let connection = shard.connect().await?;
    connection.begin(Purpose::Define(shard.timeouts.statement), LOCK, &[]).await?;
    create_bookkeeping(&connection, shard).await?;
    let question = "SELECT min(d.day) FROM yahtzee.days AS d, yahtzee.shard AS s WHERE d.day >= s.floor";
    let found = connection.query(question, &[]).await?;
    connection.commit().await?;
    let first: Option<PgDay> = found.first().map_or(Ok(None), |row| row.try_get(0))?;
    Ok(first.map(|PgDay(day)| day))
}

/// Raises the floor of a shard and drops the days below, oldest first; continues after a day that cannot be dropped.
pub(super) async fn drop_below(shard: &PostgresShard, floor: Day) -> Result<Dropped, ServerFailure> {
    let mut connection = shard.connect().await?;
    raise_floor(&connection, shard, floor).await?;
    let question = "SELECT d.day, d.schema_name FROM yahtzee.days AS d, yahtzee.shard AS s WHERE d.day < s.floor \
                    ORDER BY d.day";
    let mut dropped = Dropped { days: Vec::new(), failure: None };
    for row in connection.query(question, &[]).await? {
        let (PgDay(day), schema): (PgDay, &str) = (row.try_get(0)?, row.try_get(1)?);
        let (same, failure) = drop_day(connection, day, schema).await?;
        connection = same;
        match failure {
            None => dropped.days.push(day),
            Some(failure) => dropped.failure = Some(failure),
        }
    }
    Ok(dropped)
}

/// Raises the floor under the lock, so that a session that creates a day has seen either the new floor, or a floor from
/// before any of its drops.
async fn raise_floor(
    connection: &Connection,
    shard: &PostgresShard,
    floor: Day,
) -> Result<(), ServerFailure> {
    connection.begin(Purpose::Define(shard.timeouts.statement), LOCK, &[]).await?;
    create_bookkeeping(connection, shard).await?;
    let raise = "UPDATE yahtzee.shard SET floor = $1 WHERE floor < $1";
    connection.query(raise, &[(&PgDay(floor), Type::DATE)]).await?;
    connection.commit().await
}

/// Drops a day, with several tries while other sessions hold a lock on it. Returns the session, and the failure of the
/// last try.
async fn drop_day(
    mut connection: Connection,
    day: Day,
    schema: &str,
) -> Result<(Connection, Option<ServerFailure>), ServerFailure> {
    let mut tries = 1;
    loop {
        let Err(failure) = try_drop_day(&connection, day, schema).await else {
            return Ok((connection, None));
        };
        let Some(same) = connection.recover(&failure).await else { return Err(failure) };
        if !failure.is_lock() || tries == TRIES_MAX {
            return Ok((same, Some(failure)));
        }
        connection = same;
        tokio::time::sleep(PAUSE * tries).await;
        tries += 1;
    }
}

/// Drops a day in a transaction of its own: the number of locks in one transaction is limited.
async fn try_drop_day(connection: &Connection, day: Day, schema: &str) -> Result<(), ServerFailure> {
    let forget = "DELETE FROM yahtzee.days WHERE day = $1";
    connection.begin(Purpose::Define(LOCK_PATIENCE), forget, &[(&PgDay(day), Type::DATE)]).await?;
    connection.run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(schema))).await?;
    connection.commit().await
}
