//! A slot while it opens: what it asks for, and what it makes of the answers.

use crate::commit::{Commit, Identity, Unreadable};
use crate::erased::AnyPartition;
use crate::log_tail::RecordPrint;
use crate::lost_tail::LostTail;
use crate::owner::Partition;
use crate::partition::{History, Opened, ResumeError};
use crate::record::Offset;

use super::earlier::{EarlierCommits, TAIL_RECORDS};
use super::rules::{OpeningStep, SlotRules};
use super::{Assignment, Bounds, CommittedOffset, OpenPartition, PartitionRefused, SlotAnswer, SlotRequest};

/// An opening under way.
pub(super) struct Opening {
    identity: Identity,
    open_partition: Box<OpenPartition>,
    /// Steps that are answered or had nothing to ask.
    done: usize,
    pub(super) is_asked: bool,
    /// What was answered, in the order of the slot's partitions.
    found: Vec<PartitionAnswers>,
    pub(super) assignments: Vec<Assignment>,
}

/// What is known of a partition before it is opened.
#[derive(Clone, Debug)]
struct PartitionAnswers {
    partition: Partition,
    committed: Option<CommittedOffset>,
    /// What earlier generations have committed that this one has not come to yet, or why that cannot be told.
    earlier: Result<Option<EarlierCommits>, Unreadable>,
    bounds: Bounds,
}

impl PartitionAnswers {
    /// Whether the commits of earlier generations are asked for: they may tell of a loss that nobody else knows.
    fn asks_earlier(&self, generation: u32) -> bool {
        generation > 1 || self.committed.is_none()
    }

    /// Where to look next for the end of what an earlier generation had read, if the log still has the place.
    fn next_tail(&mut self) -> Option<(Partition, Offset)> {
        let earlier = self.earlier.as_mut().ok()?.as_mut()?;
        earlier.next_tail(&self.bounds).map(|offset| (self.partition, offset))
    }

    fn losses(&self) -> Result<Vec<LostTail>, ResumeError> {
        let earlier = self.earlier.as_ref().map_err(|reason| ResumeError::Unreadable(*reason))?;
        Ok(earlier.as_ref().map(|earlier| earlier.losses(&self.bounds)).unwrap_or_default())
    }
}

impl Opening {
    pub(super) fn new(
        identity: &Identity,
        open_partition: Box<OpenPartition>,
        partitions: &[Partition],
    ) -> Self {
        let bounds = Bounds { start: Offset(0), end: Offset(0) };
        let unknown = |&partition: &Partition| PartitionAnswers {
            partition,
            committed: None,
            earlier: Ok(None),
            bounds,
        };
        let found = partitions.iter().map(unknown).collect();
        Self { identity: *identity, open_partition, done: 0, is_asked: false, found, assignments: Vec::new() }
    }

    /// Returns what the shell has to find out next; `None` once all is known.
    pub(super) fn next_request(&mut self, rules: &dyn SlotRules) -> Option<SlotRequest> {
        while let Some(step) = rules.opening().get(self.done) {
            let request = self.request(*step);
            if request.is_some() {
                return request;
            }
            self.done += 1;
        }
        None
    }

    fn request(&mut self, step: OpeningStep) -> Option<SlotRequest> {
        match step {
            OpeningStep::Successor => Some(SlotRequest::PeekCommits),
            OpeningStep::Fence => Some(SlotRequest::Fence),
            OpeningStep::Commits => Some(SlotRequest::ReadCommits),
            OpeningStep::Bounds => Some(SlotRequest::ReadBounds),
            OpeningStep::EarlierCommits => {
                let asks = self.found.iter().any(|found| found.asks_earlier(self.identity.generation));
                // Those of other partitions tell of a topic that was another one then.
                let all = (0..self.identity.partition_count).map(Partition);
                asks.then(|| SlotRequest::ReadEarlierCommits(all.collect()))
            }
            OpeningStep::Tails => {
                let from: Vec<_> = self.found.iter_mut().filter_map(PartitionAnswers::next_tail).collect();
                (!from.is_empty()).then_some(SlotRequest::ReadRecords { from, count: TAIL_RECORDS })
            }
        }
    }

    /// Takes the answer to the last request. `predecessors` are the incarnations that had committed of any partition of the slot when
    /// this process looked first; `None` before.
    ///
    /// # Errors
    /// If it shows that a successor has taken over, or that a newer program has committed.
    pub(super) fn take(
        &mut self,
        answer: SlotAnswer,
        rules: &dyn SlotRules,
        predecessors: &mut Option<Vec<u32>>,
    ) -> Result<(), PartitionRefused> {
        match answer {
            SlotAnswer::Fenced => {}
            SlotAnswer::Commits(committed) if rules.opening()[self.done] == OpeningStep::Successor => {
                self.look_for_successor(&committed, rules, predecessors)?;
            }
            SlotAnswer::Commits(committed) => {
                self.found.iter_mut().zip(committed).for_each(|(found, it)| found.committed = it);
            }
            SlotAnswer::EarlierCommits(earlier) => {
                let now = &self.identity;
                for found in self.found.iter_mut().filter(|found| found.asks_earlier(now.generation)) {
                    found.earlier = match &found.committed {
                        None => EarlierCommits::read(&earlier, found.partition, now),
                        Some(own) => EarlierCommits::beyond(own, &earlier, found.partition, now),
                    };
                }
            }
            SlotAnswer::Bounds(bounds) => {
                self.found.iter_mut().zip(bounds).for_each(|(found, it)| found.bounds = it);
            }
            SlotAnswer::Records(records) => {
                let mut records = records.into_iter();
                for found in &mut self.found {
                    if found.next_tail().is_some()
                        && let Ok(Some(earlier)) = &mut found.earlier
                    {
                        earlier.take_tail(records.next().unwrap_or_default());
                    }
                }
                // There may be further ones to look for.
                self.is_asked = false;
                return Ok(());
            }
            SlotAnswer::Appended | SlotAnswer::Committed => panic!("{answer:?} while opening"),
        }
        (self.done, self.is_asked) = (self.done + 1, false);
        Ok(())
    }

    fn look_for_successor(
        &self,
        committed: &[Option<CommittedOffset>],
        rules: &dyn SlotRules,
        predecessors: &mut Option<Vec<u32>>,
    ) -> Result<(), PartitionRefused> {
        let own = self.identity.owner_tag.incarnation;
        let mut committers = Vec::new();
        for (found, committed) in self.found.iter().zip(committed) {
            let refused = |reason| PartitionRefused { partition: found.partition, reason };
            let committer =
                incarnation_of(committed).map_err(|reason| refused(ResumeError::Unreadable(reason)))?;
            committers.extend(committer.map(|committer| (found.partition, committer)));
        }
        let all = || committers.iter().map(|&(_, committer)| committer).collect();
        let predecessors = predecessors.get_or_insert_with(all);
        match committers.iter().find(|(_, committer)| rules.is_successor(*committer, predecessors, own)) {
            Some(&(partition, _)) => Err(PartitionRefused { partition, reason: ResumeError::TakenOver }),
            None => Ok(()),
        }
    }

    /// Opens the partition at `index` from what was found.
    pub(super) fn open(
        &mut self,
        index: usize,
        poisoned: &[RecordPrint],
        rules: &dyn SlotRules,
    ) -> Result<(Box<dyn AnyPartition>, Offset), ResumeError> {
        let found = &mut self.found[index];
        let (partition, bounds) = (found.partition, found.bounds);
        let losses = found.losses()?;
        let committed = found.committed.take();
        let Opened { core, read_from, verdict } = (self.open_partition)(History {
            partition,
            start: committed.as_ref().map(|it| (it.offset, it.metadata.as_str())).into(),
            log_start: bounds.start,
            log_end: rules.barrier(&bounds),
            poisoned,
            losses: &losses,
        })?;
        if let Some(position) = committed.as_ref().map(position_of)
            && rules.is_shorter(position, &bounds)
        {
            return Err(ResumeError::ShorterLog { position, log_end: bounds.end });
        }
        self.assignments.push(Assignment { partition, read_from, verdict, committed, bounds });
        Ok((core, read_from))
    }
}

fn read(committed: &CommittedOffset) -> Result<Commit, Unreadable> {
    Commit::read(committed.offset, &committed.metadata).map(|(commit, _)| commit)
}

/// Returns the incarnation that has made a commit, if there is one and it says so.
///
/// # Errors
/// If a newer program has made it: this one cannot go on from it, and must not fence its maker for nothing.
fn incarnation_of(committed: &Option<CommittedOffset>) -> Result<Option<u32>, Unreadable> {
    let Some(CommittedOffset { offset, metadata }) = committed else { return Ok(None) };
    match Commit::read(*offset, metadata) {
        Ok((_, identity)) => Ok(Some(identity.owner_tag.incarnation)),
        Err(newer @ Unreadable::NewerFormat(_)) => Err(newer),
        Err(Unreadable::Foreign | Unreadable::OtherOffset { .. }) => Ok(None),
    }
}

/// Returns the next offset that had not been read at a commit; its offset, if more cannot be read from it.
fn position_of(committed: &CommittedOffset) -> Offset {
    read(committed).map_or(committed.offset, |commit| commit.position())
}
