//! Readers of standard output and standard error that go away, and disks that are full.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::support::{get, request, wait_for, yahtzee};

/// A platform gives a process 30 s between SIGTERM and SIGKILL.
const END_PATIENCE: Duration = Duration::from_secs(25);

/// A pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Waits for the end of a process.
fn end_of(mut child: Child) -> ExitStatus {
    let (sender, ended) = mpsc::channel();
    let pid = child.id().to_string();
    std::thread::spawn(move || sender.send(child.wait()));
    ended.recv_timeout(END_PATIENCE).map(Result::unwrap).unwrap_or_else(|_| {
        Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        panic!("still there after {END_PATIENCE:?}")
    })
}

/// Starts a process, reads its standard error until it is listened to, and lets go of it.
fn with_reader_gone(mut command: Command) -> (Child, String) {
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("admin address")).expect("the process starts");
    let (_, rest) = line.split_once("address=").unwrap();
    (child, rest.split(' ').next().unwrap().to_owned())
}

fn in_folder(folder: &tempfile::TempDir, arguments: &[&str]) -> Command {
    let mut command = yahtzee(arguments);
    command
        .current_dir(folder.path())
        .env("YAHTZEE_ADMIN__LISTEN", "127.0.0.1:0")
        .env("YAHTZEE_INGRESS__LISTEN", "127.0.0.1:0");
    command
}

#[test]
fn a_process_whose_log_nobody_reads_works_on_and_ends_in_order() {
    for arguments in [&["ingress"][..], &["run"], &["sink", "embedded"]] {
        let folder = tempfile::tempdir().unwrap();
        assert!(in_folder(&folder, &["topics", "create"]).output().unwrap().status.success());
        let (child, admin) = with_reader_gone(in_folder(&folder, arguments));
        wait_for("readiness", || get(&admin, "/readyz").filter(|(status, _)| *status == 200));
        // Answered, and logged at this level, where nobody reads.
        assert!(
            request(&admin, "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"").is_some()
        );
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        assert!(end_of(child).success(), "{arguments:?}");
    }
}

/// Without topics the jobs cannot work: they say so, and the process ends, whether anybody listens or not.
#[test]
fn a_process_that_cannot_work_ends_though_nobody_reads_why() {
    for (full, arguments) in
        [(false, &["run"][..]), (true, &["run"]), (false, &["ingress"]), (true, &["ingress"])]
    {
        let folder = tempfile::tempdir().unwrap();
        let stderr =
            if full { File::options().write(true).open("/dev/full").unwrap().into() } else { unread() };
        let child = in_folder(&folder, arguments).stderr(stderr).spawn().unwrap();
        assert_eq!(end_of(child).code(), Some(1), "{arguments:?} {full}");
    }
}

#[test]
fn a_command_whose_output_nobody_reads_ends_quietly() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in
        [&["jobs"][..], &["jobs", "--json"], &["config", "example"], &["assign"], &["topics", "create"]]
    {
        let output = in_folder(&folder, arguments).stdout(unread()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*errors), (Some(141), ""), "{arguments:?}");
    }
}

#[test]
fn a_command_whose_output_does_not_fit_the_disk_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = in_folder(&folder, &["jobs"]).stdout(full).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("cannot write to standard output") && errors.contains("space"), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}
