//! Processes that are started while no broker answers: they wait for it, as those do that had begun before.

use std::net::TcpListener;

use crate::kafka::{configuration, with_config};
use crate::support::{Process, get};

#[test]
fn a_process_that_starts_without_a_broker_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    // The port is free from here on, and nobody listens.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let config = configuration(folder.path(), &nobody, "away");
    let check = |arguments: &[&str]| {
        let mut command = with_config(&config, arguments);
        command.env("YAHTZEE_SINK__POSTGRES__SHARDS__EAST", "postgres://nobody@127.0.0.1:1/east");
        let mut process = Process::start(command);
        let address = process.admin_address();
        let line = process.line_with("trying again until it is");
        assert!(line.contains("is the broker running"), "{arguments:?}: {line}");
        let (status, body) = get(&address, "/readyz").unwrap();
        assert!(status == 503 && body.contains(&nobody), "{arguments:?}: {status} {body}");
        process.assert_runs("there was no broker");
        assert!(process.terminate().success(), "{arguments:?}");
    };
    check(&["ingress"]);
    check(&["run"]);
    check(&["sink", "embedded"]);
    check(&["retry", "postgres"]);
}
