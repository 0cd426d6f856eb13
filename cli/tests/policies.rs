//! Every value of the policies in force is reported: by `yahtzee jobs`, and in the log of a worker that starts.

use std::path::Path;
use std::process::Command;

use prost::Message;
use serde_json::Value;
use yahtzee_core::owner::Owner;
use yahtzee_pipeline_proto::RecordOf;
use yahtzee_pipeline_proto::raw::PlatformError;
use yahtzee_runtime::log::embedded::EmbeddedLog;
use yahtzee_runtime::log::{Log, NewRecord};

use crate::support::{PATIENCE, Process, get, metric, wait_for, yahtzee};

const JOB: &str = "errors";

/// Settings that differ from the job's own, with the name and form in which each must be reported.
const SETTINGS: [(&str, &str, &str, &str); 9] = [
    ("GENERATION", "5", "generation", "5"),
    ("WINDOW_LENGTH_MS", "1000", "window_length_ms", "1000"),
    ("LATENESS_WINDOWS", "7", "lateness_windows", "7"),
    ("FUTURE_WINDOWS", "3", "future_windows", "3"),
    ("FLUSH_INTERVAL_MS", "200", "flush_interval_ms", "200"),
    ("CLOCK_SKEW_MS", "5", "clock_skew_ms", "5"),
    ("SERIES_MAX", "77", "series_max", "77"),
    ("SERIES_PER_OWNER_MAX", "8", "series_per_owner_max", "8"),
    ("PUBLISH_LATE", "true", "too_late", "\"LATE.ERROR.v1\""),
];

fn environment() -> impl Iterator<Item = (String, &'static str)> {
    SETTINGS.into_iter().map(|(key, value, ..)| (format!("YAHTZEE_JOBS__ERRORS__{key}"), value))
}

fn check(told: &Value, untold: &Value) {
    for (_, _, field, expected) in SETTINGS {
        assert_eq!(told[field].to_string(), expected, "{field} in {told}");
        assert_ne!(untold[field].to_string(), expected, "{field} is that without being set");
        assert!(!untold[field].is_null(), "{field} in {untold}");
    }
}

#[test]
fn jobs_lists_every_value() {
    let listed = |settings: Vec<(String, &str)>| {
        let output = yahtzee(&["jobs", "--json"]).envs(settings).output().unwrap();
        let jobs: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        jobs.into_iter().find(|job| job["job"] == JOB).unwrap()
    };
    check(&listed(environment().collect()), &listed(vec![]));
}

/// The worker is given too little memory, so that it ends after it has said what is in force.
#[test]
fn a_worker_logs_every_value() {
    let folder = tempfile::tempdir().unwrap();
    let own = [
        ("YAHTZEE_LOG__EMBEDDED__FOLDER", folder.path().to_str().unwrap()),
        ("YAHTZEE_ADMIN__LISTEN", ""),
        ("YAHTZEE_LOGGING__FORMAT", "json"),
        ("YAHTZEE_WORKER__MEMORY_MAX_MIB", "1"),
    ];
    let logged = |settings: Vec<(String, &str)>| {
        let output = yahtzee(&["run", JOB]).envs(own).envs(settings).output().unwrap();
        let lines = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let events = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.into_iter().find(|event| event["message"] == "job").expect(&lines)
    };
    check(&logged(environment().collect()), &logged(vec![]));
}

/// A worker on a log that holds one error, with these settings of the environment.
fn worker(folder: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = yahtzee(&["run", JOB]);
    command
        .env("YAHTZEE_LOG__EMBEDDED__FOLDER", folder)
        .env("YAHTZEE_ADMIN__LISTEN", "127.0.0.1:0")
        .env("YAHTZEE_TOPICS__RAW_RETENTION_HOURS", "0")
        .envs(settings.iter().copied());
    command
}

fn write_an_error(folder: &Path) {
    let created = yahtzee(&["topics", "create"]).env("YAHTZEE_LOG__EMBEDDED__FOLDER", folder).status();
    assert!(created.unwrap().success());
    let (owner, time_us) = (Owner([7; 16]), 1_700_000_000_000_000);
    let error =
        PlatformError { time_us, process_type: "web".into(), code: "H12".into(), ..Default::default() };
    let value = RecordOf { owner: owner.0.to_vec(), measurements: vec![error], ..RecordOf::default() };
    let record = NewRecord {
        topic: "ERROR.v1".into(),
        partition: owner.partition(32),
        timestamp_ms: time_us / 1_000,
        key: owner.0.to_vec(),
        value: value.encode_to_vec(),
        headers: Vec::new(),
    };
    let log = EmbeddedLog::open(folder).unwrap();
    log.appender(PATIENCE).unwrap().append_and_wait(&[record]).unwrap();
}

/// Under another value the worker would replace finished windows by parts of them. It says which value it was, and that a
/// new generation is the way forward; with one it folds everything anew.
#[test]
fn a_setting_that_decides_acceptance_is_refused_until_the_job_has_a_new_generation() {
    let folder = tempfile::tempdir().unwrap();
    write_an_error(folder.path());
    let commits = |settings: &[(&str, &str)]| {
        let mut worker = Process::start(worker(folder.path(), settings));
        let admin = worker.admin_address();
        wait_for("a commit", || metric(&admin, "yahtzee_commit_total").filter(|&commits| commits > 0.0));
        let read = metric(&admin, "yahtzee_record_read_total");
        assert_eq!(get(&admin, "/healthz").map(|(status, _)| status), Some(200));
        assert!(worker.terminate().success());
        read
    };
    assert_eq!(commits(&[]), Some(1.0));
    for (variable, before) in [
        ("YAHTZEE_JOBS__ERRORS__LATENESS_WINDOWS", "lateness_windows was 5"),
        ("YAHTZEE_JOBS__ERRORS__FUTURE_WINDOWS", "future_windows was 1"),
        ("YAHTZEE_JOBS__ERRORS__SERIES_MAX", "series_max was 20000"),
        ("YAHTZEE_JOBS__ERRORS__SERIES_PER_OWNER_MAX", "series_per_owner_max was 1000"),
        ("YAHTZEE_JOBS__ERRORS__WINDOW_LENGTH_MS", "window_length_ms was 60000"),
        ("YAHTZEE_WORKER__SLOTS", "worker.slots was 8"),
    ] {
        let output = worker(folder.path(), &[(variable, "2")]).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && text.contains(before), "{variable}: {text}");
        assert!(text.contains("generation") && text.contains("[jobs."), "{variable}: {text}");
    }
    let anew = [("YAHTZEE_JOBS__ERRORS__LATENESS_WINDOWS", "2"), ("YAHTZEE_JOBS__ERRORS__GENERATION", "2")];
    assert_eq!(commits(&anew), Some(1.0), "everything is read again");
    let output = worker(folder.path(), &[("YAHTZEE_JOBS__ERRORS__GENERATION", "0")]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("jobs.errors.generation = 0 is below"));
}
