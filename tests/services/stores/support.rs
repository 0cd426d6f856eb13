//! Short words for what most properties do.

use std::collections::BTreeMap;

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_pipeline_proto::summary;
use yahtzee_storage::store::Day;
use yahtzee_storage::store::{Outcome, Row, Shard, ShardWriter, SummaryStore};
use yahtzee_storage::store::{OwnedSummary, Summary};

/// Length of most windows, in milliseconds.
pub(crate) const MINUTE_MS: i64 = 60_000;

/// The job of properties that need one only.
pub(crate) const JOB: &str = "errors";

/// The day of properties that need one only: 14 November 2023.
pub(crate) const TODAY: Day = Day(19_675);

/// Cases of a property that draws its input; each takes some writes to a disk.
const CASES: u32 = 24;

/// A summary before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) job: String,
    pub(crate) key: SummaryKey,
    pub(crate) value: Vec<u8>,
}

impl Entry {
    pub(crate) fn new(key: SummaryKey, provenance: Provenance) -> Self {
        Self { job: JOB.to_owned(), key, value: value(provenance) }
    }

    pub(crate) fn provenance(&self) -> Provenance {
        Provenance::of_value(&self.value).unwrap()
    }

    /// The row that it must become.
    pub(crate) fn row(&self) -> Row {
        let Self { job, key, value } = self.clone();
        Row { job, key, provenance: self.provenance(), value }
    }
}

/// A summary value of this provenance; equal ones have equal bytes.
pub(crate) fn value(provenance: Provenance) -> Vec<u8> {
    provenance.join(&summary::Errors { occurrences: provenance.count })
}

/// As [`value`], with other bytes.
pub(crate) fn other_value(provenance: Provenance) -> Vec<u8> {
    provenance.join(&summary::Errors { occurrences: provenance.count + 1_000 })
}

/// Provenance of the `step`th summary of a series that nothing has gone wrong with.
pub(crate) fn step(step: u64) -> Provenance {
    Provenance { generation: 1, first_offset: 5, last_offset: 5 + step, count: 1 + step, is_final: false }
}

/// Key of a series `web` of an owner, in the window of a minute of [`TODAY`].
pub(crate) fn key(owner: u8, minute: i64) -> SummaryKey {
    key_at(owner, TODAY.start_ms() + minute * MINUTE_MS)
}

/// As [`key`], in the first window of a day.
pub(crate) fn key_of_day(owner: u8, day: Day) -> SummaryKey {
    key_at(owner, day.start_ms())
}

fn key_at(owner: u8, window_start_ms: i64) -> SummaryKey {
    let dimensions = vec!["web".to_owned()];
    SummaryKey { owner: Owner([owner; 16]), dimensions, window_start_ms, window_length_ms: 60_000 }
}

/// Writes into whichever shards the store names, with one writer for each.
pub(crate) struct Writers<'a> {
    store: &'a dyn SummaryStore,
    of_shard: BTreeMap<Shard, Box<dyn ShardWriter>>,
}

impl<'a> Writers<'a> {
    pub(crate) fn new(store: &'a dyn SummaryStore) -> Self {
        Self { store, of_shard: BTreeMap::new() }
    }

    /// One batch per shard. Outcomes in the order of `entries`.
    pub(crate) fn write(&mut self, entries: &[Entry]) -> Vec<Outcome> {
        let mut outcomes = vec![None; entries.len()];
        let mut by_shard: BTreeMap<Shard, Vec<usize>> = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            by_shard.entry(self.store.shard_of(&entry.key)).or_default().push(index);
        }
        let keys: Vec<Vec<u8>> = entries.iter().map(|entry| entry.key.encode()).collect();
        for (shard, indices) in by_shard {
            let read = |&index: &usize| {
                let Entry { job, value, .. } = &entries[index];
                OwnedSummary::read(&job.as_str().into(), &keys[index], value, Day(i64::MAX))
                    .expect("properties write what is read")
            };
            let summaries: Vec<OwnedSummary> = indices.iter().map(read).collect();
            let batch: Vec<Summary<'_>> = summaries.iter().map(OwnedSummary::lend).collect();
            let writer = self.of_shard.entry(shard).or_insert_with(|| self.store.writer(shard));
            let of_batch = writer.write(&batch);
            assert_eq!(of_batch.len(), batch.len(), "one outcome per summary");
            indices.into_iter().zip(of_batch).for_each(|(index, outcome)| outcomes[index] = Some(outcome));
        }
        outcomes.into_iter().map(|outcome| outcome.expect("each is in one batch")).collect()
    }

    /// Writes what must be new.
    pub(crate) fn store(&mut self, entries: &[Entry]) {
        for (entry, outcome) in entries.iter().zip(self.write(entries)) {
            assert_eq!(outcome, Outcome::Stored, "{entry:?}");
        }
    }
}

/// All rows of an owner of [`JOB`].
pub(crate) fn rows_of(store: &dyn SummaryStore, owner: Owner) -> Vec<Row> {
    store.range(JOB, Some(owner), i64::MIN, i64::MAX).expect("range").rows
}

/// Runs a property on some drawn inputs.
pub(crate) fn for_all<S: proptest::strategy::Strategy>(
    inputs: &S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let config = Config { failure_persistence: None, max_shrink_iters: 200, ..Config::with_cases(CASES) };
    TestRunner::new(config).run(inputs, property).unwrap_or_else(|failure| panic!("{failure}"));
}
