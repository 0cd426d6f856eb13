//! One shard as the retry process sees it: what waits for it, when it may be tried, what a write has led to.

use std::sync::Arc;
use std::time::Instant;

use yahtzee_runtime::back_off::{self, BackOff};
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::NewRecord;
use yahtzee_runtime::telemetry::names;

use super::Shared;
use super::pending::{Pending, Ticket, Waiting};
use crate::dead_letter::headers::FailureHeaders;
use crate::dead_letter::records;
use crate::store::Summary;
use crate::store::{Fault, Outcome, Shard, ShardWriter};

/// Writes in which a summary may fail while others of its batch do not, before it goes to the end of RETRY.
const TRIES_MAX: u32 = 3;

/// Records that leave RETRY, by outcome, and what must be durable before they may.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) tickets: Vec<(Ticket, &'static str)>,
    pub(super) records: Vec<NewRecord>,
}

impl Left {
    /// Nothing is left to be done for it.
    pub(super) fn settled(&mut self, ticket: Ticket, outcome: &'static str) {
        self.tickets.push((ticket, outcome));
    }

    /// It goes on as `record`.
    pub(super) fn goes_on(&mut self, ticket: Ticket, outcome: &'static str, record: NewRecord) {
        self.records.push(record);
        self.tickets.push((ticket, outcome));
    }
}

/// One shard and what waits for it.
pub(super) struct ShardLane {
    pub(super) shard: Shard,
    pub(super) pending: Pending,
    name: String,
    writer: Box<dyn ShardWriter>,
    writes: metrics::Counter,
    back_off: BackOff,
    mending: BackOff,
    next_try: Instant,
    condition: Condition,
}

impl ShardLane {
    pub(super) fn new(shared: &Arc<Shared>, shard: Shard) -> Self {
        let name = shared.shard_names[shard.index()].clone();
        let ((base, cap), (mending_base, mending_cap)) = (shared.settings.back_off, shared.settings.mending);
        shared.health.set(&part(&name), Condition::Ready);
        Self {
            shard,
            pending: Pending::default(),
            writer: shared.store.writer(shard),
            writes: names::RETRY_WRITES.with(&[shared.store.name(), &name]),
            back_off: BackOff::new(base, cap, back_off::seed()),
            mending: BackOff::new(mending_base, mending_cap, back_off::seed()),
            next_try: Instant::now(),
            condition: Condition::Ready,
            name,
        }
    }

    /// When it may be tried again; `None` where nothing waits.
    pub(super) fn next_try(&self) -> Option<Instant> {
        (!self.pending.is_empty()).then_some(self.next_try)
    }

    /// Writes one batch, if one waits and a try is due. A shard that was down gets no more than that as a probe.
    pub(super) fn turn(&mut self, shared: &Shared, now: Instant) -> Left {
        let mut left = Left::default();
        if self.next_try().is_none_or(|at| at > now) {
            return left;
        }
        let oldest = || self.pending.oldest(shared.settings.batch_max);
        let (ages, summaries): (Vec<u64>, Vec<Summary<'_>>) =
            oldest().map(|(age, waiting)| (age, waiting.summary.lend())).unzip();
        // Rows that have failed beside others say nothing about the shard.
        let says_something = oldest().any(|(_, waiting)| waiting.tries == 0);
        self.writes.increment(1);
        let outcomes = self.writer.write(&summaries);
        assert_eq!(outcomes.len(), summaries.len(), "a store says of every summary what became of it");
        self.pace(shared, &outcomes);
        let has_failed = |outcome: &Outcome| matches!(outcome, Outcome::Retryable(_));
        let is_down = says_something && outcomes.iter().all(has_failed);
        for (age, outcome) in ages.into_iter().zip(outcomes) {
            self.sort(shared, age, outcome, is_down, &mut left);
        }
        left
    }

    fn sort(&mut self, shared: &Shared, age: u64, outcome: Outcome, is_down: bool, left: &mut Left) {
        match outcome {
            Outcome::Retryable(fault) => {
                let shard = self.shard;
                if !is_down && self.pending.failed_alone(age) >= TRIES_MAX {
                    self.leave(age, left, "requeued", |waiting| requeued(shared, shard, waiting, &fault));
                }
            }
            Outcome::Misconfigured(_) => {}
            Outcome::Poison(fault) => {
                self.leave(age, left, "quarantined", |waiting| poison(shared, waiting, &fault));
            }
            settled => {
                if let Some(waiting) = self.pending.remove(age) {
                    tell_chain(shared, &waiting, &settled);
                    left.settled(waiting.ticket, outcome_name(&settled));
                }
            }
        }
    }

    fn leave(
        &mut self,
        age: u64,
        left: &mut Left,
        outcome: &'static str,
        record: impl FnOnce(&Waiting) -> NewRecord,
    ) {
        if let Some(waiting) = self.pending.remove(age) {
            left.goes_on(waiting.ticket, outcome, record(&waiting));
        }
    }

    /// When the next try is due: at once after a batch without failures.
    fn pace(&mut self, shared: &Shared, outcomes: &[Outcome]) {
        let wrong = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Misconfigured(fault) => Some(fault),
            _ => None,
        });
        let down = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Retryable(fault) => Some(fault),
            _ => None,
        });
        let wait = match (wrong, down) {
            (Some(_), _) => self.mending.next_wait(),
            (None, Some(_)) => self.back_off.next_wait(),
            (None, None) => {
                self.mending.reset();
                self.back_off.reset();
                std::time::Duration::ZERO
            }
        };
        self.next_try = Instant::now() + wait;
        self.tell_health(shared, wrong.or(down));
    }

    fn tell_health(&mut self, shared: &Shared, fault: Option<&Fault>) {
        let condition = fault.map_or(Condition::Ready, |fault| Condition::Troubled(fault.to_string()));
        if condition != self.condition {
            match fault {
                None => {
                    tracing::info!(shard = self.name, waiting = self.pending.len(), "works again: draining")
                }
                Some(fault) => {
                    tracing::warn!(shard = self.name, %fault, "does not work now: what waits is held")
                }
            }
            shared.health.set(&part(&self.name), condition.clone());
            self.condition = condition;
        }
    }
}

fn part(shard: &str) -> String {
    format!("shard-{shard}")
}

/// To the end of RETRY.
fn requeued(shared: &Shared, shard: Shard, waiting: &Waiting, fault: &Fault) -> NewRecord {
    let trail = trail(shared, waiting, fault);
    let trail = FailureHeaders { attempts: trail.attempts.saturating_add(1), ..trail };
    let topics = &shared.jobs[waiting.ticket.job];
    records::retry(topics, shard, &waiting.summary.key, &waiting.summary.value, &trail)
}

fn poison(shared: &Shared, waiting: &Waiting, fault: &Fault) -> NewRecord {
    tracing::warn!(job = %waiting.summary.job, key = ?waiting.summary.parts, %fault, "a summary cannot be stored: quarantined");
    let topics = &shared.jobs[waiting.ticket.job];
    let trail = trail(shared, waiting, fault);
    records::quarantine(topics, shared.store.name(), &waiting.summary.key, &waiting.summary.value, &trail)
}

/// The trail it came with, and the new error.
fn trail(shared: &Shared, waiting: &Waiting, fault: &Fault) -> FailureHeaders {
    let old = waiting.trail.clone();
    FailureHeaders {
        store: Some(shared.store.name().to_owned()),
        job: Some(waiting.summary.job.to_string()),
        revision: Some(waiting.summary.revision()),
        first_failure_ms: old.first_failure_ms.or_else(|| Some(yahtzee_runtime::clock::wall_clock_ms())),
        error: Some(fault.to_string()),
        ..old
    }
}

fn tell_chain(shared: &Shared, waiting: &Waiting, outcome: &Outcome) {
    if let Outcome::StoredAgainstChain = outcome {
        names::SINK_CHAIN_VIOLATIONS.with(&[shared.store.name()]).increment(1);
        tracing::error!(job = %waiting.summary.job, key = ?waiting.summary.parts,
            "a newer summary contradicts the stored one: a window was rebuilt in part");
    }
}

/// What is stored against the chain is stored: the violation has a metric of its own.
fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::StoredAgainstChain => Outcome::Stored.name(),
        other => other.name(),
    }
}
