//! Writes batches to one shard, and determines the outcome of each row after a failure.

use std::collections::HashMap;
use std::sync::Arc;

use yahtzee_runtime::cause::Cause;

use super::classify::{Class, ServerFailure, classify};
use super::connection::{Connection, Io, Purpose};
use super::marks::settle_and_commit;
use super::names::TableName;
use super::preflight::{self, TableRef, TableVerdict};
use super::rows::{Group, group};
use super::shard::PostgresShard;
use super::upsert::{StaleFilter, copy, upsert};
use super::{bisect, define};
use crate::store::{Marked, Outcome, Settling, ShardWriter, Summary, WrittenBatch};

/// Number of tables whose write mode is remembered; a replay of a month touches several hundred.
const TABLES_MAX: usize = 10_000;

/// The writer of one shard.
pub(super) struct PostgresWriter {
    shard: Arc<PostgresShard>,
    io: Arc<Io>,
    connection: Option<Connection>,
    filter: StaleFilter,
    ways: HashMap<TableName, WriteMode>,
}

/// Way of writing rows into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteMode {
    /// Copies rows: the table was empty at first use, and no row has collided or been refused since. Cheapest.
    Copy,
    /// Guards each row. A table never leaves this mode.
    Upsert,
}

/// Rows that are written in one transaction: the whole batch at first, ever smaller parts after a failure.
type Portion<'a> = Vec<Group<'a>>;

/// Outcomes of rows, by their index in the batch.
type SettledBatch = Vec<(usize, Outcome)>;

impl PostgresWriter {
    pub(super) fn new(shard: Arc<PostgresShard>, io: Arc<Io>) -> Self {
        Self { shard, io, connection: None, filter: StaleFilter::default(), ways: HashMap::new() }
    }

    async fn write_all(&mut self, whole: Portion<'_>, settling: &[Settling], written: &mut WrittenBatch) {
        let outcomes = &mut written.outcomes;
        let (mut work, mut settling) = (vec![whole], settling.to_vec());
        while let Some(portion) = work.pop() {
            if portion.is_empty() {
                continue;
            }
            match self.write_portion(&portion, &settling).await {
                Ok((settled, marks)) => {
                    settled.into_iter().for_each(|(index, outcome)| outcomes[index] = outcome);
                    Settling::follow_all(&mut settling, &mut written.marks, &marks);
                }
                Err(failure) if failure.is_local() => {
                    work.extend(bisect::divide(&self.shard, portion, &failure, outcomes));
                }
                Err(failure) => {
                    // The shard itself does not work: nothing that is left would fare better.
                    written.is_in_doubt = true;
                    work.push(portion);
                    for group in work.drain(..).flatten() {
                        bisect::fail(&self.shard, &group, &failure, outcomes);
                    }
                }
            }
        }
    }

    /// Writes a portion in one transaction. Creates missing tables, once; falls back from COPY if that failed.
    async fn write_portion(
        &mut self,
        portion: &[Group<'_>],
        settling: &[Settling],
    ) -> Result<(SettledBatch, Vec<Marked>), ServerFailure> {
        let mut has_created = false;
        loop {
            match self.transact(portion, settling).await {
                Err(ServerFailure::NotCopied) => {}
                Err(failure) if classify(&failure) == Class::Schema && !has_created => {
                    self.create(portion).await?;
                    has_created = true;
                }
                result => return result,
            }
        }
    }

    async fn transact(
        &mut self,
        portion: &[Group<'_>],
        settling: &[Settling],
    ) -> Result<(SettledBatch, Vec<Marked>), ServerFailure> {
        let connection = self.take_connection().await?;
        let result = self.transact_on(&connection, portion, settling).await;
        self.keep(connection, &result).await;
        result
    }

    async fn transact_on(
        &mut self,
        connection: &Connection,
        portion: &[Group<'_>],
        settling: &[Settling],
    ) -> Result<(SettledBatch, Vec<Marked>), ServerFailure> {
        let tables: Vec<TableRef<'_>> = portion.iter().map(Group::table_ref).collect();
        let verdicts = preflight::begin(connection, &self.shard, Purpose::Write, &tables).await?;
        let mut settled = Vec::new();
        for (group, verdict) in portion.iter().zip(verdicts) {
            let outcomes = match verdict {
                TableVerdict::Open => self.write_group(connection, group).await?,
                TableVerdict::OtherMap(text) => {
                    let text = format!("shard {}: {text}", self.shard.name);
                    vec![Outcome::Misconfigured(Cause::new("shard-map", text)); group.lines.len()]
                }
                TableVerdict::Expired => vec![Outcome::Expired; group.lines.len()],
                TableVerdict::Missing => {
                    return Err(ServerFailure::Missing(format!("table {} is not there", group.table)));
                }
            };
            settled.extend(group.lines.iter().map(|line| line.index).zip(outcomes));
        }
        let marks = settle_and_commit(connection, settling).await?;
        Ok((settled, marks))
    }

    async fn write_group(
        &mut self,
        connection: &Connection,
        group: &Group<'_>,
    ) -> Result<Vec<Outcome>, ServerFailure> {
        if self.way_into(connection, &group.table).await? == WriteMode::Copy {
            let copied = copy(connection, group).await;
            if copied == Err(ServerFailure::NotCopied) {
                self.ways.insert(group.table.clone(), WriteMode::Upsert);
            }
            return copied;
        }
        let outcomes = upsert(connection, group, self.filter.is_on()).await?;
        let stale = outcomes.iter().filter(|outcome| **outcome == Outcome::Stale).count();
        self.filter.observe(outcomes.len(), stale);
        Ok(outcomes)
    }

    /// Returns the write mode of a table: copy if it is empty at first use, until the first collision.
    async fn way_into(
        &mut self,
        connection: &Connection,
        table: &TableName,
    ) -> Result<WriteMode, ServerFailure> {
        if let Some(way) = self.ways.get(table) {
            return Ok(*way);
        }
        let rows = connection.query(&format!("SELECT EXISTS (SELECT FROM {table})"), &[]).await?;
        let has_rows = rows.first().map_or(Ok(true), |row| row.try_get(0))?;
        let way = if has_rows { WriteMode::Upsert } else { WriteMode::Copy };
        if way == WriteMode::Copy {
            // COPY would not notice a table of another shape, where the bytes of one type can be those of another.
            upsert(connection, &Group::empty(table), false).await?;
        }
        if self.ways.len() >= TABLES_MAX {
            self.ways.clear();
        }
        self.ways.insert(table.clone(), way);
        Ok(way)
    }

    /// Creates missing tables, a day at a time: a transaction can hold a limited number of locks.
    async fn create(&mut self, portion: &[Group<'_>]) -> Result<(), ServerFailure> {
        let connection = self.take_connection().await?;
        let mut result = Ok(());
        for group in portion {
            result = define::create(&connection, &self.shard, &[group.table_ref()]).await.map(drop);
            if result.is_err() {
                break;
            }
        }
        self.keep(connection, &result).await;
        result
    }

    async fn take_connection(&mut self) -> Result<Connection, ServerFailure> {
        match self.connection.take() {
            Some(connection) if !connection.is_closed() => Ok(connection),
            _ => self.shard.connect().await,
        }
    }

    /// Ends a transaction that failed; drops a session that cannot even do that.
    async fn keep<T>(&mut self, connection: Connection, result: &Result<T, ServerFailure>) {
        self.connection = match result {
            Ok(_) => Some(connection),
            Err(failure) => connection.recover(failure).await,
        };
    }
}

impl ShardWriter for PostgresWriter {
    fn write_and_settle(&mut self, batch: &[Summary<'_>], settling: &[Settling]) -> WrittenBatch {
        // What is not the newest of its key in the batch stays at this.
        let outcomes = vec![Outcome::Stale; batch.len()];
        let marks = vec![Marked::Unknown; settling.len()];
        let mut written = WrittenBatch { outcomes, marks, is_in_doubt: false };
        let groups = group(batch, &mut written.outcomes);
        let io = Arc::clone(&self.io);
        io.wait(self.write_all(groups, settling, &mut written));
        written
    }
}
