//! Days come into being once, and stay dropped.

use std::sync::Barrier;

use yahtzee_storage::store::Day;
use yahtzee_storage::store::{Outcome, Shard, StoreError, SummaryStore};

use super::support::{DAY, Database, Entry, JOB, check_all, table, write};

fn schemas(database: &Database) -> Vec<String> {
    database.run("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'yahtzee\\_%' ORDER BY 1")
}

#[test]
fn sixteen_writers_create_the_same_days_at_once() {
    let Some(database) = Database::create() else { return };
    let store = database.store();
    let start = Barrier::new(16);
    std::thread::scope(|scope| {
        for owner in 0..16 {
            let (mut writer, start) = (store.writer(Shard(0)), &start);
            scope.spawn(move || {
                start.wait();
                let batch: Vec<_> = (0..3).map(|day| Entry::on(DAY.plus(day), owner, 0, 1)).collect();
                check_all(&mut *writer, &batch, "stored");
            });
        }
    });
    assert_eq!(schemas(&database).len(), 3);
    assert_eq!(database.run(&format!("SELECT count(*) FROM {}", table())), ["16"]);
}

#[test]
fn days_are_created_ahead_for_all_jobs() {
    let Some(database) = Database::create() else { return };
    let store = database.store();
    store.create_days(&["errors", "dyno_load"], DAY, DAY.plus(2)).unwrap();
    store.create_days(&["errors", "dyno_load"], DAY, DAY.plus(2)).unwrap();
    assert_eq!(schemas(&database).len(), 3);
    let tables = database.run("SELECT count(*) FROM pg_tables WHERE schemaname LIKE 'yahtzee\\_%'");
    assert_eq!(tables, ["6"]);
}

#[test]
fn a_dropped_day_is_gone_for_good() {
    let Some(database) = Database::create() else { return };
    let store = database.store();
    let mut writer = store.writer(Shard(0));
    let of = |day| Entry::on(day, 1, 0, 1);
    let days: Vec<Day> = (0..4).map(|day| DAY.plus(day)).collect();
    check_all(&mut *writer, &days.iter().map(|&day| of(day)).collect::<Vec<_>>(), "stored");
    assert_eq!(store.drop_days_below(days[2], None).unwrap(), days[..2]);

    let outcomes = write(&mut *writer, &[of(days[1]), of(days[3]), of(days[0].plus(-300))]);
    assert_eq!(outcomes, [Outcome::Expired, Outcome::Stale, Outcome::Expired]);
    // Not by a process that has just started, nor ahead of time either.
    check_all(&mut *database.writer(), &[of(days[0])], "expired");
    store.create_days(&[JOB], days[0], days[3]).unwrap();
    assert_eq!(schemas(&database).len(), 2);

    let rows = store.range(JOB, Some(of(DAY).parts.owner), i64::MIN, i64::MAX).unwrap();
    assert_eq!((rows.rows.len(), rows.floor), (2, days[2]));
    assert!(store.top_owners(JOB, days[0].start_ms(), 5).unwrap().is_empty());
}

#[test]
fn the_floor_never_goes_down() {
    let Some(database) = Database::create() else { return };
    let store = database.store();
    assert_eq!(store.drop_days_below(DAY, None).unwrap(), []);
    assert_eq!(store.drop_days_below(DAY.plus(-10), None).unwrap(), []);
    check_all(&mut *store.writer(Shard(0)), &[Entry::on(DAY.plus(-1), 1, 0, 1)], "expired");
    check_all(&mut *store.writer(Shard(0)), &[Entry::on(DAY, 1, 0, 1)], "stored");
}

/// The floor holds at once, for readers and writers; the day itself goes when the reader has gone.
#[test]
fn a_day_that_is_being_read_is_dropped_later_and_seen_no_more() {
    let Some(database) = Database::create() else { return };
    let store = database.store();
    check_all(&mut *store.writer(Shard(0)), &[Entry::of(1, 0, 1)], "stored");
    let reader = database.session();
    reader.run(&format!("BEGIN; SELECT * FROM {}", table()));

    let error = store.drop_days_below(DAY.plus(1), None).unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { cause, .. } if cause.code() == "55P03"), "{error}");
    assert!(
        store.range(JOB, Some(Entry::of(1, 0, 1).parts.owner), i64::MIN, i64::MAX).unwrap().rows.is_empty()
    );
    check_all(&mut *store.writer(Shard(0)), &[Entry::of(2, 0, 1)], "expired");

    reader.run("COMMIT");
    assert_eq!(store.drop_days_below(DAY.plus(1), None).unwrap(), [DAY]);
    assert!(schemas(&database).is_empty());
}

#[test]
fn readers_never_fail_while_days_are_dropped() {
    let Some(database) = Database::create() else { return };
    let store = database.store();
    let batch: Vec<_> = (0..12).map(|day| Entry::on(DAY.plus(day), 1, 0, 1)).collect();
    check_all(&mut *store.writer(Shard(0)), &batch, "stored");
    let owner = batch[0].parts.owner;
    std::thread::scope(|scope| {
        let dropper = scope.spawn(|| {
            (1..12).map(|day| store.drop_days_below(DAY.plus(day), None).unwrap().len()).sum::<usize>()
        });
        while !dropper.is_finished() {
            let rows = store.range(JOB, Some(owner), i64::MIN, i64::MAX).unwrap();
            let expected = DAY.plus(12).0 - rows.floor.0.max(DAY.0);
            assert_eq!(i64::try_from(rows.rows.len()).unwrap(), expected, "{:?}", rows.floor);
        }
        assert_eq!(dropper.join().unwrap(), 11);
    });
}
