//! What only this store has: the folder. Everything else is in the suite of all stores, `tests/services/stores/`.

use yahtzee_core::summary::Provenance;
use yahtzee_pipeline_proto::summary;

use super::*;
use crate::store::OwnedSummary;

const JOB: &str = "errors";

fn key(day: Day) -> Vec<u8> {
    let (dimensions, window_start_ms) = (vec!["web".to_owned()], day.start_ms());
    SummaryKey { owner: Owner([1; 16]), dimensions, window_start_ms, window_length_ms: 60_000 }.encode()
}

fn value() -> Vec<u8> {
    let provenance = Provenance { generation: 1, first_offset: 0, last_offset: 9, count: 3, is_final: true };
    provenance.join(&summary::Errors { occurrences: 3 })
}

fn write(store: &EmbeddedStore, days: &[Day]) -> Vec<Outcome> {
    let keys: Vec<Vec<u8>> = days.iter().copied().map(key).collect();
    let value = value();
    let read = |key: &Vec<u8>| OwnedSummary::read(&JOB.into(), key, &value, Day(20_000)).unwrap();
    let summaries: Vec<OwnedSummary> = keys.iter().map(read).collect();
    let batch: Vec<Summary<'_>> = summaries.iter().map(OwnedSummary::lend).collect();
    store.writer(Shard(0)).write(&batch)
}

/// Days of the rows, in the order of a scan.
fn scanned(store: &EmbeddedStore) -> Vec<Day> {
    let mut days = Vec::new();
    store.scan(|row| days.push(Day::of_ms(row.key.window_start_ms))).unwrap();
    days
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let size = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        metadata if metadata.is_dir() => bytes_in(&entry.path()),
        metadata => metadata.len(),
    };
    entries.map(size).sum()
}

#[test]
fn a_folder_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let _first = EmbeddedStore::open(folder.path()).unwrap();
    let error = EmbeddedStore::open(folder.path()).map(drop).unwrap_err();
    assert_eq!(error, StoreError::FolderInUse(folder.path().display().to_string()));
}

#[test]
fn a_folder_with_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("0.jnl");
    std::fs::write(&file, "precious").unwrap();
    for open in [EmbeddedStore::open, EmbeddedStore::open_existing] {
        let error = open(folder.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains("`0.jnl`") && error.contains("`sink.embedded.folder`"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn who_only_reads_creates_no_store() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("mistyped");
    let error = EmbeddedStore::open_existing(&folder).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Misconfigured { .. }), "{error}");
    assert!(!folder.exists());
    EmbeddedStore::open(&folder).unwrap();
    EmbeddedStore::open_existing(&folder).unwrap();
}

#[test]
fn a_writer_keeps_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EmbeddedStore::open(folder.path()).unwrap().writer(Shard(0));
    assert!(EmbeddedStore::open(folder.path()).is_err());
    assert_eq!(writer.write(&[]), []);
    drop(writer);
    EmbeddedStore::open(folder.path()).unwrap();
}

#[test]
fn a_scan_gives_all_days_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path()).unwrap();
    write(&store, &[Day(3), Day(-1), Day(12), Day(0)]);
    assert_eq!(scanned(&store), [Day(-1), Day(0), Day(3), Day(12)]);
}

#[test]
fn the_rows_of_another_format_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = fjall::Database::builder(folder.path()).open().unwrap();
    database.keyspace("day-20000", fjall::KeyspaceCreateOptions::default).unwrap();
    drop(database);
    for _ in 0..2 {
        let error = EmbeddedStore::open(folder.path()).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Misconfigured { .. }), "{error}");
    }
    assert!(fjall::Database::builder(folder.path()).open().unwrap().keyspace_exists("day-20000"));
}

#[test]
fn the_files_of_a_dropped_day_go_with_its_last_reader() {
    let folder = tempfile::tempdir().unwrap();
    let keyspaces = folder.path().join("keyspaces");
    let store = EmbeddedStore::open(folder.path()).unwrap();
    store.create_days(&[JOB], Day(5), Day(5)).unwrap();
    let before = bytes_in(&keyspaces);
    store.create_days(&[JOB], Day(4), Day(4)).unwrap();
    let with_day = std::fs::read_dir(&keyspaces).unwrap().count();
    let reader = store.0.view.read().unwrap().clone();
    assert_eq!(store.drop_days_below(Day(5), None).unwrap(), [Day(4)]);
    assert_eq!(std::fs::read_dir(&keyspaces).unwrap().count(), with_day);
    drop(reader);
    assert_eq!(std::fs::read_dir(&keyspaces).unwrap().count(), with_day - 1);
    assert!(before > 0);
}

#[test]
fn a_day_that_was_hidden_and_not_deleted_goes_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path()).unwrap();
    write(&store, &[Day(3), Day(4), Day(5)]);
    store.0.change(|folder| folder.raise_floor(Day(5))).unwrap();
    assert_eq!(scanned(&store), [Day(5)]);
    drop(store);
    let store = EmbeddedStore::open(folder.path()).unwrap();
    assert_eq!(scanned(&store), [Day(5)]);
    assert_eq!(store.drop_days_below(Day(1), None).unwrap(), [Day(3), Day(4)]);
    assert_eq!(store.drop_days_below(Day(1), None).unwrap(), []);
    assert_eq!(write(&store, &[Day(4), Day(5)]), [Outcome::Expired, Outcome::Stale]);
}

#[test]
fn after_a_failed_change_the_folder_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path()).unwrap();
    write(&store, &[Day(3)]);
    let fail = || store.0.change(|_| Err::<(), _>(fjall::Error::Poisoned)).unwrap_err();
    assert!(matches!(fail(), StoreError::Unavailable { .. }));
    assert!(matches!(
        store.range(JOB, Some(Owner([1; 16])), 0, i64::MAX),
        Err(StoreError::Unavailable { .. })
    ));
    assert_eq!(write(&store, &[Day(3), Day(4)]), [Outcome::Stale, Outcome::Stored]);
    assert_eq!(scanned(&store), [Day(3), Day(4)]);
}

#[test]
fn while_a_reader_holds_what_has_failed_writes_are_to_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path()).unwrap();
    write(&store, &[Day(3)]);
    let reader = store.0.view.read().unwrap().clone();
    store.0.change(|_| Err::<(), _>(fjall::Error::Poisoned)).unwrap_err();
    assert!(matches!(write(&store, &[Day(4)])[..], [Outcome::Retryable(_)]));
    drop(reader);
    assert_eq!(write(&store, &[Day(4)]), [Outcome::Stored]);
}
