//! Everything else rests on it: a seed is one run, in whatever process.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::process::Command;

use serde_json::Value;

/// The report of a process of its own, without what depends on the machine's speed.
fn report(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_simulate")).args(arguments).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for name in ["seeds_per_s", "crashes_per_s"] {
        report.as_object_mut().unwrap().remove(name).unwrap();
    }
    report
}

#[test]
fn two_processes_give_the_same_traces_and_another_seed_gives_others() {
    let check = |from: &str, threads: &str| report(&["--from", from, "--seeds", "500", "--threads", threads]);
    let first = check("1", "1");
    assert_eq!(first, check("1", "2"));
    assert_ne!(first["trace_hash"], check("501", "2")["trace_hash"]);
    assert_eq!(first["failed_seeds"], serde_json::json!([]));
}

#[test]
fn a_mistake_is_shown_with_the_seed_that_finds_it() {
    let options = ["--mutant", "replay-from-first-plus-one", "--from", "1", "--seeds", "1"];
    let output = Command::new(env!("CARGO_BIN_EXE_simulate")).args(options).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && text.contains("cargo xtask simulate --seed 1"), "{text}");
}
