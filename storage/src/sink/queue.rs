//! What waits for one shard, and every decision about it: queue, wait, divert to RETRY, hold, write, probe, end.
//!
//! Readers offer, one shard thread takes. Decisions are functions of the state and of a time that is passed in.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use yahtzee_runtime::back_off::BackOff;

use super::SinkSettings;
use super::counting::ShardGauges;

use super::job::Ticket;
use crate::breaker::Breaker;
use crate::store::Fault;
use crate::store::OwnedSummary;

/// A summary on its way to a shard.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) ticket: Ticket,
    pub(super) summary: OwnedSummary,
    /// Writes in which it failed while others of its batch did not.
    pub(super) tries: u32,
}

/// A batch being written. Shared, because what takes too long can be released to RETRY meanwhile.
pub(super) type InFlight = Arc<Vec<Parcel>>;

/// The queue of one shard.
pub(super) struct Queue {
    settings: SinkSettings,
    has_retry: bool,
    gauges: ShardGauges,
    state: Mutex<State>,
    /// For the shard thread.
    work: Condvar,
    /// For readers.
    room: Condvar,
}

struct State {
    waiting: VecDeque<Parcel>,
    /// Of what is waiting.
    bytes: usize,
    /// When the first of the waiting has waited long enough for company.
    ripe_at: Instant,
    in_flight: Option<(Instant, InFlight)>,
    breaker: Breaker,
    fault: Option<Fault>,
    /// Jobs whose configuration is wrong on this shard.
    parked: BTreeSet<usize>,
    /// When to end even if something waits. Set once nothing more comes.
    closing: Option<Instant>,
}

/// What became of an offered summary.
#[derive(Debug)]
pub(super) enum Offer {
    /// The shard thread has it.
    Taken,
    /// There is no room, and the shard makes progress: wait for room.
    Full(Box<Parcel>),
    /// The shard does not make progress: to RETRY, with the reason.
    Diverted(Box<Parcel>, Fault),
    /// Its job is parked here: hold it.
    Held(Ticket),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Queue,
    Wait,
    Divert,
    Hold,
}

/// What the shard thread is to do.
#[derive(Debug)]
pub(super) enum Step {
    /// Write this batch.
    Write(InFlight),
    /// The shard has been down too long: to RETRY with these.
    HandOver(Vec<Parcel>, Fault),
    /// Try whether the configuration was mended.
    ProbeParked,
    /// Nothing more comes.
    End,
}

/// What a write says about the shard.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It answers, whatever it says.
    Answered,
    /// It does not.
    Down(Fault),
}

impl Queue {
    pub(super) fn new(settings: SinkSettings, has_retry: bool, gauges: ShardGauges) -> Self {
        let (base, cap) = settings.back_off;
        let state = State {
            waiting: VecDeque::new(),
            bytes: 0,
            ripe_at: Instant::now(),
            in_flight: None,
            breaker: Breaker::new(BackOff::new(base, cap, yahtzee_runtime::back_off::seed())),
            fault: None,
            parked: BTreeSet::new(),
            closing: None,
        };
        let (work, room) = <(Condvar, Condvar)>::default();
        Self { settings, has_retry, gauges, state: Mutex::new(state), work, room }
    }

    /// Offers a summary.
    pub(super) fn offer(&self, parcel: Parcel) -> Offer {
        let now = Instant::now();
        let mut state = self.lock();
        match state.admission(parcel.ticket.job, &self.settings, self.has_retry, now) {
            Admission::Queue => {
                if state.waiting.is_empty() {
                    state.ripe_at = now + self.settings.linger;
                }
                let is_worth_a_look =
                    state.waiting.is_empty() || state.waiting.len() + 1 == self.settings.batch_max;
                state.bytes += parcel.summary.bytes();
                state.waiting.push_back(parcel);
                drop(state);
                if is_worth_a_look {
                    self.work.notify_one();
                }
                Offer::Taken
            }
            Admission::Wait => Offer::Full(Box::new(parcel)),
            Admission::Divert => Offer::Diverted(Box::new(parcel), state.reason(self.settings.patience)),
            Admission::Hold => Offer::Held(parcel.ticket),
        }
    }

    /// Waits until there may be room, `time` at most.
    pub(super) fn wait_for_room(&self, time: Duration) {
        drop(self.room.wait_timeout(self.lock(), time));
    }

    /// Waits for the next thing to do. `probe_at` is when to try whether the configuration was mended.
    pub(super) fn next(&self, probe_at: Option<Instant>) -> Step {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let waited = match state.step(&self.settings, self.has_retry, probe_at, now) {
                Ok(step) => {
                    drop(state);
                    self.room.notify_all();
                    return step;
                }
                Err(Some(until)) => {
                    let time = until.saturating_duration_since(now);
                    self.work
                        .wait_timeout(state, time)
                        .map(|(state, _)| state)
                        .map_err(|error| error.into_inner().0)
                }
                Err(None) => self.work.wait(state).map_err(PoisonError::into_inner),
            };
            state = waited.unwrap_or_else(|state| state);
        }
    }

    /// Ends the write in flight. False where its batch was released meanwhile: then RETRY has it.
    pub(super) fn finish(&self, verdict: Verdict) -> bool {
        let mut state = self.lock();
        match verdict {
            Verdict::Answered => {
                state.breaker.answered();
                state.fault = None;
            }
            Verdict::Down(fault) => {
                state.breaker.failed(Instant::now());
                state.fault = Some(fault);
            }
        }
        let is_ours = state.in_flight.take().is_some();
        drop(state);
        self.room.notify_all();
        is_ours
    }

    /// Puts what was not written back to the front, whether there is room or not.
    pub(super) fn put_back(&self, parcels: Vec<Parcel>) {
        let mut state = self.lock();
        state.ripe_at = Instant::now();
        for parcel in parcels.into_iter().rev() {
            state.bytes += parcel.summary.bytes();
            state.waiting.push_front(parcel);
        }
    }

    /// Takes everything out, the write in flight as well, if `ticket` is part of it: it is waited for too long.
    pub(super) fn release(&self, ticket: Ticket) -> Option<(Vec<Parcel>, Fault)> {
        let mut state = self.lock();
        let is_here = |parcel: &Parcel| parcel.ticket == ticket;
        let is_flying = state.in_flight.as_ref().is_some_and(|(_, batch)| batch.iter().any(is_here));
        if !self.has_retry || !(is_flying || state.waiting.iter().any(is_here)) {
            return None;
        }
        let reason = state.reason(self.settings.patience);
        let mut released = state.in_flight.take().map_or_else(Vec::new, |(_, batch)| batch.to_vec());
        released.extend(state.waiting.drain(..));
        state.bytes = 0;
        Some((released, reason))
    }

    /// Holds all of a job from now on; what waits of it is forgotten here and is to be held.
    pub(super) fn park(&self, job: usize) -> Vec<Ticket> {
        let mut state = self.lock();
        state.parked.insert(job);
        let (parked, waiting): (VecDeque<Parcel>, VecDeque<Parcel>) =
            state.waiting.drain(..).partition(|parcel| parcel.ticket.job == job);
        state.bytes = waiting.iter().map(|parcel| parcel.summary.bytes()).sum();
        state.waiting = waiting;
        drop(state);
        self.room.notify_all();
        parked.into_iter().map(|parcel| parcel.ticket).collect()
    }

    /// Tries a job again.
    pub(super) fn unpark(&self, job: usize) {
        self.lock().parked.remove(&job);
    }

    /// Nothing more comes. What waits is written where that goes at once, until `until`.
    pub(super) fn close(&self, until: Instant) {
        self.lock().closing = Some(until);
        self.work.notify_all();
    }

    /// Sets the gauges.
    pub(super) fn tell(&self) {
        let (waiting, mode) = self.standing();
        self.gauges.stands(waiting, mode);
    }

    /// Notes a write that has come back.
    pub(super) fn wrote(&self, rows: usize, took: Duration) {
        self.gauges.wrote(rows, took);
    }

    /// Summaries that wait, and what is done with those that come.
    fn standing(&self) -> (usize, Mode) {
        let (state, now) = (self.lock(), Instant::now());
        let mode = match () {
            () if !state.parked.is_empty() => Mode::Parked,
            () if state.gives_up(&self.settings, self.has_retry, now) => Mode::Diverting,
            () if state.is_stuck(self.settings.patience, now) => Mode::Stuck,
            () => Mode::Writing,
        };
        (state.waiting.len(), mode)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a shard does with what comes. The numbers are those of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Writes them.
    Writing = 0,
    /// Waits: it is down since a short time, or a write takes long.
    Stuck = 1,
    /// Hands them to RETRY but for probes: it has been down for long.
    Diverting = 2,
    /// Holds those of at least one job for a configuration that is wrong.
    Parked = 3,
}

impl State {
    fn admission(&self, job: usize, settings: &SinkSettings, has_retry: bool, now: Instant) -> Admission {
        if self.parked.contains(&job) {
            return Admission::Hold;
        }
        let has_room = self.waiting.len() < settings.queue_max && self.bytes < settings.queue_bytes_max;
        if self.gives_up(settings, has_retry, now) {
            let is_for_probe = self.breaker.may_try(now)
                && self.in_flight.is_none()
                && self.waiting.len() < settings.batch_max.min(settings.queue_max);
            return if is_for_probe { Admission::Queue } else { Admission::Divert };
        }
        match has_room {
            true => Admission::Queue,
            false if has_retry && self.is_stuck(settings.patience, now) => Admission::Divert,
            false => Admission::Wait,
        }
    }

    /// What the shard thread is to do, or until when nothing is to be done.
    fn step(
        &mut self,
        settings: &SinkSettings,
        has_retry: bool,
        probe_at: Option<Instant>,
        now: Instant,
    ) -> Result<Step, Option<Instant>> {
        if let Some(until) = self.closing
            && (self.waiting.is_empty() || self.breaker.is_open() || until <= now)
        {
            return Ok(Step::End);
        }
        if self.gives_up(settings, has_retry, now) {
            let for_probe = if self.breaker.may_try(now) { settings.batch_max } else { 0 };
            if self.waiting.len() > for_probe {
                let reason = self.reason(settings.patience);
                return Ok(Step::HandOver(self.take_from(for_probe), reason));
            }
        }
        if probe_at.is_some_and(|at| at <= now) {
            return Ok(Step::ProbeParked);
        }
        if self.waiting.is_empty() {
            return Err(probe_at);
        }
        if !self.breaker.may_try(now) {
            let (try_at, since) = self.breaker.times().expect("a closed breaker lets everything through");
            let give_up_at = has_retry.then_some(since + settings.retry_after);
            return Err([Some(try_at), give_up_at, probe_at].into_iter().flatten().min());
        }
        let is_full = self.waiting.len() >= settings.batch_max || self.bytes >= settings.queue_bytes_max;
        if is_full || self.ripe_at <= now || self.closing.is_some() {
            return Ok(Step::Write(self.take_batch(settings, now)));
        }
        Err([Some(self.ripe_at), probe_at].into_iter().flatten().min())
    }

    fn take_batch(&mut self, settings: &SinkSettings, now: Instant) -> InFlight {
        let rest = self.waiting.split_off(settings.batch_max.min(self.waiting.len()));
        let batch = Arc::new(Vec::from(std::mem::replace(&mut self.waiting, rest)));
        self.bytes = self.bytes.saturating_sub(bytes_of(&batch));
        self.ripe_at = now + settings.linger;
        self.in_flight = Some((now, Arc::clone(&batch)));
        batch
    }

    /// Takes all but the first ones out.
    fn take_from(&mut self, first: usize) -> Vec<Parcel> {
        let taken = Vec::from(self.waiting.split_off(first));
        self.bytes = self.bytes.saturating_sub(bytes_of(&taken));
        taken
    }

    /// Whether the shard has been down for so long that RETRY takes over.
    fn gives_up(&self, settings: &SinkSettings, has_retry: bool, now: Instant) -> bool {
        has_retry && self.breaker.is_open_for(settings.retry_after, now)
    }

    /// Whether waiting for room could take long.
    fn is_stuck(&self, patience: Duration, now: Instant) -> bool {
        let is_slow = |(since, _): &(Instant, InFlight)| now.saturating_duration_since(*since) >= patience;
        self.breaker.is_open() || self.in_flight.as_ref().is_some_and(is_slow)
    }

    fn reason(&self, patience: Duration) -> Fault {
        let slow = || Fault::new(format!("a write has not come back for more than {patience:?}"));
        self.fault.clone().unwrap_or_else(slow)
    }
}

fn bytes_of(parcels: &[Parcel]) -> usize {
    parcels.iter().map(|parcel| parcel.summary.bytes()).sum()
}

#[cfg(test)]
mod tests;
