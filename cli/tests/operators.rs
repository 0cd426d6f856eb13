//! `yahtzee replay`, `verify`, `commits` and `assign`, on logs that real processes have written.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use prost::Message;
use serde_json::Value;
use yahtzee_core::assignment::{WorkerIndex, partitions_of, slots_of};
use yahtzee_core::commit::Commit;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::record::Offset;
use yahtzee_core::summary::{Provenance, SummaryKey, key_of_record};
use yahtzee_pipeline_proto::RecordOf;
use yahtzee_pipeline_proto::raw::PlatformError;
use yahtzee_runtime::config::Secret;
use yahtzee_runtime::log::embedded::EmbeddedLog;
use yahtzee_runtime::log::{CommittedOffset, Isolation, Item, Log, NewRecord, OffsetCommit};
use yahtzee_storage::embedded::EmbeddedStore;
use yahtzee_storage::postgres::PostgresStore;
use yahtzee_storage::postgres::settings::{PostgresSettings, ShardSettings, Timeouts};
use yahtzee_storage::postgres::shard_map::{Epoch, ShardKey, ShardMap};
use yahtzee_storage::store::{Day, Outcome, OwnedSummary, Shard, SummaryStore};

use crate::database::Database;
use crate::support::{PATIENCE, Process, Rows, named, rows, yahtzee};

/// The demo's number of partitions.
const PARTITIONS: u32 = 8;
/// 2016-05-04T10:00:00Z.
const BEGIN_MS: i64 = 1_462_356_000_000;
const MINUTE_MS: i64 = 60_000;
pub(crate) const JOB: &str = "router-latency";
pub(crate) const RAW: &str = "ROUTER_REQUEST.v1";
const SUMMARIES: &str = "ROUTER_REQUEST_SUMMARY.v1";
pub(crate) const GROUP: &str = "yahtzee.router-latency.g1.v1";
const SINK_GROUP: &str = "yahtzee.sink.embedded.router-latency.v1";

/// A folder with a log and a store, and commands that are configured for it.
pub(crate) struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// What the demo leaves behind after a recording of twenty minutes of two apps.
    pub(crate) fn of_demo() -> Self {
        let world = Self::empty();
        let mut arguments =
            vec!["demo".to_owned(), "--data".to_owned(), world.path("").display().to_string()];
        for app in ["first.log", "second.log"] {
            let path = world.path(app);
            fs::write(&path, recording()).unwrap();
            arguments.extend(["--input".to_owned(), path.display().to_string()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Process::start(yahtzee(&arguments)).output();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = yahtzee(arguments);
        command
            .env("YAHTZEE_LOG__EMBEDDED__FOLDER", self.path("log"))
            .env("YAHTZEE_SINK__EMBEDDED__FOLDER", self.path("store"))
            .env("YAHTZEE_TOPICS__PARTITIONS", PARTITIONS.to_string())
            // Retention goes by the records' own time.
            .env("YAHTZEE_TOPICS__RAW_RETENTION_HOURS", "0")
            .env("YAHTZEE_TOPICS__SUMMARY_RETENTION_DAYS", "0")
            .env("YAHTZEE_WORKER__SLOTS", "2");
        command
    }

    /// Runs a command that must succeed and prints one JSON document.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let (code, report) = self.verdict(arguments);
        assert_eq!(code, 0, "{arguments:?}: {report}");
        report
    }

    /// Runs a command that prints one JSON document: exit code and document.
    pub(crate) fn verdict(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.command(arguments).arg("--json").output().unwrap();
        let report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{arguments:?}: {}", said(&output)));
        (output.status.code().unwrap(), report)
    }

    pub(crate) fn log(&self) -> EmbeddedLog {
        EmbeddedLog::open(&self.path("log")).unwrap()
    }

    fn committed(&self) -> Vec<Option<CommittedOffset>> {
        self.log().committed(GROUP, RAW, &all_partitions()).unwrap()
    }

    /// The newest value of every key of a topic.
    fn topic(&self, topic: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let log = self.log();
        let from: Vec<_> = all_partitions().into_iter().map(|partition| (partition, Offset(0))).collect();
        let mut reader = log.reader(topic, &from, Isolation::Committed).unwrap();
        let (mut found, mut ends) = (BTreeMap::new(), 0);
        while ends < PARTITIONS {
            for item in reader.poll(PATIENCE).unwrap() {
                match item {
                    Item::Record(_, record, _) => {
                        let key = key_of_record(record.key, record.value);
                        drop(found.insert(key.to_vec(), record.value.to_vec()))
                    }
                    Item::End(..) => ends += 1,
                }
            }
        }
        found
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn all_partitions() -> Vec<Partition> {
    (0..PARTITIONS).map(Partition).collect()
}

/// Requests over twenty minutes, one per second, every eleventh up to seven minutes late.
fn recording() -> String {
    let mut text = String::new();
    for second in 0..1_200_u32 {
        let event = if second % 11 == 0 { second.saturating_sub(second * 7 % 420) } else { second };
        let (minute, second_of_minute) = (event / 60, event % 60);
        text += &format!(
            "2016-05-04T10:{minute:02}:{second_of_minute:02}.000000+00:00 heroku[router]: at=info method=GET path=\"/\" \
             host=app.example.com request_id=x fwd=\"192.0.2.1\" dyno=web.1 connect=1ms service={}ms \
             status={} bytes=100 protocol=https\n",
            second % 877,
            [200, 503][second as usize % 2],
        );
    }
    text
}

/// The final ones.
fn finals(summaries: BTreeMap<Vec<u8>, Vec<u8>>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    summaries.into_iter().filter(|(_, value)| Provenance::of_value(value).unwrap().is_final).collect()
}

/// A summary value with another provenance.
fn with_provenance(value: &[u8], change: impl FnOnce(&mut Provenance)) -> Vec<u8> {
    let (mut provenance, body) = Provenance::split(value).unwrap();
    change(&mut provenance);
    let mut changed = vec![0x0a];
    provenance.encode_length_delimited(&mut changed).unwrap();
    changed.extend_from_slice(body);
    changed
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a number instead of {value}"))
}

#[test]
fn what_the_demo_has_published_is_what_its_raw_topics_give() {
    let world = World::of_demo();
    for arguments in [&["verify"][..], &["verify", "--open"], &["verify", "--from", "2016-05-04T10:03:30Z"]] {
        let report = world.json(arguments);
        let job = report["jobs"].as_array().unwrap().iter().find(|job| job["job"] == JOB).unwrap();
        let summaries = number(&job["summaries"]);
        assert!(summaries > 10, "{arguments:?}: {job}");
        for place in ["topic", "store"] {
            assert_eq!(number(&job["places"][place]["equal"]), summaries, "{arguments:?}: {job}");
            assert_eq!(job["places"][place]["different"], serde_json::json!({}));
        }
    }
}

#[test]
fn a_changed_row_of_the_store_is_found_and_the_topic_is_not_blamed() {
    let world = World::of_demo();
    let rows = rows(&world.path("store"));
    let ((job, key), (_, value)) = rows.iter().find(|(_, (revision, _))| revision.is_final).unwrap();
    let changed = with_provenance(value, |provenance| provenance.generation += 1);
    {
        let store = EmbeddedStore::open(&world.path("store")).unwrap();
        let summary = OwnedSummary::read(&job.as_str().into(), key, &changed, Day(i64::MAX)).unwrap();
        let outcomes = store.writer(Shard(0)).write(&[summary.lend()]);
        assert_eq!(outcomes, [Outcome::Stored]);
    }
    let (code, report) = world.verdict(&["verify", "--job", job]);
    assert_eq!(code, 1);
    let difference = &report["jobs"][0]["differences"];
    assert_eq!(difference.as_array().unwrap().len(), 1, "{difference}");
    let owner = SummaryKey::decode(key).unwrap().owner.to_string();
    for (name, expected) in [("place", "store"), ("kind", "newer"), ("owner", &owner)] {
        assert_eq!(difference[0][name], expected, "{difference}");
    }
    world.json(&["verify", "--job", job, "--against", "topic"]);
}

/// Writes the rows of the demo's store into a database of this test alone, as a sink would have.
fn copy_to_postgres(rows: &Rows, url: String) -> PostgresStore {
    let store = {
        let shard = ShardSettings { name: "one".to_owned(), url: Secret::new(url) };
        let epoch = Epoch { from: Day::MIN, shards: vec!["one".to_owned()], key: ShardKey::Owner };
        let map = ShardMap::new(vec![epoch]).unwrap();
        let settings =
            PostgresSettings { shards: vec![shard], map, timeouts: Timeouts::default(), ca_file: None };
        PostgresStore::new(settings).unwrap()
    };
    let read = |((job, key), (_, value)): (&(String, Vec<u8>), &(_, Vec<u8>))| {
        OwnedSummary::read(&job.as_str().into(), key, value, Day(i64::MAX)).unwrap()
    };
    let summaries: Vec<OwnedSummary> = rows.iter().map(read).collect();
    let batch: Vec<_> = summaries.iter().map(OwnedSummary::lend).collect();
    let outcomes = store.writer(Shard(0)).write(&batch);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Stored), "{outcomes:?}");
    store
}

#[test]
fn rows_of_postgres_are_compared_except_those_of_dropped_days() {
    let Some(server) = named("YAHTZEE_TEST_POSTGRES", "postgres") else { return };
    let database = Database::new(&server, "verify");
    let world = World::of_demo();
    let all = rows(&world.path("store"));
    let store = copy_to_postgres(&all, database.url());
    fs::write(world.path("yahtzee.toml"), format!("[sink.postgres.shards]\none = {:?}\n", database.url()))
        .unwrap();
    let config = world.path("yahtzee.toml").display().to_string();
    let verify =
        |more: &[&str]| world.verdict(&[&["verify", "--config", &config, "--job", JOB][..], more].concat());

    let (code, report) = verify(&[]);
    assert_eq!(code, 0, "{report}");
    let job = &report["jobs"][0];
    assert!(number(&job["summaries"]) > 10, "{job}");
    assert_eq!(job["places"]["store"]["equal"], job["summaries"]);

    let table = "yahtzee_20160504.\"router-latency\"";
    let first = format!("WHERE ctid = (SELECT ctid FROM {table} WHERE final ORDER BY window_start LIMIT 1)");
    assert_eq!(database.query(&format!("DELETE FROM {table} {first} RETURNING 1")).len(), 1);
    let (code, report) = verify(&["--against", "store"]);
    assert_eq!(
        (code, &report["jobs"][0]["places"]["store"]["different"]),
        (1, &serde_json::json!({"missing": 1}))
    );
    assert_eq!(verify(&["--store", "embedded"]).0, 0);

    store.drop_days_below("2016-05-05".parse().unwrap(), None).unwrap();
    let (code, report) = verify(&["--against", "store"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["jobs"][0]["expired_summaries"], report["jobs"][0]["summaries"]);
}

#[test]
fn changed_and_invented_summaries_of_the_topic_are_found() {
    let world = World::of_demo();
    let (key, value) = finals(world.topic(SUMMARIES)).into_iter().next().unwrap();
    let mut other = value.clone();
    // Field 20, requests, once more: the last one on the wire counts.
    other.extend([0xa0, 0x01, 0x63]);
    let known = SummaryKey::decode(&key).unwrap();
    let invented = SummaryKey { dimensions: vec!["invented".to_owned()], ..known.clone() };
    let record = |key: &SummaryKey, value: &[u8]| NewRecord {
        topic: SUMMARIES.into(),
        partition: key.owner.partition(PARTITIONS),
        timestamp_ms: BEGIN_MS,
        key: key.encode(),
        value: value.to_vec(),
        headers: Vec::new(),
    };
    append(&world.log(), vec![record(&known, &other), record(&invented, &value)]);
    let (code, report) = world.verdict(&["verify", "--job", JOB]);
    assert_eq!(code, 1);
    let topic = &report["jobs"][0]["places"]["topic"]["different"];
    assert_eq!(*topic, serde_json::json!({"ambiguous": 1, "extra": 1}));
    assert_eq!(report["jobs"][0]["places"]["store"]["different"], serde_json::json!({}));
}

fn append(log: &EmbeddedLog, records: Vec<NewRecord>) {
    log.appender(PATIENCE).unwrap().append_and_wait(&records).unwrap();
}

#[test]
fn a_shadow_topic_holds_the_same_final_summaries_and_the_worker_is_not_disturbed() {
    let world = World::of_demo();
    let committed = world.committed();
    let report = world.json(&["replay", "--into", "SHADOW.v1", "--job", JOB]);
    assert_eq!(report["jobs"][0]["is_continued"], false);
    let expected = finals(world.topic(SUMMARIES));
    assert!(expected.len() > 10, "{}", expected.len());
    assert_eq!(world.topic("SHADOW.v1"), expected);
    assert_eq!(world.committed(), committed);
    world.json(&["verify"]);
}

#[test]
fn a_range_of_times_gives_its_windows_whole() {
    let world = World::of_demo();
    let range = ["--from", "2016-05-04T10:05:00Z", "--to", "2016-05-04T12:08:30+02:00", "--job", JOB];
    let whole = finals(world.topic(SUMMARIES));
    let arguments = [&["replay", "--into", "PART.v1"][..], &range].concat();
    world.json(&arguments);
    let is_within = |key: &[u8]| {
        let minute = (SummaryKey::decode(key).unwrap().window_start_ms - BEGIN_MS) / MINUTE_MS;
        (5..8).contains(&minute)
    };
    let expected: BTreeMap<_, _> = whole.into_iter().filter(|(key, _)| is_within(key)).collect();
    assert!(!expected.is_empty());
    assert_eq!(world.topic("PART.v1"), expected);

    let owner = SummaryKey::decode(expected.keys().next().unwrap()).unwrap().owner;
    let report = world.json(&[&["replay", "--dry-run", "--owner", &owner.to_string()][..], &range].concat());
    let parts = report["jobs"][0]["partitions"].as_array().unwrap();
    let of_owner = expected.keys().filter(|key| key.starts_with(&owner.0)).count() as u64;
    assert_eq!(parts.len(), 1);
    assert_eq!(number(&parts[0]["summaries"]), of_owner);
    assert_eq!(number(&parts[0]["partition"]), u64::from(owner.partition(PARTITIONS).0));
}

#[test]
fn a_new_generation_is_what_readers_prefer() {
    let world = World::of_demo();
    world.json(&["replay", "--as-generation", "2", "--job", JOB]);
    world.json(&["verify", "--job", JOB, "--against", "topic", "--generation", "2"]);
    let (code, report) = world.verdict(&["verify", "--job", JOB, "--against", "topic"]);
    assert_eq!(code, 1);
    let counts = &report["jobs"][0];
    assert_eq!(counts["places"]["topic"]["different"]["newer"], counts["summaries"]);
}

const ERRORS: u64 = 10_000;

/// Ten thousand platform errors of one owner, ten per second.
fn write_errors(world: &World) {
    let created = world.command(&["topics", "create"]).output().unwrap();
    assert!(created.status.success(), "{}", said(&created));
    let owner = Owner([7; 16]);
    let topic: Arc<str> = "ERROR.v1".into();
    let record = |number: u64| {
        let timestamp_ms = BEGIN_MS + number as i64 * 100;
        let (process_type, code) = (format!("web{}", number % 5), "H12".to_owned());
        let time_us = timestamp_ms * 1_000;
        let error = PlatformError { time_us, process_type, code, ..PlatformError::default() };
        let value = RecordOf { owner: owner.0.to_vec(), measurements: vec![error], ..RecordOf::default() };
        NewRecord {
            topic: Arc::clone(&topic),
            partition: owner.partition(PARTITIONS),
            timestamp_ms,
            key: owner.0.to_vec(),
            value: value.encode_to_vec(),
            headers: Vec::new(),
        }
    };
    append(&world.log(), (0..ERRORS).map(record).collect());
}

#[test]
fn a_killed_replay_goes_on_where_it_was() {
    let world = World::empty();
    write_errors(&world);
    let whole = world.json(&["replay", "--into", "WHOLE.v1", "--job", "errors"]);
    assert_eq!(total(&whole, "records"), ERRORS);

    let arguments = ["replay", "--into", "BROKEN.v1", "--job", "errors"];
    let mut process = Process::start(world.command(&[&arguments[..], &["--rate", "2000"]].concat()));
    // Told when progress was written.
    process.line_with(&format!("of {ERRORS} records"));
    process.kill();
    let part = world.topic("BROKEN.v1");
    assert!(part.len() < world.topic("WHOLE.v1").len());

    let rest = world.json(&arguments);
    assert_eq!(rest["jobs"][0]["is_continued"], true);
    assert!(total(&rest, "records") < ERRORS, "{rest}");
    assert_eq!(world.topic("BROKEN.v1"), world.topic("WHOLE.v1"));

    let again = world.json(&arguments);
    assert_eq!(total(&again, "summaries"), 0);
    let afresh = world.json(&[&arguments[..], &["--fresh"]].concat());
    assert_eq!(
        (total(&afresh, "records"), total(&afresh, "summaries")),
        (ERRORS, total(&whole, "summaries"))
    );
    refused(
        &world,
        &[&arguments[..], &["--to-offset", "7"]].concat(),
        &["BROKEN.v1", "--to-offset 7", "--fresh", "--id"],
    );
}

fn total(report: &Value, name: &str) -> u64 {
    let jobs = report["jobs"].as_array().unwrap().iter();
    jobs.flat_map(|job| job["partitions"].as_array().unwrap()).map(|part| number(&part[name])).sum()
}

#[test]
fn a_range_of_offsets_names_the_windows_at_its_edges() {
    let world = World::empty();
    write_errors(&world);
    // Ten records per second. The first one is of minute 1; records before it can reach one minute further by their
    // clock and one by the future bound. The last one is of minute 13, five minutes before it are open.
    let range = ["--from-offset", "650", "--to-offset", "7850", "--job", "errors"];
    let report = world.json(&[&["replay", "--dry-run"][..], &range].concat());
    let parts = report["jobs"][0]["partitions"].as_array().unwrap();
    let part = parts.iter().find(|part| number(&part["records"]) > 0).unwrap();
    assert_eq!(part["incomplete_through"], "2016-05-04T10:03:00Z");
    assert_eq!(part["first_window"], "2016-05-04T10:04:00Z");
    assert_eq!(part["last_window"], "2016-05-04T10:07:00Z");
    assert_eq!(part["open_windows"][0], "2016-05-04T10:08:00Z");
    assert_eq!(number(&part["summaries"]), 4 * 5);
}

#[test]
fn commits_are_shown_as_they_are_stored() {
    let world = World::of_demo();
    let stored = world.committed();
    let report = world.json(&["commits", JOB]);
    assert_eq!(report[0]["consumer_group"], GROUP);
    let bounds = world.log().bounds(RAW, &all_partitions()).unwrap();
    let mut open = 0;
    for (partition, (stored, bounds)) in stored.iter().zip(&bounds).enumerate() {
        let shown = &report[0]["partitions"][partition];
        let stored = stored.as_ref().unwrap();
        let (commit, identity) = Commit::read(stored.offset, &stored.metadata).unwrap();
        assert_eq!(number(&shown["committed_offset"]), stored.offset.0);
        assert_eq!(number(&shown["position"]), commit.position().0);
        assert_eq!(number(&shown["log_end"]), bounds.end.0);
        assert_eq!(number(&shown["position_lag"]), bounds.end.0 - commit.position().0);
        assert_eq!(number(&shown["replay_lag"]), commit.position().0 - stored.offset.0);
        assert_eq!(shown["worker"], identity.owner_tag.to_string());
        assert_eq!(shown["flags"], serde_json::json!([]));
        let windows = shown["open_windows"].as_array().unwrap();
        assert!(
            windows
                .iter()
                .map(|open| number(&open["first_offset"]))
                .eq(commit.open().iter().map(|open| open.1.0))
        );
        open += windows.len();
    }
    assert!(open > 0, "{report}");
}

#[test]
fn commits_of_sinks_are_shown_and_flagged() {
    let world = World::of_demo();
    let sinks = || world.json(&["commits", JOB])[0]["sinks"].take();
    let shown = sinks();
    assert_eq!(shown.as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!((&shown[0]["store"], &shown[0]["consumer_group"]), (&"embedded".into(), &SINK_GROUP.into()));
    let ends = world.log().bounds(SUMMARIES, &all_partitions()).unwrap();
    let mut stored = 0;
    for (bounds, part) in ends.iter().zip(shown[0]["partitions"].as_array().unwrap()) {
        assert_eq!((number(&part["log_end"]), number(&part["lag"])), (bounds.end.0, 0));
        assert_eq!(part["flags"], serde_json::json!([]));
        stored += part["committed_offset"].as_u64().unwrap_or(0);
    }
    assert_eq!(stored, ends.iter().map(|bounds| bounds.end.0).sum::<u64>());
    let beyond = CommittedOffset { offset: ends[0].end.next(), metadata: String::new() };
    let beyond = OffsetCommit { topic: SUMMARIES, partition: Partition(0), committed: beyond };
    world.log().commit(SINK_GROUP, &[beyond]).unwrap();
    assert_eq!(sinks()[0]["partitions"][0]["flags"][0]["kind"], "above-log-end");
    let text = said(&world.command(&["commits", JOB]).output().unwrap());
    assert!(text.contains("sink into embedded") && text.contains("! above the log end"), "{text}");
}

#[test]
fn commits_without_a_fault_have_a_line_for_each_job_and_sink() {
    let world = World::of_demo();
    let text =
        |more: &[&str]| said(&world.command(&[&["commits", JOB][..], more].concat()).output().unwrap());
    let short = text(&[]);
    let fine = format!("{PARTITIONS} partitions fine");
    assert_eq!(short.lines().filter(|line| line.contains(&fine)).count(), 2, "{short}");
    assert_eq!(short.lines().count(), 2, "{short}");
    // Both, and below each a header and the partitions; the demo leaves windows open in some.
    let rows = |text: &str| text.lines().filter(|line| !line.contains("open: ")).count();
    assert_eq!(rows(&text(&["--all"])), 2 * (1 + 1 + PARTITIONS as usize));
    let bounds = world.log().bounds(RAW, &all_partitions()).unwrap();
    let place = bounds.iter().position(|bounds| bounds.end > Offset(0)).expect("the demo has written");
    let beyond = CommittedOffset { offset: bounds[place].end.next(), metadata: "by hand".to_owned() };
    let beyond = OffsetCommit { topic: RAW, partition: all_partitions()[place], committed: beyond };
    world.log().commit(GROUP, &[beyond]).unwrap();
    let faulty = text(&[]);
    let one_less = format!("{} of {PARTITIONS} partitions fine", PARTITIONS - 1);
    assert!(faulty.lines().next().is_some_and(|line| line.contains(&one_less)), "{faulty}");
    // The job, a header, the partition and its two faults; the sink.
    assert_eq!(faulty.lines().count(), 1 + 1 + 1 + 2 + 1, "{faulty}");
}

#[test]
fn commits_that_workers_would_refuse_are_flagged() {
    let world = World::of_demo();
    // One that has records, so that somebody must have committed something.
    let bounds = world.log().bounds(RAW, &all_partitions()).unwrap();
    let place = bounds.iter().position(|bounds| bounds.end > Offset(0)).expect("the demo has written");
    let partition = all_partitions()[place];
    let kinds = |arguments: &[&str], environment: (&str, &str)| {
        let output =
            world.command(arguments).env(environment.0, environment.1).arg("--json").output().unwrap();
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        report[0]["partitions"][place]["flags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|flag| flag["kind"].clone())
            .collect::<Vec<_>>()
    };
    let commits = ["commits", JOB];
    assert_eq!(kinds(&commits, ("YAHTZEE_TOPICS__PARTITIONS", "4")), ["other-value"]);
    let length = ("YAHTZEE_JOBS__ROUTER-LATENCY__WINDOW_LENGTH_MS", "1000");
    assert_eq!(kinds(&commits, length), ["other-value"]);
    let by_hand = CommittedOffset { offset: Offset(0), metadata: "by hand".to_owned() };
    let by_hand = OffsetCommit { topic: RAW, partition, committed: by_hand };
    world.log().commit(GROUP, &[by_hand]).unwrap();
    assert_eq!(kinds(&commits, ("NONE", "")), ["unreadable"]);
    // Who deletes the raw topic deletes its commits, and workers refuse those beside the summaries.
    let next = ("YAHTZEE_JOBS__ROUTER_LATENCY__GENERATION", "2");
    assert_eq!(kinds(&commits, next), ["no-commit"]);
    let of_another = world.committed().into_iter().zip(0..).find(|(_, at)| *at != place);
    let committed = of_another.and_then(|(committed, _)| committed).expect("every partition has a commit");
    let beside = OffsetCommit { topic: SUMMARIES, partition, committed };
    world.log().commit(&GROUP.replace(".g1.", ".g2."), &[beside]).unwrap();
    assert_eq!(kinds(&commits, next), ["other-value"]);
}

#[test]
fn the_assignment_is_the_one_that_workers_compute() {
    let world = World::empty();
    let report =
        world.json(&["assign", "--workers", "3", "--compare", "2", "--slots", "5", "--partitions", "12"]);
    for (name, workers) in [("/workers", 3), ("/compare/workers", 2)] {
        let shown = report.pointer(name).unwrap().as_array().unwrap();
        assert_eq!(shown.len(), workers as usize);
        for (index, share) in shown.iter().enumerate() {
            let worker = WorkerIndex::new(index as u32, workers).unwrap();
            let slots: Vec<u32> = slots_of(worker, 5).collect();
            let mut partitions: Vec<u32> = slots
                .iter()
                .flat_map(|&slot| partitions_of(slot, 5, 12))
                .map(|partition| partition.0)
                .collect();
            partitions.sort_unstable();
            assert_eq!(share["slots"], serde_json::json!(slots));
            assert_eq!(share["partitions"], serde_json::json!(partitions));
        }
    }
    // From configuration, two slots: the third worker is idle.
    let output = world.command(&["assign", "--workers", "3"]).output().unwrap();
    assert!(said(&output).contains("2/3: idle"), "{}", said(&output));
}

/// Runs a command that must fail with a text that has every one of `parts`.
fn refused(world: &World, arguments: &[&str], parts: &[&str]) {
    let output = world.command(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?}: {}", said(&output));
    for part in parts {
        assert!(said(&output).contains(part), "{arguments:?}: {part:?} is missing in: {}", said(&output));
    }
}

#[test]
fn wrong_requests_are_refused_with_what_to_type_instead() {
    let world = World::empty();
    let check = |arguments: &[&str], parts: &[&str]| refused(&world, arguments, parts);
    check(&["replay"], &["--dry-run", "--into", "--as-generation"]);
    check(&["replay", "--dry-run", "--into", "X"], &["cannot be used with"]);
    check(&["replay", "--dry-run", "--from", "yesterday"], &["2026-03-04T05:06:00Z", "-2h"]);
    check(&["replay", "--dry-run", "--from", "-1h", "--to", "-2h"], &["is not before"]);
    check(&["replay", "--dry-run", "--owner", "me"], &["11111111-2222"]);
    check(&["replay", "--dry-run", "--partition", "8"], &["0 to 7"]);
    check(&["replay", "--dry-run", "--job", "nothing"], &["nothing", JOB]);
    check(&["replay", "--into", "X"], &["--job"]);
    check(&["replay", "--into", SUMMARIES, "--job", JOB], &["topic of the pipeline"]);
    check(&["replay", "--as-generation", "1", "--job", JOB], &["--as-generation 2"]);
    check(&["replay", "--dry-run"], &["yahtzee topics create"]);
    check(&["verify"], &["store", "--against topic"]);
    check(&["verify", "--against", "topic"], &["yahtzee topics create"]);
    for reading in ["commits", "topics check", "retry list", "quarantine list"] {
        let arguments: Vec<&str> = reading.split(' ').collect();
        check(&arguments, &["there is no log in", "`log.embedded.folder`", "yahtzee topics create"]);
    }
    check(&["assign", "--slots", "9"], &["--slots 1 to 8"]);
    check(&["assign", "--workers", "0"], &["at least one worker"]);
    // What only reads has made no new log or store of a mistyped name.
    assert_eq!(fs::read_dir(world.folder.path()).unwrap().count(), 0);
}
