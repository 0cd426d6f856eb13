//! The thread of one shard: writes batches and acts on their outcomes.

use std::collections::BTreeSet;
use std::sync::Arc;

use yahtzee_core::delivery::{Disposal, InFlight, OutcomeKind, Step};
use yahtzee_runtime::cause::Cause;
use yahtzee_runtime::health::Condition;

use super::TaskContext;
use super::batch;
use super::dead_letter_writer::DeadLetters;
use super::metrics::Ending;
use super::queue::SharedQueue;
use super::row::{DeliveryRow, PendingRow};
use crate::store::{Outcome, Settling, Shard, ShardWriter, Summary, WrittenBatch};

/// Writes to one shard.
pub(super) struct ShardThread {
    shared: Arc<TaskContext>,
    shard: Shard,
    /// Name in the health report.
    part: String,
    writer: Box<dyn ShardWriter>,
    condition: Condition,
    /// Whether rows wait for the configuration to be repaired.
    is_held: bool,
}

impl ShardThread {
    pub(super) fn new(shared: &Arc<TaskContext>, shard: Shard, name: &str) -> Self {
        let part = format!("shard-{name}");
        shared.health.set(&part, Condition::Ready);
        let writer = shared.store.writer(shard);
        Self { shared: Arc::clone(shared), shard, part, writer, condition: Condition::Ready, is_held: false }
    }

    /// Runs until the queue is closed.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            match self.queue().next(|| shared.now()) {
                Step::Write(batch) => self.write(batch),
                Step::HandOver(rows) => shared.hand_over(rows, self.shard, &self.queue().reason()),
                Step::Probe(samples) => self.probe(&samples),
                Step::End => return,
            }
            self.queue().report(shared.now());
        }
    }

    fn write(&mut self, batch: InFlight<DeliveryRow>) {
        let outcomes = self.call(&batch);
        let kinds: Vec<OutcomeKind> = outcomes.iter().map(Outcome::kind).collect();
        let fault = first_fault(&outcomes, OutcomeKind::Retryable);
        let finished = self.queue().finish(batch, &kinds, fault, self.shared.now());
        for ticket in finished.superseded {
            self.shared.endings.count(Ending::Superseded);
            self.shared.sources[ticket.source].settle(ticket);
        }
        let mut letters = DeadLetters::default();
        for (index, row, disposal) in finished.disposed {
            self.dispose(&mut letters, &row, &outcomes[index], disposal);
        }
        self.shared.dead_letters.send(letters);
        for ticket in finished.parked {
            self.shared.hold(ticket);
        }
        self.report_held(first_fault(&outcomes, OutcomeKind::Misconfigured));
        if !self.is_held {
            self.report_health(fault.filter(|_| finished.is_failing));
        }
    }

    /// Writes rows to the store, and calls the observer for those stored.
    fn call(&mut self, rows: &[PendingRow]) -> Vec<Outcome> {
        let summaries: Vec<Summary<'_>> = rows.iter().map(|row| row.row.summary.lend()).collect();
        let streams: BTreeSet<(usize, usize)> =
            rows.iter().map(|row| (row.ticket.source, row.ticket.stream)).collect();
        let settling =
            |&(source, stream): &(usize, usize)| self.shared.sources[source].settling(stream, self.shard);
        let (epochs, settling): (Vec<u64>, Vec<Settling>) = streams.iter().map(settling).unzip();
        let started = self.shared.now();
        let WrittenBatch { outcomes, marks, is_in_doubt } =
            batch::write(&mut *self.writer, &summaries, settling);
        for (((source, stream), epoch), marked) in streams.into_iter().zip(epochs).zip(marks) {
            let source = &self.shared.sources[source];
            source.marked(epoch, stream, self.shard, marked);
            if is_in_doubt {
                source.unanswered(self.shard);
            }
        }
        self.queue().metrics.record_write(rows.len(), self.shared.now().saturating_sub(started));
        if let Some(observer) = &self.shared.observer {
            let stored =
                summaries.iter().zip(&outcomes).filter(|(_, outcome)| outcome.kind() == OutcomeKind::Stored);
            stored.for_each(|(summary, _)| observer(summary.job, summary.key, summary.value));
        }
        outcomes
    }

    fn dispose(&self, letters: &mut DeadLetters, row: &PendingRow, outcome: &Outcome, disposal: Disposal) {
        let unknown = || Cause::new(outcome.name(), outcome.name());
        let fault = || outcome.fault().cloned().unwrap_or_else(unknown);
        match disposal {
            Disposal::Settle => self.settle(row, outcome),
            Disposal::HandOver => self.shared.add_to_retry(letters, row, self.shard, &fault()),
            Disposal::Quarantine => self.shared.add_to_quarantine(letters, row, self.shard, &fault()),
            Disposal::Hold => self.shared.hold(row.ticket),
            Disposal::Again { .. } => {}
        }
    }

    fn settle(&self, row: &PendingRow, outcome: &Outcome) {
        let source = &self.shared.sources[row.ticket.source];
        let contradiction = match outcome {
            Outcome::StoredAgainstChain => {
                Some("a newer summary contradicts the stored one: a window was rebuilt in part")
            }
            Outcome::StaleAgainstChain => {
                Some("a summary has the revision of the stored one and other bytes, and was not stored")
            }
            _ => None,
        };
        if let Some(contradiction) = contradiction {
            let summary = &row.row.summary;
            tracing::error!(job = %summary.job, source = %source.position(row.ticket), key = ?summary.parts,
                provenance = ?summary.provenance, "{contradiction}");
        }
        self.shared.endings.count_settled(outcome);
        source.settle(row.ticket);
    }

    /// Tries one row of every job that is held. Jobs that are no longer refused because of their configuration are read
    /// again.
    fn probe(&mut self, samples: &[PendingRow]) {
        let outcomes = self.call(samples);
        let kinds: Vec<OutcomeKind> = outcomes.iter().map(Outcome::kind).collect();
        for source in self.queue().probed(samples, &kinds, self.shared.now()) {
            self.shared.sources[source].repaired();
        }
        self.is_held = self.queue().is_holding();
        if !self.is_held {
            self.report_health(first_fault(&outcomes, OutcomeKind::Retryable));
        }
    }

    /// Reports held jobs to the health report, where they stay until all of them work.
    fn report_held(&mut self, fault: Option<&Cause>) {
        if let Some(fault) = fault.filter(|_| !self.is_held) {
            tracing::error!(part = self.part, %fault, "held until somebody repairs the configuration");
            self.is_held = true;
            self.condition = Condition::Troubled(fault.to_string());
            self.shared.health.set(&self.part, self.condition.clone());
        }
    }

    /// Reports the health of the shard.
    fn report_health(&mut self, fault: Option<&Cause>) {
        let condition = fault.map_or(Condition::Ready, |fault| Condition::Troubled(fault.to_string()));
        if condition == self.condition {
            return;
        }
        match fault {
            None => tracing::info!(part = self.part, "works again"),
            Some(fault) => tracing::warn!(part = self.part, %fault, "does not work now"),
        }
        self.shared.health.set(&self.part, condition.clone());
        self.condition = condition;
    }

    fn queue(&self) -> &SharedQueue {
        &self.shared.queues[self.shard.index()]
    }
}

fn first_fault(outcomes: &[Outcome], kind: OutcomeKind) -> Option<&Cause> {
    outcomes.iter().find(|outcome| outcome.kind() == kind)?.fault()
}
