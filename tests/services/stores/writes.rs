//! The newest revision wins, whoever writes, and whenever.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, Revision, SummaryKey};
use yahtzee_storage::store::{Outcome, Row, SummaryStore};

use super::Bench;
use super::support::{Entry, JOB, MINUTE_MS, TODAY, Writers, for_all, key, other_value, rows_of, step};

const OWNERS: u8 = 3;

/// Any batches of summaries, in any order and with repetitions: outcomes are a model's, and so are the rows.
pub(crate) fn keeps_the_newest_of_any_order(bench: &dyn Bench) {
    let store = bench.store();
    let cases = AtomicU32::new(0);
    for_all(&(batches(), provenances()), |(batches, provenances)| {
        let job = format!("order-{}", cases.fetch_add(1, Ordering::Relaxed));
        let mut writers = Writers::new(&*store);
        let mut model = Model::default();
        for batch in batches {
            let entry = |&(owner, minute, index): &(u8, i64, usize)| {
                let entry = Entry::new(key(owner, minute), provenances[index]);
                Entry { job: job.clone(), ..entry }
            };
            let batch: Vec<Entry> = batch.iter().map(entry).collect();
            model.check(&batch, &writers.write(&batch))?;
        }
        for owner in 0..OWNERS {
            let found = store.range(&job, Some(Owner([owner; 16])), i64::MIN, i64::MAX).expect("range").rows;
            prop_assert_eq!(found, model.rows_of(owner));
        }
        Ok(())
    });
}

/// Owner, minute and index of a provenance of each summary.
fn batches() -> impl Strategy<Value = Vec<Vec<(u8, i64, usize)>>> {
    let summary = (0..OWNERS, 0..3_i64, 0..PROVENANCES);
    prop::collection::vec(prop::collection::vec(summary, 1..12), 1..6)
}

const PROVENANCES: usize = 12;

/// Provenances of different revisions, with and without breaks of the chain between them.
fn provenances() -> impl Strategy<Value = Vec<Provenance>> {
    let any = (1..3_u32, 0..3_u64, 0..40_u64, 1..9_u64, any::<bool>());
    let provenance = any.prop_map(|(generation, first_offset, last_offset, count, is_final)| Provenance {
        generation,
        first_offset,
        last_offset,
        count,
        is_final,
    });
    // Equal revisions have equal bytes: the later drawing of a revision stands for the earlier ones.
    prop::collection::vec(provenance, PROVENANCES).prop_map(|drawn| {
        let of: BTreeMap<Revision, Provenance> =
            drawn.iter().map(|drawn| (drawn.revision(), *drawn)).collect();
        drawn.iter().map(|drawn| of[&drawn.revision()]).collect()
    })
}

/// What is to be in the store.
#[derive(Default)]
struct Model(BTreeMap<SummaryKey, Entry>);

impl Model {
    /// Takes a batch in and compares the outcomes.
    fn check(&mut self, batch: &[Entry], outcomes: &[Outcome]) -> Result<(), TestCaseError> {
        let mut by_key: BTreeMap<&SummaryKey, Vec<usize>> = BTreeMap::new();
        for (index, entry) in batch.iter().enumerate() {
            by_key.entry(&entry.key).or_default().push(index);
        }
        for (key, indices) in by_key {
            let revision = |&index: &usize| batch[index].provenance().revision();
            let newest = indices.iter().copied().max_by_key(revision).expect("has one");
            let expected = self.offer(&batch[newest]);
            // Which of equal ones is taken is the store's choice.
            let (equal, older): (Vec<usize>, Vec<usize>) =
                indices.into_iter().partition(|index| revision(index) == revision(&newest));
            let told = equal.iter().filter(|&&index| outcomes[index] == expected).count();
            let stale = equal.iter().filter(|&&index| outcomes[index] == Outcome::Stale).count();
            match expected {
                Outcome::Stale => prop_assert_eq!(stale, equal.len(), "{:?}", key),
                _ => prop_assert_eq!((told, stale), (1, equal.len() - 1), "{:?} {:?}", key, outcomes),
            }
            for index in older {
                prop_assert_eq!(&outcomes[index], &Outcome::Stale, "{:?}", batch[index]);
            }
        }
        Ok(())
    }

    fn offer(&mut self, entry: &Entry) -> Outcome {
        let now = entry.provenance();
        let outcome = match self.0.get(&entry.key).map(Entry::provenance) {
            Some(before) if before.revision() >= now.revision() => return Outcome::Stale,
            Some(before) if !before.can_be_followed_by(&now) => Outcome::StoredAgainstChain,
            _ => Outcome::Stored,
        };
        self.0.insert(entry.key.clone(), entry.clone());
        outcome
    }

    fn rows_of(&self, owner: u8) -> Vec<Row> {
        let of_owner = self.0.values().filter(|entry| entry.key.owner == Owner([owner; 16]));
        of_owner.map(Entry::row).collect()
    }
}

/// Writers of the same keys at the same time, each with all revisions in an order of its own.
pub(crate) fn keeps_the_newest_of_concurrent_writers(bench: &dyn Bench) {
    const STEPS: u64 = 40;
    let store = bench.store();
    let orders: [fn(u64) -> u64; 4] =
        [|turn| turn, |turn| STEPS - 1 - turn, |turn| (turn * 7) % STEPS, |turn| (turn * 11 + 20) % STEPS];
    let keys = || (0..OWNERS).flat_map(|owner| (0..4).map(move |minute| key(owner, minute)));
    let write = |order: fn(u64) -> u64| {
        let mut writers = Writers::new(&*store);
        let mut wins = 0;
        for turn in 0..STEPS {
            let batch: Vec<Entry> = keys().map(|key| Entry::new(key, step(order(turn)))).collect();
            let outcomes = writers.write(&batch);
            let is_told = |outcome: &Outcome| matches!(outcome, Outcome::Stored | Outcome::Stale);
            assert!(outcomes.iter().all(is_told), "{outcomes:?}");
            if order(turn) == STEPS - 1 {
                wins += outcomes.iter().filter(|&outcome| *outcome == Outcome::Stored).count();
            }
        }
        wins
    };
    let wins: usize = thread::scope(|scope| {
        let threads = orders.map(|order| scope.spawn(move || write(order)));
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    assert_eq!(wins, keys().count(), "the newest of each key is stored by one writer");
    for owner in 0..OWNERS {
        let expected: Vec<Row> = keys()
            .filter(|key| key.owner == Owner([owner; 16]))
            .map(|key| Entry::new(key, step(STEPS - 1)).row())
            .collect();
        assert_eq!(rows_of(&*store, Owner([owner; 16])), expected);
    }
}

/// While two writers overtake each other, what a reader has seen of a window only grows.
pub(crate) fn shows_no_reader_a_step_back(bench: &dyn Bench) {
    const STEPS: u64 = 150;
    let store = bench.store();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| watch(&*store, &is_done));
        let writers = [0, 3].map(|behind: u64| {
            let store = &*store;
            scope.spawn(move || {
                let mut writers = Writers::new(store);
                for turn in 0..STEPS {
                    let provenance = step(turn.saturating_sub(behind));
                    let batch = [0, 1, 2].map(|minute| Entry::new(key(1, minute), provenance));
                    writers.write(&batch);
                }
            })
        });
        for writer in writers {
            writer.join().unwrap();
        }
        is_done.store(true, Ordering::Release);
    });
    let expected = [0, 1, 2].map(|minute| Entry::new(key(1, minute), step(STEPS - 1)).row());
    assert_eq!(rows_of(&*store, Owner([1; 16])), expected);
}

fn watch(store: &dyn SummaryStore, is_done: &AtomicBool) {
    let mut seen: BTreeMap<SummaryKey, Revision> = BTreeMap::new();
    let mut count = 0;
    loop {
        let is_last = is_done.load(Ordering::Acquire);
        for row in rows_of(store, Owner([1; 16])) {
            let revision = row.provenance.revision();
            let before = seen.insert(row.key.clone(), revision);
            assert!(before.is_none_or(|before| before <= revision), "{row:?} after {before:?}");
        }
        let top = store.top_owners(JOB, TODAY.start_ms() + MINUTE_MS, 1).expect("top owners");
        let now = top.first().map_or(0, |top| top.count);
        assert!(count <= now, "{now} measurements after {count}");
        count = now;
        if is_last {
            return;
        }
    }
}

/// A newer summary that cannot have come after the stored one is stored, and told.
pub(crate) fn tells_a_break_of_the_chain(bench: &dyn Bench) {
    let store = bench.store();
    let mut writers = Writers::new(&*store);
    let mut check = |provenance: Provenance, expected: Outcome| {
        let entry = Entry::new(key(1, 0), provenance);
        assert_eq!(writers.write(std::slice::from_ref(&entry)), [expected], "{provenance:?}");
    };
    check(step(3), Outcome::Stored);
    // Another first record; then fewer measurements; then neither, as after a fold of another version.
    check(Provenance { first_offset: 7, ..step(4) }, Outcome::StoredAgainstChain);
    check(Provenance { first_offset: 7, count: 2, ..step(5) }, Outcome::StoredAgainstChain);
    check(Provenance { is_final: true, first_offset: 7, count: 2, ..step(5) }, Outcome::Stored);
    check(Provenance { generation: 2, first_offset: 6, count: 1, ..step(1) }, Outcome::Stored);
    check(Provenance { first_offset: 9, ..step(9) }, Outcome::Stale);
}

/// A summary that has the stored revision and other bytes is not stored, and told, however many have come twice before.
pub(crate) fn tells_equal_revisions_with_other_bytes(bench: &dyn Bench) {
    const MINUTES: i64 = 100;
    let store = bench.store();
    let mut writers = Writers::new(&*store);
    let batch = |provenance: Provenance| -> Vec<Entry> {
        (0..MINUTES).map(|minute| Entry::new(key(1, minute), provenance)).collect()
    };
    let other = |provenance| Entry { value: other_value(provenance), ..Entry::new(key(1, 7), provenance) };
    writers.store(&batch(step(3)));
    // More than half of a batch being stale changes how the next one is written.
    for _ in 0..3 {
        let mut again = batch(step(3));
        again[7] = other(step(3));
        let mut expected = vec![Outcome::Stale; again.len()];
        expected[7] = Outcome::StaleAgainstChain;
        assert_eq!(writers.write(&again), expected);
        assert_eq!(rows_of(&*store, Owner([1; 16]))[7], Entry::new(key(1, 7), step(3)).row());
        assert_eq!(writers.write(&batch(step(3))), vec![Outcome::Stale; again.len()]);
    }
    assert_eq!(writers.write(&[other(step(2))]), [Outcome::Stale], "of an older revision nothing is known");
    writers.store(&batch(step(4)));
    // In one batch, in either order.
    let (one, two) = (Entry::new(key(1, 7), step(5)), other(step(5)));
    let outcomes = writers.write(&[one.clone(), two.clone()]);
    assert!(
        outcomes.contains(&Outcome::Stored) && outcomes.contains(&Outcome::StaleAgainstChain),
        "{outcomes:?}"
    );
    let outcomes = writers.write(&[two, one]);
    assert!(
        !outcomes.contains(&Outcome::Stored) && outcomes.contains(&Outcome::StaleAgainstChain),
        "{outcomes:?}"
    );
}

/// Nothing to write is no mistake.
pub(crate) fn answers_an_empty_batch(bench: &dyn Bench) {
    let store = bench.store();
    let shards = u32::try_from(store.shards().len()).unwrap();
    assert!(shards > 0);
    for shard in 0..shards {
        assert_eq!(store.writer(yahtzee_storage::store::Shard(shard)).write(&[]), []);
    }
}

/// What was reported as stored is there for the next process, and guards its writes.
pub(crate) fn keeps_everything_over_a_reopening(bench: &dyn Bench) {
    let entries: Vec<Entry> = (0..50).map(|minute| Entry::new(key(1, minute), step(9))).collect();
    {
        let store = bench.store();
        Writers::new(&*store).store(&entries);
    }
    let store = bench.reopen();
    let expected: Vec<Row> = entries.iter().map(Entry::row).collect();
    assert_eq!(rows_of(&*store, Owner([1; 16])), expected);
    let older: Vec<Entry> = (0..50).map(|minute| Entry::new(key(1, minute), step(8))).collect();
    assert_eq!(Writers::new(&*store).write(&older), vec![Outcome::Stale; 50]);
    assert_eq!(rows_of(&*store, Owner([1; 16])), expected);
}
