//! Marks of source partitions: read when a partition is opened, moved by every transaction that writes its summaries.

use std::collections::BTreeMap;

use tokio_postgres::types::{ToSql, Type};
use yahtzee_core::delivery::{KnownMark, SettledMark, WRITERS_MAX, WriteId};
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
        WHERE attrelid = to_regclass('yahtzee.settled') AND attname = 'numbers' AND NOT attisdropped)";

/// The table of marks. A row is updated by every transaction of its partition, and no index covers what changes. Tables of earlier
/// versions get the columns that they lack.
pub(super) const TABLE: &str = "\
    CREATE TABLE IF NOT EXISTS yahtzee.settled ( \
        consumer_group text COLLATE \"C\" NOT NULL, \
        topic text COLLATE \"C\" NOT NULL, \
        topic_id uuid NOT NULL, \
        partition integer NOT NULL, \
        settled bigint NOT NULL, \
        writes bigint NOT NULL, \
        writers bigint[] NOT NULL DEFAULT '{}', \
        numbers bigint[] NOT NULL DEFAULT '{}', \
        CONSTRAINT settled_key PRIMARY KEY (consumer_group, topic, topic_id, partition) \
    ) WITH (fillfactor = 20); \
    ALTER TABLE yahtzee.settled \
        ADD COLUMN IF NOT EXISTS writers bigint[] NOT NULL DEFAULT '{}', \
        ADD COLUMN IF NOT EXISTS numbers bigint[] NOT NULL DEFAULT '{}'; \
    COMMENT ON TABLE yahtzee.settled IS 'How far this database has the summaries of each partition, and which writes of \
    the last writers. It is restored together with the rows: then the sink reads again what is missing.'";

/// Through JSON, so that a table without the columns has marks too.
const QUESTION: &str = "\
    SELECT s.shard, m.settled, m.writes, \
        ARRAY(SELECT jsonb_array_elements_text(to_jsonb(m) -> 'writers')::int8), \
        ARRAY(SELECT jsonb_array_elements_text(to_jsonb(m) -> 'numbers')::int8) \
    FROM yahtzee.shard AS s \
    CROSS JOIN unnest($1::text[], $2::text[], $3::uuid[], $4::int4[]) WITH ORDINALITY \
        AS o (consumer_group, topic, topic_id, partition, place) \
    LEFT JOIN yahtzee.settled AS m USING (consumer_group, topic, topic_id, partition) \
    ORDER BY o.place";

/// Moves the marks of partitions in a fixed order, so that two sinks cannot wait for each other. A database that has
/// less than it was known to have is left as it is: nothing is returned of those partitions. The writer of a transaction comes first in
/// its arrays, and is taken out where it was: see [`SettledMark::after_write`].
const SETTLE: &str = "\
    INSERT INTO yahtzee.settled AS old (consumer_group, topic, topic_id, partition, settled, writes, writers, numbers) \
    SELECT consumer_group, topic, topic_id, partition, settled, 1, ARRAY[writer], ARRAY[number] \
    FROM unnest($1::text[], $2::text[], $3::uuid[], $4::int4[], \
            $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::int8[]) \
        AS new (consumer_group, topic, topic_id, partition, \
            settled, writer, number, known_writer, known_number, known_settled, known_writes) \
    WHERE (known_writer, known_settled, known_writes) = (0, 0, 0) OR EXISTS ( \
        SELECT FROM yahtzee.settled AS m \
        WHERE (m.consumer_group, m.topic, m.topic_id, m.partition) \
            = (new.consumer_group, new.topic, new.topic_id, new.partition) \
            AND CASE known_writer \
                WHEN 0 THEN m.settled >= known_settled AND m.writes >= known_writes \
                ELSE m.numbers[array_position(m.writers, known_writer)] >= known_number END) \
    ORDER BY 1, 2, 3, 4 \
    ON CONFLICT ON CONSTRAINT settled_key DO UPDATE \
        SET settled = greatest(old.settled, excluded.settled), writes = old.writes + 1, \
            writers = (excluded.writers || array_remove(old.writers, excluded.writers[1]))[:$12], \
            numbers = (greatest(excluded.numbers[1], old.numbers[array_position(old.writers, excluded.writers[1])]) \
                || old.numbers[:coalesce(array_position(old.writers, excluded.writers[1]), 1) - 1] \
                || old.numbers[coalesce(array_position(old.writers, excluded.writers[1]), 0) + 1:])[:$12] \
    RETURNING consumer_group, topic, topic_id, partition, settled, writes, writers, numbers";

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
        let offset: Option<i64> = row.try_get(1)?;
        offset.map(|_| mark_of(row, 1)).transpose()
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
    let numbers = number_columns(settling);
    let numbers = numbers.iter().map(|column| (column as &(dyn ToSql + Sync), Type::INT8_ARRAY));
    let writers_max = i32::try_from(WRITERS_MAX).expect("they are few");
    let writers_max = [(&writers_max as &(dyn ToSql + Sync), Type::INT4)];
    let params: Vec<_> = columns.params().into_iter().chain(numbers).chain(writers_max).collect();
    let mut moved = BTreeMap::new();
    for row in &connection.end(SETTLE, &params).await? {
        let (group, topic): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        let (PgUuid(topic_id), partition): (PgUuid, i32) = (row.try_get(2)?, row.try_get(3)?);
        let key = (group.to_owned(), topic.to_owned(), topic_id, partition.cast_unsigned());
        moved.insert(key, mark_of(row, 4)?);
    }
    let marked = |Settling { source, .. }: &Settling| {
        let SourcePartition { group, topic, topic_id, partition } = source;
        let key = (group.to_string(), topic.to_string(), *topic_id, partition.0);
        moved.get(&key).map_or(Marked::Behind, |mark| Marked::At(*mark))
    };
    Ok(settling.iter().map(marked).collect())
}

/// Returns the numbers of the statement, each a column: what is settled, the id of the write, what is known by a write, and what is
/// known by numbers. Ids of writers take all 64 bits.
fn number_columns(settling: &[Settling]) -> [Vec<i64>; 7] {
    let rows = settling.iter().map(|settling| {
        let WriteId { writer, number } = settling.next_write();
        let (known, offset, writes) = match settling.known {
            KnownMark::Nothing => (WriteId::default(), 0, 0),
            KnownMark::Write(write) => (write, 0, 0),
            KnownMark::Numbers { offset, writes } => (WriteId::default(), offset.0, writes),
        };
        [settling.settled.0, writer, number, known.writer, known.number, offset, writes].map(u64::cast_signed)
    });
    let rows: Vec<[i64; 7]> = rows.collect();
    std::array::from_fn(|column| rows.iter().map(|row| row[column]).collect())
}

/// Reads the four columns of a mark, of which `first` is the index of the first.
fn mark_of(row: &tokio_postgres::Row, first: usize) -> Result<SettledMark, ServerFailure> {
    let (offset, writes): (i64, i64) = (row.try_get(first)?, row.try_get(first + 1)?);
    let (writers, numbers): (Vec<i64>, Vec<i64>) = (row.try_get(first + 2)?, row.try_get(first + 3)?);
    let (offset, writes) = (Offset(offset.cast_unsigned()), writes.cast_unsigned());
    let mut mark = SettledMark { offset, writes, ..SettledMark::default() };
    for (last, (writer, number)) in mark.writers.iter_mut().zip(writers.into_iter().zip(numbers)) {
        *last = WriteId { writer: writer.cast_unsigned(), number: number.cast_unsigned() };
    }
    Ok(mark)
}
