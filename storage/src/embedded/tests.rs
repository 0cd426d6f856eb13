//! Any order, any repetition: the newest revision of every key is what is read.

use proptest::prelude::*;
use prost::Message;
use yahtzee_proto::summary;

use super::*;

fn key(owner: u8, minute: i64) -> Vec<u8> {
    let dimensions = vec!["web".to_owned()];
    let window_start_ms = minute * 60_000;
    SummaryKey { owner: Owner([owner; 16]), dimensions, window_start_ms, window_length_ms: 60_000 }.encode()
}

fn value(last_offset: u64, is_final: bool) -> Vec<u8> {
    let count = last_offset + 1;
    let provenance =
        summary::Provenance { generation: 1, first_offset: 0, last_offset, count, r#final: is_final };
    summary::Errors { provenance: Some(provenance), occurrences: count }.encode_to_vec()
}

fn rows(store: &EmbeddedStore) -> Vec<Row> {
    let mut rows = Vec::new();
    store.scan(|row| rows.push(row)).unwrap();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_greatest_revision_wins_in_any_order(
        writes in prop::collection::vec((0..3_u8, 0..4_i64, 0..6_u64, any::<bool>()), 1..40),
        batch_len in 1..8_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(folder.path()).unwrap();
        let mut newest = BTreeMap::new();
        let encoded: Vec<(Vec<u8>, Vec<u8>)> = writes
            .iter()
            .map(|&(owner, minute, last_offset, is_final)| (key(owner, minute), value(last_offset, is_final)))
            .collect();
        for (batch, writes) in encoded.chunks(batch_len).zip(writes.chunks(batch_len)) {
            let batch: Vec<Summary<'_>> =
                batch.iter().map(|(key, value)| Summary { job: "errors", key, value }).collect();
            let outcomes = store.write(&batch).unwrap();
            for (outcome, &(owner, minute, last_offset, is_final)) in outcomes.iter().zip(writes) {
                let revision = (last_offset, is_final);
                let before = newest.get(&(owner, minute)).copied();
                let is_newer = before.is_none_or(|before| before < revision);
                let expected = if is_newer { Outcome::Stored } else { Outcome::Stale };
                prop_assert_eq!(*outcome, expected);
                if is_newer {
                    newest.insert((owner, minute), revision);
                }
            }
        }
        let found: BTreeMap<(u8, i64), (u64, bool)> = rows(&store)
            .into_iter()
            .map(|row| {
                let place = (row.key.owner.0[0], row.key.window_start_ms / 60_000);
                (place, (row.provenance.last_offset, row.provenance.is_final))
            })
            .collect();
        prop_assert_eq!(found, newest);
    }
}

#[test]
fn rows_of_one_owner_are_found_over_days_and_survive_a_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let midnight = DAY_MS / 60_000 * 17_000;
    let store = EmbeddedStore::open(folder.path()).unwrap();
    let value = value(1, true);
    let keys: Vec<Vec<u8>> = [(1, midnight - 1), (1, midnight), (1, midnight + 1), (2, midnight)]
        .map(|(owner, minute)| key(owner, minute))
        .into();
    let batch: Vec<Summary<'_>> =
        keys.iter().map(|key| Summary { job: "errors", key, value: &value }).collect();
    store.write(&batch).unwrap();
    drop(store);
    let store = EmbeddedStore::open(folder.path()).unwrap();
    let minutes = |from: i64, to: i64| -> Vec<i64> {
        let rows = store.rows_of(Owner([1; 16]), &["errors"], from * 60_000, to * 60_000).unwrap();
        rows.iter().map(|row| row.key.window_start_ms / 60_000 - midnight).collect()
    };
    assert_eq!(minutes(midnight - 1, midnight + 2), [-1, 0, 1]);
    assert_eq!(minutes(midnight, midnight + 1), [0]);
    assert_eq!(rows(&store).len(), 4);
}

#[test]
fn what_is_no_summary_is_told_apart_and_hurts_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path()).unwrap();
    let (good_key, good) = (key(1, 1), value(1, false));
    let batch = [
        Summary { job: "errors", key: b"short", value: &good },
        Summary { job: "errors", key: &good_key, value: b"\xff" },
        Summary { job: "errors", key: &good_key, value: &good },
    ];
    assert_eq!(store.write(&batch).unwrap(), [Outcome::Unreadable, Outcome::Unreadable, Outcome::Stored]);
}

#[test]
fn a_partial_rebuild_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path()).unwrap();
    let partial =
        summary::Provenance { generation: 1, first_offset: 8, last_offset: 9, count: 1, r#final: true };
    let partial = summary::Errors { provenance: Some(partial), occurrences: 1 }.encode_to_vec();
    let (key, whole) = (key(1, 1), value(5, true));
    store.write(&[Summary { job: "errors", key: &key, value: &whole }]).unwrap();
    let outcome = store.write(&[Summary { job: "errors", key: &key, value: &partial }]).unwrap();
    assert_eq!(outcome, [Outcome::StoredAgainstChain]);
}

#[test]
fn a_folder_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let _first = EmbeddedStore::open(folder.path()).unwrap();
    let error = EmbeddedStore::open(folder.path()).map(drop).unwrap_err();
    assert!(matches!(&error, StoreError::FolderInUse(name) if name == &folder.path().display().to_string()));
}
