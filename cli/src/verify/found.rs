//! Published summaries: those of the summary topic, and those of the embedded store.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Result;
use yahtzee_core::owner::Partition;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_runtime::log::Log;
use yahtzee_runtime::log::scan::{scan, whole};
use yahtzee_storage::embedded::EmbeddedStore;
use yahtzee_storage::store::Row;

use super::compare::{Comparable, ComparedSummaries};
use super::{is_chosen, is_in_range};
use crate::replay::Scope;

/// The newest value of every key, and the keys of faulty values.
#[derive(Debug, Default)]
pub(super) struct FoundSummaries {
    pub(super) newest: ComparedSummaries,
    /// Keys under which two values of one revision were found.
    pub(super) ambiguous: Vec<Vec<u8>>,
    /// Keys of values that are no summaries.
    pub(super) unreadable: Vec<Vec<u8>>,
}

impl FoundSummaries {
    /// Adds one record; the greatest revision wins, as in every sink.
    fn offer(&mut self, key: &[u8], value: &[u8]) {
        let Ok(provenance) = Provenance::of_value(value) else {
            self.unreadable.push(key.to_vec());
            return;
        };
        let Some(newest) = self.newest.get_mut(key) else {
            self.newest.insert(key.to_vec(), value.to_vec());
            return;
        };
        let before = Provenance::of_value(newest).expect("only readable values are kept");
        match provenance.revision().cmp(&before.revision()) {
            Ordering::Greater => *newest = value.to_vec(),
            Ordering::Equal if newest != value => self.ambiguous.push(key.to_vec()),
            Ordering::Equal | Ordering::Less => {}
        }
    }
}

/// Returns the summaries of these windows in one partition of a summary topic, as readers see them.
pub(super) fn topic_rows(
    log: &dyn Log,
    topic: &str,
    partition: Partition,
    comparable: &Comparable,
) -> Result<FoundSummaries> {
    let mut found = FoundSummaries::default();
    scan(log, topic, &whole(log, topic, &[partition])?, |_, record, _| {
        match SummaryKey::decode(record.key) {
            Ok(key) if comparable.covers(&key) => found.offer(record.key, record.value),
            Ok(_) => {}
            Err(_) => found.unreadable.push(record.key.to_vec()),
        }
    })?;
    Ok(found)
}

/// Rows of the store that lie in the range.
pub(super) struct StoredRows(HashMap<(String, Partition), Vec<Row>>);

impl StoredRows {
    /// Reads the store once, and closes it.
    pub(super) fn read(folder: &Path, scope: &Scope, partition_count: u32) -> Result<Self> {
        let store = EmbeddedStore::open(folder)?;
        let mut rows: HashMap<_, Vec<Row>> = HashMap::new();
        let is_job = |name: &str| scope.plans.iter().any(|plan| plan.job.name() == name);
        store.scan(|row| {
            let partition = row.key.owner.partition(partition_count);
            let is_wanted = is_job(&row.job)
                && is_chosen(scope, partition)
                && is_in_range(scope, row.key.window_start_ms);
            if is_wanted {
                rows.entry((row.job.clone(), partition)).or_default().push(row);
            }
        })?;
        Ok(Self(rows))
    }

    /// Returns the rows of one partition of a job, of these windows.
    pub(super) fn take(
        &mut self,
        job: &str,
        partition: Partition,
        comparable: &Comparable,
    ) -> FoundSummaries {
        let rows = self.0.remove(&(job.to_owned(), partition)).unwrap_or_default();
        let rows = rows.into_iter().filter(|row| comparable.covers(&row.key));
        let newest: BTreeMap<Vec<u8>, Vec<u8>> = rows.map(|row| (row.key.encode(), row.value)).collect();
        FoundSummaries { newest, ..FoundSummaries::default() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use yahtzee_pipeline_proto::summary;

    use super::*;

    fn value(last_offset: u64, is_final: bool) -> Vec<u8> {
        let provenance = Provenance { generation: 1, first_offset: 0, last_offset, count: 1, is_final };
        provenance.join(&summary::Errors { occurrences: last_offset })
    }

    proptest! {
        #[test]
        fn the_greatest_revision_counts_in_any_order(offered in prop::collection::vec((0..9_u64, any::<bool>()), 1..20)) {
            let mut found = FoundSummaries::default();
            for &(last_offset, is_final) in &offered {
                found.offer(b"key", &value(last_offset, is_final));
            }
            let &(last_offset, is_final) = offered.iter().max().unwrap();
            prop_assert_eq!(&found.newest[b"key".as_slice()], &value(last_offset, is_final));
            prop_assert!(found.ambiguous.is_empty() && found.unreadable.is_empty());
        }
    }

    #[test]
    fn what_breaks_the_rules_is_remembered() {
        let mut found = FoundSummaries::default();
        found.offer(b"key", &value(1, true));
        let mut other = value(1, true);
        other.extend(summary::Errors { occurrences: 77 }.encode_to_vec());
        found.offer(b"key", &other);
        found.offer(b"key", b"\xff");
        assert_eq!((found.ambiguous, found.unreadable), (vec![b"key".to_vec()], vec![b"key".to_vec()]));
    }
}
