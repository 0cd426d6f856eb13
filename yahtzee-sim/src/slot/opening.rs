//! A slot that opens: the answers to its questions, and whether it has a successor.

use yahtzee_core::commit::Commit;
use yahtzee_core::log_tail::RecordPrint;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_core::slot::{Bounds, CommittedOffset, SlotAnswer, SlotRequest};

use super::{Found, Outside, Slot, stored};
use crate::failure::Property;
use crate::raw::RawEntry;

impl Slot {
    /// Answers a question of a slot that opens.
    pub(super) fn answer(&mut self, question: SlotRequest, outside: &mut Outside<'_>) -> SlotAnswer {
        let shell = outside.mutant.shell;
        if self.predecessors.is_none() {
            self.predecessors = Some(self.committers(outside).map(|(_, committer)| committer).collect());
        }
        match question {
            SlotRequest::Fence => self.fence(outside),
            SlotRequest::PeekCommits | SlotRequest::ReadCommits => self.found_commits(outside),
            SlotRequest::ReadEarlierCommits(partitions) => {
                SlotAnswer::EarlierCommits(self.earlier_commits(&partitions))
            }
            SlotRequest::ReadRecords { from, count } => {
                let first = |(partition, from): (Partition, Offset)| {
                    let entries = (0..).zip(&outside.logs[partition.0 as usize].entries);
                    let records = entries.skip_while(|&(offset, _)| offset < from.0);
                    let prints = records.filter_map(|(offset, entry)| match entry {
                        RawEntry::Control => None,
                        RawEntry::Record(record) => RecordPrint::of_stamped(&record.lend(offset)),
                    });
                    prints.take(count).collect()
                };
                SlotAnswer::Records(from.into_iter().map(first).collect())
            }
            SlotRequest::ReadBounds => {
                let bounds = |(&partition, found): (&Partition, &mut Found)| {
                    let log = &outside.logs[partition.0 as usize];
                    found.life = log.life();
                    Bounds { start: Offset(shell.log_start(log)), end: Offset(shell.log_end(log)) }
                };
                let partitions = self.machine.partitions().iter().zip(&mut self.found);
                SlotAnswer::Bounds(partitions.map(bounds).collect())
            }
            SlotRequest::Assign(_) | SlotRequest::Append(_) | SlotRequest::Commit(_) => {
                unreachable!("what is to be done is no question")
            }
        }
    }

    fn fence(&mut self, outside: &mut Outside<'_>) -> SlotAnswer {
        // Not where a predecessor, started again under its old number, has taken the slot back since: its commit is that of a
        // predecessor.
        if let Some(partition) = self.succeeded.and_then(|_| self.succeeded(outside)) {
            let process = self.holder.process;
            outside.watch.findings.fail(Property::Succession, || {
                format!("process {process} fences whoever has committed partition {partition} after it")
            });
        }
        outside.watch.latest.insert((self.holder.version, self.slot), self.holder.process);
        if outside.config.is_fenced == 1 {
            let suffix = outside.mutant.shell.transactional_suffix(self.holder.process);
            self.client.init((self.holder.version, self.slot, suffix), outside.broker);
        }
        SlotAnswer::Fenced
    }

    /// Here each partition loses records by itself: those of other slots tell nothing.
    fn earlier_commits(&self, partitions: &[Partition]) -> Vec<Vec<CommittedOffset>> {
        let of = |partition: &Partition| {
            let found = &self.found[self.index_of(*partition)?];
            Some(found.earlier.iter().filter_map(|it| stored(Some(it))).collect())
        };
        partitions.iter().map(|partition| of(partition).unwrap_or_default()).collect()
    }

    fn found_commits(&mut self, outside: &Outside<'_>) -> SlotAnswer {
        self.find_commits(outside);
        SlotAnswer::Commits(self.found.iter().map(|found| stored(found.commit.as_ref())).collect())
    }

    fn find_commits(&mut self, outside: &Outside<'_>) {
        let Outside { broker, mutant, .. } = outside;
        for (found, partition) in self.found.iter_mut().zip(self.machine.partitions()) {
            let (version, partition) = (self.holder.version, partition.0);
            let beside = || broker.committed_beside(version, partition);
            let beside = || mutant.shell.reads_commits_beside().then(beside).flatten();
            found.commit = broker.committed(version, partition).or_else(beside).cloned();
            let earlier = |version| {
                broker.committed(version, partition).or_else(|| broker.committed_beside(version, partition))
            };
            found.earlier = (0..version).rev().filter_map(earlier).cloned().collect();
        }
    }

    /// Returns a partition of which a process that was started later has committed, after this one had looked.
    pub(super) fn succeeded(&self, outside: &Outside<'_>) -> Option<Partition> {
        // Without a fence this one may have committed over it before it looks.
        let predecessors = self.predecessors.as_ref().filter(|_| outside.config.is_fenced == 1)?;
        let is_later = |committer: u64| committer > self.holder.process && !predecessors.contains(&committer);
        let mut committers = self.committers(outside);
        committers.find(|(_, committer)| is_later(*committer)).map(|(partition, _)| partition)
    }

    /// Partitions that were committed, and by which process last.
    fn committers(&self, outside: &Outside<'_>) -> impl Iterator<Item = (Partition, u64)> {
        let committer = |&partition: &Partition| {
            let commit = outside.broker.committed(self.holder.version, partition.0)?;
            let (_, identity) = Commit::read(Offset(commit.offset), &commit.metadata).ok()?;
            Some((partition, u64::from(identity.owner_tag.incarnation)))
        };
        self.machine.partitions().iter().filter_map(committer)
    }
}
