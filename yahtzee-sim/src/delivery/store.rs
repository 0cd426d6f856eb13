//! A store that keeps the greatest revision of every key, and fails.

use std::collections::BTreeMap;

use yahtzee_core::delivery::OutcomeKind;
use yahtzee_core::summary::Provenance;

use super::database::OrphanWrite;
use super::row::Contents;
use super::{Outside, SimRow};
use crate::failure::{Findings, Property};
use crate::shell::ShellRules;

/// What a store holds under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) value: Vec<u8>,
    pub(crate) provenance: Provenance,
}

/// A store behind the revision guard.
pub(crate) type Store = BTreeMap<Vec<u8>, Stored>;

/// How a shard behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StoreFault {
    /// It works.
    #[default]
    None,
    /// It takes nothing.
    Down,
    /// Every third row fails, another one each time.
    Flaky,
    /// It refuses everything for its configuration.
    Wrong,
    /// A write does not come back; the store does it when it works again.
    Blocked,
    /// It does what it is asked for, and its answers are lost.
    Unanswered,
}

impl StoreFault {
    pub(crate) const ALL: [Self; 6] =
        [Self::None, Self::Down, Self::Flaky, Self::Wrong, Self::Blocked, Self::Unanswered];

    /// Those of every world; answers are lost in duels only.
    pub(crate) const OF_ANY_WORLD: [Self; 5] =
        [Self::None, Self::Down, Self::Flaky, Self::Wrong, Self::Blocked];
}

impl Outside<'_> {
    /// Writes a batch in this order, and says what became of each row.
    pub(super) fn write<'r>(
        &mut self,
        shard: usize,
        rows: impl Iterator<Item = &'r SimRow>,
    ) -> Vec<OutcomeKind> {
        rows.map(|row| self.write_row(shard, row)).collect()
    }

    fn write_row(&mut self, shard: usize, row: &SimRow) -> OutcomeKind {
        self.around.asked += 1;
        match self.around.faults[shard] {
            StoreFault::Down => return OutcomeKind::Retryable,
            StoreFault::Wrong => return OutcomeKind::Misconfigured,
            StoreFault::Flaky if self.around.asked.is_multiple_of(3) => return OutcomeKind::Retryable,
            StoreFault::None | StoreFault::Flaky | StoreFault::Blocked | StoreFault::Unanswered => {}
        }
        if self.around.is_picky && row.is_poison() {
            return OutcomeKind::Poison;
        }
        let Contents { key, value, provenance } = &*row.0;
        match put(self.rows, key, value, *provenance, self.mutant.shell, self.findings) {
            true => OutcomeKind::Stored,
            false => OutcomeKind::Stale,
        }
    }

    /// The store gets to the writes of processes that have died meanwhile.
    pub(super) fn answer_orphans(&mut self) {
        let is_blocked = |write: &OrphanWrite| self.around.faults[write.shard] == StoreFault::Blocked;
        let (still, answered): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.around.orphans).into_iter().partition(is_blocked);
        self.around.orphans = still;
        for OrphanWrite { shard, rows, settling } in answered {
            if self.write(shard, rows.iter()).iter().any(has_answered) {
                self.settle(shard, &settling);
            }
        }
    }
}

/// Whether the database has done something for a row, so that its transaction was committed.
pub(super) fn has_answered(outcome: &OutcomeKind) -> bool {
    matches!(outcome, OutcomeKind::Stored | OutcomeKind::Stale)
}

/// Puts a row into a store; false if what it has is as new.
pub(super) fn put(
    store: &mut Store,
    key: &[u8],
    value: &[u8],
    provenance: Provenance,
    shell: &dyn ShellRules,
    findings: &mut Findings,
) -> bool {
    let new = || Stored { value: value.to_vec(), provenance };
    let Some(old) = store.get_mut(key) else {
        store.insert(key.to_vec(), new());
        return true;
    };
    if !shell.store_takes(&old.provenance, &provenance) {
        return false;
    }
    if provenance.revision() < old.provenance.revision() {
        findings.fail(Property::Stores, || format!("{:?} was replaced by {provenance:?}", old.provenance));
    }
    *old = new();
    true
}
