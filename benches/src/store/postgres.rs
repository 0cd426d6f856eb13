//! Rows into PostgreSQL: through the store's own writer, and one by one as the peer.

use anyhow::{Result, ensure};
use tokio_postgres::types::Type;
use yahtzee_core::owner::Owner;
use yahtzee_storage::store::Summary;
use yahtzee_storage::store::{Shard, ShardWriter, SummaryStore};

use super::BATCH;
use super::prepared::{Entry, JOB, Prepared};
use super::server::{Database, Session, Usage};
use crate::measure::{Cost, measured};
use crate::sheet::{Scale, Setting, Sheet, Target};

/// Guarded rows per CPU-second of the session on the server.
const ROWS: Target = Target::at_least(110_000.0, Some(70_000.0));

/// Rows whose values are compared byte for byte.
const LOOKS: usize = 20;

/// Rows of which nothing is stored, into a table that has others.
pub(super) fn new(setting: &Setting) -> Result<Sheet> {
    let rows = Prepared::new(setting.scale, 1).entries(1);
    let database = Database::create(setting)?;
    let store = database.store()?;
    let beside = begin_table(&store, &[])?;
    Pass { rows: &rows, expected: "stored", stored: &rows, beside, goal: Some(ROWS) }.run(&database, &store)
}

/// Rows that replace an older revision each.
pub(super) fn newer(setting: &Setting) -> Result<Sheet> {
    let prepared = Prepared::new(setting.scale, 1);
    let rows = prepared.entries(2);
    let database = Database::create(setting)?;
    let store = database.store()?;
    let beside = begin_table(&store, &prepared.entries(1))?;
    Pass { rows: &rows, expected: "stored", stored: &rows, beside, goal: Some(ROWS) }.run(&database, &store)
}

/// Rows that are older than what is stored, as after a restart of a sink.
pub(super) fn stale(setting: &Setting) -> Result<Sheet> {
    let prepared = Prepared::new(setting.scale, 1);
    let (rows, stored) = (prepared.entries(1), prepared.entries(2));
    let database = Database::create(setting)?;
    let store = database.store()?;
    let beside = begin_table(&store, &stored)?;
    Pass { rows: &rows, expected: "stale", stored: &stored, beside, goal: Some(ROWS) }.run(&database, &store)
}

/// Rows into a day that was empty, which the writer copies: no guard, no conflict.
pub(super) fn copy(setting: &Setting) -> Result<Sheet> {
    let rows = Prepared::new(setting.scale, 1).entries(1);
    let database = Database::create(setting)?;
    let pass = Pass { rows: &rows, expected: "stored", stored: &rows, beside: Vec::new(), goal: None };
    pass.run(&database, &database.store()?)
}

/// A row that belongs to no case, so that a table is not empty, or a session is open.
fn stranger(number: u8) -> Entry {
    let mut entry = Prepared::new(Scale::Small, 1).entries(1).swap_remove(0);
    entry.parts.owner = Owner([number; 16]);
    entry.key = entry.parts.encode();
    entry
}

/// Puts rows into the table of the day, and one that is returned, by a writer of their own. A writer that finds rows
/// there guards its own.
pub(super) fn begin_table(store: &dyn SummaryStore, rows: &[Entry]) -> Result<Vec<Entry>> {
    let mut writer = store.writer(Shard(0));
    let beside = vec![stranger(0)];
    write(&mut *writer, &lend(&beside), "stored")?;
    write(&mut *writer, &lend(rows), "stored")?;
    Ok(beside)
}

fn lend(entries: &[Entry]) -> Vec<Summary<'_>> {
    entries.iter().map(Entry::lend).collect()
}

/// Writes in batches, each of which must come out as `expected`.
fn write(writer: &mut dyn ShardWriter, rows: &[Summary<'_>], expected: &str) -> Result<()> {
    for batch in rows.chunks(BATCH) {
        let outcomes = writer.write(batch);
        let other = outcomes.iter().find(|outcome| outcome.name() != expected);
        ensure!(other.is_none(), "expected {expected}, found {other:?}");
    }
    Ok(())
}

/// All rows through a fresh writer.
struct Pass<'a> {
    rows: &'a [Entry],
    /// What becomes of each.
    expected: &'static str,
    /// What is there afterwards of their keys.
    stored: &'a [Entry],
    /// And of other keys.
    beside: Vec<Entry>,
    /// Of the rows per CPU-second.
    goal: Option<Target>,
}

impl Pass<'_> {
    /// What it costs, and whether the table then holds what it must.
    fn run(mut self, database: &Database, store: &dyn SummaryStore) -> Result<Sheet> {
        let mut writer = store.writer(Shard(0));
        // Opens the session, which is then the newest. Into an empty day it goes as a copy, like all that follow.
        let opener = stranger(1);
        write(&mut *writer, &lend(std::slice::from_ref(&opener)), "stored")?;
        self.beside.push(opener);
        let summaries = lend(self.rows);
        database.session.run("CHECKPOINT")?;
        let before = database.counters()?;
        let (written, cost) = measured(|| write(&mut *writer, &summaries, self.expected));
        written?;
        let mut sheet = tell(self.rows.len(), database.counters()?.since(&before), cost);
        sheet.figures[0].target = self.goal;
        database.check_rows(&mut sheet, self.stored.iter().chain(&self.beside))?;
        self.check_values(store, &mut sheet)?;
        Ok(sheet)
    }

    fn check_values(&self, store: &dyn SummaryStore, sheet: &mut Sheet) -> Result<()> {
        for Entry { parts, value, .. } in self.stored.iter().step_by(self.stored.len().div_ceil(LOOKS)) {
            let (from_ms, to_ms) = (parts.window_start_ms, parts.window_start_ms + 1);
            let found = store.range(JOB, Some(parts.owner), from_ms, to_ms)?;
            let values: Vec<_> = found.rows.iter().map(|row| &row.value).collect();
            sheet.check("value of a row", values, vec![value]);
        }
        Ok(())
    }
}

/// Figures of a pass, first what has a goal.
fn tell(rows: usize, used: Usage, cost: Cost) -> Sheet {
    let mut sheet = Sheet::default();
    let rows = rows as f64;
    let backend_s = used.backend_ns as f64 / 1e9;
    sheet.figure("rows per CPU-second of the session on the server", "rows/s", rows / backend_s);
    let server_s = used.server_ns as f64 / 1e9;
    sheet.figure("rows per CPU-second of all processes of the server", "rows/s", rows / server_s);
    sheet.figure("CPU of the session per batch of 1,024", "ms", backend_s * 1e3 * BATCH as f64 / rows);
    sheet.figure("rows per second of elapsed time, one session", "rows/s", rows * 1e9 / cost.wall_ns as f64);
    sheet.figure("write-ahead log, right after a checkpoint", "B per row", used.wal_bytes as f64 / rows);
    sheet.figure("CPU of this process", "us per row", cost.cpu_ns as f64 / 1e3 / rows);
    sheet
}

/// The peer: the guarded statement of a single row, prepared once, waited for one by one, 1,024 per transaction.
pub(super) fn single(setting: &Setting) -> Result<Sheet> {
    let rows = Prepared::new(setting.scale, 1).entries(1);
    let database = Database::create(setting)?;
    let store = database.store()?;
    let beside = begin_table(&store, &[])?;
    drop(store);
    // Named like the store's sessions, and newer than those.
    let session = Session::open(&format!("{}?application_name=yahtzee-peer", database.url))?;
    let insert =
        session.runtime.block_on(session.client.prepare_typed(&single_statement(), &SINGLE_TYPES))?;
    session.run("SET jit = off")?;
    database.session.run("CHECKPOINT")?;
    let before = database.counters()?;
    let (written, cost) = measured(|| {
        for batch in rows.chunks(BATCH) {
            session.run("BEGIN")?;
            for entry in batch {
                session.runtime.block_on(insert_one(&session.client, &insert, entry))?;
            }
            session.run("COMMIT")?;
        }
        anyhow::Ok(())
    });
    written?;
    let mut sheet = tell(rows.len(), database.counters()?.since(&before), cost);
    database.check_rows(&mut sheet, rows.iter().chain(&beside))?;
    Ok(sheet)
}

const SINGLE_TYPES: [Type; 7] =
    [Type::TEXT, Type::TEXT, Type::INT8, Type::INT4, Type::INT8, Type::INT8, Type::BYTEA];

fn single_statement() -> String {
    format!(
        "INSERT INTO {table} AS old (owner, series, window_start, window_length_ms, generation, last_offset, final, \
             first_offset, count, value) \
         VALUES ($1::uuid, $2, to_timestamp($3::bigint / 1000.0), $4, 1, $5, false, 0, $6, $7) \
         ON CONFLICT (owner, series, window_start, window_length_ms) DO UPDATE SET \
             last_offset = excluded.last_offset, count = excluded.count, value = excluded.value \
         WHERE (old.generation, old.last_offset, old.final) \
             < (excluded.generation, excluded.last_offset, excluded.final)",
        table = Database::table()
    )
}

async fn insert_one(
    client: &tokio_postgres::Client,
    insert: &tokio_postgres::Statement,
    entry: &Entry,
) -> Result<()> {
    let owner = entry.parts.owner.to_string();
    let series = format!("/{}", entry.parts.dimensions.join("/"));
    let length = i32::try_from(entry.parts.window_length_ms)?;
    let (last_offset, count) = (entry.provenance.last_offset, entry.provenance.count);
    let written = client
        .execute(
            insert,
            &[
                &owner,
                &series,
                &entry.parts.window_start_ms,
                &length,
                &i64::try_from(last_offset)?,
                &i64::try_from(count)?,
                &entry.value,
            ],
        )
        .await?;
    ensure!(written == 1, "{written} rows were written instead of one");
    Ok(())
}
