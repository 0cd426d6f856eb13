//! `yahtzee demo`: what a newcomer types, and what must survive a `kill -9`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Process, finished, get, metric, named, rows, wait_for, yahtzee};

#[test]
fn a_short_run_ends_with_one_json_document_that_adds_up() {
    let process = Process::start(yahtzee(&["demo", "--for", "6s", "--json", "--rate", "400"]));
    let report: Value = serde_json::from_str(&process.output()).unwrap();
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name} in {report}"));
    for name in ["frames", "lines", "summaries", "owners", "commits"] {
        assert!(number(name) > 0, "{name} in {report}");
    }
    for name in ["late", "future", "duplicates", "poison"] {
        number(name);
    }
    assert!(report["elapsed_s"].as_f64().unwrap() >= 6.0);
    for name in ["ROUTER_REQUEST", "DYNO_LOAD", "DYNO_MEMORY", "ERROR"] {
        assert!(report["measurements"][name].as_u64().unwrap() > 0, "{name} in {report}");
    }
    // Frames that came again are recognised, every one of them.
    assert_eq!(number("duplicates"), report["posting"]["posted_again"].as_u64().unwrap());
    assert_eq!(number("poison"), 0);
    let summaries = report["busiest_owner"]["summaries"].as_array().unwrap();
    let requests = |summary: &Value| summary["figures"]["requests"].as_f64().unwrap_or(0.0);
    assert!(summaries.iter().map(requests).sum::<f64>() > 0.0);
}

#[test]
fn the_admin_address_tells_health_and_metrics_that_promtool_accepts() {
    let mut process = Process::start(yahtzee(&["demo"]));
    let address = process.address_in("metrics");
    wait_for("readiness", || get(&address, "/readyz").filter(|(status, _)| *status == 200));
    assert_eq!(get(&address, "/healthz").unwrap().0, 200);
    wait_for("summaries in the store", || {
        metric(&address, "yahtzee_sink_summaries_total").filter(|&sum| sum > 0.0)
    });
    let (_, text) = get(&address, "/metrics").unwrap();
    check_with_promtool(&text);
    assert!(process.terminate().success());
}

fn check_with_promtool(text: &str) {
    let Some(promtool) = named("YAHTZEE_PROMTOOL", "prometheus-tools") else { return };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Lines of `heroku logs` of 2016: two process types over twenty minutes, some lines late by up to four.
fn recording(lines: u32) -> String {
    let mut text = String::new();
    for number in 0..lines {
        let second = number * 1_200 / lines;
        let late = if number % 13 == 0 { number % 230 } else { 0 };
        let second = second.saturating_sub(late);
        let (minute, second) = (second / 60, second % 60);
        let time = format!("2016-05-04T10:{minute:02}:{second:02}.{:06}+00:00", number % 1_000_000);
        let (service, status) = (number % 977, [200, 404, 503][number as usize % 3]);
        text += &format!(
            "{time} heroku[router]: at=info method=GET path=\"/\" host=app.example.com request_id=x fwd=\"192.0.2.1\" \
             dyno=web.{} connect=1ms service={service}ms status={status} bytes=100 protocol=https\n",
            number % 3 + 1
        );
        if number % 50 == 0 {
            text += &format!(
                "{time} heroku[worker.1]: source=worker.1 dyno=heroku.1.5d1d2c3b-4a59-4687-9e10-1a2b3c4d5e6f \
                 sample#load_avg_1m=0.{:02} sample#load_avg_5m=0.10\n",
                number % 100
            );
        }
    }
    text
}

fn demo_on(data: &Path, input: &Path) -> Process {
    let (data, input) = (data.to_str().unwrap(), input.to_str().unwrap());
    // One app, wherever the file is.
    Process::start(yahtzee(&["demo", "--data", data, "--input", &format!("app={input}")]))
}

#[test]
fn a_recording_keeps_its_own_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("app.log");
    fs::write(&input, recording(2_000)).unwrap();
    let data = folder.path().join("data");
    demo_on(&data, &input).output();
    let rows = rows(&data.join("store"));
    assert!(!rows.is_empty());
    for (_, key) in rows.keys() {
        let key = yahtzee_core::summary::SummaryKey::decode(key).unwrap();
        // 2016-05-04T10:00:00Z and twenty minutes on.
        let minute = (key.window_start_ms - 1_462_356_000_000) / 60_000;
        assert!((0..20).contains(&minute), "{key:?}");
    }
}

#[test]
fn after_kill_9_and_a_restart_the_finished_minutes_are_those_of_an_uninterrupted_run() {
    let folder = tempfile::tempdir().unwrap();
    let text = recording(30_000);
    let input = folder.path().join("app.log");
    fs::write(&input, &text).unwrap();
    let whole = folder.path().join("whole");
    demo_on(&whole, &input).output();

    let broken = folder.path().join("broken");
    // Each time a greater part of the recording is read, and the process killed in the middle of it.
    for part in 1..=3 {
        let beginning = folder.path().join("beginning.log");
        fs::write(&beginning, &text.as_bytes()[..text.len() * part / 4]).unwrap();
        let mut process = demo_on(&broken, &beginning);
        let address = process.address_in("metrics");
        wait_for("two commits after the first summaries", || {
            process.assert_runs("before it was killed");
            let commits = metric(&address, "yahtzee_commit_total")?;
            let summaries = metric(&address, "yahtzee_summaries_emitted_total")?;
            (commits > 0.0 && summaries > 0.0).then_some(())
        });
        process.kill();
    }
    demo_on(&broken, &input).output();

    let (whole, broken) = (rows(&whole.join("store")), rows(&broken.join("store")));
    let (whole, broken) = (finished(&whole), finished(&broken));
    assert!(whole.len() > 20, "{} finished summaries", whole.len());
    let values = |rows: &crate::support::Rows| -> Vec<_> {
        rows.iter().map(|(key, (_, value))| (key.clone(), content(value))).collect()
    };
    assert_eq!(values(&whole), values(&broken));
}

/// A summary without its provenance: offsets differ, because what was fed again lies in the log twice.
fn content(value: &[u8]) -> Vec<u8> {
    let (_, body) = yahtzee_core::summary::Provenance::split(value).unwrap();
    body.to_vec()
}

#[test]
fn a_data_folder_in_use_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mut first = Process::start(yahtzee(&["demo", "--data", data]));
    first.line_with("metrics");
    let second = yahtzee(&["demo", "--data", data, "--for", "1s"]).output().unwrap();
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success());
    assert!(error.contains(data) && error.contains("another process") && error.contains("--data"), "{error}");
    first.kill();
}
