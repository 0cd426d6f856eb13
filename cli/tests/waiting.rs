//! `yahtzee sink postgres`, `retry` and `quarantine`: waiting summaries are shown, requeued and dropped, and errors
//! name the wrong input and what to do next. No database is needed for any of it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::record::Offset;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_runtime::log::embedded::EmbeddedLog;
use yahtzee_runtime::log::{Log, NewRecord};
use yahtzee_storage::dead_letter::headers::{FailureHeaders, RecordPosition};

use crate::support::yahtzee;

pub(crate) const RETRY: &str = "RETRY.ERROR_SUMMARY.v1";
const QUARANTINE: &str = "QUARANTINE.ERROR_SUMMARY.v1";
/// 2016-05-04T10:00:00Z.
const BEGIN_MS: i64 = 1_462_356_000_000;

/// A log with all topics, and a configuration with two shards where nobody listens.
pub(crate) struct World {
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        let log = world.folder.path().join("log");
        let text = format!(
            "[topics]\npartitions = 4\n[worker]\nslots = 4\n[log.embedded]\nfolder = {log:?}\n[admin]\nlisten = ''\n\
             [sink.postgres.shards]\neast = 'postgres://nobody@127.0.0.1:1/east'\nwest = 'env:WEST'\n"
        );
        fs::write(world.config(), text).unwrap();
        world.succeeds(&["topics", "create"]);
        world
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("yahtzee.toml")
    }

    /// Exit code, standard output and standard error.
    fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let output = yahtzee(arguments)
            .args(["--config", self.config().to_str().unwrap()])
            .env("WEST", "postgres://nobody@127.0.0.1:1/west")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let (is_success, output, errors) = self.run(arguments);
        assert!(is_success, "{arguments:?}: {errors}");
        output
    }

    fn fails(&self, arguments: &[&str], parts: &[&str]) {
        let (is_success, _, errors) = self.run(arguments);
        assert!(!is_success, "{arguments:?}");
        for part in parts {
            assert!(errors.contains(part), "{arguments:?}: {part:?} is missing in: {errors}");
        }
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.succeeds(&[arguments, &["--json"]].concat())).unwrap()
    }

    pub(crate) fn append(&self, records: Vec<NewRecord>) {
        let log = EmbeddedLog::open(&self.folder.path().join("log")).unwrap();
        log.appender(Duration::from_secs(30)).unwrap().append_and_wait(&records).unwrap();
    }

    /// Ids of what is in quarantine.
    fn quarantined(&self) -> Vec<String> {
        let listed = self.json(&["quarantine", "list"]);
        let id = |it: &Value| it["id"].as_str().unwrap().to_owned();
        listed.as_array().unwrap().iter().map(id).collect()
    }

    /// Records that wait for a shard.
    fn waiting(&self, shard: &str) -> Option<u64> {
        let report = self.json(&["retry", "list"]);
        let shards = report["shards"].as_array().unwrap();
        shards.iter().find(|it| it["shard"] == shard).map(|it| it["records"].as_u64().unwrap())
    }
}

fn key(minute: i64) -> Vec<u8> {
    SummaryKey {
        owner: Owner([7; 16]),
        dimensions: vec!["H12".to_owned()],
        window_start_ms: BEGIN_MS + minute * 60_000,
        window_length_ms: 60_000,
    }
    .encode()
}

fn value() -> Vec<u8> {
    let provenance = Provenance { generation: 1, first_offset: 2, last_offset: 9, count: 3, is_final: true };
    provenance.join(&yahtzee_pipeline_proto::summary::Errors { occurrences: 3 })
}

pub(crate) fn trail(shard: &str, error: &str) -> FailureHeaders {
    let source =
        RecordPosition { topic: "ERROR_SUMMARY.v1".to_owned(), partition: Partition(1), offset: Offset(5) };
    FailureHeaders {
        store: Some("postgres".to_owned()),
        job: Some("errors".to_owned()),
        shard: Some(shard.to_owned()),
        source: Some(source),
        first_failure_ms: Some(BEGIN_MS),
        attempts: 2,
        error: Some(error.to_owned()),
        ..FailureHeaders::default()
    }
}

fn record(topic: &str, partition: u32, key: Vec<u8>, trail: &FailureHeaders) -> NewRecord {
    NewRecord {
        topic: topic.into(),
        partition: Partition(partition),
        timestamp_ms: yahtzee_runtime::clock::wall_clock_ms(),
        key,
        value: value(),
        headers: trail.headers(),
    }
}

pub(crate) fn waiting_record(partition: u32, minute: i64, trail: &FailureHeaders) -> NewRecord {
    record(RETRY, partition, key(minute), trail)
}

/// As the sink writes it: the key is the store's name, `/`, and the summary's key.
pub(crate) fn quarantined_record(minute: i64) -> NewRecord {
    let key = [b"postgres/", key(minute).as_slice()].concat();
    let partition = Owner([7; 16]).partition(4).0;
    let trail = FailureHeaders { code: Some("22003".to_owned()), ..trail("east", "value too odd") };
    record(QUARANTINE, partition, key, &trail)
}

#[test]
fn what_waits_is_counted_by_shard() {
    let world = World::new();
    assert_eq!(world.succeeds(&["retry", "list"]), "nothing waits in RETRY\n");
    let down = trail("east", "connection refused");
    let full = FailureHeaders { code: Some("53100".to_owned()), ..trail("east", "disk full") };
    world.append(vec![
        waiting_record(0, 1, &down),
        waiting_record(0, 1, &down),
        waiting_record(0, 2, &full),
        waiting_record(1, 3, &trail("west", "too late")),
    ]);
    let report = world.json(&["retry", "list", "--shard", "east"]);
    let expected = serde_json::json!([{
        "shard": "east",
        "records": 3,
        "summaries": 2,
        "first_failure": "2016-05-04T10:00:00Z",
        "errors": [
            { "error": "connection refused", "records": 2 },
            { "code": "53100", "error": "disk full", "records": 1 },
        ],
    }]);
    assert_eq!(report["shards"], expected);
    assert_eq!((world.waiting("east"), world.waiting("west")), (Some(3), Some(1)));
    let text = world.succeeds(&["retry", "list"]);
    for part in [
        "east",
        "west",
        "2 times: connection refused",
        "1 times 53100: disk full",
        "retry postgres",
        "retry inspect RETRY.",
    ] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn a_waiting_summary_is_shown_in_full() {
    let world = World::new();
    world.append(vec![waiting_record(0, 1, &trail("east", "connection refused"))]);
    let place = format!("{RETRY}/0/0");
    let report = world.json(&["retry", "inspect", &place]);
    let expected = [
        ("place", Value::from(place.as_str())),
        ("job", "errors".into()),
        ("shard", "east".into()),
        ("error", "connection refused".into()),
        ("attempts", 2.into()),
        ("source", "ERROR_SUMMARY.v1/1/5".into()),
        ("owner", Owner([7; 16]).to_string().into()),
        ("dimensions", vec!["H12"].into()),
        ("window_start", "2016-05-04T10:01:00Z".into()),
        ("last_offset", 9.into()),
        ("final", true.into()),
        ("count", 3.into()),
    ];
    for (name, expected) in expected {
        assert_eq!(report[name], expected, "{name} in {report}");
    }
    assert!(report["figures"].is_object(), "{report}");
    let text = world.succeeds(&["retry", "inspect", &place]);
    for part in ["connection refused", "H12", "2016-05-04T10:01:00Z", "3 measurements since offset 2"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn quarantined_summaries_are_handed_in_again_or_given_up() {
    let world = World::new();
    world.append((1..=4).map(quarantined_record).collect());
    let ids = world.quarantined();
    assert_eq!(ids.len(), 4);
    let listed = world.succeeds(&["quarantine", "list"]);
    assert!(listed.contains("4 in quarantine\n  4 times 22003: value too odd\n"), "{listed}");
    world.succeeds(&["quarantine", "requeue", &ids[0]]);
    assert_eq!(world.quarantined(), ids[1..]);
    let waiting = ["east", "west"].map(|shard| world.waiting(shard).unwrap_or(0));
    assert_eq!(waiting.iter().sum::<u64>(), 1);
    // Standard input is no terminal: without --yes nothing is lost.
    world.fails(&["quarantine", "drop", &ids[1]], &["1 summaries", "--yes"]);
    assert_eq!(world.quarantined(), ids[1..]);
    world.succeeds(&["quarantine", "drop", &ids[1], "--yes"]);
    world.fails(&["quarantine", "drop", &ids[1], "--yes"], &[&ids[1], "quarantine list"]);
    world.succeeds(&["quarantine", "drop", "--job", "dyno-load", "--yes"]);
    assert_eq!(world.quarantined(), ids[2..]);
    world.succeeds(&["quarantine", "requeue", "--all"]);
    assert_eq!(world.quarantined(), [""; 0]);
    let waiting = ["east", "west"].map(|shard| world.waiting(shard).unwrap_or(0));
    assert_eq!(waiting.iter().sum::<u64>(), 3);
}

#[test]
fn only_a_store_with_a_retry_process_takes_summaries_back() {
    let world = World::new();
    let mut record = quarantined_record(1);
    record.key = [b"embedded/", key(1).as_slice()].concat();
    world.append(vec![record]);
    let ids = world.quarantined();
    world.fails(&["quarantine", "requeue", &ids[0]], &["embedded", "yahtzee replay", "quarantine drop"]);
    assert_eq!(world.quarantined(), ids);
}

#[test]
fn what_does_not_exist_is_named() {
    let world = World::new();
    let shards = ["north", "east", "west"];
    world.fails(&["retry", "postgres", "--shard", "north"], &shards);
    world.fails(&["retry", "list", "--shard", "north"], &shards);
    world.fails(&["retry", "inspect", "east"], &["TOPIC/PARTITION/OFFSET", "RETRY."]);
    world.fails(&["retry", "inspect", "RETRY.NOTHING_SUMMARY.v1/0/0"], &["NOTHING", "topics create"]);
    world.fails(&["retry", "inspect", &format!("{RETRY}/0/7")], &[RETRY, "retry list"]);
    world.fails(&["retry", "inspect", "ERROR_SUMMARY.v1/0/0"], &["neither", "quarantine list"]);
    let id = format!("{QUARANTINE}/0/3");
    world.fails(&["quarantine", "drop", "--yes", &id], &[&id, "quarantine list"]);
    world.fails(&["quarantine", "requeue", &id], &[&id, "quarantine list"]);
    world.fails(&["quarantine", "list", "--job", "nothing"], &["nothing", "router-latency"]);
    world.fails(&["quarantine", "requeue"], &["--all", "--job"]);
    world.fails(&["quarantine", "requeue", "--all", &id], &["--all"]);
    world.fails(&["sink", "postgres", "nothing"], &["nothing", "router-latency"]);
}

#[test]
fn a_configuration_without_shards_is_told_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let own = [("YAHTZEE_LOG__EMBEDDED__FOLDER", log.to_str().unwrap()), ("YAHTZEE_ADMIN__LISTEN", "")];
    for arguments in [&["sink", "postgres"][..], &["retry", "postgres"], &["quarantine", "requeue", "--all"]]
    {
        let output = yahtzee(arguments).envs(own).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        for part in ["[sink.postgres.shards]", "postgres://", "env:DATABASE_URL", "yahtzee.toml"] {
            assert!(errors.contains(part), "{arguments:?}: {part:?} is missing in: {errors}");
        }
    }
}

#[test]
fn a_shard_map_that_cannot_be_is_told_with_its_section() {
    let world = World::new();
    let config = fs::read_to_string(world.config()).unwrap();
    let check = |map: &str, parts: &[&str]| {
        fs::write(world.config(), format!("{config}{map}\n")).unwrap();
        world.fails(&["retry", "postgres"], &[&["sink.postgres"], parts].concat());
    };
    check("[[sink.postgres.map]]\nshards = ['east']\nfrom = 'soon'", &["soon", "2026-11-21"]);
    check("[[sink.postgres.map]]\nshards = []", &["no shards"]);
    check("[[sink.postgres.map]]\nshards = ['east', 'north']", &["north"]);
}
