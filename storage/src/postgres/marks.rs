//! Marks of source partitions: read when a partition is opened, moved by every transaction that writes its summaries.

use std::collections::BTreeMap;

use tokio_postgres::types::{ToSql, Type};
use yahtzee_core::delivery::SettledMark;
use yahtzee_core::record::Offset;

use super::classify::ServerFailure;
use super::connection::{Connection, Purpose};
use super::shard::PostgresShard;
use super::sql_types::PgUuid;
use crate::store::{Marked, Settling, SourcePartition};

/// Whether the table of marks is as it is created here.
pub(super) const IS_CREATED: &str = "\
    SELECT EXISTS ( \
        SELECT FROM pg_attribute \
        WHERE attrelid = to_regclass('yahtzee.settled') AND attname = 'written_end' AND NOT attisdropped)";

/// The table of marks. A row is updated by every transaction of its partition, and no index covers what changes. Tables of earlier
/// versions get the column that they lack.
pub(super) const TABLE: &str = "\
    CREATE TABLE IF NOT EXISTS yahtzee.settled ( \
        consumer_group text COLLATE \"C\" NOT NULL, \
        topic text COLLATE \"C\" NOT NULL, \
        topic_id uuid NOT NULL, \
        partition integer NOT NULL, \
        settled bigint NOT NULL, \
        writes bigint NOT NULL, \
        written_end bigint NOT NULL DEFAULT 0, \
        CONSTRAINT settled_key PRIMARY KEY (consumer_group, topic, topic_id, partition) \
    ) WITH (fillfactor = 20); \
    ALTER TABLE yahtzee.settled ADD COLUMN IF NOT EXISTS written_end bigint NOT NULL DEFAULT 0; \
    COMMENT ON TABLE yahtzee.settled IS 'How far this database has the summaries of each partition. It is restored \
    together with the rows: then the sink reads again what is missing.'";

/// Through JSON, so that a table without the column has marks too.
const QUESTION: &str = "\
    SELECT s.shard, m.settled, m.writes, coalesce((to_jsonb(m) ->> 'written_end')::int8, 0) \
    FROM yahtzee.shard AS s \
    CROSS JOIN unnest($1::text[], $2::text[], $3::uuid[], $4::int4[]) WITH ORDINALITY \
        AS o (consumer_group, topic, topic_id, partition, place) \
    LEFT JOIN yahtzee.settled AS m USING (consumer_group, topic, topic_id, partition) \
    ORDER BY o.place";

/// Moves the marks of partitions in a fixed order, so that two sinks cannot wait for each other. A database that has
/// less than it was known to have is left as it is: nothing is returned of those partitions.
const SETTLE: &str = "\
    INSERT INTO yahtzee.settled AS old (consumer_group, topic, topic_id, partition, settled, writes, written_end) \
    SELECT consumer_group, topic, topic_id, partition, settled, 1, written_end \
    FROM unnest($1::text[], $2::text[], $3::uuid[], $4::int4[], \
            $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::int8[]) \
        AS new (consumer_group, topic, topic_id, partition, \
            settled, written_end, known_settled, known_writes, known_end) \
    WHERE (known_settled, known_writes, known_end) = (0, 0, 0) OR EXISTS ( \
        SELECT FROM yahtzee.settled AS m \
        WHERE (m.consumer_group, m.topic, m.topic_id, m.partition) \
            = (new.consumer_group, new.topic, new.topic_id, new.partition) \
            AND m.settled >= known_settled AND m.writes >= known_writes AND m.written_end >= known_end) \
    ORDER BY 1, 2, 3, 4 \
    ON CONFLICT ON CONSTRAINT settled_key DO UPDATE \
        SET settled = greatest(old.settled, excluded.settled), writes = old.writes + 1, \
            written_end = greatest(old.written_end, excluded.written_end) \
    RETURNING consumer_group, topic, topic_id, partition, settled, writes, written_end";

/// Partitions as one array per column.
struct SourceColumns<'a> {
    groups: Vec<&'a str>,
    topics: Vec<&'a str>,
    topic_ids: Vec<PgUuid>,
    partitions: Vec<i32>,
}

impl<'a> SourceColumns<'a> {
    fn of(sources: impl Iterator<Item = &'a SourcePartition> + Clone) -> Self {
        Self {
            groups: sources.clone().map(|it| &*it.group).collect(),
            topics: sources.clone().map(|it| &*it.topic).collect(),
            topic_ids: sources.clone().map(|it| PgUuid(it.topic_id)).collect(),
            partitions: sources.map(|it| it.partition.0.cast_signed()).collect(),
        }
    }

    fn params(&self) -> [(&(dyn ToSql + Sync), Type); 4] {
        [
            (&self.groups, Type::TEXT_ARRAY),
            (&self.topics, Type::TEXT_ARRAY),
            (&self.topic_ids, Type::UUID_ARRAY),
            (&self.partitions, Type::INT4_ARRAY),
        ]
    }
}

/// Returns the marks of partitions, in their order.
pub(super) async fn marks(
    shard: &PostgresShard,
    of: &[SourcePartition],
) -> Result<Vec<Option<SettledMark>>, ServerFailure> {
    let connection = shard.borrow().await?;
    let result = marks_on(&connection, shard, of).await;
    let connection = match &result {
        Ok(_) => Some(connection),
        Err(failure) => connection.recover(failure).await,
    };
    connection.into_iter().for_each(|connection| shard.give_back(connection));
    match result {
        // A new database, or one of a version that kept no marks.
        Err(failure) if failure.is_missing() => Ok(vec![None; of.len()]),
        other => other,
    }
}

async fn marks_on(
    connection: &Connection,
    shard: &PostgresShard,
    of: &[SourcePartition],
) -> Result<Vec<Option<SettledMark>>, ServerFailure> {
    let rows = connection.begin(Purpose::Read, QUESTION, &SourceColumns::of(of.iter()).params()).await?;
    connection.commit().await?;
    if rows.len() != of.len() {
        return Ok(vec![None; of.len()]);
    }
    let mark = |row: &tokio_postgres::Row| {
        shard.check_identity(row.try_get(0)?)?;
        let (offset, writes): (Option<i64>, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
        let written_end = row.try_get(3)?;
        Ok(offset.zip(writes).map(|(offset, writes)| mark_of(offset, writes, written_end)))
    };
    rows.iter().map(mark).collect()
}

/// Moves the marks and commits, in one round trip.
pub(super) async fn settle_and_commit(
    connection: &Connection,
    settling: &[Settling],
) -> Result<Vec<Marked>, ServerFailure> {
    if settling.is_empty() {
        connection.commit().await?;
        return Ok(Vec::new());
    }
    let columns = SourceColumns::of(settling.iter().map(|it| &it.source));
    let column = |number: fn(&Settling) -> u64| -> Vec<i64> {
        settling.iter().map(|it| i64::try_from(number(it)).unwrap_or(i64::MAX)).collect()
    };
    let numbers = [
        column(|it| it.range.settled.0),
        column(|it| it.range.end.0),
        column(|it| it.known.offset.0),
        column(|it| it.known.writes),
        column(|it| it.known.written_end.0),
    ];
    let numbers = numbers.iter().map(|column| (column as &(dyn ToSql + Sync), Type::INT8_ARRAY));
    let params: Vec<_> = columns.params().into_iter().chain(numbers).collect();
    let mut moved = BTreeMap::new();
    for row in &connection.end(SETTLE, &params).await? {
        let (group, topic): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        let (PgUuid(topic_id), partition): (PgUuid, i32) = (row.try_get(2)?, row.try_get(3)?);
        let mark = mark_of(row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
        moved.insert((group.to_owned(), topic.to_owned(), topic_id, partition.cast_unsigned()), mark);
    }
    let marked = |Settling { source, .. }: &Settling| {
        let SourcePartition { group, topic, topic_id, partition } = source;
        let key = (group.to_string(), topic.to_string(), *topic_id, partition.0);
        moved.get(&key).map_or(Marked::Behind, |mark| Marked::At(*mark))
    };
    Ok(settling.iter().map(marked).collect())
}

fn mark_of(offset: i64, writes: i64, written_end: i64) -> SettledMark {
    SettledMark {
        offset: Offset(offset.cast_unsigned()),
        writes: writes.cast_unsigned(),
        written_end: Offset(written_end.cast_unsigned()),
    }
}
