//! `yahtzee sink postgres` from a log in a folder into two real databases, one of which cannot be reached at first.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_pipeline_proto::summary;
use yahtzee_runtime::log::embedded::EmbeddedLog;
use yahtzee_runtime::log::{Log, NewRecord};

use crate::database::Database;
use crate::support::{Process, metric, named, wait_for, yahtzee};

pub(crate) const OWNERS: u8 = 64;
const NOBODY_LISTENS: &str = "postgres://nobody@127.0.0.1:1/nowhere";

/// Two databases of this test alone, and a log in a folder.
struct World {
    folder: tempfile::TempDir,
    east: Database,
    west: Database,
}

impl World {
    fn new(server: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [east, west] = ["east", "west"].map(|shard| Database::new(server, shard));
        let log = folder.path().join("log");
        let text = format!(
            "[topics]\npartitions = 4\n[worker]\nslots = 4\n[log.embedded]\nfolder = {log:?}\n\
             [admin]\nlisten = '127.0.0.1:0'\n[sink.postgres.shards]\neast = '{}'\nwest = 'env:WEST'\n",
            east.url(),
        );
        let world = Self { folder, east, west };
        fs::write(world.config(), text).unwrap();
        let created = world.command(&["topics", "create"], NOBODY_LISTENS).output().unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
        world
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("yahtzee.toml")
    }

    fn command(&self, arguments: &[&str], west: &str) -> Command {
        let mut command = yahtzee(arguments);
        command.args(["--config", self.config().to_str().unwrap()]).env("WEST", west);
        command
    }

    fn sink(&self, west: &str) -> (Process, String) {
        let mut sink = Process::start(self.command(&["sink", "postgres", "errors"], west));
        let address = sink.admin_address();
        (sink, address)
    }
}

/// Occurrences of all rows of a shard, by owner.
fn counts(shard: &Database, table: &str) -> Vec<i64> {
    let rows = shard.query(&format!("SELECT count FROM {table} ORDER BY owner"));
    rows.iter().map(|row| row.get(0)).collect()
}

/// One summary per owner in the minute that has just begun; owner `n` has `n + 1` occurrences.
pub(crate) fn append_summaries(log: &EmbeddedLog, now_ms: i64) {
    let record = |number: u8| {
        let key = SummaryKey {
            owner: Owner([number; 16]),
            dimensions: vec!["web".to_owned(), "H12".to_owned()],
            window_start_ms: now_ms - now_ms.rem_euclid(60_000),
            window_length_ms: 60_000,
        };
        let count = u64::from(number) + 1;
        let provenance = Provenance { generation: 1, first_offset: 0, last_offset: 9, count, is_final: true };
        NewRecord {
            topic: "ERROR_SUMMARY.v1".into(),
            partition: Partition(u32::from(number % 4)),
            timestamp_ms: now_ms,
            key: key.encode(),
            value: provenance.join(&summary::Errors { occurrences: count }),
            headers: Vec::new(),
        }
    };
    let appender = log.appender(Duration::from_secs(30)).unwrap();
    appender.append_and_wait(&(0..OWNERS).map(record).collect::<Vec<_>>()).unwrap();
}

#[test]
fn what_a_dead_shard_could_not_take_is_there_once_it_works() {
    let Some(server) = named("YAHTZEE_TEST_POSTGRES", "postgres") else { return };
    let world = World::new(&server);
    let now = jiff::Timestamp::now();
    append_summaries(
        &Arc::new(EmbeddedLog::open(&world.folder.path().join("log")).unwrap()),
        now.as_millisecond(),
    );
    let (sink, address) = world.sink(NOBODY_LISTENS);
    let settled = || metric(&address, "yahtzee_sink_summaries_total").filter(|sum| *sum == f64::from(OWNERS));
    wait_for("all summaries to be stored, or to wait in RETRY", settled);
    assert!(sink.terminate().success());

    let table = format!("yahtzee_{}.errors", now.strftime("%Y%m%d"));
    let stored = counts(&world.east, &table);
    let waiting = usize::from(OWNERS) - stored.len();
    assert!(!stored.is_empty() && waiting > 0, "both shards have owners: {stored:?}");

    let (sink, address) = world.sink(&world.west.url());
    let drained = || metric(&address, "yahtzee_retry_summaries_total").filter(|sum| *sum == waiting as f64);
    wait_for("what waited to be stored", drained);
    assert!(sink.terminate().success());
    let mut all = [stored, counts(&world.west, &table)].concat();
    all.sort_unstable();
    assert_eq!(all, (1..=i64::from(OWNERS)).collect::<Vec<_>>());
}
