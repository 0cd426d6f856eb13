//! The same pipeline as separate processes against a real Kafka broker.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_jobs::figures;

use crate::support::{Process, finished, get, metric, named, request, rows, wait_for, yahtzee};

/// Marks the requests that are posted only to close windows.
const CLOSING_STATUS: u32 = 299;

/// A configuration of its own topics, which `name` is part of, with windows of one second.
pub(crate) fn configuration(folder: &Path, broker: &str, name: &str) -> String {
    let mut text = format!(
        "[log]\nkind = 'kafka'\n[log.kafka]\nbrokers = '{broker}'\nprefix = 'processes-{}-{name}.'\n\
         [topics]\npartitions = 4\n[worker]\nslots = 2\n[ingress]\nlisten = '127.0.0.1:0'\n\
         [admin]\nlisten = '127.0.0.1:0'\n[sink.embedded]\nfolder = '{}'\n",
        std::process::id(),
        folder.join("store").display(),
    );
    for job in yahtzee_jobs::all() {
        text += &format!("[jobs.{}]\nwindow_length_ms = 1000\nflush_interval_ms = 200\n", job.name());
    }
    let file = folder.join("yahtzee.toml");
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

pub(crate) fn with_config(config: &str, arguments: &[&str]) -> Command {
    let mut all = vec!["--config", config];
    all.extend(arguments);
    yahtzee(&all)
}

/// A frame with one request of each of `statuses`, stamped now.
pub(crate) fn post(address: &str, frame: u32, statuses: &[u32]) -> Option<u16> {
    let now = jiff::Timestamp::now();
    let mut body = String::new();
    for status in statuses {
        let line = format!(
            "<158>1 {now} host heroku router - at=info method=GET path=\"/\" host=app.example.com request_id=x \
             fwd=\"192.0.2.1\" dyno=web.1 connect=1ms service=7ms status={status} bytes=10 protocol=https\n"
        );
        body += &format!("{} {line}", line.len());
    }
    let head = format!(
        "POST /drain HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/logplex-1\r\n\
         Logplex-Msg-Count: {}\r\nLogplex-Frame-Id: {frame:032X}\r\nContent-Length: {}\r\n\
         Logplex-Drain-Token: d.11111111-2222-4333-8444-555555555555\r\n\r\n",
        statuses.len(),
        body.len(),
    );
    request(address, &head, body.as_bytes()).map(|(status, _)| status)
}

#[test]
fn from_a_drain_to_the_store_over_two_workers_one_of_which_is_killed() {
    let Some(broker) = named("YAHTZEE_TEST_KAFKA", "kafka") else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), &broker, "whole");
    for _ in 0..2 {
        let created = with_config(&config, &["topics", "create"]).output().unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    }
    let mut ingress = Process::start(with_config(&config, &["ingress"]));
    ingress.line_with("admin address");
    let line = ingress.line_with("listening for drains");
    let drain = line.rsplit("address=").next().unwrap().trim().to_owned();
    let start = |index: &str| Process::start(with_config(&config, &["run", "--worker", index]));
    let (mut first, second) = (start("0/2"), start("1/2"));
    let sink = Process::start(with_config(&config, &["sink", "embedded"]));

    let mut sent: BTreeMap<u32, u64> = BTreeMap::new();
    for frame in 0..60_u32 {
        let statuses = [200, 200, 404 + frame % 2, 503];
        assert_eq!(post(&drain, frame, &statuses), Some(204));
        // Every third frame comes twice, as after an answer that was lost.
        if frame % 3 == 0 {
            assert_eq!(post(&drain, frame, &statuses), Some(204));
        }
        statuses.iter().for_each(|&status| *sent.entry(status).or_default() += 1);
        if frame == 30 {
            first.kill();
            first = start("0/2");
        }
    }
    let admin = first.admin_address();
    wait_for("the new worker to be ready", || get(&admin, "/readyz").filter(|(status, _)| *status == 200));
    close_all_windows(&drain);
    wait_for("everything to be read", || {
        metric(&admin, "yahtzee_record_position_lag").filter(|&lag| lag == 0.0)
    });
    for process in [ingress, first, second, sink] {
        assert!(process.terminate().success());
    }
    assert_eq!(statuses(&folder.path().join("store")), sent);
}

/// Posts until measurements of nine seconds later have been taken: these close every window before them.
fn close_all_windows(drain: &str) {
    let begun = jiff::Timestamp::now();
    let mut frame = 1_000;
    wait_for("all windows to close", || {
        frame += 1;
        assert_eq!(post(drain, frame, &[CLOSING_STATUS]), Some(204));
        (jiff::Timestamp::now().duration_since(begun).as_secs() > 9).then_some(())
    });
}

/// Requests by status over the finished summaries of the store, the closing ones left out.
fn statuses(store: &Path) -> BTreeMap<u32, u64> {
    let mut found = BTreeMap::new();
    for ((job, key), (_, value)) in finished(&rows(store)) {
        if job != "router-latency" {
            continue;
        }
        assert_eq!(SummaryKey::decode(&key).unwrap().dimensions, ["web"]);
        assert!(Provenance::of_value(&value).unwrap().is_final);
        for (name, count) in figures::read(&job, &value).unwrap() {
            let Some(status) = name.strip_prefix("status_").and_then(|status| status.parse::<u32>().ok())
            else {
                continue;
            };
            if status != CLOSING_STATUS {
                *found.entry(status).or_default() += count as u64;
            }
        }
    }
    found
}
