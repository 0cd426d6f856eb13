//! Dropping days: the floor first, so that nobody creates or reads them any more, then their schemas.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::classify::ServerFailure;
use super::connection::{Connection, Purpose};
use super::define::{LOCK, create_bookkeeping};
use super::names::quoted;
use super::node::Node;
use super::sql_types::PgDay;
use crate::store::Day;

/// A drop waits for readers, and new readers queue behind it: so it waits for this long only, and comes again.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Tries per day, and the pause between two of them.
const TRIES_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(250);

/// What was dropped, and what went wrong with other days.
pub(super) struct Dropped {
    pub(super) days: Vec<Day>,
    pub(super) failure: Option<ServerFailure>,
}

/// Raises the floor of a shard and drops the days below, oldest first; goes on past a day that cannot be dropped.
pub(super) async fn drop_below(node: &Node, floor: Day) -> Result<Dropped, ServerFailure> {
    let mut connection = node.connect().await?;
    raise_floor(&connection, node, floor).await?;
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

/// Under the lock, so that whoever creates a day has seen either the new floor or no floor's drop yet.
async fn raise_floor(connection: &Connection, node: &Node, floor: Day) -> Result<(), ServerFailure> {
    connection.begin(Purpose::Define(node.timeouts.statement), LOCK, &[]).await?;
    create_bookkeeping(connection, node).await?;
    let raise = "UPDATE yahtzee.shard SET floor = $1 WHERE floor < $1";
    connection.query(raise, &[(&PgDay(floor), Type::DATE)]).await?;
    connection.commit().await
}

/// Drops a day, with some tries while others hold a lock on it; the session again, and what the last try failed with.
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

/// One transaction per day: the number of locks in one is limited.
async fn try_drop_day(connection: &Connection, day: Day, schema: &str) -> Result<(), ServerFailure> {
    let forget = "DELETE FROM yahtzee.days WHERE day = $1";
    connection.begin(Purpose::Define(LOCK_PATIENCE), forget, &[(&PgDay(day), Type::DATE)]).await?;
    connection.run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(schema))).await?;
    connection.commit().await
}
