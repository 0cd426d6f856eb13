//! Short forms of chaos scenarios C1 to C4, and of S1, S5 and S9 together, for every test run. `cargo xtask chaos` runs
//! all of them for longer.
//!
//! Where workers die, records come so fast that a successor needs several polls for what it reads again: one that
//! publishes before it has caught up shows.
//!
//! A target of its own, so that no other test talks to a server while it is killed.

use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// Name the servers, each with what starts it.
const BROKER: (&str, &str) = ("YAHTZEE_TEST_KAFKA", "kafka");
const POSTGRES: (&str, &str) = ("YAHTZEE_TEST_POSTGRES", "postgres");
const POSTGRES_2: (&str, &str) = ("YAHTZEE_TEST_POSTGRES_2", "postgres");

/// The scenarios that run now; the broker is taken away from none of the others. Two at a time use two processors well, however many
/// threads the tests have.
static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
const RUNNING_MAX: usize = 2;

/// A scenario's place among those that run at one time.
struct Place(usize);

impl Place {
    fn beside_others() -> Self {
        Self::take(1)
    }

    fn alone() -> Self {
        Self::take(RUNNING_MAX)
    }

    fn take(places: usize) -> Self {
        let (running, ended) = &RUNNING;
        let running = running.lock().unwrap_or_else(PoisonError::into_inner);
        let has_no_room = |running: &mut usize| *running + places > RUNNING_MAX;
        let mut running = ended.wait_while(running, has_no_room).unwrap_or_else(PoisonError::into_inner);
        *running += places;
        Self(places)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (running, ended) = &RUNNING;
        *running.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        ended.notify_all();
    }
}

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

/// A scenario and its options, which must end well.
fn check(line: &str) {
    if have(&[BROKER]) {
        run(line);
    }
}

fn run(line: &str) -> Json {
    let chaos = Path::new(env!("CARGO_BIN_EXE_chaos"));
    let yahtzee = chaos.with_file_name("yahtzee");
    assert!(yahtzee.exists(), "{} is missing: `cargo build -p yahtzee-cli`", yahtzee.display());
    let arguments = line.split_whitespace().chain(["--json"]);
    let output = Command::new(chaos).args(arguments).output().expect("chaos runs");
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "chaos {line} ended with {}: {printed}\n{errors}", output.status);
    let report: Json = serde_json::from_str(&printed).expect("one line of JSON");
    assert_eq!(report["oracle_sha"], report["result_sha"], "{printed}");
    assert!(report["accepted"].as_u64() > Some(0), "nothing was counted: {printed}");
    report
}

/// The parent is killed, as a test run may be, and waits for its child until then.
#[test]
fn what_chaos_has_started_ends_with_it_however_it_ends() {
    let script = format!("{} become $$ sleep 600 & echo $!; wait", env!("CARGO_BIN_EXE_chaos"));
    let mut parent =
        Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().expect("a shell runs");
    let mut child = String::new();
    let printed = parent.stdout.take().expect("it is piped");
    BufReader::new(printed).read_line(&mut child).expect("the shell prints a number");
    let command = format!("/proc/{}/comm", child.trim());
    let name = || std::fs::read_to_string(&command).unwrap_or_default();
    wait_until("the child is the program that it shall become", || name() == "sleep\n");
    parent.kill().expect("it still runs");
    parent.wait().expect("it has ended");
    wait_until("the child has ended too", || name() != "sleep\n");
}

/// Looks until it holds. Gives up after a minute; nothing is asserted about time.
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60), "given up: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn c1_killed_workers_change_nothing() {
    let _place = Place::beside_others();
    check("C1 --for 8s --rate 5000");
}

#[test]
fn c1_killed_workers_change_nothing_in_the_stores_at_least_once() {
    let _place = Place::beside_others();
    check("C1 --for 8s --rate 5000 --guarantee at-least-once");
}

#[test]
fn c2_zombies_change_nothing() {
    let _place = Place::beside_others();
    check("C2 --for 6s --rate 5000");
}

#[test]
fn c3_rolling_restarts_change_nothing() {
    let _place = Place::beside_others();
    check("C3 --for 6s --rate 5000");
}

#[test]
fn c4_a_broker_that_goes_away_changes_nothing() {
    let _place = Place::alone();
    check("C4 --for 6s");
}

#[test]
fn s0_a_store_that_fails_in_many_ways_has_everything_in_the_end() {
    let _place = Place::beside_others();
    if !have(&[BROKER, POSTGRES, POSTGRES_2]) {
        return;
    }
    let report = run("S0 --for 5s");
    for figure in ["rows", "retry_records", "quarantined"] {
        assert!(report[figure].as_u64() > Some(0), "{figure} is zero, so that nothing was tested: {report}");
    }
}
