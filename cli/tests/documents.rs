//! The commands of `docs/writing-a-job.md` do what the page says.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every line of the page that begins with `$ ` in a console block.
fn commands() -> Vec<String> {
    let page = fs::read_to_string(repository().join("docs/writing-a-job.md")).unwrap();
    page.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

/// Runs one command as it stands; `yahtzee` is the one under test, and what `cargo` builds is offline.
fn run(command: &str, folder: &Path) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    let (program, arguments) = words.split_first().unwrap();
    let mut process = match *program {
        "yahtzee" => Command::new(env!("CARGO_BIN_EXE_yahtzee")),
        "cargo" => Command::new(env!("CARGO")),
        other => panic!("a command that this test does not know: {other}"),
    };
    let output = process.args(arguments).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_commands_of_writing_a_job_work() {
    let scratch = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for command in commands() {
        if let Some(arguments) = command.strip_prefix("yahtzee new-job ") {
            let framework = repository().display();
            run(&format!("yahtzee new-job {arguments} --framework {framework}"), scratch.path());
            check_scaffold(&scratch.path().join(arguments));
            seen.push("new-job");
        } else {
            let output = run(&command, repository());
            seen.push(check_output(&command, &output));
        }
    }
    assert_eq!(seen, ["new-job", "test", "jobs", "demo"]);
}

/// The scaffold under the example's own name is the example.
fn check_scaffold(created: &Path) {
    let example = repository().join("examples/slow-requests");
    for file in ["build.rs", "proto/slow_requests.proto", "src/lib.rs", "src/main.rs"] {
        let [ours, theirs] = [created, &example].map(|folder| fs::read_to_string(folder.join(file)).unwrap());
        assert_eq!(ours, theirs, "{file}");
    }
    assert!(created.join("Cargo.toml").exists() && created.join("Cargo.lock").exists());
}

fn check_output(command: &str, output: &str) -> &'static str {
    if command.contains(" test ") {
        assert!(output.contains("the_job_keeps_the_laws ... ok"), "{output}");
        return "test";
    }
    if command.ends_with("jobs") {
        assert!(output.contains("slow-requests") && output.contains("SLOW_REQUESTS_SUMMARY.v1"), "{output}");
        return "jobs";
    }
    let report: Value = serde_json::from_str(output).unwrap();
    let summaries = report["busiest_owner"]["summaries"].as_array().unwrap();
    let ours = summaries.iter().find(|summary| summary["job"] == "slow-requests").expect("its own summaries");
    assert!(ours["figures"]["requests"].as_f64().unwrap() > 0.0, "{ours}");
    "demo"
}
