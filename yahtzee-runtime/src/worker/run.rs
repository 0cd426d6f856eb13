//! One run of a job: open its slots, read, fold, write, until stopped or something fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use yahtzee_core::assignment::{partitions_of, slots_of};
use yahtzee_core::commit::{Identity, OwnerTag};
use yahtzee_core::owner::Partition;
use yahtzee_core::partition::{History, ResumeKind};
use yahtzee_core::record::{Offset, RecordOutcome};

use crate::clock::since_1970;
use crate::health::Condition;
use crate::log::{
    Bounds, CommittedOffset, Isolation, Item, LogError, LogReader, SharedLog, SlotName, require_topic,
};
use crate::topics::group;

use super::brake::PoisonBrake;
use super::counting::Counting;
use super::slot::{Part, Slot, Topics};
use super::writer::open_writer;
use super::{JobFailure, JobPlan, Outside, Poisoned, WorkerSettings};

/// How long one poll waits; also how soon a stop is seen.
const POLL: Duration = Duration::from_millis(50);
/// Effects that may wait in memory before they are written without waiting for a tick.
const BACKLOG_MAX: usize = 10_000;
const WORST_OWNERS_INTERVAL_MS: u64 = 60_000;
const GAUGE_INTERVAL_MS: u64 = 1_000;

/// Runs the job until a stop is asked for (then `Ok`) or something fails.
pub(super) fn run(
    plan: &JobPlan,
    log: &SharedLog,
    settings: &WorkerSettings,
    outside: &Outside,
    poisoned: &Poisoned,
) -> Result<(), JobFailure> {
    let mut run = Run::open(plan, log, settings, outside, poisoned)?;
    while !outside.stop.is_stopped() {
        run.turn()?;
    }
    run.finish()
}

struct Run<'a> {
    plan: &'a JobPlan,
    outside: &'a Outside,
    started: Instant,
    topics: Topics,
    slots: Vec<Slot>,
    reader: Box<dyn LogReader>,
    counting: Counting,
    /// Slot and place in it of every partition; `None` where another worker has it.
    places: Vec<Option<(usize, usize)>>,
    next_write_ms: u64,
    next_gauges_ms: u64,
    next_worst_owners_ms: u64,
    last_turn: Instant,
    pause_max: Option<Duration>,
    brake: PoisonBrake,
    is_ready: bool,
}

impl<'a> Run<'a> {
    /// Fences predecessors, reads commits, then ends, then assigns: in this order, or a predecessor could still
    /// write behind what was read.
    fn open(
        plan: &'a JobPlan,
        log: &SharedLog,
        settings: &WorkerSettings,
        outside: &'a Outside,
        poisoned: &Poisoned,
    ) -> Result<Self, JobFailure> {
        let (topics, identity) = check_topics(plan, log, settings)?;
        let group = group(plan.job.name(), plan.job.generation(), &settings.layout.version);
        let opening = Opening { plan, log, group: &group, topics: &topics, identity, poisoned };
        let mut writers = Vec::new();
        for slot in slots_of(settings.worker, settings.slots) {
            let name = SlotName { group: group.clone(), slot };
            writers.push((slot, open_writer(log, &name, settings)?));
        }
        let mut slots = Vec::new();
        for (slot, writer) in writers {
            let partitions: Vec<Partition> = partitions_of(slot, settings.slots, topics.partitions).collect();
            slots.push(Slot::new(opening.parts(&partitions)?, writer, topics.clone()));
        }
        let parts = || slots.iter().flat_map(|slot: &Slot| &slot.parts);
        let from: Vec<(Partition, Offset)> =
            parts().map(|part| (part.partition, part.replay_offset)).collect();
        let partitions = parts().map(|part| part.partition.0);
        Ok(Self {
            plan,
            outside,
            started: Instant::now(),
            reader: log.reader(&topics.raw, &from, Isolation::Uncommitted)?,
            counting: Counting::new(plan.job.name(), &outside.progress, partitions),
            places: places(&slots, topics.partitions),
            topics,
            slots,
            next_write_ms: 0,
            next_gauges_ms: 0,
            next_worst_owners_ms: WORST_OWNERS_INTERVAL_MS,
            last_turn: Instant::now(),
            pause_max: settings.pause_max,
            brake: PoisonBrake::new(settings.poison),
            is_ready: false,
        })
    }

    /// Reads one batch and writes what is due.
    fn turn(&mut self) -> Result<(), JobFailure> {
        self.read(POLL)?;
        self.end_if_paused()?;
        let now_ms = self.now_ms();
        let is_due = now_ms >= self.next_write_ms;
        if is_due {
            self.next_write_ms = self.plan.policy.next_flush_ms(now_ms);
            self.tick(now_ms);
        }
        for index in 0..self.slots.len() {
            if is_due || self.slots[index].backlog() >= BACKLOG_MAX {
                self.write(index, now_ms)?;
            }
        }
        if now_ms >= self.next_gauges_ms {
            self.next_gauges_ms = now_ms + GAUGE_INTERVAL_MS;
            self.set_gauges(now_ms);
        }
        if now_ms >= self.next_worst_owners_ms {
            self.next_worst_owners_ms = now_ms + WORST_OWNERS_INTERVAL_MS;
            self.counting.report_worst_owners();
        }
        Ok(())
    }

    /// The last line of defence of a process that was stopped and goes on: what it would write may be minutes old.
    fn end_if_paused(&mut self) -> Result<(), JobFailure> {
        let since_last = self.last_turn.elapsed();
        self.last_turn = Instant::now();
        match self.pause_max {
            Some(pause_max) if since_last > pause_max => Err(JobFailure::Paused(since_last)),
            _ => Ok(()),
        }
    }

    /// Hands one batch to the cores. A panic of the job names its record and ends the run.
    fn read(&mut self, wait: Duration) -> Result<(), JobFailure> {
        let Self { reader, slots, places, counting, topics, brake, .. } = self;
        let mut at = None;
        let batch = reader.poll(wait)?;
        let folded = catch_unwind(AssertUnwindSafe(|| {
            for item in batch {
                let (Item::Record(partition, ..) | Item::End(partition, _)) = item;
                let (slot, place) = places[partition.0 as usize].expect("only assigned partitions are read");
                let part = &mut slots[slot].parts[place];
                let record = match item {
                    Item::Record(_, record, _) => record,
                    Item::End(_, next) => {
                        part.core.reached(next);
                        continue;
                    }
                };
                at = Some((partition, record.offset));
                let fate = part.core.ingest(record, &mut part.effects);
                counting.record(&topics.raw, part, &record, fate);
                if let Some(what) = brake.count(matches!(fate, RecordOutcome::Poison(_))) {
                    let (topic, offset) = (topics.raw.clone(), record.offset);
                    return Err(JobFailure::TooMuchPoison { what, topic, partition, offset });
                }
            }
            Ok(())
        }));
        self.counting.publish();
        folded.unwrap_or_else(|panic| match at {
            Some((partition, offset)) => {
                Err(JobFailure::Panicked { topic: self.topics.raw.clone(), partition, offset })
            }
            None => resume_unwind(panic),
        })
    }

    fn tick(&mut self, now_ms: u64) {
        for part in self.slots.iter_mut().flat_map(|slot| &mut slot.parts) {
            part.core.tick(now_ms, &mut part.effects);
        }
    }

    fn write(&mut self, slot: usize, now_ms: u64) -> Result<(), LogError> {
        let written = self.slots[slot].write(now_ms)?;
        self.counting.written(written);
        Ok(())
    }

    fn set_gauges(&mut self, now_ms: u64) {
        let parts = self.slots.iter().flat_map(|slot| &slot.parts);
        let with_ends = parts.map(|part| (part, self.reader.known_end(part.partition)));
        self.counting.gauges(with_ends, now_ms, since_1970());
        let is_caught_up =
            self.slots.iter().flat_map(|slot| &slot.parts).all(|part| part.core.status().is_caught_up);
        if is_caught_up && !self.is_ready {
            self.is_ready = true;
            tracing::info!(job = self.plan.job.name(), "caught up with the end of the log at the start");
            self.outside.health.set(self.plan.job.name(), Condition::Ready);
        } else if !self.is_ready {
            let state = Condition::Starting("reading again from the last commit".to_owned());
            self.outside.health.set(self.plan.job.name(), state);
        }
    }

    /// Writes what has changed, whether due or not, and commits.
    fn finish(mut self) -> Result<(), JobFailure> {
        let now_ms = self.now_ms();
        for part in self.slots.iter_mut().flat_map(|slot| &mut slot.parts) {
            part.core.flush(&mut part.effects);
        }
        for index in 0..self.slots.len() {
            self.write(index, now_ms)?;
        }
        self.set_gauges(now_ms);
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What is needed to open partitions.
struct Opening<'a> {
    plan: &'a JobPlan,
    log: &'a SharedLog,
    group: &'a str,
    topics: &'a Topics,
    identity: Identity,
    poisoned: &'a Poisoned,
}

impl Opening<'_> {
    fn parts(&self, partitions: &[Partition]) -> Result<Vec<Part>, JobFailure> {
        let committed = self.log.committed(self.group, &self.topics.raw, partitions)?;
        let bounds = self.log.bounds(&self.topics.raw, partitions)?;
        let each = partitions.iter().zip(&committed).zip(bounds);
        each.map(|((&partition, committed), bounds)| self.part(partition, committed.as_ref(), bounds))
            .collect()
    }

    fn part(
        &self,
        partition: Partition,
        committed: Option<&CommittedOffset>,
        bounds: Bounds,
    ) -> Result<Part, JobFailure> {
        let history = History {
            partition,
            start: committed.map(|committed| (committed.offset, committed.metadata.as_str())).into(),
            log_start: bounds.start,
            log_end: bounds.end,
            poisoned: self.poisoned.get(&partition).map_or(&[], Vec::as_slice),
        };
        let job = Arc::clone(&self.plan.job);
        let opened = job
            .open(self.plan.policy, self.identity, history)
            .map_err(|refusal| JobFailure::Refused { topic: self.topics.raw.clone(), partition, refusal })?;
        if matches!(opened.verdict, ResumeKind::Truncated | ResumeKind::Unknown) {
            tracing::warn!(
                job = self.plan.job.name(), topic = self.topics.raw, %partition, log_start = %bounds.start,
                committed = ?committed.map(|committed| committed.offset), verdict = ?opened.verdict,
                incomplete = ?opened.core.status().incomplete,
                "input was lost: the windows it may have hit are incomplete and will not be published"
            );
        }
        Ok(Part {
            partition,
            core: opened.core,
            effects: Vec::new(),
            committed: None,
            replay_offset: opened.read_from,
            committed_at_ms: 0,
            current_at_ms: 0,
        })
    }
}

/// Slot and place in it of every partition.
fn places(slots: &[Slot], partition_count: u32) -> Vec<Option<(usize, usize)>> {
    let mut places = vec![None; partition_count as usize];
    for (index, slot) in slots.iter().enumerate() {
        for (place, part) in slot.parts.iter().enumerate() {
            places[part.partition.0 as usize] = Some((index, place));
        }
    }
    places
}

/// Refuses topics that are missing or of another size than configured.
fn check_topics(
    plan: &JobPlan,
    log: &SharedLog,
    settings: &WorkerSettings,
) -> Result<(Topics, Identity), JobFailure> {
    let mut raw_id = None;
    for wanted in plan.topics(&settings.layout) {
        let found = require_topic(&**log, &wanted)?;
        raw_id.get_or_insert(found.id);
    }
    let identity = Identity {
        generation: plan.job.generation(),
        topic_id: raw_id.expect("a job has a raw topic"),
        partition_count: settings.layout.partitions,
        window_length_ms: plan.policy.length_ms,
        owner_tag: OwnerTag {
            worker: u16::try_from(settings.worker.index()).unwrap_or(u16::MAX),
            workers: u16::try_from(settings.worker.count()).unwrap_or(u16::MAX),
            incarnation: settings.incarnation,
        },
    };
    let (layout, measurement) = (&settings.layout, plan.job.measurement());
    let topics = Topics {
        job: plan.job.name(),
        raw: layout.raw(measurement),
        summary: layout.summary(plan.job.summary()).into(),
        dead_letters: layout.dead_letters(measurement).into(),
        late: layout.late(measurement).into(),
        partitions: layout.partitions,
    };
    Ok((topics, identity))
}
