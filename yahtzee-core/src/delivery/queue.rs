//! What waits for one shard, and every decision about it: queue, wait, divert to RETRY, hold, write, probe, end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::breaker::Breaker;
use super::outcome::{Disposal, OutcomeKind};
use super::policy::QueuePolicy;
use super::rules::{DeliveryRules, WrittenRow};
use super::source::Ticket;
use crate::summary::Revision;

/// A row on its way into a store.
pub trait Deliverable: Clone {
    /// Returns the key that it replaces the row of.
    fn key(&self) -> &[u8];
    /// Returns its place among the rows under its key.
    fn revision(&self) -> Revision;
    /// Returns the memory that it takes.
    fn bytes(&self) -> usize;
}

/// A row that waits for its shard.
#[derive(Clone, Debug)]
pub struct PendingWrite<R> {
    /// Its record.
    pub ticket: Ticket,
    /// Index of its job.
    pub job: usize,
    /// What is written.
    pub row: R,
    tries: u32,
    age: u64,
}

impl<R> PendingWrite<R> {
    /// Creates one that was not tried yet.
    pub fn new(ticket: Ticket, job: usize, row: R) -> Self {
        Self { ticket, job, row, tries: 0, age: 0 }
    }
}

/// A batch being written. Shared, because what takes too long can be released to RETRY meanwhile.
pub type InFlight<R> = Arc<Vec<PendingWrite<R>>>;

/// A write that has not come back.
#[derive(Clone, Debug)]
struct Flight<R> {
    since: Duration,
    /// `None` once its batch was released: the shard hangs all the same.
    batch: Option<InFlight<R>>,
}

/// What became of an offered row.
#[derive(Debug)]
pub enum Offer<R> {
    /// It waits.
    Queued {
        /// Whether the shard has something new to do.
        is_worth_a_look: bool,
        /// The record of the row that it has replaced, or its own, if what waits is newer: to be settled.
        superseded: Option<Ticket>,
    },
    /// There is no room, and the shard makes progress: wait for room.
    Full(Box<PendingWrite<R>>),
    /// The shard makes no progress: to RETRY.
    Diverted(Box<PendingWrite<R>>),
    /// The configuration is wrong for its job: hold its record.
    Held(Ticket),
}

/// What the shard is to do.
#[derive(Debug)]
pub enum Step<R> {
    /// Write this batch, and [`ShardQueue::finish`] it.
    Write(InFlight<R>),
    /// The shard has been down for too long: to RETRY with these.
    HandOver(Vec<PendingWrite<R>>),
    /// Write these to see whether the configuration was repaired, and report it to [`ShardQueue::probed`].
    Probe(Vec<PendingWrite<R>>),
    /// Nothing more comes.
    End,
}

/// What a write has led to.
#[derive(Debug)]
pub struct Finished<R> {
    /// Whether the shard is taken for one that does not work.
    pub is_failing: bool,
    /// The rows that have left the queue, each with its index in the batch and what is to be done with it; nothing
    /// where the batch was released meanwhile.
    pub disposed: Vec<(usize, PendingWrite<R>, Disposal)>,
    /// Records of rows that newer ones have superseded: to be settled.
    pub superseded: Vec<Ticket>,
    /// Records of rows that waited, of jobs that are held from now on: to be held.
    pub parked: Vec<Ticket>,
}

/// What a shard does with what comes. The numbers are those of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardMode {
    /// Writes it.
    Writing = 0,
    /// Waits: it is down since a short time, or a write takes long.
    Stuck = 1,
    /// Hands it to RETRY but for probes: it has been down for long.
    Diverting = 2,
    /// Holds that of at least one job for a configuration that is wrong.
    Parked = 3,
}

/// The queue of one shard.
#[derive(Clone, Debug)]
pub struct ShardQueue<R> {
    policy: QueuePolicy,
    rules: &'static dyn DeliveryRules,
    /// By age.
    waiting: BTreeMap<u64, PendingWrite<R>>,
    /// Ages by job and key, where only the newest row of each waits.
    ages: BTreeMap<(usize, Vec<u8>), u64>,
    next_age: u64,
    /// Of what waits.
    bytes: usize,
    /// When the first of the waiting has waited long enough for company.
    ripe_at: Duration,
    flight: Option<Flight<R>>,
    breaker: Breaker,
    /// Jobs of which everything is held.
    parked: BTreeSet<usize>,
    /// One row of every job whose configuration is wrong: what is tried to see whether it was repaired.
    samples: BTreeMap<usize, PendingWrite<R>>,
    probe_at: Option<Duration>,
    probes: u32,
    /// By source: the opening that rows must come from.
    epochs: BTreeMap<usize, u64>,
    /// When to end even if something waits. Set once nothing more comes.
    closing: Option<Duration>,
}

impl<R: Deliverable> ShardQueue<R> {
    /// Creates an empty one.
    #[must_use]
    pub fn new(policy: QueuePolicy, rules: &'static dyn DeliveryRules) -> Self {
        Self {
            policy,
            rules,
            waiting: BTreeMap::new(),
            ages: BTreeMap::new(),
            next_age: 0,
            bytes: 0,
            ripe_at: Duration::ZERO,
            flight: None,
            breaker: Breaker::new(policy.back_off),
            parked: BTreeSet::new(),
            samples: BTreeMap::new(),
            probe_at: None,
            probes: 0,
            epochs: BTreeMap::new(),
            closing: None,
        }
    }

    /// A source begins anew: what waits of its earlier openings is dropped, because it is read again.
    pub fn reopened(&mut self, source: usize, epoch: u64) {
        self.epochs.insert(source, epoch);
        if self.rules.forgets_earlier_openings() {
            self.take_out(|write| write.ticket.source == source && write.ticket.epoch < epoch);
        }
    }

    /// Offers a row.
    pub fn offer(&mut self, mut write: PendingWrite<R>, now: Duration) -> Offer<R> {
        match self.admission(write.job, now) {
            Admission::Queue => {
                if self.waiting.is_empty() {
                    self.ripe_at = now + self.policy.linger;
                }
                let is_worth_a_look =
                    self.waiting.is_empty() || self.waiting.len() + 1 == self.policy.batch_max;
                write.age = self.next_age;
                self.next_age += 1;
                Offer::Queued { is_worth_a_look, superseded: self.insert(write) }
            }
            Admission::Wait => Offer::Full(Box::new(write)),
            Admission::Divert => Offer::Diverted(Box::new(write)),
            Admission::Hold => Offer::Held(write.ticket),
        }
    }

    /// Says what is to be done now; if nothing, until when, as long as nothing is offered.
    ///
    /// # Errors
    /// If there is nothing to do: the time at which there is, if it is known.
    pub fn next(&mut self, now: Duration) -> Result<Step<R>, Option<Duration>> {
        if let Some(until) = self.closing
            && (self.waiting.is_empty() || self.breaker.is_open() || until <= now)
        {
            return Ok(Step::End);
        }
        if self.gives_up(now) {
            let for_probe = if self.breaker.may_try(now) { self.policy.batch_max } else { 0 };
            if self.waiting.len() > for_probe {
                return Ok(Step::HandOver(self.take_from(for_probe)));
            }
        }
        if self.probe_at.is_some_and(|at| at <= now) {
            return Ok(Step::Probe(self.samples.values().cloned().collect()));
        }
        if self.waiting.is_empty() {
            return Err(self.probe_at);
        }
        if !self.breaker.may_try(now) {
            let (try_at, since) = self.breaker.times().expect("a closed breaker lets everything through");
            let give_up_at = self.policy.hand_over_after.map(|after| since + after);
            return Err([Some(try_at), give_up_at, self.probe_at].into_iter().flatten().min());
        }
        let is_full =
            self.waiting.len() >= self.policy.batch_max || self.bytes >= self.policy.queue_bytes_max;
        if is_full || self.ripe_at <= now || self.closing.is_some() {
            return Ok(Step::Write(self.take_batch(now)));
        }
        Err([Some(self.ripe_at), self.probe_at].into_iter().flatten().min())
    }

    /// Ends the write of a batch: `outcomes` are in its order.
    ///
    /// # Panics
    /// If somebody else still holds the batch, or there is not one outcome for each of its rows.
    pub fn finish(
        &mut self,
        batch: InFlight<R>,
        outcomes: &[OutcomeKind],
        now: Duration,
        jitter: u64,
    ) -> Finished<R> {
        assert_eq!(outcomes.len(), batch.len(), "a store says of every row what became of it");
        let written =
            batch.iter().zip(outcomes).map(|(write, &kind)| WrittenRow { kind, tries: write.tries });
        let written: Vec<WrittenRow> = written.collect();
        let is_down = self.rules.is_down(&written, &self.policy);
        let has_failed = written.iter().any(|row| row.kind == OutcomeKind::Retryable);
        let is_failing = is_down || self.policy.waits_after_failures && has_failed;
        if is_failing {
            self.breaker.failed(now, jitter);
        } else {
            self.breaker.answered();
        }
        let is_ours = self.flight.take().is_some_and(|flight| flight.batch.is_some());
        let mut finished =
            Finished { is_failing, disposed: Vec::new(), superseded: Vec::new(), parked: Vec::new() };
        if is_ours {
            let disposals = self.rules.dispose(&written, is_down);
            let rows =
                Arc::into_inner(batch).expect("the queue gave its half back, and who wrote has the other");
            self.dispose(rows, disposals, now, jitter, &mut finished);
        }
        finished
    }

    fn dispose(
        &mut self,
        rows: Vec<PendingWrite<R>>,
        disposals: Vec<Disposal>,
        now: Duration,
        jitter: u64,
        finished: &mut Finished<R>,
    ) {
        let (mut refused, mut works) = (BTreeSet::new(), BTreeSet::new());
        for (index, (mut write, disposal)) in rows.into_iter().zip(disposals).enumerate() {
            match disposal {
                Disposal::Again { is_own_failure } => {
                    write.tries += u32::from(is_own_failure);
                    finished.superseded.extend(self.put_back(write, now));
                    continue;
                }
                Disposal::Hold => {
                    self.samples.entry(write.job).or_insert_with(|| write.clone());
                    refused.insert(write.job);
                }
                Disposal::Settle => drop(works.insert(write.job)),
                Disposal::HandOver | Disposal::Quarantine => {}
            }
            finished.disposed.push((index, write, disposal));
        }
        for &job in refused.difference(&works) {
            self.parked.insert(job);
            let held = self.take_out(|write| write.job == job);
            finished.parked.extend(held.into_iter().map(|write| write.ticket));
        }
        if !self.samples.is_empty() && self.probe_at.is_none() {
            self.plan_probe(now, jitter);
        }
    }

    /// Ends a probe: `outcomes` are in the order of the samples. Returns the sources of jobs that work again, which
    /// must be read from what is committed.
    pub fn probed(
        &mut self,
        samples: &[PendingWrite<R>],
        outcomes: &[OutcomeKind],
        now: Duration,
        jitter: u64,
    ) -> Vec<usize> {
        let mut repaired = Vec::new();
        for (sample, _) in
            samples.iter().zip(outcomes).filter(|(_, outcome)| **outcome != OutcomeKind::Misconfigured)
        {
            self.samples.remove(&sample.job);
            self.parked.remove(&sample.job);
            if self.rules.reads_again_after_probe() {
                repaired.push(sample.ticket.source);
            }
        }
        if self.samples.is_empty() {
            (self.probes, self.probe_at) = (0, None);
        } else {
            self.plan_probe(now, jitter);
        }
        repaired
    }

    /// Takes everything out, the write in flight as well, if `ticket` is part of it: it is waited for too long.
    pub fn release(&mut self, ticket: Ticket) -> Option<Vec<PendingWrite<R>>> {
        let is_here = |write: &PendingWrite<R>| write.ticket == ticket;
        let in_flight = self.flight.as_mut().and_then(|flight| flight.batch.as_mut());
        let is_flying = in_flight.is_some_and(|batch| batch.iter().any(is_here));
        self.policy.hand_over_after?;
        if !is_flying && !self.waiting.values().any(is_here) {
            return None;
        }
        let batch = self.flight.as_mut().and_then(|flight| flight.batch.take());
        let mut released = batch.map_or_else(Vec::new, |batch| batch.to_vec());
        released.extend(self.take_out(|_| true));
        Some(released)
    }

    /// Nothing more comes. What waits is written where that goes at once, until `until`.
    pub fn close(&mut self, until: Duration) {
        self.closing = Some(until);
    }

    /// Returns whether something is held for a configuration that is wrong.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        !self.samples.is_empty()
    }

    /// Returns the number of rows that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns what waits, is being written, or is what a held job is probed with.
    pub fn rows(&self) -> impl Iterator<Item = &PendingWrite<R>> {
        let in_flight =
            self.flight.iter().filter_map(|flight| flight.batch.as_ref()).flat_map(|batch| batch.iter());
        self.samples.values().chain(in_flight).chain(self.waiting.values())
    }

    /// Returns what is done with what comes.
    #[must_use]
    pub fn mode(&self, now: Duration) -> ShardMode {
        match () {
            () if !self.parked.is_empty() => ShardMode::Parked,
            () if self.gives_up(now) => ShardMode::Diverting,
            () if self.is_stuck(now) => ShardMode::Stuck,
            () => ShardMode::Writing,
        }
    }

    fn admission(&self, job: usize, now: Duration) -> Admission {
        if self.parked.contains(&job) {
            return Admission::Hold;
        }
        if self.gives_up(now) {
            let is_for_probe = self.breaker.may_try(now)
                && self.flight.is_none()
                && self.waiting.len() < self.policy.batch_max.min(self.policy.queue_max);
            return if is_for_probe { Admission::Queue } else { Admission::Divert };
        }
        match self.rules.has_room(self.waiting.len(), self.bytes, &self.policy) {
            true => Admission::Queue,
            false if self.policy.hand_over_after.is_some() && self.is_stuck(now) => Admission::Divert,
            false => Admission::Wait,
        }
    }

    /// Puts what was not written back to its place, whether there is room or not.
    fn put_back(&mut self, write: PendingWrite<R>, now: Duration) -> Option<Ticket> {
        let epoch = self.epochs.get(&write.ticket.source).copied().unwrap_or(0);
        if write.ticket.epoch < epoch && self.rules.forgets_earlier_openings() {
            return None;
        }
        self.ripe_at = now;
        self.insert(write)
    }

    /// Inserts a row at its age, unless a newer one of its key waits. Returns the record that the other one
    /// supersedes.
    fn insert(&mut self, write: PendingWrite<R>) -> Option<Ticket> {
        let bytes = write.row.bytes();
        if self.policy.keeps_newest {
            let key = (write.job, write.row.key().to_vec());
            let age = *self.ages.entry(key).or_insert(write.age);
            if let Some(there) = self.waiting.get_mut(&age) {
                let (new, old) = (write.row.revision(), there.row.revision());
                if !self.rules.takes_the_place_of(new, old) {
                    return self.superseded(write.ticket);
                }
                self.bytes = self.bytes - there.row.bytes() + bytes;
                let replaced = std::mem::replace(there, PendingWrite { age, ..write });
                return self.superseded(replaced.ticket);
            }
        }
        self.bytes += bytes;
        self.waiting.insert(write.age, write);
        None
    }

    fn superseded(&self, ticket: Ticket) -> Option<Ticket> {
        self.rules.settles_superseded().then_some(ticket)
    }

    fn plan_probe(&mut self, now: Duration, jitter: u64) {
        let wait = self.policy.repair_back_off.wait(self.probes, jitter);
        self.probes = self.probes.saturating_add(1);
        self.probe_at = self.rules.probes_held().then_some(now + wait);
    }

    fn take_batch(&mut self, now: Duration) -> InFlight<R> {
        let count = self.policy.batch_max.min(self.waiting.len());
        let batch = (0..count).filter_map(|_| self.waiting.pop_first()).map(|(_, write)| write);
        let batch: Vec<PendingWrite<R>> = batch.collect();
        batch.iter().for_each(|write| self.forget_row(write));
        let batch = Arc::new(batch);
        self.ripe_at = now + self.policy.linger;
        self.flight = Some(Flight { since: now, batch: Some(Arc::clone(&batch)) });
        batch
    }

    /// Takes all but the oldest ones out.
    fn take_from(&mut self, kept: usize) -> Vec<PendingWrite<R>> {
        let first = self.waiting.keys().nth(kept).copied();
        first.map_or_else(Vec::new, |first| self.take_out(|write| write.age >= first))
    }

    fn take_out(&mut self, is_taken: impl Fn(&PendingWrite<R>) -> bool) -> Vec<PendingWrite<R>> {
        let taken: Vec<PendingWrite<R>> =
            self.waiting.extract_if(.., |_, write| is_taken(write)).map(|(_, write)| write).collect();
        taken.iter().for_each(|write| self.forget_row(write));
        taken
    }

    /// Forgets what is known of a row that waits no more.
    fn forget_row(&mut self, write: &PendingWrite<R>) {
        self.bytes -= write.row.bytes();
        if self.policy.keeps_newest {
            self.ages.remove(&(write.job, write.row.key().to_vec()));
        }
    }

    /// Whether the shard has been down for so long that RETRY takes over.
    fn gives_up(&self, now: Duration) -> bool {
        self.rules.gives_up(self.breaker.open_for(now), self.policy.hand_over_after)
    }

    /// Whether waiting for room could take long.
    fn is_stuck(&self, now: Duration) -> bool {
        let is_slow = |flight: &Flight<R>| now.saturating_sub(flight.since) >= self.policy.patience;
        self.breaker.is_open() || self.flight.as_ref().is_some_and(is_slow)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Queue,
    Wait,
    Divert,
    Hold,
}

#[cfg(test)]
mod tests;
