//! Errors name the wrong input, and what to do next.

use std::fs;

use crate::support::yahtzee;

/// Runs to the end, which must be a failure whose text has every one of `parts`.
fn check(arguments: &[&str], environment: &[(&str, &str)], parts: &[&str]) {
    let output = yahtzee(arguments).envs(environment.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}: {said}");
    for part in parts {
        assert!(said.contains(part), "{arguments:?}: {part:?} is missing in: {said}");
    }
}

#[test]
fn wrong_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    fs::write(&file, "[worker]\nslotz = 3\n").unwrap();
    let path = file.to_str().unwrap();
    check(&["jobs", "--config", path], &[], &[path, "slotz", "slots", "line 2"]);
    check(&["jobs", "--config", "missing.toml"], &[], &["missing.toml", "config example"]);
    check(&["jobs"], &[("YAHTZEE_WORKER__SLOTS", "none")], &["YAHTZEE_WORKER__SLOTS"]);
    check(&["jobs"], &[("YAHTZEE_WORKER__SLOTS", "4\npartitions = 99")], &["YAHTZEE_WORKER__SLOTS"]);
    check(&["jobs"], &[("YAHTZEE_WORKER__MEMORY_MAX_MIB", "17592186044417")], &["memory_max_mib"]);
    check(
        &["jobs"],
        &[("YAHTZEE_JOBS__ERRORS__SERIES_MAX", "2342443691899625602")],
        &["series_max", "errors"],
    );
    check(&["jobs"], &[("YAHTZEE_LOG__EMBEDDED__FOLDER", "p\u{fffd}ss")], &["UTF-8", "FOLDER"]);
    check(&["assign", "--workers", "4000000000"], &[], &["65536"]);
    check(&["jobs"], &[("YAHTZEE_JOBS__NOTHING__FUTURE_WINDOWS", "1")], &["nothing", "router-latency"]);
}

#[test]
fn wrong_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let log = [("YAHTZEE_LOG__EMBEDDED__FOLDER", log.to_str().unwrap()), ("YAHTZEE_ADMIN__LISTEN", "")];
    check(&["run", "--worker", "2/2"], &log, &["out of range", "0 to 1"]);
    check(&["run", "--worker", "two"], &log, &["INDEX/COUNT", "0/2"]);
    let web = [log[0], log[1], ("DYNO", "web.1"), ("YAHTZEE_WORKERS", "2")];
    check(&["run"], &web, &["web.1", "process type `worker`", "--worker 0/2"]);
    let small = [log[0], log[1], ("YAHTZEE_WORKER__MEMORY_MAX_MIB", "64")];
    check(&["run"], &small, &["at their usual sizes, and 64 MiB", "series_max", "worker.memory_max_mib"]);
    let greatest = [log[0], log[1], ("YAHTZEE_WORKER__MEMORY_NEED", "greatest")];
    check(&["run"], &greatest, &["at their greatest", "series_max", "worker.memory_max_mib"]);
    check(&["run", "no-such-job"], &log, &["no-such-job", "router-latency"]);
    // A mistake in a flag is what is told, whatever else is wrong.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let admin = [log[0], ("YAHTZEE_ADMIN__LISTEN", taken.as_str())];
    check(&["run", "--worker", "2/2"], &admin, &["out of range"]);
    check(&["run", "no-such-job"], &admin, &["no-such-job", "router-latency"]);
    check(&["sink", "embedded", "no-such-job"], &admin, &["no-such-job", "router-latency"]);
    check(&["demo", "--input", "missing.log"], &[], &["missing.log"]);
    check(&["demo", "--for", "soon"], &[], &["--for"]);
    for rate in ["0", "-0", "-5", "NaN", "inf", "1e18", "1000000.1"] {
        check(&["demo", "--rate", rate], &[], &["--rate", "above 0", "at most 1000000"]);
    }
    check(&["demo", "--rate", "many"], &[], &["--rate", "many"]);
}

#[test]
fn missing_topics_and_other_partition_counts() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut log =
        vec![("YAHTZEE_LOG__EMBEDDED__FOLDER", log.to_str().unwrap()), ("YAHTZEE_ADMIN__LISTEN", "")];
    check(&["run"], &log, &["ROUTER_REQUEST.v1", "yahtzee topics create"]);
    check(&["topics", "check"], &log, &["missing", "yahtzee topics create"]);
    let created = yahtzee(&["topics", "create"]).envs(log.iter().copied()).output().unwrap();
    assert!(created.status.success());
    log.push(("YAHTZEE_TOPICS__PARTITIONS", "16"));
    check(&["topics", "check"], &log, &["has 32 partitions", "topics.partitions = 32"]);
    check(&["run"], &log, &["has 32 partitions"]);
    check(&["ingress"], &log, &["has 32 partitions"]);
}

#[test]
fn no_broker_and_no_credentials() {
    let kafka = [
        ("YAHTZEE_LOG__KIND", "kafka"),
        ("YAHTZEE_LOG__KAFKA__BROKERS", "127.0.0.1:1"),
        ("YAHTZEE_ADMIN__LISTEN", ""),
    ];
    check(&["topics", "check"], &kafka, &["127.0.0.1:1", "broker"]);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let open = [
        ("YAHTZEE_LOG__EMBEDDED__FOLDER", log.to_str().unwrap()),
        ("YAHTZEE_ADMIN__LISTEN", ""),
        ("PORT", "0"),
    ];
    assert!(yahtzee(&["topics", "create"]).envs(open).output().unwrap().status.success());
    check(&["ingress"], &open, &["credentials", "0.0.0.0"]);
}
