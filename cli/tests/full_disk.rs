//! Processes on a disk without room: a limit on the size of files stands for it, below the journal of the store.

use std::process::{Command, Stdio};

use crate::support::{Process, get, wait_for, yahtzee};

/// Everything but the journal, which takes 64 MiB from the start, is smaller: 512 blocks of 512 bytes.
const BLOCKS: &str = "512";

#[test]
fn a_sink_that_is_started_on_a_full_disk_waits_for_room() {
    let folder = tempfile::tempdir().unwrap();
    let (log, store) = (folder.path().join("log"), folder.path().join("store"));
    let configured = |command: &mut Command| {
        command
            .env("YAHTZEE_LOG__EMBEDDED__FOLDER", &log)
            .env("YAHTZEE_SINK__EMBEDDED__FOLDER", &store)
            .env("YAHTZEE_TOPICS__PARTITIONS", "2")
            .env("YAHTZEE_WORKER__SLOTS", "1")
            .env("YAHTZEE_ADMIN__LISTEN", "127.0.0.1:0");
    };
    let mut create = yahtzee(&["topics", "create"]);
    configured(&mut create);
    assert!(create.status().unwrap().success());

    let mut sink = Command::new("sh");
    let limited = format!("trap '' XFSZ && ulimit -S -f {BLOCKS} && exec \"$0\" sink embedded");
    sink.env_clear().args(["-c", &limited, env!("CARGO_BIN_EXE_yahtzee")]);
    sink.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    configured(&mut sink);
    let mut process = Process::start(sink);
    let address = process.admin_address();
    process.line_with("trying again until it is");
    let (status, body) = get(&address, "/readyz").unwrap();
    assert!(status == 503 && body.contains(store.to_str().unwrap()), "{status} {body}");
    process.assert_runs("there was no room");

    let pid = process.id().to_string();
    let freed = Command::new("prlimit").args(["--fsize=unlimited:", "--pid", &pid]).status();
    assert!(freed.expect("prlimit is a part of every Linux").success());
    wait_for("the sink to be ready", || get(&address, "/readyz").filter(|(status, _)| *status == 200));
    assert!(process.terminate().success());
}
