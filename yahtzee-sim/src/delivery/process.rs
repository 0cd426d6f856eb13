//! A sink or a retry process: the bookkeeping that ships, driven step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use yahtzee_core::delivery::rules::DeliveryRules;
use yahtzee_core::delivery::{
    Disposal, InFlight, KnownMark, Offer, OutcomeKind, PendingWrite, QueuePolicy, SettledMark, ShardQueue,
    SourceState, Step, Ticket, WaitBounds, WriteId, begin,
};
use yahtzee_core::record::Offset;

use super::database::{OrphanWrite, Settling, SourceKey, marks_of};
use super::store::has_answered;
use super::{Batch, Committed, Outside, SHARDS, SimRow, StoreFault, summary_at};
use crate::failure::Property;

/// Steps of one shard in one step of a process at most.
const SHARD_STEPS_MAX: usize = 64;
/// Most open offsets of a sink.
const SPAN_MAX: u64 = 96;

/// From where summaries are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Sink,
    Retry,
}

type Pending = PendingWrite<SimRow>;

/// What is read by one thread: of a sink the summary topic, of a retry process a partition of RETRY.
#[derive(Clone, Debug)]
struct Reading {
    state: SourceState,
    /// Of this opening; `None` before the first.
    epoch: Option<u64>,
    next: usize,
    /// What the queue had no room for.
    stalled: Option<Pending>,
}

/// See the module.
pub(super) struct Process {
    role: Role,
    /// Writes so far.
    writes: u64,
    policy: QueuePolicy,
    readings: Vec<Reading>,
    queues: Vec<ShardQueue<SimRow>>,
    /// By shard: the write that has not come back.
    in_flight: Vec<Option<InFlight<SimRow>>>,
    /// Appends that the log has answered, before this process has heard of it.
    answers: Vec<(Ticket, bool)>,
}

impl Process {
    pub(super) fn new(role: Role, rules: &'static dyn DeliveryRules) -> Self {
        let policy = policy(role);
        let reading = Reading { state: SourceState::new(rules), epoch: None, next: 0, stalled: None };
        let readings = if role == Role::Sink { 1 } else { SHARDS };
        Self {
            role,
            writes: 0,
            policy,
            readings: vec![reading; readings],
            queues: (0..SHARDS).map(|_| ShardQueue::new(policy, rules)).collect(),
            in_flight: vec![None; SHARDS],
            answers: Vec::new(),
        }
    }

    /// Reads, writes and commits. Returns whether the process has survived it: one that crashes with an odd number of
    /// records does so before its commit, with half of its shards served, others behind it.
    pub(super) fn step(&mut self, batch: Batch, outside: &mut Outside<'_>) -> bool {
        let commits = !batch.crashes || batch.records.is_multiple_of(2);
        self.hear_of_appends();
        (0..self.readings.len()).for_each(|source| self.open(source, outside));
        let mut shards: Vec<usize> = (0..SHARDS).collect();
        if batch.is_reversed {
            shards.reverse();
        }
        shards.truncate(if commits { SHARDS } else { 1 });
        let ends = self.readings.iter().enumerate();
        let end = |(source, reading): (usize, &Reading)| {
            self.end(source, outside).min(reading.next + batch.records)
        };
        let ends: Vec<usize> = ends.map(end).collect();
        loop {
            let before: Vec<usize> = self.readings.iter().map(|reading| reading.next).collect();
            for (source, &end) in ends.iter().enumerate() {
                self.read(source, end, outside);
            }
            self.check_memory(outside);
            for &shard in &shards {
                self.serve(shard, batch.is_reversed, outside);
            }
            // Reading and writing go on side by side, so that a full queue is no standstill.
            let has_read = self.readings.iter().zip(before).any(|(reading, before)| reading.next > before);
            if !has_read || self.readings.iter().zip(&ends).all(|(reading, &end)| reading.next >= end) {
                break;
            }
        }
        if !batch.is_reversed {
            self.hear_of_appends();
        }
        if commits {
            self.commit(outside);
        }
        !batch.crashes
    }

    /// Its readers are gone.
    pub(super) fn lose_connection(&mut self) {
        self.readings.iter_mut().for_each(|reading| reading.epoch = None);
    }

    /// The process is gone; what it has sent to the store arrives all the same.
    pub(super) fn abandon(&mut self, outside: &mut Outside<'_>) {
        for (shard, batch) in std::mem::take(&mut self.in_flight).into_iter().enumerate() {
            if let Some(batch) = batch {
                let settling = self.settling_of(shard, &batch);
                let settling = settling.into_iter().map(|(_, settling)| settling).collect();
                let rows = batch.iter().map(|write| write.row.clone()).collect();
                outside.around.orphans.push(OrphanWrite { shard, rows, settling });
            }
        }
    }

    /// Whether a sink has read up to an offset, and nothing stalls it.
    pub(super) fn has_read_to(&self, offset: usize) -> bool {
        self.readings.iter().all(|reading| reading.next >= offset && reading.stalled.is_none())
    }

    /// Whether nothing waits in memory.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_empty = |queue: &ShardQueue<SimRow>| queue.is_empty() && !queue.is_holding();
        self.queues.iter().all(is_empty)
            && self.in_flight.iter().all(Option::is_none)
            && self.answers.is_empty()
    }

    fn hear_of_appends(&mut self) {
        for (ticket, is_acknowledged) in std::mem::take(&mut self.answers) {
            self.readings[ticket.source].state.appended(ticket, is_acknowledged);
        }
    }

    /// Begins at what is committed, at the start and where the bookkeeping says so.
    fn open(&mut self, source: usize, outside: &mut Outside<'_>) {
        let reading = &mut self.readings[source];
        if reading.epoch.is_some() && reading.state.interruption().is_none() {
            return;
        }
        let (position, marks) = opening(self.role, source, outside);
        outside.around.openings += 1;
        let epoch = reading.state.open(&[position], outside.around.openings);
        marks.into_iter().for_each(|(shard, mark)| reading.state.know(0, shard, mark));
        reading.next = usize::try_from(position.0).expect("simulated logs are short");
        (reading.epoch, reading.stalled) = (Some(epoch), None);
        self.queues.iter_mut().for_each(|queue| queue.reopened(source, epoch));
    }

    /// Reads up to an offset, if there is room.
    fn read(&mut self, source: usize, until: usize, outside: &mut Outside<'_>) {
        if let Some(stalled) = self.readings[source].stalled.take()
            && !self.offer(source, stalled, outside)
        {
            return;
        }
        while self.readings[source].next < until {
            let reading = &self.readings[source];
            let (offset, epoch) = (reading.next, reading.epoch.expect("a source is open when it is read"));
            if let Some(row) = self.row_at(source, offset, outside) {
                let ticket = Ticket { source, epoch, stream: 0, offset: Offset(offset as u64) };
                if !self.take(ticket, outside) {
                    return;
                }
                self.readings[source].next = offset + 1;
                if !self.offer(source, PendingWrite::new(ticket, 0, row), outside) {
                    return;
                }
            }
            self.readings[source].next = offset + 1;
        }
        let reading = &mut self.readings[source];
        reading.state.reached(0, Offset(reading.next as u64));
    }

    fn end(&self, source: usize, outside: &Outside<'_>) -> usize {
        match self.role {
            Role::Sink => outside.broker.last_stable_offset(),
            Role::Retry => outside.around.retry[source].len(),
        }
    }

    fn row_at(&self, source: usize, offset: usize, outside: &Outside<'_>) -> Option<SimRow> {
        match self.role {
            Role::Sink => {
                let (key, value, provenance) = summary_at(outside.broker, offset)?;
                Some(SimRow::new(key, value, provenance))
            }
            Role::Retry => Some(outside.around.retry[source][offset].clone()),
        }
    }

    /// Opens a ticket, if its partition is not too far ahead.
    fn take(&mut self, ticket: Ticket, outside: &mut Outside<'_>) -> bool {
        let span_max = if self.role == Role::Sink { SPAN_MAX } else { u64::MAX };
        let Err(lowest) = self.readings[ticket.source].state.take(ticket, span_max) else { return true };
        for shard in 0..SHARDS {
            if let Some(released) = self.queues[shard].release(lowest) {
                self.hand_over(released, outside);
            }
        }
        self.hear_of_appends();
        self.readings[ticket.source].state.take(ticket, span_max).is_ok()
    }

    /// Offers a row to its shard. False if there is no room, so that nothing more is read.
    fn offer(&mut self, source: usize, write: Pending, outside: &mut Outside<'_>) -> bool {
        match self.queues[write.row.shard()].offer(write, outside.now) {
            Offer::Queued { superseded, .. } => {
                if let Some(superseded) = superseded {
                    self.readings[source].state.settle(superseded);
                }
                true
            }
            Offer::Held(ticket) => {
                self.readings[source].state.hold(ticket);
                true
            }
            Offer::Diverted(write) => {
                self.hand_over(vec![*write], outside);
                true
            }
            Offer::Full(write) => {
                self.readings[source].stalled = Some(*write);
                false
            }
        }
    }

    /// Serves a shard until there is nothing to do for now.
    fn serve(&mut self, shard: usize, is_reversed: bool, outside: &mut Outside<'_>) {
        for _ in 0..SHARD_STEPS_MAX {
            let is_blocked = outside.around.faults[shard] == StoreFault::Blocked;
            if let Some(batch) = self.in_flight[shard].take_if(|_| !is_blocked) {
                self.write(shard, batch, is_reversed, outside);
            }
            if self.in_flight[shard].is_some() {
                return;
            }
            match self.queues[shard].next(outside.now) {
                Ok(Step::Write(batch)) => self.in_flight[shard] = Some(batch),
                Ok(Step::HandOver(rows)) => self.hand_over(rows, outside),
                Ok(Step::Probe(samples)) => self.probe(shard, &samples, outside),
                Ok(Step::End) | Err(_) => return,
            }
        }
    }

    fn write(&mut self, shard: usize, batch: InFlight<SimRow>, is_reversed: bool, outside: &mut Outside<'_>) {
        let settling = self.settling_of(shard, &batch);
        let rows = batch.iter().map(|write| &write.row);
        let outcomes = if is_reversed {
            let mut outcomes = outside.write(shard, rows.rev());
            outcomes.reverse();
            outcomes
        } else {
            outside.write(shard, rows)
        };
        let outcomes = self.hear(shard, &settling, outcomes, outside);
        let finished = self.queues[shard].finish(batch, &outcomes, outside.now, outside.jitter);
        for ticket in finished.superseded {
            self.readings[ticket.source].state.settle(ticket);
        }
        for (index, write, disposal) in finished.disposed {
            self.dispose(write, outcomes[index], disposal, outside);
        }
        for ticket in finished.parked {
            self.readings[ticket.source].state.hold(ticket);
        }
    }

    /// Moves the marks with a write that was done, and returns what the process hears of it: nothing, where answers are lost. Then
    /// another writer goes on.
    fn hear(
        &mut self,
        shard: usize,
        settling: &[(usize, Settling)],
        outcomes: Vec<OutcomeKind>,
        outside: &mut Outside<'_>,
    ) -> Vec<OutcomeKind> {
        let is_written = outcomes.iter().any(has_answered);
        if outside.around.faults[shard] != StoreFault::Unanswered {
            if is_written {
                self.settle(shard, settling, outside);
            }
            return outcomes;
        }
        if is_written {
            let of_sources: Vec<Settling> = settling.iter().map(|(_, settling)| *settling).collect();
            outside.settle(shard, &of_sources);
        }
        for (source, _) in settling {
            outside.around.openings += 1;
            self.readings[*source].state.unanswered(shard, outside.around.openings);
        }
        vec![OutcomeKind::Retryable; outcomes.len()]
    }

    /// What a batch settles, by the sources of its rows.
    fn settling_of(&mut self, shard: usize, batch: &[Pending]) -> Vec<(usize, Settling)> {
        self.writes += 1;
        let sources: BTreeSet<usize> = batch.iter().map(|write| write.ticket.source).collect();
        let settling = |source: usize| {
            let state = &self.readings[source].state;
            let settled = state.committable()[0];
            let write = WriteId { writer: state.writer(shard), number: self.writes };
            let known = state.marks(0).get(&shard).copied().unwrap_or_default();
            (source, Settling { source: key_of(self.role, source), settled, write, known })
        };
        sources.into_iter().map(settling).collect()
    }

    /// Moves the marks of the database, in the transaction of the rows.
    fn settle(&mut self, shard: usize, settling: &[(usize, Settling)], outside: &mut Outside<'_>) {
        let of_sources: Vec<Settling> = settling.iter().map(|(_, settling)| *settling).collect();
        for ((source, _), mark) in settling.iter().zip(outside.settle(shard, &of_sources)) {
            let state = &mut self.readings[*source].state;
            match mark {
                Some(mark) => state.know(0, shard, mark.known()),
                None => state.restored(),
            }
        }
    }

    fn dispose(
        &mut self,
        write: Pending,
        outcome: OutcomeKind,
        disposal: Disposal,
        outside: &mut Outside<'_>,
    ) {
        let expect = |found: OutcomeKind, expected: OutcomeKind, place: &str, outside: &mut Outside<'_>| {
            if found != expected {
                outside.findings.fail(Property::Stores, || format!("{found:?} has led to {place}"));
            }
        };
        match disposal {
            Disposal::Settle => drop(self.readings[write.ticket.source].state.settle(write.ticket)),
            Disposal::Hold => drop(self.readings[write.ticket.source].state.hold(write.ticket)),
            Disposal::HandOver => {
                expect(outcome, OutcomeKind::Retryable, "RETRY", outside);
                self.hand_over(vec![write], outside);
            }
            Disposal::Quarantine => {
                expect(outcome, OutcomeKind::Poison, "QUARANTINE", outside);
                let is_taken = !outside.around.refuses_appends;
                self.answers.push((write.ticket, is_taken));
                if is_taken {
                    outside.around.quarantine.push(write.row);
                }
            }
            Disposal::Again { .. } => {}
        }
    }

    fn hand_over(&mut self, rows: Vec<Pending>, outside: &mut Outside<'_>) {
        let is_taken = !outside.around.refuses_appends;
        for write in rows {
            self.answers.push((write.ticket, is_taken));
            if is_taken {
                outside.around.retry[write.row.shard()].push(write.row);
            }
        }
    }

    fn probe(&mut self, shard: usize, samples: &[Pending], outside: &mut Outside<'_>) {
        let outcomes = outside.write(shard, samples.iter().map(|sample| &sample.row));
        for source in self.queues[shard].probed(samples, &outcomes, outside.now, outside.jitter) {
            self.readings[source].state.repaired();
        }
    }

    /// Whoever commits last wins: offsets of a group are plain commits.
    fn commit(&mut self, outside: &mut Outside<'_>) {
        for (source, reading) in self.readings.iter_mut().enumerate() {
            let commits = reading.state.uncommitted();
            for &(_, offset) in &commits {
                let offset = usize::try_from(offset.0).expect("simulated logs are short");
                let metadata = outside.metadata(reading.state.marks(0));
                *committed(self.role, source, outside) = Committed { offset, metadata };
            }
            reading.state.committed(&commits);
        }
    }

    fn check_memory(&self, outside: &mut Outside<'_>) {
        // What is put back comes on top of a full queue.
        let bound = self.policy.queue_max + self.policy.batch_max;
        let most = self.queues.iter().map(ShardQueue::len).max().unwrap_or(0);
        if most > bound {
            outside
                .findings
                .fail(Property::Memory, || format!("{most} rows wait for a shard, {bound} at most may"));
        }
    }
}

/// Where a source is read from, and what the databases of the shards are known to have. A commit beyond what a restored
/// database has is moved back at once.
fn opening(role: Role, source: usize, outside: &mut Outside<'_>) -> (Offset, BTreeMap<usize, KnownMark>) {
    let Committed { offset, metadata } = committed(role, source, outside).clone();
    let (known, committed_at) = (marks_of(&metadata), Offset(offset as u64));
    let answers = |shard: &usize| {
        let is_fed = role == Role::Sink || *shard == source;
        is_fed && !matches!(outside.around.faults[*shard], StoreFault::Down | StoreFault::Blocked)
    };
    let mark = |shard: usize| (shard, outside.around.databases[shard].mark(key_of(role, source)));
    let found: BTreeMap<usize, SettledMark> = (0..SHARDS).filter(answers).map(mark).collect();
    let compared = found.iter().filter_map(|(shard, found)| Some((*found, *known.get(shard)?)));
    let position = begin(committed_at, compared);
    let mut marks: BTreeMap<usize, KnownMark> =
        found.into_iter().map(|(shard, mark)| (shard, mark.known())).collect();
    // What a shard that does not answer has is compared by its first write.
    for (shard, mark) in known {
        marks.entry(shard).or_insert(mark);
    }
    if position < committed_at {
        let offset = usize::try_from(position.0).expect("simulated logs are short");
        let metadata = outside.metadata(&marks);
        *committed(role, source, outside) = Committed { offset, metadata };
    }
    (position, marks)
}

fn committed<'o>(role: Role, source: usize, outside: &'o mut Outside<'_>) -> &'o mut Committed {
    match role {
        Role::Sink => &mut outside.around.committed,
        Role::Retry => &mut outside.around.retry_committed[source],
    }
}

fn key_of(role: Role, source: usize) -> SourceKey {
    (role, source)
}

/// Small bounds, so that short runs meet them.
fn policy(role: Role) -> QueuePolicy {
    let (ms, is_retry) = (Duration::from_millis, role == Role::Retry);
    QueuePolicy {
        batch_max: 8,
        linger: Duration::ZERO,
        queue_max: 16,
        queue_bytes_max: 1 << 20,
        patience: ms(500),
        hand_over_after: (!is_retry).then_some(ms(2_000)),
        has_retry: true,
        keeps_newest: is_retry,
        waits_after_failures: is_retry,
        back_off: WaitBounds { base: ms(100), cap: ms(2_000) },
        repair_back_off: WaitBounds { base: ms(200), cap: ms(4_000) },
    }
}
