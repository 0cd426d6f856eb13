//! The store in a folder: the common properties, and a full disk.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use yahtzee_core::owner::Owner;
use yahtzee_storage::embedded::EmbeddedStore;
use yahtzee_storage::store::{Outcome, SummaryStore};

use super::Bench;
use super::support::{Entry, Writers, key, rows_of, step};

mod conforms {
    use super::EmbeddedBench;

    crate::stores::each_property!(EmbeddedBench::new());
}

/// A folder of its own for each test.
struct EmbeddedBench {
    folder: TempDir,
    store: Mutex<Option<Arc<EmbeddedStore>>>,
}

impl EmbeddedBench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Mutex::new(Some(open(folder.path())));
        Self { folder, store }
    }
}

impl Bench for EmbeddedBench {
    fn store(&self) -> Arc<dyn SummaryStore> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.clone().expect("open between two calls")
    }

    fn reopen(&self) -> Arc<dyn SummaryStore> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        drop(store.take());
        let reopened = open(self.folder.path());
        *store = Some(Arc::clone(&reopened));
        reopened
    }
}

fn open(folder: &Path) -> Arc<EmbeddedStore> {
    Arc::new(EmbeddedStore::open(folder).expect("the folder is free"))
}

/// Tells a re-executed test which folder it is to fill.
const FOLDER: &str = "YAHTZEE_TEST_FULL_STORE";

/// With a limit on the size of files nothing can be written, as on a full disk: the same store goes on when there is
/// room again, and keeps what it has acknowledged.
#[test]
fn goes_on_after_a_full_disk() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return fill(&PathBuf::from(folder));
    }
    let folder = tempfile::tempdir().unwrap();
    // The limit is told by an error only to processes that ignore its signal.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "stores::embedded::goes_on_after_a_full_disk", "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stored = rows_of(&*open(folder.path()), Owner([1; 16])).len();
    assert!(stored >= 120, "the other process has written two hours of minutes");
}

fn fill(folder: &Path) {
    let store = open(folder);
    let mut writers = Writers::new(&*store);
    let batch = |hour: i64| -> Vec<Entry> {
        (0..60).map(|minute| Entry::new(key(1, 60 * hour + minute), step(1))).collect()
    };
    writers.store(&batch(0));
    let roomy = getrlimit(Resource::Fsize);
    // The journal is extended when it is created and filled later, so that it is beyond the limit already.
    setrlimit(Resource::Fsize, Rlimit { current: Some(1_000), ..roomy }).unwrap();
    for hour in [1, 1, 2] {
        let outcomes = writers.write(&batch(hour));
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Retryable(_))), "{outcomes:?}");
        let Outcome::Retryable(fault) = &outcomes[0] else { unreachable!("just checked") };
        assert!(fault.to_string().contains("File too large"), "{fault}");
    }
    setrlimit(Resource::Fsize, roomy).unwrap();
    writers.store(&batch(3));
    let rows = rows_of(&*store, Owner([1; 16]));
    for entry in batch(0).iter().chain(&batch(3)) {
        assert!(rows.contains(&entry.row()), "{entry:?}");
    }
}
