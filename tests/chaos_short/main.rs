//! Short forms of chaos scenarios C1 to C4, for every test run. `cargo xtask chaos` runs all of them for longer.
//!
//! A target of its own, so that no other test talks to the broker while it is killed.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{PoisonError, RwLock};

use serde_json::Value as Json;

/// Names the broker.
const BROKER: &str = "YAHTZEE_TEST_KAFKA";

/// Held for writing by who takes the broker away, for reading by the others, which may run at one time.
static BROKER_USE: RwLock<()> = RwLock::new(());

fn check(name: &str, time: &str) {
    let advice = format!(
        "NOT TESTED: no Kafka. Run `cargo xtask services up kafka`, then `export {BROKER}=host:port`."
    );
    if std::env::var_os(BROKER).is_none() {
        assert!(std::env::var_os("CI").is_none(), "{advice}");
        // Not through `eprintln!`, which the test harness keeps to itself.
        writeln!(std::io::stderr(), "{advice}").expect("standard error is open");
        return;
    }
    let chaos = Path::new(env!("CARGO_BIN_EXE_chaos"));
    let yahtzee = chaos.with_file_name("yahtzee");
    assert!(yahtzee.exists(), "{} is missing: `cargo build -p yahtzee-cli`", yahtzee.display());
    let output = Command::new(chaos).args([name, "--for", time, "--json"]).output().expect("chaos runs");
    let (line, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {line}\n{told}");
    let report: Json = serde_json::from_str(&line).expect("one line of JSON");
    assert_eq!(report["oracle_sha"], report["result_sha"], "{line}");
    assert!(report["accepted"].as_u64() > Some(0), "nothing was counted: {line}");
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
