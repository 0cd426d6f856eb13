//! What happens to records: into metrics and into the job's progress.

use std::time::Duration;

use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::partition::Status;
use yahtzee_core::record::{LATE_CLASSES_MS, LogRecord, MeasurementCounts, Offset, Poison, RecordOutcome};
use yahtzee_core::slot::AssignedPartition;

use crate::metric_names;

use super::clock_alarm::{ClockAlarm, TrailingStamps};
use super::late_owners::LateOwners;
use super::write::WriteCounts;
use super::{JobProgress, Progress};

/// Names of [`yahtzee_core::record::LATE_CLASSES_MS`].
const LATE_CLASSES: [&str; LATE_CLASSES_MS.len()] = ["1m", "10m", "1h", "more"];

/// Owners that are named at a time.
const LATE_OWNERS: usize = 5;

/// Handles of one job's metrics, made once.
pub(super) struct WorkerMetrics {
    job: &'static str,
    progress: Progress,
    read: metrics::Counter,
    read_bytes: metrics::Counter,
    outcomes: [metrics::Counter; 6],
    late: [metrics::Counter; LATE_CLASSES.len()],
    changes: metrics::Counter,
    finals: metrics::Counter,
    dead_letters: metrics::Counter,
    commits: metrics::Counter,
    commit_age: metrics::Gauge,
    stamps_trailing: metrics::Counter,
    watermarks_ahead: metrics::Gauge,
    clock_alarm: ClockAlarm,
    open_windows: metrics::Gauge,
    series: metrics::Gauge,
    memory: metrics::Gauge,
    frames_forgotten: metrics::Counter,
    partitions: Vec<PartitionGauges>,
    late_owners: LateOwners,
    batch: RecordCounts,
}

/// Counts since the last [`WorkerMetrics::publish`]: one addition per record, no lock and no atomic.
#[derive(Default)]
struct RecordCounts {
    records: u64,
    bytes: u64,
    stamps_trailing: u64,
    outcomes: MeasurementCounts,
    poison: u64,
}

struct PartitionGauges {
    position_lag: metrics::Gauge,
    replay_lag: metrics::Gauge,
    watermark_age: metrics::Gauge,
    incomplete: metrics::Gauge,
}

impl WorkerMetrics {
    pub(super) fn new(
        job: &'static str,
        progress: &Progress,
        partitions: impl Iterator<Item = u32>,
        clock_alarm: ClockAlarm,
    ) -> Self {
        let outcome = |outcome| metric_names::RECORD_MEASUREMENTS.with(&[job, outcome]);
        Self {
            job,
            progress: progress.clone(),
            read: metric_names::RECORD_READ.with(&[job]),
            read_bytes: metric_names::RECORD_READ_BYTES.with(&[job]),
            outcomes: ["accepted", "late", "future", "duplicate", "incomplete", "capped"].map(outcome),
            late: LATE_CLASSES.map(|class| metric_names::RECORD_LATE.with(&[job, class])),
            changes: metric_names::SUMMARY_EMITTED.with(&[job, "change"]),
            finals: metric_names::SUMMARY_EMITTED.with(&[job, "final"]),
            dead_letters: metric_names::RECORD_DEAD_LETTERS.with(&[job]),
            commits: metric_names::COMMIT_DONE.with(&[job]),
            commit_age: metric_names::COMMIT_AGE_SECONDS.with(&[job]),
            stamps_trailing: metric_names::RECORD_STAMPS_TRAILING.with(&[job]),
            watermarks_ahead: metric_names::WATERMARKS_AHEAD.with(&[job]),
            clock_alarm,
            open_windows: metric_names::WINDOW_OPEN.with(&[job]),
            series: metric_names::WINDOW_SERIES.with(&[job]),
            memory: metric_names::WINDOW_MEMORY_BYTES.with(&[job]),
            frames_forgotten: metric_names::WINDOW_FRAMES_FORGOTTEN.with(&[job]),
            partitions: partitions.map(|partition| PartitionGauges::new(job, partition)).collect(),
            late_owners: LateOwners::default(),
            batch: RecordCounts::default(),
        }
    }

    /// Counts one record.
    pub(super) fn record(
        &mut self,
        topic: &str,
        partition: Partition,
        record: &LogRecord<'_>,
        outcome: RecordOutcome,
    ) {
        self.batch.records += 1;
        self.batch.stamps_trailing += u64::from(self.clock_alarm.note(partition, record.timestamp_ms));
        self.batch.bytes += (record.key.len() + record.value.len()) as u64;
        match outcome {
            RecordOutcome::Folded(outcomes) => {
                self.batch.outcomes.add(outcomes);
                if outcomes.late() > 0 {
                    let owner = Owner::from_bytes(record.key).expect("a folded record has an owner");
                    self.late_owners.add(owner, outcomes.late());
                }
            }
            RecordOutcome::Poison(reason) => self.poison(topic, partition, record, reason),
            // It ends the job.
            RecordOutcome::OtherLog => {}
        }
    }

    fn poison(&mut self, topic: &str, partition: Partition, record: &LogRecord<'_>, reason: Poison) {
        self.batch.poison += 1;
        metric_names::RECORD_POISON.with(&[self.job, reason.name()]).increment(1);
        tracing::warn!(
            job = self.job, topic, %partition, offset = %record.offset,
            reason = reason.name(), value_bytes = record.value.len(),
            "record cannot be used and goes to the DLQ"
        );
    }

    /// Adds what was counted since the last call to metrics and progress.
    pub(super) fn publish(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if batch.records == 0 {
            return;
        }
        self.read.increment(batch.records);
        self.read_bytes.increment(batch.bytes);
        self.stamps_trailing.increment(batch.stamps_trailing);
        self.frames_forgotten.increment(batch.outcomes.frames_forgotten);
        let MeasurementCounts { accepted, late, future, duplicate, incomplete, capped, .. } = batch.outcomes;
        let all_late = batch.outcomes.late();
        let counts = [accepted, all_late, future, duplicate, incomplete, capped];
        self.outcomes.iter().zip(counts).for_each(|(counter, count)| counter.increment(count));
        self.late.iter().zip(late).for_each(|(counter, count)| counter.increment(count));
        self.progress.update(self.job, |progress| {
            progress.records += batch.records;
            progress.outcomes.add(batch.outcomes);
            progress.poison += batch.poison;
        });
    }

    /// Counts one write.
    pub(super) fn written(&self, written: WriteCounts) {
        self.changes.increment(written.changes);
        self.finals.increment(written.finals);
        self.dead_letters.increment(written.dead_letters);
        self.commits.increment(written.commits);
        self.progress.update(self.job, |progress| {
            progress.summaries += written.changes + written.finals;
            progress.commits += written.commits;
        });
    }

    /// Sets the memory of the job, and returns that of all jobs.
    pub(super) fn memory(&self, job_bytes: u64) -> u64 {
        self.memory.set(job_bytes as f64);
        self.progress.update(self.job, |progress| progress.memory_bytes = job_bytes);
        self.progress.memory_bytes()
    }

    /// Logs the owners with the most late measurements since the last call, if there are any.
    pub(super) fn report_late_owners(&mut self) {
        let owners = self.late_owners.take(LATE_OWNERS);
        if !owners.is_empty() {
            tracing::info!(
                job = self.job,
                ?owners,
                "owners with the most late measurements of the last minute"
            );
        }
    }

    /// Logs how far stamps have trailed the watermark since the last call, if any has by more than the clock skew.
    pub(super) fn report_trailing_stamps(&mut self) {
        if let Some(TrailingStamps { records, worst_ms, worst_partition }) = self.clock_alarm.take() {
            tracing::warn!(
                job = self.job, records, worst_ms, partition = %worst_partition,
                "stamps trail the watermark by more than the clock skew: the clock of an ingress is behind, or that of \
                 another was ahead"
            );
        }
    }

    /// Sets the gauges. `assigned` in the order given to [`Self::new`], each with its known end.
    pub(super) fn gauges<'a>(
        &self,
        assigned: impl Iterator<Item = (&'a AssignedPartition, Option<Offset>)>,
        now_ms: u64,
        wall_clock: Duration,
    ) {
        let mut sums = JobProgress { is_caught_up: true, ..JobProgress::default() };
        let wall_clock_ms = i64::try_from(wall_clock.as_millis()).unwrap_or(i64::MAX);
        let (mut windows, mut series, mut ahead) = (0, 0, 0);
        for ((assigned, end), gauges) in assigned.zip(&self.partitions) {
            let status = assigned.status();
            let position_lag = end.map_or(0, |end| end.0.saturating_sub(status.position.0));
            let replay_lag = status.position.0.saturating_sub(assigned.replay_offset().0);
            gauges.set(&status, position_lag, replay_lag, wall_clock);
            sums.positions += status.position.0;
            sums.position_lag += position_lag;
            sums.replay_lag += replay_lag;
            sums.commit_age_ms = sums.commit_age_ms.max(now_ms.saturating_sub(assigned.current_at_ms()));
            sums.is_caught_up &= status.is_caught_up;
            let is_ahead = |watermark_ms| self.clock_alarm.is_ahead(watermark_ms, wall_clock_ms);
            ahead += u32::from(status.watermark_ms.is_some_and(is_ahead));
            windows += status.open_windows;
            series += status.series;
        }
        if ahead > 0 {
            tracing::warn!(
                job = self.job,
                partitions = ahead,
                "watermarks are ahead of this machine's clock by more than the clock skew: this clock is behind, or the \
                 stamps of an ingress are ahead and what honest ones send is late"
            );
        }
        self.watermarks_ahead.set(f64::from(ahead));
        self.open_windows.set(windows as f64);
        self.series.set(series as f64);
        self.commit_age.set(sums.commit_age_ms as f64 / 1_000.0);
        self.progress.update(self.job, |progress| {
            progress.positions = sums.positions;
            progress.position_lag = sums.position_lag;
            progress.replay_lag = sums.replay_lag;
            progress.commit_age_ms = sums.commit_age_ms;
            progress.is_caught_up = sums.is_caught_up;
        });
    }
}

impl PartitionGauges {
    fn new(job: &str, partition: u32) -> Self {
        let partition = partition.to_string();
        let labels: &[&str] = &[job, &partition];
        Self {
            position_lag: metric_names::RECORD_POSITION_LAG.with(labels),
            replay_lag: metric_names::RECORD_REPLAY_LAG.with(labels),
            watermark_age: metric_names::WATERMARK_AGE_SECONDS.with(labels),
            incomplete: metric_names::WINDOWS_INCOMPLETE.with(labels),
        }
    }

    fn set(&self, status: &Status, position_lag: u64, replay_lag: u64, wall_clock: Duration) {
        self.position_lag.set(position_lag as f64);
        self.replay_lag.set(replay_lag as f64);
        let incomplete =
            status.incomplete.windows().len() + usize::from(status.incomplete.reach_through().is_some());
        self.incomplete.set(incomplete as f64);
        if let Some(watermark_ms) = status.watermark_ms {
            self.watermark_age.set(wall_clock.as_secs_f64() - watermark_ms as f64 / 1_000.0);
        }
    }
}
