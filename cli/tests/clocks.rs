//! Processes whose wall clock is wrong, beside others whose clock is right.

use std::path::Path;
use std::process::Command;

use crate::kafka::{configuration, post, with_config};
use crate::support::{Process, get, metric, named, wait_for};

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
