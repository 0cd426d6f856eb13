//! Short forms of chaos scenarios C1 to C4, S1, S5 and S9, for every test run. `cargo xtask chaos` runs all of them for
//! longer.
//!
//! A target of its own, so that no other test talks to a server while it is killed.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError, RwLock};

use serde_json::Value as Json;

/// Name the servers, each with what starts it.
const BROKER: (&str, &str) = ("YAHTZEE_TEST_KAFKA", "kafka");
const POSTGRES: (&str, &str) = ("YAHTZEE_TEST_POSTGRES", "postgres");
const POSTGRES_2: (&str, &str) = ("YAHTZEE_TEST_POSTGRES_2", "postgres");

/// Held for writing by who takes the broker away, for reading by the others, which may run at one time.
static BROKER_USE: RwLock<()> = RwLock::new(());

/// Held by who takes a database server away, or counts on it.
static POSTGRES_USE: Mutex<()> = Mutex::new(());

/// Whether the servers are there. If not, says so; on a build server it fails.
fn have(servers: &[(&str, &str)]) -> bool {
    let missing = servers.iter().find(|(variable, _)| std::env::var_os(variable).is_none());
    if let Some((variable, service)) = missing {
        let advice = format!(
            "NOT TESTED: no {service}. Run `cargo xtask services up {service}`, then export what it prints, as \
             {variable}."
        );
        assert!(std::env::var_os("CI").is_none(), "{advice}");
        // Not through `eprintln!`, which the test harness keeps to itself.
        writeln!(std::io::stderr(), "{advice}").expect("standard error is open");
    }
    missing.is_none()
}

fn check(name: &str, time: &str) {
    if have(&[BROKER]) {
        run(name, time);
    }
}

/// With PostgreSQL; the line that was printed.
fn check_storage(name: &str, time: &str) -> Option<Json> {
    have(&[BROKER, POSTGRES, POSTGRES_2]).then(|| {
        let _broker = BROKER_USE.read().unwrap_or_else(PoisonError::into_inner);
        let _servers = POSTGRES_USE.lock().unwrap_or_else(PoisonError::into_inner);
        run(name, time)
    })
}

fn run(name: &str, time: &str) -> Json {
    let chaos = Path::new(env!("CARGO_BIN_EXE_chaos"));
    let yahtzee = chaos.with_file_name("yahtzee");
    assert!(yahtzee.exists(), "{} is missing: `cargo build -p yahtzee-cli`", yahtzee.display());
    let output = Command::new(chaos).args([name, "--for", time, "--json"]).output().expect("chaos runs");
    let (line, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {line}\n{told}");
    let report: Json = serde_json::from_str(&line).expect("one line of JSON");
    assert_eq!(report["oracle_sha"], report["result_sha"], "{line}");
    assert!(report["accepted"].as_u64() > Some(0), "nothing was counted: {line}");
    report
}

#[test]
fn c1_killed_workers_change_nothing() {
    let _use = BROKER_USE.read().unwrap_or_else(PoisonError::into_inner);
    check("C1", "8s");
}

#[test]
fn c2_zombies_change_nothing() {
    let _use = BROKER_USE.read().unwrap_or_else(PoisonError::into_inner);
    check("C2", "6s");
}

#[test]
fn c3_rolling_restarts_change_nothing() {
    let _use = BROKER_USE.read().unwrap_or_else(PoisonError::into_inner);
    check("C3", "6s");
}

#[test]
fn c4_a_broker_that_goes_away_changes_nothing() {
    let _use = BROKER_USE.write().unwrap_or_else(PoisonError::into_inner);
    check("C4", "6s");
}

#[test]
fn s1_a_server_that_is_down_loses_nothing_and_holds_up_no_other() {
    let Some(report) = check_storage("S1", "10s") else { return };
    assert!(report["rows"].as_u64() > Some(0), "nothing was stored: {report}");
    assert!(report["retry_records"].as_u64() > Some(0), "nothing had to wait for the server: {report}");
}

#[test]
fn s5_poison_rows_go_to_quarantine_alone() {
    let Some(report) = check_storage("S5", "8s") else { return };
    assert!(report["quarantined"].as_u64() > Some(0), "no row was refused: {report}");
}

#[test]
fn s9_a_retry_process_that_is_killed_loses_nothing() {
    let Some(report) = check_storage("S9", "6s") else { return };
    assert!(report["retry_records"].as_u64() > Some(0), "nothing had to be retried: {report}");
}
