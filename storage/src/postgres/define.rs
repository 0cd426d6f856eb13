//! Creates what rows are stored in: the bookkeeping of a shard, a schema per day, a table per job in it.

use tokio_postgres::types::Type;

use super::classify::ServerFailure;
use super::connection::{Connection, Purpose};
use super::marks;
use super::names::{TableName, quoted, schema_of};
use super::preflight::{self, TableRef, TableVerdict};
use super::shard::PostgresShard;
use super::sql_types::PgDay;
use crate::store::Day;

/// Key of the advisory lock under which anything is created, the ASCII of "yahtzee"; one per database. Without it two
/// sessions that create the same thing at once collide in the catalogue, `IF NOT EXISTS` or not.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(34165573440660837)";

/// Bookkeeping tables of a shard. The floor is kept here, so that no process with an older floor creates a dropped day.
const BOOKKEEPING: &str = "\
    CREATE SCHEMA IF NOT EXISTS yahtzee; \
    CREATE TABLE IF NOT EXISTS yahtzee.shard ( \
        is_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_only_row), \
        shard text NOT NULL, \
        floor date NOT NULL DEFAULT '-infinity'); \
    COMMENT ON TABLE yahtzee.shard IS 'Which shard this database is. Days before the floor were dropped, and stay so.'; \
    CREATE TABLE IF NOT EXISTS yahtzee.days ( \
        day date PRIMARY KEY, \
        schema_name text NOT NULL, \
        shard_count integer NOT NULL, \
        shard_place integer NOT NULL, \
        shard_key text NOT NULL); \
    COMMENT ON TABLE yahtzee.days IS 'Days that are kept, each with the place of this shard in the map of the day.'";

/// Creates the missing ones of the requested tables, in one transaction; returns what was found. Days below the floor,
/// and those of another map, are left alone.
pub(super) async fn create(
    connection: &Connection,
    shard: &PostgresShard,
    asked: &[TableRef<'_>],
) -> Result<Vec<TableVerdict>, ServerFailure> {
    // Others may be creating right now: wait for them as long as for a statement.
    connection.begin(Purpose::Define(shard.timeouts.statement), LOCK, &[]).await?;
    create_bookkeeping(connection, shard).await?;
    let verdicts = preflight::ask(connection, shard, asked).await?;
    for (it, verdict) in asked.iter().zip(&verdicts) {
        if *verdict == TableVerdict::Missing {
            create_day(connection, shard, it.day).await?;
            connection.run(&table_definition(&TableName::new(it.day, it.job))).await?;
        }
    }
    connection.commit().await?;
    Ok(verdicts)
}

/// Creates the bookkeeping if there is none, and checks that the database is this shard's. Runs under the lock.
pub(super) async fn create_bookkeeping(
    connection: &Connection,
    shard: &PostgresShard,
) -> Result<(), ServerFailure> {
    // `IF NOT EXISTS` asks for the right to create even where there is nothing to do.
    let is_created = "SELECT to_regclass('yahtzee.days') IS NOT NULL";
    for (question, definition) in [(is_created, BOOKKEEPING), (marks::IS_CREATED, marks::TABLE)] {
        let known = connection.query(question, &[]).await?;
        if !known.first().map_or(Ok(false), |row| row.try_get::<_, bool>(0))? {
            connection.run(definition).await?;
        }
    }
    let introduce = "INSERT INTO yahtzee.shard (shard) VALUES ($1) ON CONFLICT DO NOTHING";
    connection.query(introduce, &[(&shard.name, Type::TEXT)]).await?;
    let rows = connection.query("SELECT shard FROM yahtzee.shard", &[]).await?;
    rows.iter().try_for_each(|row| shard.check_identity(row.try_get(0)?))
}

async fn create_day(connection: &Connection, shard: &PostgresShard, day: Day) -> Result<(), ServerFailure> {
    let Some(place) = shard.place_on(day) else { return Ok(()) };
    let schema = schema_of(day);
    // `IF NOT EXISTS` asks for the right to create even where there is nothing to do.
    let known =
        connection.query("SELECT to_regnamespace($1) IS NOT NULL", &[(&quoted(&schema), Type::TEXT)]).await?;
    if !known.first().map_or(Ok(false), |row| row.try_get::<_, bool>(0))? {
        connection.run(&format!("CREATE SCHEMA {}", quoted(&schema))).await?;
    }
    let note = "INSERT INTO yahtzee.days (day, schema_name, shard_count, shard_place, shard_key) \
                VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    let day = PgDay(day);
    connection
        .query(
            note,
            &[
                (&day, Type::DATE),
                (&schema, Type::TEXT),
                (&place.count, Type::INT4),
                (&place.index, Type::INT4),
                (&place.key, Type::TEXT),
            ],
        )
        .await?;
    Ok(())
}

/// Returns the statements that create the table of a job and day.
///
/// `window_start` is a `timestamptz`, because people read this with psql; it is exact to the microsecond and sorts and
/// compares as the integer that it is. Columns of fixed width come first, so that no row is padded. Room is left on
/// each page for the later revisions of its rows (HOT updates: no index is touched). The index by time has one entry
/// per block range; it makes "all owners in this minute" a matter of a few pages.
fn table_definition(name: &TableName) -> String {
    let (key, index) = (name.key_constraint(), name.time_index());
    format!(
        "CREATE TABLE IF NOT EXISTS {name} ( \
             owner uuid NOT NULL, \
             window_start timestamptz NOT NULL, \
             generation bigint NOT NULL, \
             last_offset bigint NOT NULL, \
             first_offset bigint NOT NULL, \
             count bigint NOT NULL, \
             window_length_ms integer NOT NULL, \
             chain smallint NOT NULL DEFAULT 0, \
             final boolean NOT NULL, \
             series text COLLATE \"C\" NOT NULL, \
             value bytea NOT NULL, \
             CONSTRAINT {key} PRIMARY KEY (owner, series, window_start, window_length_ms) \
         ) WITH (fillfactor = 70); \
         COMMENT ON COLUMN {name}.series IS 'Each dimension after a slash; \\/ \\\\ \\0 stand for slash, backslash, NUL.'; \
         COMMENT ON COLUMN {name}.chain IS '1: some revision, 2: this revision cannot have come after the one it \
         replaced, 3: this revision has come again with other bytes; 0: never.'; \
         COMMENT ON COLUMN {name}.value IS 'The summary message, as published.'; \
         CREATE INDEX IF NOT EXISTS {index} ON {name} USING brin (window_start) \
         WITH (pages_per_range = 32, autosummarize = on)"
    )
}
