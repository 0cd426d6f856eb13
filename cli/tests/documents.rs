//! The commands of the documents do what they say, where they need no server.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Process, yahtzee};

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

/// What each command of README.md that needs no server says, and how it is run: to its end, or until it works.
#[derive(Clone, Copy)]
enum DocumentedRun {
    ToItsEnd,
    UntilItWorks,
    NeedsServer,
}

fn run_of(command: &str) -> DocumentedRun {
    match command.split(' ').collect::<Vec<_>>()[..] {
        ["yahtzee", "topics" | "jobs" | "commits" | "assign" | "config", ..] => DocumentedRun::ToItsEnd,
        ["yahtzee", "ingress" | "run", ..] | ["yahtzee", "sink", "embedded"] => DocumentedRun::UntilItWorks,
        ["yahtzee", "sink" | "retry", ..] => DocumentedRun::NeedsServer,
        _ => panic!("a command that this test does not know: {command}"),
    }
}

/// The lines of README.md that are commands, and those that its sentences quote whole.
#[test]
fn the_commands_of_the_readme_work_on_one_machine() {
    let page = fs::read_to_string(repository().join("README.md")).unwrap();
    let in_block = page.lines().filter(|line| line.starts_with("yahtzee "));
    let quoted = ["yahtzee commits", "yahtzee config example", "yahtzee sink embedded"];
    assert!(page.contains("`yahtzee commits`") && page.contains("`yahtzee config example`"));
    let folder = tempfile::tempdir().unwrap();
    let mut counts = [0; 3];
    for line in in_block.chain(quoted) {
        let command = line.split(" #").next().unwrap().trim();
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        let mut process = yahtzee(&arguments);
        process.current_dir(folder.path());
        process.env("YAHTZEE_ADMIN__LISTEN", "127.0.0.1:0").env("YAHTZEE_INGRESS__LISTEN", "127.0.0.1:0");
        let run = run_of(command);
        counts[run as usize] += 1;
        match run {
            DocumentedRun::ToItsEnd => {
                let output = process.output().unwrap();
                assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
                assert!(!output.stdout.is_empty(), "{command}");
            }
            DocumentedRun::UntilItWorks => {
                let mut process = Process::start(process);
                process.admin_address();
                assert!(process.terminate().success(), "{command}");
            }
            DocumentedRun::NeedsServer => {}
        }
    }
    assert_eq!(counts, [4, 3, 2], "commands to their end, until they work, and left out");
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
