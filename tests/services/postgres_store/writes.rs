//! The guard, in any order and from any number of writers.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use yahtzee_core::delivery::KnownMark;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_core::summary::{Provenance, Revision, SummaryKey};
use yahtzee_storage::store::{Outcome, Settling, SourcePartition, SummaryStore};

use super::support::{DAY, Database, Entry, JOB, check_all, table, write};

/// One writer after the other, so that some tables are copied into and others guarded from the first row.
#[test]
fn the_greatest_revision_wins_in_any_order_and_every_outcome_is_true() {
    let Some(database) = Database::create() else { return };
    let store = database.store();
    let write = (0..3_u32, 0..4_i64, 0..6_u64, any::<bool>(), 1..3_u32);
    let strategy = (prop::collection::vec(write, 1..60), 1..9_usize, any::<bool>());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) };
    let cases = Cell::new(0);
    proptest!(config, |((writes, batch_len, is_new_writer) in strategy)| {
        cases.set(cases.get() + 1);
        let day = DAY.plus(cases.get());
        let mut writer = database.writer();
        let mut model: BTreeMap<_, Provenance> = BTreeMap::new();
        let entries: Vec<_> = writes.iter().map(|&(owner, minute, last_offset, is_final, generation)| {
            let plain = Entry::on(day, owner, minute, last_offset);
            Entry::new(plain.parts, Provenance { is_final, generation, ..plain.provenance })
        }).collect();
        for batch in entries.chunks(batch_len) {
            if is_new_writer {
                writer = database.writer();
            }
            let outcomes = super::support::write(&mut *writer, batch);
            prop_assert_eq!(names(&outcomes), expected(&mut model, batch));
        }
        let mut stored = BTreeMap::new();
        for owner in entries.iter().map(|entry| entry.parts.owner) {
            let rows = store.range(JOB, Some(owner), day.start_ms(), day.plus(1).start_ms()).unwrap().rows;
            prop_assert!(rows.iter().all(|row| Provenance::of_value(&row.value) == Ok(row.provenance)));
            stored.extend(rows.into_iter().map(|row| (row.key, row.provenance)));
        }
        prop_assert_eq!(stored, model);
    });
}

fn names(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().map(Outcome::name).collect()
}

/// What a batch does to the model: the newest of each key is stored if it is newer than what is there.
fn expected(model: &mut BTreeMap<SummaryKey, Provenance>, batch: &[Entry]) -> Vec<&'static str> {
    let mut names = vec!["stale"; batch.len()];
    let mut newest: BTreeMap<SummaryKey, usize> = BTreeMap::new();
    for (index, entry) in batch.iter().enumerate() {
        let best = newest.entry(entry.parts.clone()).or_insert(index);
        if batch[*best].provenance.revision() < entry.provenance.revision() {
            *best = index;
        }
    }
    for (key, index) in newest {
        let newer = batch[index].provenance;
        let revision: Option<Revision> = model.get(&key).map(Provenance::revision);
        if revision < Some(newer.revision()) {
            names[index] = match model.insert(key, newer) {
                Some(older) if !older.can_be_followed_by(&newer) => "stored_against_chain",
                _ => "stored",
            };
        }
    }
    names
}

/// All twelve pairs of what can differ, against the function that the rule is defined by.
#[test]
fn what_breaks_the_chain_is_told_and_kept() {
    let Some(database) = Database::create() else { return };
    let mut writer = database.writer();
    let older = Provenance { generation: 1, first_offset: 3, last_offset: 9, count: 4, is_final: false };
    let mut owner = 0;
    for (generation, first_offset, last_offset, count) in
        [(1, 3, 12, 5), (1, 3, 12, 4), (1, 12, 12, 5), (1, 3, 9, 4), (1, 3, 9, 5), (2, 12, 1, 1)]
    {
        owner += 1;
        let newer = Provenance { generation, first_offset, last_offset, count, is_final: true };
        let parts = Entry::of(owner, 0, 0).parts;
        check_all(&mut *writer, &[Entry::new(parts.clone(), older)], "stored");
        let name = if older.can_be_followed_by(&newer) { "stored" } else { "stored_against_chain" };
        check_all(&mut *writer, &[Entry::new(parts.clone(), newer)], name);
        // A sound revision follows: the row still says that it was broken once.
        let sound = Provenance { last_offset: 20, count: 50, ..newer };
        check_all(&mut *writer, &[Entry::new(parts, sound)], "stored");
    }
    let broken = database.run(&format!("SELECT chain FROM {} ORDER BY owner", table()));
    assert_eq!(broken, ["0", "1", "1", "0", "1", "0"]);
}

#[test]
fn the_same_again_is_stale_with_and_without_the_filter() {
    let Some(database) = Database::create() else { return };
    let mut writer = database.writer();
    let of = |last_offset| (0..200).map(|owner| Entry::of(owner, 5, last_offset)).collect::<Vec<_>>();
    check_all(&mut *writer, &of(10), "stored");
    // The first stale batch turns the filter on, the second one has it, the newer ones are let through by it.
    for _ in 0..2 {
        check_all(&mut *writer, &of(10), "stale");
        check_all(&mut *writer, &of(9), "stale");
    }
    check_all(&mut *writer, &of(11), "stored");
    check_all(&mut *writer, &of(12), "stored");
}

#[test]
fn any_text_is_a_series() {
    let Some(database) = Database::create() else { return };
    let mut writer = database.writer();
    let dimensions: [&[&str]; 8] =
        [&[], &[""], &["", ""], &["a/b"], &["a", "b"], &["a\\", "b"], &["\0"], &["日本\u{10ffff}", "'\"$1"]];
    let entries: Vec<_> = dimensions.iter().map(|it| Entry::of(1, 0, 1).with_dimensions(it)).collect();
    check_all(&mut *writer, &entries, "stored");
    let owner = entries[0].parts.owner;
    let rows = database.store().range(JOB, Some(owner), i64::MIN, i64::MAX).unwrap().rows;
    let mut expected: Vec<_> = entries.iter().map(|entry| entry.parts.clone()).collect();
    expected.sort();
    assert_eq!(rows.into_iter().map(|row| row.key).collect::<Vec<_>>(), expected);
}

#[test]
fn writers_with_the_same_keys_in_other_orders_do_not_wait_for_each_other() {
    let Some(database) = Database::create() else { return };
    let store = database.store();
    std::thread::scope(|scope| {
        for step in [1_u64, 3, 7, 11] {
            let mut writer = store.writer(yahtzee_storage::store::Shard(0));
            scope.spawn(move || {
                for round in 0..10 {
                    let place = |index: u64| u32::try_from((index + 17) * step % 500).unwrap();
                    let batch: Vec<_> =
                        (0..500).map(|index| Entry::of(place(index), 0, round * 10 + step)).collect();
                    let outcomes = write(&mut *writer, &batch);
                    assert!(outcomes.iter().all(Outcome::is_settled), "{outcomes:?}");
                }
            });
        }
    });
    let newest = database.run(&format!("SELECT DISTINCT last_offset FROM {}", table()));
    assert_eq!(newest, ["101"]);
}

/// Each writer with an owner of its own, so that only the marks of the partitions are in common.
#[test]
fn writers_that_settle_the_same_partitions_in_other_orders_do_not_wait_for_each_other() {
    let Some(database) = Database::create() else { return };
    let store = database.store();
    const PARTITIONS: u32 = 500;
    std::thread::scope(|scope| {
        for step in [1_u32, 3, 7, 11] {
            let mut writer = store.writer(yahtzee_storage::store::Shard(0));
            scope.spawn(move || {
                let settling = |index: u32| Settling {
                    source: SourcePartition {
                        group: "group".into(),
                        topic: "topic".into(),
                        topic_id: [1; 16],
                        partition: Partition((index + 17) * step % PARTITIONS),
                    },
                    settled: Offset(1),
                    writer: step.into(),
                    known: KnownMark::Nothing,
                };
                let settling: Vec<Settling> = (0..PARTITIONS).map(settling).collect();
                for round in 0..30 {
                    let entry = Entry::of(step, 0, round);
                    let written = writer.write_and_settle(&[entry.summary()], &settling);
                    assert!(written.outcomes[0].is_settled(), "{:?}", written.outcomes);
                }
            });
        }
    });
    let writes = database.run("SELECT DISTINCT writes FROM yahtzee.settled");
    assert_eq!(writes, ["120"]);
}

/// What is only possible where somebody else has a hand in the topic.
#[test]
fn figures_out_of_range_are_poison_and_hold_nobody_up() {
    let Some(database) = Database::create() else { return };
    let good = Entry::of(1, 0, 1);
    let of = |provenance| Entry::new(Entry::of(2, 0, 1).parts, provenance);
    let early = SummaryKey { window_start_ms: i64::MIN, ..good.parts.clone() };
    let batch = [
        of(Provenance { last_offset: u64::MAX, ..good.provenance }),
        Entry::new(early, good.provenance),
        good,
    ];
    let outcomes = write(&mut *database.writer(), &batch);
    assert_eq!(names(&outcomes), ["poison", "poison", "stored"]);
}
