//! The writes of one slot: what its machine asks for, done against the log.

use yahtzee_core::effect::{Effect, Emit};
use yahtzee_core::owner::Partition;
use yahtzee_core::slot::{PartitionCommit, SlotAnswer, SlotMachine, SlotRequest};
use yahtzee_core::summary::{SummaryKey, record_key};
use yahtzee_core::window::Window;

use crate::clock::wall_clock_ms;
use crate::log::{Acknowledged, NewRecord, OffsetCommit, SlotWriter};
use crate::metric_names;

use super::worker_topics::WorkerTopics;
use super::{JobFailure, dead_letters};

/// Numbers of what was made durable.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WriteCounts {
    pub(super) changes: u64,
    pub(super) finals: u64,
    pub(super) dead_letters: u64,
    pub(super) commits: u64,
}

impl WriteCounts {
    fn count(&mut self, effect: &Effect) {
        match effect {
            Effect::Emit(Emit { is_final: true, .. }) => self.finals += 1,
            Effect::Emit(_) => self.changes += 1,
            Effect::DeadLetter(_) => self.dead_letters += 1,
            Effect::Late(_) | Effect::Failed(_) => {}
        }
    }
}

/// Does one write of `machine` at `now_ms`, if it asks for one. What it leaves is due at once: the shell folds and looks
/// at its stop between two writes, however much there is to be written.
///
/// # Errors
/// If the log fails. Nothing in memory is to be trusted then: the machine must be told, and opened anew.
pub(super) fn write_due(
    machine: &mut SlotMachine,
    writer: &mut dyn SlotWriter,
    topics: &WorkerTopics,
    now_ms: u64,
) -> Result<WriteCounts, JobFailure> {
    let mut written = WriteCounts::default();
    match machine.poll(now_ms) {
        None => {}
        Some(SlotRequest::Append(effects)) => {
            let records = records(effects, topics, stamp_ms(machine), &mut written);
            let acknowledged = writer.append(&records)?;
            machine.answer(SlotAnswer::Appended, now_ms).expect("only an opening is refused");
            // Dropped without a commit, the records are aborted.
            if let Some(SlotRequest::Commit(commits)) = machine.poll(now_ms) {
                commit(acknowledged, &commits, topics, &mut written)?;
                machine.answer(SlotAnswer::Committed, now_ms).expect("only an opening is refused");
            }
        }
        Some(SlotRequest::Commit(commits)) => {
            commit(writer.append(&[])?, &commits, topics, &mut written)?;
            machine.answer(SlotAnswer::Committed, now_ms).expect("only an opening is refused");
        }
        Some(opening) => unreachable!("an assigned slot asks for {opening:?}"),
    }
    Ok(written)
}

fn records(
    effects: Vec<(Partition, Effect)>,
    topics: &WorkerTopics,
    timestamp_ms: i64,
    written: &mut WriteCounts,
) -> Vec<NewRecord> {
    let record = |(partition, effect)| {
        let effect = fit(effect, topics)?;
        written.count(&effect);
        Some(record_of(effect, topics, partition, timestamp_ms))
    };
    effects.into_iter().filter_map(record).collect()
}

/// Returns the stamp of what is written, by which the topic's retention goes: now, and the watermark where the clock of
/// this machine is behind it, or a broker would delete at once what a machine of last month writes.
fn stamp_ms(machine: &SlotMachine) -> i64 {
    let watermarks_ms = machine.assigned().iter().filter_map(|assigned| assigned.status().watermark_ms);
    watermarks_ms.fold(wall_clock_ms(), i64::max)
}

/// Returns what is written of an effect: nothing of a change that cannot be published, since the final summary follows, which
/// is written as a dead letter.
pub(super) fn fit(effect: Effect, topics: &WorkerTopics) -> Option<Effect> {
    let Effect::Failed(failed) = &effect else { return Some(effect) };
    let reason = failed.reason.name();
    metric_names::SUMMARY_FAILED.with(&[topics.job, reason]).increment(1);
    if !failed.provenance.is_final {
        return None;
    }
    tracing::error!(
        job = topics.job, reason, owner = %failed.owner, key = ?SummaryKey::decode(&failed.key).ok(),
        "a summary cannot be published: it goes to the DLQ, and to no store"
    );
    Some(effect)
}

pub(super) fn record_of(
    effect: Effect,
    topics: &WorkerTopics,
    partition: Partition,
    timestamp_ms: i64,
) -> NewRecord {
    let topic = topics.of(effect.destination());
    let (partition, key, value) = match effect {
        Effect::Failed(failed) => dead_letters::failed_summary(failed, topics, partition),
        Effect::Emit(emit) => {
            let key = record_key(emit.key, topics.generation);
            (emit.owner.partition(topics.partitions), key, emit.value)
        }
        Effect::DeadLetter(letter) => dead_letters::dead_letter(letter, topics, partition),
        Effect::Late(late) => dead_letters::late(late, topics, partition),
    };
    NewRecord { topic, partition, timestamp_ms, key, value, headers: Vec::new() }
}

fn commit(
    acknowledged: Acknowledged<'_>,
    commits: &[PartitionCommit],
    topics: &WorkerTopics,
    written: &mut WriteCounts,
) -> Result<(), JobFailure> {
    // Beside the summaries too, where they survive the raw topic: see `committed`.
    let places = [topics.raw.as_str(), &topics.summary];
    let offset = |commit: &PartitionCommit, topic| OffsetCommit {
        topic,
        partition: commit.partition,
        committed: commit.offset.clone(),
    };
    let offsets =
        places.into_iter().flat_map(|topic| commits.iter().map(move |commit| offset(commit, topic)));
    acknowledged.commit(&offsets.collect::<Vec<_>>())?;
    written.commits += commits.len() as u64;
    commits.iter().for_each(|commit| warn_of_incomplete(commit, topics));
    Ok(())
}

/// Says which windows have lost input, once.
fn warn_of_incomplete(commit: &PartitionCommit, topics: &WorkerTopics) {
    let Some(incomplete) = &commit.newly_incomplete else { return };
    let start_ms = |window: Window| window.start_ms(topics.window_length_ms);
    let windows_ms: Vec<i64> = incomplete.windows().map(start_ms).collect();
    let through_ms = incomplete.reach_through().map(start_ms);
    tracing::warn!(
        job = topics.job, partition = %commit.partition, through_ms, ?windows_ms,
        "these windows have lost input and are not published; `yahtzee commits` names them too"
    );
}
