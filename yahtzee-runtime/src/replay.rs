//! Recomputing: ranges of a raw topic through fresh production cores, beside running workers and unseen by them.
//!
//! `yahtzee replay` publishes what comes out, `yahtzee verify` compares it with what was published.
//!
//! A range begins in the middle of a log, so its first windows lack input. They are not guessed at: the core
//! holds them to be incomplete, as it does after a gap. Windows that no record of the range has closed are not final either.
//! So what comes out is final and whole, byte for byte what a worker publishes, and the windows at both edges are
//! named in the [`ReplayTally`].
//!
//! | edge   | by offset                                    | by time                                               |
//! |--------|----------------------------------------------|-------------------------------------------------------|
//! | start  | windows that the first record shows are left out | reading begins `F` windows and a clock difference earlier |
//! | end    | windows open there are left out              | reading goes on for `L` windows, until they are closed |
//!
//! | file | subject |
//! |---|---|
//! | `span` | the range, resolved into offsets of each partition |
//! | `partition` | one partition's span through a core |
//! | `journal` | plan and progress, with which an interrupted replay continues |
//! | `publish` | writing what came out, together with the progress |

use std::collections::BTreeMap;

use yahtzee_core::commit::{AcceptanceSettings, Identity, OwnerTag};
use yahtzee_core::lost_tail::LostTail;
use yahtzee_core::owner::Partition;
use yahtzee_core::partition::ResumeError;
use yahtzee_core::record::Offset;
use yahtzee_core::slot::{EarlierCommits, TAIL_RECORDS};

use crate::log::scan::first_records;
use crate::log::{Isolation, Log, LogError, MovingReader, require_topic};
use crate::topics::TopicLayout;
use crate::worker::{JobFailure, JobPlan, committed_below};

mod journal;
mod partition;
mod publish;
mod span;

pub use journal::{Begun, Journal};
pub use partition::{PartitionReplay, Recomputed, ReplayTally};
pub use publish::Publisher;
pub use span::{Edge, ReplayRange, ReplaySpan};

/// A job and the raw topic that it is recomputed from.
#[derive(Clone)]
pub struct Subject {
    /// The job and its policy.
    pub plan: JobPlan,
    /// Name of the raw topic.
    pub raw: String,
    /// Identity that summaries and progress belong to.
    pub identity: Identity,
    /// What each partition of the raw topic has lost, as a worker of the job finds it that folds the log anew: it does not publish the
    /// windows that lack records.
    pub losses: BTreeMap<Partition, Vec<LostTail>>,
}

/// Reasons why a replay stopped. Texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log failed.
    #[error("{0}")]
    Log(#[from] LogError),
    /// The job cannot be run on this topic.
    #[error(transparent)]
    Job(#[from] JobFailure),
    /// A replay of this id was begun with other settings.
    #[error(
        "replay `{id}` was begun as `{before}`, this is `{now}`; repeat it as it was to go on, or begin again with \
         --fresh, or choose another --id"
    )]
    OtherSettings {
        /// Its id.
        id: String,
        /// The request with which it began.
        before: String,
        /// The request now.
        now: String,
    },
    /// The journal cannot be read.
    #[error(
        "consumer group {group} holds something else than the journal of a replay; choose another --id, or \
         overwrite it with --fresh"
    )]
    ForeignJournal {
        /// The group.
        group: String,
    },
}

impl Subject {
    /// Finds the raw topic of a job. `generation` is what recomputed summaries carry; `token` marks this replay's
    /// progress.
    ///
    /// # Errors
    /// If the topic is missing or has another number of partitions than configured.
    pub fn open(
        log: &dyn Log,
        plan: &JobPlan,
        layout: &TopicLayout,
        generation: u32,
        token: u32,
    ) -> Result<Self, ReplayError> {
        let wanted = plan.topics(layout).swap_remove(0);
        let found = require_topic(log, &wanted)?;
        let identity = Identity {
            generation,
            topic_id: found.id,
            partition_count: found.partitions,
            window_length_ms: plan.policy.length_ms,
            // Nothing of a replay is fenced by slots.
            acceptance: Some(AcceptanceSettings::of(&plan.policy, 0, plan.job.dimensions())),
            owner_tag: OwnerTag { worker: 0, workers: 1, incarnation: token },
        };
        let raw = wanted.name;
        let losses = known_losses(log, plan, layout, &raw, &identity)?;
        Ok(Self { plan: plan.clone(), raw, identity, losses })
    }

    /// Returns a reader of the raw topic, for one partition after the other.
    #[must_use]
    pub fn reader(&self) -> MovingReader {
        MovingReader::new(&self.raw, Isolation::Uncommitted)
    }

    /// Returns all partitions of the raw topic.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        (0..self.identity.partition_count).map(Partition).collect()
    }
}

/// Returns what the log has lost in the eyes of the newest commits of the job, as a worker would find it that folds the log anew:
/// what they name, and what the log does not have any more of what they had read.
fn known_losses(
    log: &dyn Log,
    plan: &JobPlan,
    layout: &TopicLayout,
    raw: &str,
    identity: &Identity,
) -> Result<BTreeMap<Partition, Vec<LostTail>>, ReplayError> {
    let partitions: Vec<Partition> = (0..identity.partition_count).map(Partition).collect();
    let newest = plan.generation.max(identity.generation);
    let stored = committed_below(log, plan, layout, newest.saturating_add(1), &partitions)?;
    // Of the log as it is after the commits, so that it holds all that they tell of.
    let bounds = log.bounds(raw, &partitions)?;
    let mut known = Vec::new();
    for (&partition, bounds) in partitions.iter().zip(bounds) {
        let commits = EarlierCommits::read(&stored, partition, identity);
        let refused = |reason| JobFailure::Refused {
            topic: raw.to_owned(),
            partition,
            refusal: ResumeError::Unreadable(reason),
        };
        known.extend(commits.map_err(refused)?.map(|commits| (partition, bounds, commits)));
    }
    loop {
        let mut asked: Vec<(Partition, Offset, &mut EarlierCommits)> = Vec::new();
        for (partition, bounds, commits) in &mut known {
            if let Some(offset) = commits.next_tail(bounds) {
                asked.push((*partition, offset, commits));
            }
        }
        if asked.is_empty() {
            break;
        }
        let from: Vec<(Partition, Offset)> =
            asked.iter().map(|&(partition, offset, _)| (partition, offset)).collect();
        let records = first_records(log, raw, &from, TAIL_RECORDS)?;
        asked.into_iter().zip(records).for_each(|((_, _, commits), found)| commits.take_tail(found));
    }
    Ok(known.iter().map(|(partition, bounds, commits)| (*partition, commits.losses(bounds))).collect())
}

#[cfg(test)]
mod tests;
