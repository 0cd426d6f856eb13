//! The thread of one shard: writes batches and sorts what comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use yahtzee_runtime::back_off::{self, BackOff};
use yahtzee_runtime::health::Condition;

use super::Shared;
use super::handover::Refused;
use super::queue::{InFlight, Parcel, Queue, Step, Verdict};
use crate::store::Summary;
use crate::store::{Fault, Outcome, Shard, ShardWriter};

/// Writes in which a summary may fail while others of its batch do not, before it goes to RETRY.
const TRIES_MAX: u32 = 3;

/// Writes to one shard.
pub(super) struct ShardThread {
    shared: Arc<Shared>,
    shard: Shard,
    /// Name of the part in the health report.
    part: String,
    writer: Box<dyn ShardWriter>,
    samples: Samples,
    condition: Condition,
}

/// One summary of every job whose configuration is wrong here: what is tried to see whether it was mended.
struct Samples {
    by_job: BTreeMap<usize, Parcel>,
    back_off: BackOff,
    probe_at: Option<Instant>,
}

impl ShardThread {
    pub(super) fn new(shared: &Arc<Shared>, shard: Shard, name: &str) -> Self {
        let (base, cap) = shared.settings.mending;
        let back_off = BackOff::new(base, cap, back_off::seed());
        let part = format!("shard-{name}");
        shared.health.set(&part, Condition::Ready);
        Self {
            writer: shared.store.writer(shard),
            samples: Samples { by_job: BTreeMap::new(), back_off, probe_at: None },
            condition: Condition::Ready,
            shared: Arc::clone(shared),
            shard,
            part,
        }
    }

    /// Works until the queue is closed.
    pub(super) fn run(mut self) {
        loop {
            match self.queue().next(self.samples.probe_at) {
                Step::Write(batch) => self.write(batch),
                Step::HandOver(parcels, fault) => self.hand_over(parcels, &fault),
                Step::ProbeParked => self.probe(),
                Step::End => return,
            }
            self.queue().tell();
        }
    }

    fn write(&mut self, batch: InFlight) {
        let outcomes = self.call(&batch);
        let verdict = self.verdict(&outcomes);
        let is_down = matches!(verdict, Verdict::Down(_));
        self.tell_health(&verdict);
        if !self.queue().finish(verdict) {
            return;
        }
        let parcels =
            Arc::into_inner(batch).expect("the queue gave its half back when the write was finished");
        let mut sorted = Sorted::default();
        for (parcel, outcome) in parcels.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Retryable(_) if is_down => sorted.again.push(parcel),
                Outcome::Retryable(fault) => sorted.failed_alone(parcel, fault, self.shard),
                Outcome::Poison(fault) => {
                    sorted.poison.push(Refused { parcel, shard: self.shard, fault });
                }
                Outcome::Misconfigured(fault) => sorted.misconfigured.push((parcel, fault)),
                settled => {
                    sorted.works.insert(parcel.ticket.job);
                    self.settle(&parcel, &settled);
                }
            }
        }
        self.pass_on(sorted);
    }

    /// Calls the store, and the tap for what it has stored.
    fn call(&mut self, batch: &[Parcel]) -> Vec<Outcome> {
        let summaries: Vec<Summary<'_>> = batch.iter().map(|parcel| parcel.summary.lend()).collect();
        let started = Instant::now();
        let outcomes = self.writer.write(&summaries);
        self.queue().wrote(batch.len(), started.elapsed());
        assert_eq!(outcomes.len(), batch.len(), "a store says of every summary what became of it");
        if let Some(tap) = &self.shared.tap {
            for (summary, outcome) in summaries.iter().zip(&outcomes) {
                if let Outcome::Stored | Outcome::StoredAgainstChain = outcome {
                    tap(summary.job, summary.key, summary.value);
                }
            }
        }
        outcomes
    }

    /// A shard is down if it took nothing of a batch. Without RETRY any failure is waited for in place.
    fn verdict(&self, outcomes: &[Outcome]) -> Verdict {
        let fault = |outcome: &Outcome| match outcome {
            Outcome::Retryable(fault) => Some(fault.clone()),
            _ => None,
        };
        let failed = outcomes.iter().filter(|outcome| fault(outcome).is_some()).count();
        match outcomes.iter().find_map(fault) {
            Some(fault) if failed == outcomes.len() || !self.shared.has_retry => Verdict::Down(fault),
            _ => Verdict::Answered,
        }
    }

    fn settle(&self, parcel: &Parcel, outcome: &Outcome) {
        let Parcel { ticket, summary, .. } = parcel;
        if let Outcome::StoredAgainstChain = outcome {
            let source = self.shared.jobs[ticket.job].source(*ticket);
            tracing::error!(job = %summary.job, %source, key = ?summary.parts, provenance = ?summary.provenance,
                "a newer summary contradicts the stored one: a window was rebuilt in part");
        }
        self.shared.handover.ends.settled(outcome);
        self.shared.jobs[ticket.job].settle(*ticket);
    }

    fn pass_on(&mut self, sorted: Sorted) {
        let Sorted { again, retry, poison, misconfigured, works } = sorted;
        self.queue().put_back(again);
        for Refused { parcel, fault, .. } in &poison {
            let source = self.shared.jobs[parcel.ticket.job].source(parcel.ticket);
            tracing::warn!(job = %parcel.summary.job, %source, %fault, "a summary cannot be stored: quarantined");
        }
        self.shared.handover.retry(retry);
        self.shared.handover.quarantine(poison);
        self.hold(misconfigured, &works);
    }

    fn hand_over(&self, parcels: Vec<Parcel>, fault: &Fault) {
        let shard = self.shard;
        let refused = |parcel| Refused { parcel, shard, fault: fault.clone() };
        self.shared.handover.retry(parcels.into_iter().map(refused).collect());
    }

    /// Holds what waits for people, and parks the jobs of which nothing works.
    fn hold(&mut self, misconfigured: Vec<(Parcel, Fault)>, works: &BTreeSet<usize>) {
        let mut refused = BTreeSet::new();
        for (parcel, fault) in misconfigured {
            let (job, ticket) = (parcel.ticket.job, parcel.ticket);
            if let std::collections::btree_map::Entry::Vacant(entry) = self.samples.by_job.entry(job) {
                tracing::error!(part = self.part, job = %parcel.summary.job, %fault, "held until somebody mends it");
                entry.insert(parcel);
                self.condition = Condition::Troubled(fault.to_string());
                self.shared.health.set(&self.part, self.condition.clone());
            }
            self.shared.hold(ticket);
            refused.insert(job);
        }
        for &job in refused.difference(works) {
            self.queue().park(job).into_iter().for_each(|ticket| self.shared.hold(ticket));
        }
        if !self.samples.by_job.is_empty() && self.samples.probe_at.is_none() {
            self.samples.probe_at = Some(Instant::now() + self.samples.back_off.next_wait());
        }
    }

    /// Tries the samples. Jobs that are not refused for their configuration any more read again what was held.
    fn probe(&mut self) {
        let samples: Vec<Parcel> = self.samples.by_job.values().cloned().collect();
        let outcomes = self.call(&samples);
        for (parcel, outcome) in samples.iter().zip(&outcomes) {
            let job = parcel.ticket.job;
            if !matches!(outcome, Outcome::Misconfigured(_)) {
                self.samples.by_job.remove(&job);
                self.queue().unpark(job);
                self.shared.jobs[job].mended();
            }
        }
        if self.samples.by_job.is_empty() {
            self.samples.back_off.reset();
            self.samples.probe_at = None;
            self.tell_health(&self.verdict(&outcomes));
        } else {
            self.samples.probe_at = Some(Instant::now() + self.samples.back_off.next_wait());
        }
    }

    /// While something is held, that is what operators see.
    fn tell_health(&mut self, verdict: &Verdict) {
        if !self.samples.by_job.is_empty() {
            return;
        }
        let condition = match verdict {
            Verdict::Answered => Condition::Ready,
            Verdict::Down(fault) => Condition::Troubled(fault.to_string()),
        };
        if condition != self.condition {
            match verdict {
                Verdict::Answered => tracing::info!(part = self.part, "works again"),
                Verdict::Down(fault) => tracing::warn!(part = self.part, %fault, "does not work now"),
            }
            self.shared.health.set(&self.part, condition.clone());
            self.condition = condition;
        }
    }

    fn queue(&self) -> &Queue {
        &self.shared.queues[self.shard.index()]
    }
}

/// A batch by what is to be done next.
#[derive(Default)]
struct Sorted {
    again: Vec<Parcel>,
    retry: Vec<Refused>,
    poison: Vec<Refused>,
    misconfigured: Vec<(Parcel, Fault)>,
    /// Jobs of which something was settled.
    works: BTreeSet<usize>,
}

impl Sorted {
    /// Others of the batch were not refused: try it some more times, then leave it to RETRY.
    fn failed_alone(&mut self, mut parcel: Parcel, fault: Fault, shard: Shard) {
        parcel.tries += 1;
        if parcel.tries < TRIES_MAX {
            self.again.push(parcel);
        } else {
            self.retry.push(Refused { parcel, shard, fault });
        }
    }
}
