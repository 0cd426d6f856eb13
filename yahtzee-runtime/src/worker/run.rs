//! One run of a job: open its slots, read, fold, write, until stopped or something fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use yahtzee_core::log_tail::RecordPrint;
use yahtzee_core::owner::Partition;
use yahtzee_core::partition::ResumeError;
use yahtzee_core::record::RecordOutcome;
use yahtzee_core::slot::{AssignedPartition, PartitionRefused, SlotMachine};

use crate::clock::since_1970;
use crate::health::Condition;
use crate::log::{Item, SharedLog};

use super::clock_alarm::ClockAlarm;
use super::metrics::WorkerMetrics;
use super::open::{OpenJob, open};
use super::pause::PauseCheck;
use super::poison_limit::PoisonLimit;
use super::topic_check::TopicCheck;
use super::write::write_due;
use super::{
    JobFailure, JobPlan, JobSlot, ProcessContext, READ_BACKLOG_BYTES_MAX, READ_BACKLOG_MAX, WorkerSettings,
};

/// Longest wait of one poll; a stop is seen as soon.
const POLL: Duration = Duration::from_millis(50);
const LATE_OWNERS_INTERVAL_MS: u64 = 60_000;
const GAUGE_INTERVAL_MS: u64 = 1_000;
/// Memory is measured by going through all series.
const MEMORY_INTERVAL_MS: u64 = 10_000;

/// Runs the job until a stop is asked for (then `Ok`) or something fails. A standstill after `since_ms` counts: this process
/// may have had the slots before.
pub(super) fn run(
    plan: &JobPlan,
    log: &SharedLog,
    settings: &WorkerSettings,
    context: &ProcessContext,
    slots: &mut [JobSlot],
    since_ms: u64,
) -> Result<(), JobFailure> {
    let pause = PauseCheck::new(settings, context);
    let now_ms = context.clock.now_ms();
    let opened = open(plan, log, settings, slots, now_ms, &|| pause.check(since_ms))
        .map_err(|failure| pause.paused_or(failure, since_ms))?;
    let mut run = Run::new(opened, log, slots, plan, settings, context);
    run.work().map_err(|failure| pause.paused_or(failure, run.active_at_ms))
}

struct Run<'a> {
    job: &'static str,
    context: &'a ProcessContext,
    log: &'a SharedLog,
    open: OpenJob,
    topic_check: TopicCheck,
    slots: &'a mut [JobSlot],
    index: PartitionIndex,
    metrics: WorkerMetrics,
    poison_limit: PoisonLimit,
    pause_max: Option<Duration>,
    memory_max_bytes: Option<u64>,
    /// When the process was last known not to stand still.
    active_at_ms: u64,
    next_gauges_ms: u64,
    next_memory_ms: u64,
    next_late_owners_ms: u64,
    is_ready: bool,
}

impl<'a> Run<'a> {
    fn new(
        open: OpenJob,
        log: &'a SharedLog,
        slots: &'a mut [JobSlot],
        plan: &JobPlan,
        settings: &WorkerSettings,
        context: &'a ProcessContext,
    ) -> Self {
        let job = plan.job.name();
        let partitions = slots.iter().flat_map(|slot| slot.machine.partitions());
        let partitions = partitions.map(|partition| partition.0);
        let clock_alarm = ClockAlarm::new(plan.policy.clock_skew_ms, open.topics.partitions);
        let metrics = WorkerMetrics::new(job, &context.progress, partitions, clock_alarm);
        let now_ms = context.clock.now_ms();
        Self {
            job,
            context,
            log,
            metrics,
            topic_check: TopicCheck::new(open.raw_id),
            index: PartitionIndex::new(slots, open.topics.partitions),
            open,
            slots,
            poison_limit: PoisonLimit::new(settings.poison),
            pause_max: settings.pause_max,
            memory_max_bytes: settings.memory_max_bytes,
            active_at_ms: now_ms,
            next_gauges_ms: now_ms,
            next_memory_ms: now_ms,
            next_late_owners_ms: now_ms + LATE_OWNERS_INTERVAL_MS,
            is_ready: false,
        }
    }

    /// Works until the stop.
    fn work(&mut self) -> Result<(), JobFailure> {
        while !self.context.stop.is_stopped() {
            self.turn()?;
        }
        self.finish()
    }

    /// Reads one batch, unless too much waits to be written, and writes what is due.
    fn turn(&mut self) -> Result<(), JobFailure> {
        if self.has_room() {
            self.read(self.wait())?;
        }
        self.end_if_paused()?;
        let now_ms = self.context.clock.now_ms();
        if now_ms >= self.next_memory_ms {
            self.next_memory_ms = now_ms + MEMORY_INTERVAL_MS;
            self.check_memory()?;
        }
        self.write(now_ms)?;
        if now_ms >= self.next_gauges_ms {
            self.next_gauges_ms = now_ms + GAUGE_INTERVAL_MS;
            self.set_gauges(now_ms);
        }
        if now_ms >= self.next_late_owners_ms {
            self.next_late_owners_ms = now_ms + LATE_OWNERS_INTERVAL_MS;
            self.metrics.report_late_owners();
            self.metrics.report_trailing_stamps();
        }
        Ok(())
    }

    /// Whether what waits to be written leaves room for more.
    fn has_room(&self) -> bool {
        let bytes: usize = self.slots.iter().map(|slot| slot.machine.backlog_bytes()).sum();
        let is_short = |slot: &JobSlot| slot.machine.backlog() < READ_BACKLOG_MAX;
        bytes < READ_BACKLOG_BYTES_MAX && self.slots.iter().all(is_short)
    }

    /// Returns how long to wait for records: until the first slot has something to write.
    fn wait(&self) -> Duration {
        let due_ms = self.slots.iter().map(|slot| slot.machine.next_due()).min().unwrap_or(u64::MAX);
        POLL.min(Duration::from_millis(due_ms.saturating_sub(self.context.clock.now_ms())))
    }

    /// The last line of defence of a process that was stopped and goes on: what it would write may be minutes old.
    fn end_if_paused(&mut self) -> Result<(), JobFailure> {
        let since_last = Duration::from_millis(self.context.clock.now_ms() - self.active_at_ms);
        self.note_activity();
        match self.pause_max {
            Some(pause_max) if since_last > pause_max => Err(JobFailure::Paused(since_last)),
            _ => Ok(()),
        }
    }

    /// Hands one batch to the slots. A panic of the job names its record and ends the run.
    fn read(&mut self, wait: Duration) -> Result<(), JobFailure> {
        let Self { open: OpenJob { reader, topics, .. }, slots, index, metrics, poison_limit, .. } = self;
        let mut current = None;
        let batch = reader.poll(wait)?;
        let folded = catch_unwind(AssertUnwindSafe(|| {
            for item in batch {
                let (Item::Record(partition, ..) | Item::End(partition, _)) = item;
                let (machine, of_slot) = index.find(slots, partition);
                let record = match item {
                    Item::Record(_, record, _) => record,
                    Item::End(_, next) => {
                        machine
                            .reached(of_slot, next)
                            .map_err(|refused| JobFailure::refused(&topics.raw, &refused))?;
                        continue;
                    }
                };
                current = Some((partition, record));
                let outcome = machine.ingest(of_slot, record);
                metrics.record(&topics.raw, partition, &record, outcome);
                if outcome == RecordOutcome::OtherLog {
                    let reason = ResumeError::OtherLog { offset: record.offset };
                    return Err(JobFailure::refused(&topics.raw, &PartitionRefused { partition, reason }));
                }
                if let Some(what) = poison_limit.count(matches!(outcome, RecordOutcome::Poison(_))) {
                    let (topic, offset) = (topics.raw.clone(), record.offset);
                    return Err(JobFailure::TooMuchPoison { what, topic, partition, offset });
                }
            }
            Ok(())
        }));
        if current.is_some() {
            self.topic_check.note_read();
        }
        self.metrics.publish();
        folded.unwrap_or_else(|panic| match current {
            Some((partition, record)) => {
                let record = RecordPrint::of(&record);
                Err(JobFailure::Panicked { topic: self.open.topics.raw.clone(), partition, record })
            }
            None => resume_unwind(panic),
        })
    }

    /// Writes once for each slot that has something due. The time that a write takes is no pause.
    fn write(&mut self, now_ms: u64) -> Result<(), JobFailure> {
        for index in 0..self.slots.len() {
            if self.slots[index].machine.next_due() > now_ms {
                continue;
            }
            self.end_if_paused()?;
            self.check_topic()?;
            let _wait = self.context.health.wait(self.job);
            let OpenJob { writers, topics, .. } = &mut self.open;
            let written = write_due(&mut self.slots[index].machine, &mut *writers[index], topics, now_ms)?;
            self.metrics.written(written);
            self.note_activity();
        }
        Ok(())
    }

    /// Before something is written, sees to it that what was read is of the topic that was opened. The time that this takes is
    /// that of the write: a standstill in it counts until the write is answered.
    fn check_topic(&mut self) -> Result<(), JobFailure> {
        if !self.topic_check.is_due() {
            return Ok(());
        }
        let _wait = self.context.health.wait(self.job);
        // It is another one for all partitions; the first is named.
        let mut partitions = self.slots.iter().flat_map(|slot| slot.machine.partitions());
        let partition = partitions.next().copied().unwrap_or(Partition(0));
        let refused = |reason| PartitionRefused { partition, reason };
        self.topic_check.ask(&**self.log, &self.open.topics.raw, refused)
    }

    /// Ends the job if the windows of all jobs together have outgrown what this process may use.
    fn check_memory(&mut self) -> Result<(), JobFailure> {
        let assigned = self.slots.iter().flat_map(|slot| slot.machine.assigned());
        let job_bytes = assigned.map(AssignedPartition::memory_bytes).sum::<usize>() as u64;
        let all_bytes = self.metrics.memory(job_bytes);
        match self.memory_max_bytes {
            Some(max_bytes) if all_bytes > max_bytes => {
                Err(JobFailure::OutOfMemory { all_bytes, job_bytes, max_bytes })
            }
            _ => Ok(()),
        }
    }

    fn note_activity(&mut self) {
        self.active_at_ms = self.context.clock.now_ms();
    }

    fn set_gauges(&mut self, now_ms: u64) {
        let assigned = self.slots.iter().flat_map(|slot| slot.machine.assigned());
        let known_end = |assigned: &AssignedPartition| self.open.reader.known_end(assigned.partition());
        self.metrics.gauges(assigned.clone().map(|it| (it, known_end(it))), now_ms, since_1970());
        let is_caught_up = assigned.clone().all(|assigned| assigned.status().is_caught_up);
        if is_caught_up && !self.is_ready {
            self.is_ready = true;
            tracing::info!(job = self.job, "caught up with the end of the log at the start");
            self.context.health.set(self.job, Condition::Ready);
        } else if !self.is_ready {
            let state = Condition::Starting("reading again from the last commit".to_owned());
            self.context.health.set(self.job, state);
        }
    }

    /// Writes what has changed, whether due or not, and commits.
    fn finish(&mut self) -> Result<(), JobFailure> {
        let now_ms = self.context.clock.now_ms();
        self.slots.iter_mut().for_each(|slot| slot.machine.flush());
        while self.slots.iter().any(|slot| slot.machine.next_due() <= now_ms) {
            self.write(now_ms)?;
        }
        self.set_gauges(now_ms);
        Ok(())
    }
}

/// Finds the slot of a partition and its index there; `None` for partitions of other workers.
struct PartitionIndex(Vec<Option<(usize, usize)>>);

impl PartitionIndex {
    fn new(slots: &[JobSlot], partition_count: u32) -> Self {
        let mut index = vec![None; partition_count as usize];
        for (slot, JobSlot { machine, .. }) in slots.iter().enumerate() {
            for (of_slot, partition) in machine.partitions().iter().enumerate() {
                index[partition.0 as usize] = Some((slot, of_slot));
            }
        }
        Self(index)
    }

    fn find<'s>(&self, slots: &'s mut [JobSlot], partition: Partition) -> (&'s mut SlotMachine, usize) {
        let (slot, of_slot) = self.0[partition.0 as usize].expect("only assigned partitions are read");
        (&mut slots[slot].machine, of_slot)
    }
}
