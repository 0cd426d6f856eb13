//! Published summaries: those of the summary topic, and those of a store.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use yahtzee_core::owner::Partition;
use yahtzee_core::summary::{Provenance, SummaryKey, key_of_record};
use yahtzee_runtime::log::scan::{scan_with, whole};
use yahtzee_runtime::log::{Log, MovingReader};
use yahtzee_runtime::replay::Edge;
use yahtzee_storage::store::{Day, Generations, Row, SummaryStore};

use super::compare::{Comparable, ComparedSummaries};
use super::is_chosen;
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
    /// Leaves out what a newer generation has replaced, as readers do.
    fn leave_out_replaced(&mut self) {
        let place = |key: &[u8], value: &[u8]| {
            let key = SummaryKey::decode(key).expect("only readable keys are offered");
            (key, Provenance::of_value(value).expect("only readable values are kept").generation)
        };
        let mut generations = Generations::default();
        for (key, value) in &self.newest {
            let (key, generation) = place(key, value);
            generations.add(&key, generation);
        }
        self.newest.retain(|key, value| {
            let (key, generation) = place(key, value);
            !generations.is_replaced(&key, generation)
        });
    }

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

/// Returns the summaries of these windows in one partition of the summary topic of `reader`, as readers see them.
pub(super) fn topic_rows(
    log: &dyn Log,
    reader: &mut MovingReader,
    partition: Partition,
    comparable: &Comparable,
) -> Result<FoundSummaries> {
    let mut found = FoundSummaries::default();
    let all = whole(log, reader.topic(), &[partition])?;
    scan_with(log, reader, &all, |_, record, _| {
        let key = key_of_record(record.key, record.value);
        match SummaryKey::decode(key) {
            Ok(parts) if comparable.covers(&parts) => found.offer(key, record.value),
            Ok(_) => {}
            Err(_) => found.unreadable.push(key.to_vec()),
        }
    })?;
    found.leave_out_replaced();
    Ok(found)
}

/// Rows of a store that lie in the range.
#[derive(Default)]
pub(super) struct StoredRows {
    rows: HashMap<(String, Partition), Vec<Row>>,
    /// First day that the store keeps, by job.
    floors: HashMap<String, Day>,
}

impl StoredRows {
    /// Reads the rows of the chosen jobs, partitions and times.
    pub(super) fn read(store: &dyn SummaryStore, scope: &Scope, partition_count: u32) -> Result<Self> {
        let time = |edge, otherwise| match edge {
            Some(Edge::Time(time_ms)) => time_ms,
            Some(Edge::Offset(_)) | None => otherwise,
        };
        let (from_ms, to_ms) = (time(scope.range.from, i64::MIN), time(scope.range.to, i64::MAX));
        let mut stored = Self::default();
        for plan in &scope.plans {
            let job = plan.job.name();
            let found = store.range(job, scope.owner, from_ms, to_ms)?;
            stored.floors.insert(job.to_owned(), found.floor);
            for row in found.rows {
                let partition = row.key.owner.partition(partition_count);
                if is_chosen(scope, partition) {
                    stored.rows.entry((job.to_owned(), partition)).or_default().push(row);
                }
            }
        }
        Ok(stored)
    }

    /// Returns whether the window of a summary lies in a day that the store has dropped.
    pub(super) fn has_dropped(&self, job: &str, key: &[u8]) -> bool {
        let floor = self.floors.get(job).copied().unwrap_or(Day::MIN);
        SummaryKey::decode(key).is_ok_and(|key| Day::of_ms(key.window_start_ms) < floor)
    }

    /// Returns the rows of one partition of a job, of these windows.
    pub(super) fn take(
        &mut self,
        job: &str,
        partition: Partition,
        comparable: &Comparable,
    ) -> FoundSummaries {
        let rows = self.rows.remove(&(job.to_owned(), partition)).unwrap_or_default();
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
