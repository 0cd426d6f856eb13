//! The shard map: rows lie where it says, and a database knows with which one it was filled.

use yahtzee_storage::postgres::PostgresStore;
use yahtzee_storage::postgres::shard_map::{Epoch, ShardKey, ShardMap};
use yahtzee_storage::store::Day;
use yahtzee_storage::store::{Shard, StoreError, SummaryStore};

use super::support::{DAY, Database, Entry, JOB, check_all, fault, settings, store_of, write};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// Two databases; from `from` on both are used, before it the first alone.
fn growing(databases: &[Database; 2], from: Day) -> PostgresStore {
    let [a, b] = databases;
    let mut settings = settings(&[("0", a.url(None, None)), ("1", b.url(None, None))], ShardKey::Owner);
    let epoch = |from, count| Epoch { from, shards: names(count), key: ShardKey::Owner };
    settings.map = ShardMap::new(vec![epoch(Day::MIN, 1), epoch(from, 2)]).unwrap();
    PostgresStore::new(settings).unwrap()
}

fn write_by_shard(store: &PostgresStore, entries: &[Entry]) {
    for entry in entries {
        let mut writer = store.writer(store.shard_of(&entry.parts));
        check_all(&mut *writer, std::slice::from_ref(entry), "stored");
    }
}

#[test]
fn a_new_map_starts_at_midnight_and_moves_nothing() {
    let (Some(a), Some(b)) = (Database::create(), Database::create()) else { return };
    let databases = [a, b];
    let store = growing(&databases, DAY.plus(1));
    let of = |day| (0..20).map(move |owner| Entry::on(day, owner, 0, 1)).collect::<Vec<_>>();
    let (before, after) = (of(DAY), of(DAY.plus(1)));
    assert!(before.iter().all(|entry| store.shard_of(&entry.parts) == Shard(0)));
    assert!(after.iter().any(|entry| store.shard_of(&entry.parts) == Shard(1)));
    write_by_shard(&store, &before);
    write_by_shard(&store, &after);
    for entry in &before {
        let rows = store.range(JOB, Some(entry.parts.owner), i64::MIN, i64::MAX).unwrap().rows;
        assert_eq!(rows.len(), 2, "one of each day");
    }
    assert_eq!(store.top_owners(JOB, DAY.plus(1).start_ms(), 100).unwrap().len(), 20);
}

#[test]
fn a_day_that_was_created_with_another_map_is_refused_and_other_days_are_not() {
    let (Some(a), Some(b)) = (Database::create(), Database::create()) else { return };
    let databases = [a, b];
    let old = growing(&databases, DAY.plus(50));
    check_all(&mut *old.writer(Shard(0)), &[Entry::of(1, 0, 1)], "stored");
    let new = growing(&databases, DAY);
    let outcomes = write(&mut *new.writer(Shard(0)), &[Entry::of(2, 0, 1), Entry::on(DAY.plus(1), 1, 0, 1)]);
    assert_eq!(outcomes[1].name(), "stored", "{outcomes:?}");
    assert_eq!(outcomes[0].name(), "misconfigured");
    for part in [&DAY.to_string(), "place 0 of 1 by owner", "place 0 of 2 by owner", "start on"] {
        assert!(fault(&outcomes[0]).contains(part), "{part} in {}", fault(&outcomes[0]));
    }
    // Readers are told as well, and the operator who creates days ahead.
    for error in [
        new.range(JOB, Some(Entry::of(1, 0, 1).parts.owner), DAY.start_ms(), i64::MAX).unwrap_err(),
        new.create_days(&[JOB], DAY, DAY).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Misconfigured { .. }), "{error}");
    }
    // As the text says: the new map may start on the next free day.
    let mended = growing(&databases, DAY.plus(2));
    check_all(&mut *mended.writer(Shard(0)), &[Entry::of(2, 0, 1)], "stored");
}

#[test]
fn two_shards_in_one_database_are_found_out() {
    let Some(database) = Database::create() else { return };
    let other_name = database.url(None, None).replace("127.0.0.1", "localhost");
    let store = store_of(&[("0", database.url(None, None)), ("1", other_name)], ShardKey::Owner);
    check_all(&mut *store.writer(Shard(0)), &[Entry::of(1, 0, 1)], "stored");
    let outcomes = write(&mut *store.writer(Shard(1)), &[Entry::of(2, 0, 1)]);
    assert_eq!(outcomes[0].name(), "misconfigured", "{outcomes:?}");
    assert!(fault(&outcomes[0]).contains("says it is shard \"0\""), "{}", fault(&outcomes[0]));
    assert!(store.drop_days_below(DAY.plus(1), None).is_err());
}

#[test]
fn process_types_of_an_app_lie_apart_and_are_read_together() {
    let (Some(a), Some(b)) = (Database::create(), Database::create()) else { return };
    let shards = [("0", a.url(None, None)), ("1", b.url(None, None))];
    let store = store_of(&shards, ShardKey::OwnerAndFirstDimension);
    let types = ["web", "worker", "clock", "release", "mail", "search"];
    let entries: Vec<_> =
        types.iter().map(|name| Entry::of(1, 0, 9).with_dimensions(&[name, "H12"])).collect();
    assert!(entries.iter().any(|it| store.shard_of(&it.parts) != store.shard_of(&entries[0].parts)));
    write_by_shard(&store, &entries);
    write_by_shard(&store, &[Entry::of(2, 0, 30)]);
    let owner = entries[0].parts.owner;
    assert_eq!(store.range(JOB, Some(owner), i64::MIN, i64::MAX).unwrap().rows.len(), 6);
    // 6 x 10 measurements on both shards beat 31 on one.
    let top = store.top_owners(JOB, DAY.start_ms(), 1).unwrap();
    assert_eq!((top[0].owner, top[0].count), (owner, 60));
}
