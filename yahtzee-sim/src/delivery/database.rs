//! The database of a shard: marks beside its rows, which are backed up and restored together.

use std::collections::BTreeMap;

use yahtzee_core::delivery::{CommittedMarks, KnownMark, SettledMark, WriteId};
use yahtzee_core::record::Offset;

use super::process::Role;
use super::row::shard_of;
use super::store::{Store, Stored};
use super::{Outside, SHARDS, SimRow};

/// The partition that a group reads: the summary topic, or one of RETRY.
pub(super) type SourceKey = (Role, usize);

type Marks = BTreeMap<SourceKey, SettledMark>;

/// See the module. The rows of all shards of a store are in one map.
#[derive(Clone, Debug, Default)]
pub(super) struct Database {
    marks: Marks,
    backup: Option<Backup>,
    is_restored: bool,
}

#[derive(Clone, Debug)]
struct Backup {
    marks: Marks,
    rows: Vec<(Vec<u8>, Stored)>,
}

/// What a write settles of a source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settling {
    pub(super) source: SourceKey,
    /// Below it everything is settled.
    pub(super) settled: Offset,
    pub(super) write: WriteId,
    /// What the database is known to have.
    pub(super) known: KnownMark,
}

/// A write that the store has not answered when its process died.
#[derive(Clone, Debug)]
pub(super) struct OrphanWrite {
    pub(super) shard: usize,
    pub(super) rows: Vec<SimRow>,
    pub(super) settling: Vec<Settling>,
}

impl Database {
    pub(super) fn mark(&self, source: SourceKey) -> SettledMark {
        self.marks.get(&source).copied().unwrap_or_default()
    }

    pub(super) fn back_up(&mut self, shard: usize, rows: &Store) {
        let of_shard = rows.iter().filter(|(key, _)| shard_of(key) == shard);
        let rows = of_shard.map(|(key, stored)| (key.clone(), stored.clone())).collect();
        self.backup = Some(Backup { marks: self.marks.clone(), rows });
    }

    pub(super) fn restore(&mut self, shard: usize, rows: &mut Store) {
        let Some(backup) = &self.backup else { return };
        rows.retain(|key, _| shard_of(key) != shard);
        rows.extend(backup.rows.iter().cloned());
        self.marks.clone_from(&backup.marks);
        self.is_restored = true;
    }

    /// Whether it was restored since the last question.
    pub(super) fn was_restored(&mut self) -> bool {
        std::mem::take(&mut self.is_restored)
    }
}

impl Outside<'_> {
    /// Moves the marks in the transaction of a write. Returns those that it has afterwards, `None` where the database is
    /// behind what it was known to have.
    pub(super) fn settle(&mut self, shard: usize, settling: &[Settling]) -> Vec<Option<SettledMark>> {
        let database = &mut self.around.databases[shard];
        let settle = |&Settling { source, settled, write, known }: &Settling| {
            let mark = self.mutant.shell.mark_after(database.mark(source), (settled, write), known);
            if let Some(mark) = mark {
                database.marks.insert(source, mark);
            }
            mark
        };
        settling.iter().map(settle).collect()
    }

    /// The metadata of a commit: the marks that shards are known to have.
    pub(super) fn metadata(&self, marks: &BTreeMap<usize, KnownMark>) -> String {
        let carries_marks = self.mutant.shell.carries_marks();
        let written = marks.iter().filter(|_| carries_marks);
        let by_shard = written.map(|(shard, &mark)| (shard.to_string(), mark)).collect();
        CommittedMarks { topic_id: [0; 16], by_shard }.metadata()
    }
}

/// The marks of a commit by shard.
pub(super) fn marks_of(metadata: &str) -> BTreeMap<usize, KnownMark> {
    let by_shard = CommittedMarks::read(metadata).unwrap_or_default().by_shard;
    (0..SHARDS).filter_map(|shard| Some((shard, *by_shard.get(&shard.to_string())?))).collect()
}
