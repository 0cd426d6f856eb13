//! Every value of the policies in force is reported: by `yahtzee jobs`, and in the log of a worker that starts.

use serde_json::Value;

use crate::support::yahtzee;

const JOB: &str = "errors";

/// Settings that differ from the job's own, with the name and form in which each must be reported.
const SETTINGS: [(&str, &str, &str, &str); 8] = [
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
