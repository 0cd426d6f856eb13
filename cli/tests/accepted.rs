//! What `config check` accepts a process accepts.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::support::{Process, get, wait_for, yahtzee};

/// Greatest integer of a configuration file.
const MAX: i64 = i64::MAX;

const ANY_PORT: &str = "127.0.0.1:0";

/// Values that are odd, each for itself: some are accepted, some refused. Which is not said here.
fn odd_configurations() -> Vec<String> {
    let (long, max) = ("v".repeat(300), MAX);
    let of_section = |section: &'static str, lines: Vec<String>| {
        lines.into_iter().map(move |line| format!("[{section}]\n{line}\n"))
    };
    let each = |keys: &[&str], values: &[i64]| -> Vec<String> {
        keys.iter().flat_map(|key| values.iter().map(move |value| format!("{key} = {value}"))).collect()
    };
    let times = ["linger_ms", "patience_ms", "retry_after_ms", "commit_interval_ms", "append_timeout_ms"];
    let sizes = ["series_max", "series_per_owner_max", "flush_interval_ms"];
    let mut all: Vec<String> = Vec::new();
    all.extend(of_section(
        "worker",
        each(&["write_deadline_ms", "pause_max_ms", "memory_max_mib"], &[0, max]),
    ));
    all.extend(of_section("worker", each(&["poison_run_max", "poison_percent_max"], &[0, max])));
    all.extend(of_section(
        "topics",
        vec![format!("version = '{long}'"), "replication = 4294967295".to_owned()],
    ));
    all.extend(of_section(
        "topics",
        each(&["raw_retention_hours", "timestamp_ahead_max_ms"], &[0, 4_294_967_295]),
    ));
    all.extend(of_section(
        "ingress",
        each(&["body_bytes_max", "ack_budget_ms", "unknown_owners_max"], &[0, max]),
    ));
    all.extend(of_section("ingress", each(&["memory_max_mib"], &[0, 8, 4_294_967_295])));
    let credentials = ["[\"\"]", "[\"a:\"]", "[\"a\", \"a\"]", "[\"a\"]"];
    all.extend(of_section("ingress", credentials.map(|list| format!("credentials = {list}")).to_vec()));
    all.extend(of_section(
        "ingress",
        vec!["listen = '0.0.0.0:0'".to_owned(), "listen = '[::1]:0'".to_owned()],
    ));
    all.extend(of_section(
        "logging",
        ["", "a=b=c", "info,,", "=", "warn"].map(|text| format!("filter = '{text}'")).to_vec(),
    ));
    all.extend(of_section("jobs.errors", each(&sizes, &[0, 1, max])));
    all.extend(of_section(
        "jobs.errors",
        each(&["clock_skew_ms", "window_length_ms"], &[0, 1, 4_294_967_295]),
    ));
    all.extend(of_section("sink", each(&["retention_days"], &[0, 1, 4_294_967_295])));
    all.extend(of_section("sink.delivery", each(&times, &[0, 1, max])));
    all.extend(of_section("sink.delivery", each(&["queue_bytes_max", "span_max"], &[1, max])));
    all.push(format!("[sink.delivery]\nbatch_max = {max}\nqueue_max = {max}\n"));
    all.push("[log.embedded]\nfolder = 'one'\n[sink.embedded]\nfolder = 'one'\n".to_owned());
    all.push("[ingress]\nlisten = '127.0.0.1:7999'\n[admin]\nlisten = '127.0.0.1:7999'\n".to_owned());
    all.push("[sink.postgres.shards]\none = 'nonsense'\n".to_owned());
    all.push("[sink.postgres.shards]\none = 'postgres://h/one'\ntwo = 'postgres://h/one'\n".to_owned());
    all.push("[[sink.postgres.map]]\nshards = ['one']\n".to_owned());
    all.push(
        "[sink.postgres]\nca_file = 'none.pem'\n[sink.postgres.shards]\none = 'postgres://h/one'\n"
            .to_owned(),
    );
    all
}

fn command(folder: &Path, arguments: &[&str], configuration: &str, admin: &str) -> Command {
    let mut command = yahtzee(arguments);
    command.current_dir(folder).env("YAHTZEE_CONFIG", "odd.toml");
    // Small, and on free ports, unless the configuration is about these.
    command.env("YAHTZEE_TOPICS__PARTITIONS", "2").env("YAHTZEE_WORKER__SLOTS", "1");
    if !configuration.contains("[admin]") {
        command.env("YAHTZEE_ADMIN__LISTEN", admin);
    }
    if !configuration.contains("listen") {
        command.env("YAHTZEE_INGRESS__LISTEN", "127.0.0.1:0");
    }
    command
}

/// Starts every process of a configuration that was accepted, and ends it in order when it is ready.
fn check_starts(folder: &Path, configuration: &str) {
    let created = command(folder, &["topics", "create"], configuration, ANY_PORT).output().unwrap();
    let said = String::from_utf8_lossy(&created.stderr);
    assert!(created.status.success(), "topics create with {configuration}: {said}");
    for arguments in [&["ingress"][..], &["run"], &["sink", "embedded"]] {
        let admin = free_address();
        let mut process = Process::start(command(folder, arguments, configuration, &admin));
        wait_for(&format!("{arguments:?} to be ready with {configuration}"), || {
            process.assert_runs(configuration);
            get(&admin, "/readyz").filter(|(status, _)| *status == 200)
        });
        assert!(process.terminate().success(), "{arguments:?} with {configuration}");
    }
}

/// An address that nobody listens on: a process that logs nothing cannot say which it got.
fn free_address() -> String {
    TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap().to_string()
}

#[test]
fn what_config_check_accepts_every_process_accepts() {
    let (mut accepted, mut refused) = (0, 0);
    for configuration in odd_configurations() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("odd.toml"), &configuration).unwrap();
        let checked =
            command(folder.path(), &["config", "check"], &configuration, ANY_PORT).output().unwrap();
        if checked.status.success() {
            accepted += 1;
            check_starts(folder.path(), &configuration);
        } else {
            refused += 1;
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(said.starts_with("error: ") && !said.contains("panicked"), "{configuration}: {said}");
        }
    }
    assert!(accepted > 20 && refused > 15, "{accepted} accepted, {refused} refused");
}

/// Variables are those of an app, and so are there on dynos that serve requests, or were started by hand.
#[test]
fn a_configuration_can_be_checked_on_a_dyno_that_is_no_worker() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("odd.toml"), "").unwrap();
    for dyno in ["web.1", "run.4711"] {
        let mut check = command(folder.path(), &["config", "check"], "", ANY_PORT);
        let checked = check.envs([("DYNO", dyno), ("YAHTZEE_WORKERS", "2")]).output().unwrap();
        assert!(checked.status.success(), "{dyno}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}
