//! The sink: carries the summaries of one job from the log into a store, batch by batch.
//!
//! A batch is stored durably before its offsets are committed. After a crash some batches come again; revisions make
//! that harmless.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::health::{Condition, Health};
use yahtzee_runtime::log::{CommittedOffset, Isolation, Item, LogError, Page, Reader, SharedLog};
use yahtzee_runtime::shutdown::StopSignal;
use yahtzee_runtime::telemetry::names;

use crate::embedded::{EmbeddedStore, Outcome, StoreError, Summary};

/// Summaries per batch at most.
const BATCH_MAX: usize = 1_024;
const POLL: Duration = Duration::from_millis(50);
const BACK_OFF: Duration = Duration::from_secs(1);
const STORE: &str = "embedded";

/// What one sink carries.
#[derive(Clone)]
pub struct SinkPlan {
    /// Name of the job.
    pub job: &'static str,
    /// Its summary topic.
    pub topic: String,
    /// Partitions of the topic.
    pub partitions: u32,
    /// Consumer group of the sink: its own, never shared.
    pub group: String,
    /// Told of every summary after it was stored: key, value.
    pub tap: Option<Arc<Tap>>,
}

/// Told of a stored summary: name of the job, wire form of the key, value.
pub type Tap = dyn Fn(&str, &[u8], &[u8]) + Send + Sync;

/// Why a sink stopped.
#[derive(Debug, thiserror::Error)]
pub enum SinkFailure {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs a sink until `stop` is given. Waits and tries again where the log does not answer.
///
/// # Errors
/// Where the store fails, or the log fails for good.
pub fn run(
    plan: &SinkPlan,
    log: &SharedLog,
    store: &EmbeddedStore,
    health: &Health,
    stop: &StopSignal,
) -> Result<(), SinkFailure> {
    let part = format!("sink-{}", plan.job);
    while !stop.is_stopped() {
        let ended = Sink::open(plan, log, store).and_then(|mut sink| {
            health.set(&part, Condition::Ready);
            sink.run(stop)
        });
        match ended {
            Ok(()) => break,
            Err(SinkFailure::Log(error)) if error.is_transient() => {
                tracing::warn!(job = plan.job, %error, "sink waits and tries again");
                health.set(&part, Condition::Troubled(error.to_string()));
                stop.wait(BACK_OFF);
            }
            Err(failure) => {
                tracing::error!(job = plan.job, %failure, "sink stopped");
                health.set(&part, Condition::Failed(failure.to_string()));
                return Err(failure);
            }
        }
    }
    Ok(())
}

struct Sink<'a> {
    plan: &'a SinkPlan,
    log: &'a SharedLog,
    store: &'a EmbeddedStore,
    reader: Box<dyn Reader>,
    /// Next offset to be committed, of partitions that have moved since the last commit.
    moved: BTreeMap<Partition, Offset>,
    positions: Vec<Offset>,
    batch: Page,
    counters: Counters,
}

impl<'a> Sink<'a> {
    fn open(plan: &'a SinkPlan, log: &'a SharedLog, store: &'a EmbeddedStore) -> Result<Self, SinkFailure> {
        let partitions: Vec<Partition> = (0..plan.partitions).map(Partition).collect();
        let committed = log.committed(&plan.group, &plan.topic, &partitions)?;
        let bounds = log.bounds(&plan.topic, &partitions)?;
        // Summaries that retention has deleted are superseded or expired: reading on at the start loses nothing.
        let from = committed.iter().zip(&bounds);
        let from = from.map(|(committed, bounds)| {
            committed.as_ref().map_or(bounds.start, |at| at.offset.max(bounds.start))
        });
        let positions: Vec<Offset> = from.collect();
        let assigned: Vec<(Partition, Offset)> =
            partitions.into_iter().zip(positions.iter().copied()).collect();
        let reader = log.reader(&plan.topic, &assigned, Isolation::Committed)?;
        let counters = Counters::new(&plan.topic);
        Ok(Self {
            plan,
            log,
            store,
            reader,
            positions,
            counters,
            moved: BTreeMap::new(),
            batch: Page::default(),
        })
    }

    fn run(&mut self, stop: &StopSignal) -> Result<(), SinkFailure> {
        while !stop.is_stopped() {
            self.read()?;
            self.store()?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), LogError> {
        self.batch.clear();
        for item in self.reader.poll(POLL)? {
            let (partition, next) = match item {
                Item::Record(partition, record, headers) => {
                    self.batch.push_record(partition, record, headers);
                    (partition, record.offset.next())
                }
                Item::End(partition, next) => (partition, next),
            };
            let position = &mut self.positions[partition.0 as usize];
            if *position != next {
                *position = next;
                self.moved.insert(partition, next);
            }
        }
        Ok(())
    }

    /// Stores what was read, then commits its offsets.
    fn store(&mut self) -> Result<(), SinkFailure> {
        let records: Vec<_> = self.batch.records().collect();
        for records in records.chunks(BATCH_MAX) {
            let job = self.plan.job;
            let batch: Vec<Summary<'_>> =
                records.iter().map(|record| Summary { job, key: record.key, value: record.value }).collect();
            let outcomes = self.store.write(&batch)?;
            for (summary, outcome) in batch.iter().zip(outcomes) {
                self.counters.count(outcome);
                if let Outcome::StoredAgainstChain = outcome {
                    tracing::error!(job, key = ?summary.key, "a newer summary contradicts the stored one: a window was rebuilt in part");
                }
                if let (Some(tap), Outcome::Stored | Outcome::StoredAgainstChain) = (&self.plan.tap, outcome)
                {
                    tap(job, summary.key, summary.value);
                }
            }
        }
        self.commit()
    }

    fn commit(&mut self) -> Result<(), SinkFailure> {
        if self.moved.is_empty() {
            return Ok(());
        }
        let offset = |(&partition, &offset): (&Partition, &Offset)| {
            (partition, CommittedOffset { offset, metadata: String::new() })
        };
        let offsets: Vec<(Partition, CommittedOffset)> = self.moved.iter().map(offset).collect();
        self.log.commit(&self.plan.group, &self.plan.topic, &offsets)?;
        self.moved.clear();
        self.counters.lag.set(self.lag() as f64);
        Ok(())
    }

    fn lag(&self) -> u64 {
        let ends = (0..self.plan.partitions).map(|partition| self.reader.known_end(Partition(partition)));
        let lags =
            ends.zip(&self.positions).filter_map(|(end, position)| Some(end?.0.saturating_sub(position.0)));
        lags.sum()
    }
}

struct Counters {
    stored: metrics::Counter,
    stale: metrics::Counter,
    unreadable: metrics::Counter,
    violations: metrics::Counter,
    lag: metrics::Gauge,
}

impl Counters {
    fn new(topic: &str) -> Self {
        let outcome = |outcome| names::SINK_SUMMARIES.with(&[STORE, outcome]);
        Self {
            stored: outcome("stored"),
            stale: outcome("stale"),
            unreadable: outcome("unreadable"),
            violations: names::SINK_CHAIN_VIOLATIONS.with(&[STORE]),
            lag: names::SINK_LAG.with(&[topic]),
        }
    }

    fn count(&self, outcome: Outcome) {
        match outcome {
            Outcome::Stored => self.stored.increment(1),
            Outcome::StoredAgainstChain => {
                self.stored.increment(1);
                self.violations.increment(1);
            }
            Outcome::Stale => self.stale.increment(1),
            Outcome::Unreadable => self.unreadable.increment(1),
        }
    }
}
