//! Rows into the embedded store: durable batches, and what they take on the disk.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use yahtzee_storage::embedded::EmbeddedStore;
use yahtzee_storage::store::{Shard, SummaryStore};

use super::BATCH;
use super::prepared::{Entry, Prepared};
use crate::measure::measured;
use crate::sheet::{Setting, Sheet};

/// More rows than in the PostgreSQL cases, so that journals and what they reserve do not decide the size on disk.
const TIMES: usize = 5;

/// New rows, then newer ones of the same keys.
pub(super) fn write(setting: &Setting) -> Result<Sheet> {
    let prepared = Prepared::new(setting.scale, TIMES);
    let folder = tempfile::tempdir()?;
    let mut sheet = Sheet::default();
    let store = EmbeddedStore::open(folder.path())?;
    pass(&store, &prepared.entries(1), "new", &mut sheet)?;
    drop(store);
    let rows = prepared.entries(2);
    let bytes = size_bytes(folder.path())? as f64 / rows.len() as f64;
    sheet.figure("new: on disk, journals included", "B per row", bytes);
    let payload: usize = rows.iter().map(|row| row.key.len() + row.value.len()).sum();
    sheet.figure("key and value of a row", "B", payload as f64 / rows.len() as f64);
    let store = EmbeddedStore::open(folder.path())?;
    pass(&store, &rows, "newer", &mut sheet)?;
    drop(store);
    check(folder.path(), &rows, &mut sheet)?;
    Ok(sheet)
}

fn pass(store: &EmbeddedStore, rows: &[Entry], name: &str, sheet: &mut Sheet) -> Result<()> {
    let mut writer = store.writer(Shard(0));
    let summaries: Vec<_> = rows.iter().map(Entry::lend).collect();
    let (written, cost) = measured(|| {
        summaries.chunks(BATCH).try_for_each(|batch| {
            let outcomes = writer.write(batch);
            let other = outcomes.iter().find(|outcome| outcome.name() != "stored");
            ensure!(other.is_none(), "not stored: {other:?}");
            Ok(())
        })
    });
    written?;
    let count = rows.len() as f64;
    sheet.figure(
        format!("{name}: rows per second of elapsed time, durable"),
        "rows/s",
        count * 1e9 / cost.wall_ns as f64,
    );
    sheet.figure(format!("{name}: CPU, compaction included"), "us per row", cost.cpu_ns as f64 / 1e3 / count);
    Ok(())
}

/// What an opening after the end finds must be the last revision of everything.
fn check(folder: &Path, rows: &[Entry], sheet: &mut Sheet) -> Result<()> {
    let (mut count, mut sum, mut bytes) = (0, 0, 0);
    EmbeddedStore::open(folder)?.scan(|row| {
        count += 1;
        sum += row.provenance.count;
        bytes += row.value.len();
    })?;
    sheet.check("rows", count, rows.len());
    sheet.check("sum of counts", sum, rows.iter().map(|row| row.provenance.count).sum::<u64>());
    sheet.check("bytes of values", bytes, rows.iter().map(|row| row.value.len()).sum());
    Ok(())
}

/// Space that the files of a folder take.
fn size_bytes(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        bytes += if metadata.is_dir() { size_bytes(&path)? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}
