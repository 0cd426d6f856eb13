//! Sinks: readers of the summary topic that keep the greatest revision of every key in a store.

use std::collections::BTreeMap;

use yahtzee_core::summary::Provenance;

use crate::broker::{Body, Broker};
use crate::failure::{Findings, Property};
use crate::shell::ShellRules;
use crate::trace::Trace;

/// What a store holds under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) value: Vec<u8>,
    pub(crate) provenance: Provenance,
}

/// A store behind the revision guard.
pub(crate) type Store = BTreeMap<Vec<u8>, Stored>;

/// Which store each sink writes to: the second has two, which both read everything.
const STORE_OF_SINK: [usize; 3] = [0, 1, 1];
/// Stores.
pub(crate) const STORES: usize = 2;
/// Sinks.
pub(crate) const SINKS: usize = STORE_OF_SINK.len();

/// All sinks and their stores.
#[derive(Debug, Default)]
pub(crate) struct Sinks {
    pub(crate) stores: [Store; STORES],
    /// Next offset of the summary topic, per sink.
    positions: [usize; SINKS],
    /// The one that was committed last.
    committed: [usize; SINKS],
}

/// How a sink goes about one batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) records: usize,
    pub(crate) is_reversed: bool,
    pub(crate) crashes: bool,
}

impl Sinks {
    /// Lets a sink take a batch; false if there was none.
    pub(crate) fn step(
        &mut self,
        sink: usize,
        batch: Batch,
        broker: &Broker,
        shell: &dyn ShellRules,
        findings: &mut Findings,
    ) -> bool {
        let end = broker.last_stable_offset();
        let from = self.positions[sink];
        let to = end.min(from + batch.records.max(1));
        if from >= to {
            return false;
        }
        let mut taken: Vec<usize> = (from..to).collect();
        if batch.is_reversed {
            taken.reverse();
        }
        if batch.crashes {
            taken.truncate(taken.len() / 2);
        }
        if !batch.crashes || shell.sink_commits_first() {
            self.committed[sink] = to;
        }
        for index in taken {
            let record = &broker.topic[index];
            if record.is_compacted || broker.visible_from(record).is_none() {
                continue;
            }
            if let Body::Summary { key, value, provenance } = &record.body {
                put(&mut self.stores[STORE_OF_SINK[sink]], key, value, *provenance, shell, findings);
            }
        }
        self.positions[sink] = self.committed[sink];
        true
    }

    /// Offset of the summary topic that every sink has passed for good.
    pub(crate) fn slowest(&self) -> usize {
        self.committed.iter().copied().min().unwrap_or(0)
    }

    pub(crate) fn trace(&self, trace: &mut Trace) {
        for (key, stored) in self.stores.iter().flatten() {
            trace.bytes(key);
            trace.bytes(&stored.value);
        }
    }
}

/// Reads what compaction has left of the topic from its beginning, as a new reader does.
pub(crate) fn read_anew(broker: &Broker, shell: &dyn ShellRules) -> Store {
    let (mut store, mut unwatched) = (Store::new(), Findings::default());
    for record in &broker.topic[..broker.last_stable_offset()] {
        if record.is_compacted || broker.visible_from(record).is_none() {
            continue;
        }
        if let Body::Summary { key, value, provenance } = &record.body {
            put(&mut store, key, value, *provenance, shell, &mut unwatched);
        }
    }
    store
}

fn put(
    store: &mut Store,
    key: &[u8],
    value: &[u8],
    provenance: Provenance,
    shell: &dyn ShellRules,
    findings: &mut Findings,
) {
    let new = || Stored { value: value.to_vec(), provenance };
    let Some(old) = store.get_mut(key) else {
        store.insert(key.to_vec(), new());
        return;
    };
    if !shell.store_takes(&old.provenance, &provenance) {
        return;
    }
    if provenance.revision() < old.provenance.revision() {
        findings.fail(Property::Stores, || format!("{:?} was replaced by {provenance:?}", old.provenance));
    }
    *old = new();
}
