//! Sink and retry process as they run in production, from an embedded log into a store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use yahtzee_core::job::Job;
use yahtzee_core::record::Offset;
use yahtzee_jobs::router_latency::RouterLatency;
use yahtzee_runtime::admin::install_metrics;
use yahtzee_runtime::health::Health;
use yahtzee_runtime::log::embedded::EmbeddedLog;
use yahtzee_runtime::log::{NewRecord, SharedLog};
use yahtzee_runtime::shutdown::StopSignal;
use yahtzee_runtime::topics::TopicLayout;
use yahtzee_storage::dead_letter::headers::{FailureHeaders, RecordPosition};
use yahtzee_storage::delivery::{DeliveryPlan, DeliveryRole, DeliverySettings, DeliveryTask};
use yahtzee_storage::embedded::EmbeddedStore;
use yahtzee_storage::job_topics::{JobTopics, retry_group};
use yahtzee_storage::store::{Shard, SummaryStore};

use super::postgres::begin_table;
use super::prepared::{Entry, Prepared};
use super::server::Database;
use crate::measure::{Cost, measured};
use crate::sheet::{Setting, Sheet, Target};
use crate::site::append;
use crate::traffic::PARTITIONS;

const VERSION: &str = "bench";
/// How often is looked whether all is stored.
const LOOK: Duration = Duration::from_millis(5);
/// Looks until a run is given up: five minutes.
const LOOKS_MAX: u32 = 60_000;

/// A million series with one summary a minute each, over seven shards.
const ARRIVALS_PER_S: f64 = 1_000_000.0 / 60.0 / 7.0;
/// Drained over arriving.
const DRAIN: Target = Target::at_least(20.0, Some(5.0));

/// From the log into the embedded store, each in a folder of its own.
pub(super) fn sink_embedded(setting: &Setting) -> Result<Sheet> {
    let folder = tempfile::tempdir()?;
    let rows = Prepared::new(setting.scale, 1).entries(1);
    fill_summaries(folder.path(), &rows)?;
    let store: Arc<dyn SummaryStore> = Arc::new(EmbeddedStore::open(&folder.path().join("store"))?);
    let cost = sink(folder.path(), &store, rows.len())?;
    let mut sheet = tell(rows.len(), cost);
    check_values(&*store, &rows, &mut sheet)?;
    Ok(sheet)
}

/// From the log into one shard of PostgreSQL.
pub(super) fn sink_postgres(setting: &Setting) -> Result<Sheet> {
    let folder = tempfile::tempdir()?;
    let rows = Prepared::new(setting.scale, 1).entries(1);
    fill_summaries(folder.path(), &rows)?;
    let database = Database::create(setting)?;
    let store: Arc<dyn SummaryStore> = Arc::new(database.store()?);
    let beside = begin_table(&*store, &[])?;
    let cost = sink(folder.path(), &store, rows.len())?;
    let mut sheet = tell(rows.len(), cost);
    database.check_rows(&mut sheet, rows.iter().chain(&beside))?;
    Ok(sheet)
}

/// A RETRY topic that an outage has filled, into a shard that works again.
pub(super) fn drain(setting: &Setting) -> Result<Sheet> {
    let folder = tempfile::tempdir()?;
    let rows = Prepared::new(setting.scale, 1).entries(1);
    let database = Database::create(setting)?;
    let store: Arc<dyn SummaryStore> = Arc::new(database.store()?);
    let beside = begin_table(&*store, &[])?;
    fill_retry(folder.path(), &*store, &rows)?;
    let cost = retry(folder.path(), &store, rows.len())?;
    let mut sheet = Sheet::default();
    let rows_per_s = rows.len() as f64 * 1e9 / cost.wall_ns as f64;
    sheet.figure_for(DRAIN, "drained over arriving", "times", rows_per_s / ARRIVALS_PER_S);
    sheet.figure("arriving: 1 M series a minute over 7 shards", "rows/s", ARRIVALS_PER_S);
    sheet.figures.extend(tell(rows.len(), cost).figures);
    database.check_rows(&mut sheet, rows.iter().chain(&beside))?;
    Ok(sheet)
}

fn tell(rows: usize, cost: Cost) -> Sheet {
    let mut sheet = Sheet::default();
    let rows = rows as f64;
    sheet.figure("CPU of this process", "us per row", cost.cpu_ns as f64 / 1e3 / rows);
    sheet.figure("rows per second of elapsed time, one shard", "rows/s", rows * 1e9 / cost.wall_ns as f64);
    sheet
}

/// Kept for ever: the summaries are years old.
fn layout() -> TopicLayout {
    TopicLayout {
        version: VERSION.to_owned(),
        partitions: PARTITIONS,
        replication: 1,
        raw_retention_ms: None,
        summary_retention_ms: None,
        store_retention_ms: None,
        compacts_summaries: true,
        timestamp_ahead_max_ms: None,
    }
}

fn topics() -> JobTopics {
    JobTopics::new(RouterLatency::NAME, RouterLatency::SUMMARY, &layout())
}

fn open_log(folder: &Path) -> Result<SharedLog> {
    Ok(Arc::new(EmbeddedLog::open(&folder.join("log"))?))
}

/// A log with all topics and these records, closed.
fn fill(folder: &Path, records: impl Iterator<Item = NewRecord>) -> Result<()> {
    let log = open_log(folder)?;
    for topic in layout().specs(RouterLatency::MEASUREMENT, RouterLatency::SUMMARY, false) {
        log.create_topic(&topic)?;
    }
    append(&*log, records)
}

fn fill_summaries(folder: &Path, rows: &[Entry]) -> Result<()> {
    let topic = topics().summary;
    let record = |entry: &Entry| NewRecord {
        topic: Arc::clone(&topic),
        partition: entry.parts.owner.partition(PARTITIONS),
        timestamp_ms: entry.parts.window_start_ms,
        key: entry.key.clone(),
        value: entry.value.clone(),
        headers: Vec::new(),
    };
    fill(folder, rows.iter().map(record))
}

/// As a sink leaves it behind, with the headers that it writes.
fn fill_retry(folder: &Path, store: &dyn SummaryStore, rows: &[Entry]) -> Result<()> {
    let topics = topics();
    let record = |(offset, entry): (u64, &Entry)| {
        let partition = entry.parts.owner.partition(PARTITIONS);
        let trail = FailureHeaders {
            store: Some(store.name().to_owned()),
            job: Some(RouterLatency::NAME.to_owned()),
            shard: store.shards().pop(),
            revision: Some(entry.provenance.revision()),
            source: Some(RecordPosition {
                topic: topics.summary.to_string(),
                partition,
                offset: Offset(offset),
            }),
            first_failure_ms: Some(entry.parts.window_start_ms),
            attempts: 1,
            code: Some("down".to_owned()),
            error: Some("shard 0: connection refused".to_owned()),
            settled: None,
        };
        NewRecord {
            topic: Arc::clone(&topics.retry),
            partition: topics.retry_partition(Shard(0)),
            timestamp_ms: entry.parts.window_start_ms,
            key: entry.key.clone(),
            value: entry.value.clone(),
            headers: trail.headers(),
        }
    };
    fill(folder, (0..).zip(rows).map(record))
}

/// A sink from its start until everything is stored and committed; opening the log is included.
fn sink(folder: &Path, store: &Arc<dyn SummaryStore>, rows: usize) -> Result<Cost> {
    // Sinks count into the exporter's recorder; a second run in one process keeps the first one's.
    drop(install_metrics(&[]));
    let stored = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&stored);
    let count = move |_: &str, _: &[u8], _: &[u8]| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let plan = DeliveryPlan {
        jobs: vec![topics()],
        version: VERSION.to_owned(),
        role: DeliveryRole::Sink { has_retry: false },
        settings: DeliverySettings::of_sink(),
        observer: Some(Arc::new(count)),
    };
    let (ended, cost) = measured(|| {
        let (log, stop) = (open_log(folder)?, StopSignal::new());
        let sink = DeliveryTask::start(plan, &log, store, &Health::default(), &stop)?;
        let is_done = wait_until(&stop, || Ok(stored.load(Ordering::Relaxed) >= rows));
        stop.stop();
        sink.join()?;
        is_done
    });
    ended.context("sink")?;
    Ok(cost)
}

/// A retry process from its start until it has committed everything; opening the log is included.
fn retry(folder: &Path, store: &Arc<dyn SummaryStore>, rows: usize) -> Result<Cost> {
    drop(install_metrics(&[]));
    let plan = DeliveryPlan {
        jobs: vec![topics()],
        version: VERSION.to_owned(),
        role: DeliveryRole::Retry { shard: None },
        settings: DeliverySettings::of_retry(),
        observer: None,
    };
    let group = retry_group(store.name(), VERSION);
    let (ended, cost) = measured(|| {
        let (log, stop) = (open_log(folder)?, StopSignal::new());
        let retry = DeliveryTask::start(plan, &log, store, &Health::default(), &stop)?;
        let is_done = wait_until(&stop, || {
            let committed = log.committed(&group, &topics().retry, &[topics().retry_partition(Shard(0))])?;
            Ok(committed.into_iter().flatten().any(|committed| committed.offset.0 >= rows as u64))
        });
        stop.stop();
        retry.join()?;
        is_done
    });
    ended.context("retry")?;
    Ok(cost)
}

/// Looks until it is done, or until the other side has stopped by itself.
fn wait_until(stop: &StopSignal, is_done: impl Fn() -> Result<bool>) -> Result<()> {
    for _ in 0..LOOKS_MAX {
        if is_done()? {
            return Ok(());
        }
        ensure!(!stop.wait(LOOK), "stopped before everything was stored");
    }
    bail!("not everything was stored after {LOOKS_MAX} looks")
}

/// Every owner's rows must be there with their bytes.
fn check_values(store: &dyn SummaryStore, rows: &[Entry], sheet: &mut Sheet) -> Result<()> {
    let mut missing = 0;
    for entry in rows {
        let from_ms = entry.parts.window_start_ms;
        let found = store.range(RouterLatency::NAME, Some(entry.parts.owner), from_ms, from_ms + 1)?;
        missing += usize::from(!found.rows.iter().map(|row| &row.value).eq([&entry.value]));
    }
    sheet.check("rows that are missing or wrong", missing, 0);
    Ok(())
}
