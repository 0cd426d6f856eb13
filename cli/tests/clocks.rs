//! Processes whose wall clock is wrong, beside others whose clock is right.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use yahtzee_runtime::log::embedded::EmbeddedLog;

use crate::kafka::{configuration, post, with_config};
use crate::postgres::{OWNERS, append_summaries};
use crate::support::{Process, get, metric, named, rows, wait_for, yahtzee};

/// Seconds by which the wrong clock is ahead. Brokers of today accept up to an hour by default.
const AHEAD_S: i64 = 3_000;

/// Makes the command's wall clock wrong.
fn shift(command: &mut Command, folder: &Path, seconds: i64) {
    let library = folder.join("clock_shift.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clock_shift.c");
    let mut compiler = Command::new("cc");
    let compiler = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
    let status = compiler.status().expect("a C compiler is there: the Kafka client is built with it");
    assert!(status.success());
    command.env("LD_PRELOAD", library).env("SHIFT_S", seconds.to_string());
}

/// Starts an ingress and returns it with its drain and admin addresses.
fn ingress(command: Command) -> (Process, String, String) {
    let mut ingress = Process::start(command);
    let admin = ingress.admin_address();
    let line = ingress.line_with("listening for drains");
    (ingress, line.rsplit("address=").next().unwrap().trim().to_owned(), admin)
}

const DAY_S: i64 = 24 * 3_600;

/// By a clock that is ahead all days are past their retention, by one that is behind all lie in the future.
#[test]
fn a_sink_whose_clock_is_wrong_neither_drops_nor_quarantines() {
    for seconds in [40 * DAY_S, -40 * DAY_S] {
        let folder = tempfile::tempdir().unwrap();
        let command = |arguments: &[&str]| {
            let mut command = yahtzee(arguments);
            command
                .env("YAHTZEE_LOG__EMBEDDED__FOLDER", folder.path().join("log"))
                .env("YAHTZEE_SINK__EMBEDDED__FOLDER", folder.path().join("store"))
                .env("YAHTZEE_ADMIN__LISTEN", "127.0.0.1:0")
                // The log of this process goes by the same clock.
                .env("YAHTZEE_TOPICS__SUMMARY_RETENTION_DAYS", "0");
            command
        };
        assert!(command(&["topics", "create"]).status().unwrap().success());
        let log = Arc::new(EmbeddedLog::open(&folder.path().join("log")).unwrap());
        append_summaries(&log, jiff::Timestamp::now().as_millisecond());
        drop(log);
        for shifted in [true, false] {
            let mut command = command(&["sink", "embedded", "errors"]);
            if shifted {
                shift(&mut command, folder.path(), seconds);
            }
            let mut sink = Process::start(command);
            let admin = sink.admin_address();
            let is_through = || {
                let (_, parts) = get(&admin, "/readyz")?;
                let lag = metric(&admin, "yahtzee_sink_lag")?;
                (lag == 0.0 && parts.contains("retention")).then_some(())
            };
            wait_for("the sink to be through and retention to have worked", is_through);
            assert!(sink.terminate().success());
            assert_eq!(rows(&folder.path().join("store")).len(), usize::from(OWNERS), "{seconds} {shifted}");
        }
    }
}

#[test]
fn an_ingress_whose_clock_is_ahead_is_refused_and_says_so_and_harms_nobody() {
    let Some(broker) = named("YAHTZEE_TEST_KAFKA", "kafka") else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), &broker, "ahead");
    let created = with_config(&config, &["topics", "create"]).output().unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let (honest, drain, admin) = ingress(with_config(&config, &["ingress"]));
    let mut command = with_config(&config, &["ingress"]);
    shift(&mut command, folder.path(), AHEAD_S);
    let (ahead, ahead_drain, ahead_admin) = ingress(command);

    // Its first heartbeats are enough.
    let unready = || get(&ahead_admin, "/readyz").filter(|(_, report)| report.contains("clock"));
    let (status, report) = wait_for("the refused process to be unready", unready);
    assert_eq!(status, 503, "{report}");
    assert_eq!(get(&ahead_admin, "/healthz").map(|(status, _)| status), Some(200));
    assert!(metric(&ahead_admin, "yahtzee_ingress_stamps_refused_total").unwrap() > 0.0);
    assert_eq!(post(&ahead_drain, 1, &[200]), Some(503));
    assert_eq!(get(&admin, "/readyz").map(|(status, _)| status), Some(200));

    let mut worker = Process::start(with_config(&config, &["run", "router-latency"]));
    let worker_admin = worker.admin_address();
    for frame in 0..10 {
        assert_eq!(post(&drain, frame, &[200]), Some(204));
    }
    let measurements = |outcome: &str| {
        let (_, text) = get(&worker_admin, "/metrics")?;
        let is_wanted = |line: &&str| {
            line.starts_with("yahtzee_record_measurements_total")
                && line.contains(&format!("outcome=\"{outcome}\""))
        };
        let values =
            text.lines().filter(is_wanted).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Some(values.sum::<f64>())
    };
    wait_for("all requests to be accepted", || measurements("accepted").filter(|&accepted| accepted == 10.0));
    assert_eq!(measurements("late"), Some(0.0));
    for process in [worker, ahead, honest] {
        assert!(process.terminate().success());
    }
}
