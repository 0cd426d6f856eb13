//! Who may write for which app, as an ingress says it at start and holds it.

use crate::support::{Process, yahtzee};

const APP: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";

#[test]
fn an_ingress_says_at_start_who_may_write_for_every_app() {
    fn check(credentials: &str, expected: Option<&str>) {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("yahtzee.toml");
        let log = folder.path().join("log");
        let text = format!(
            "[log.embedded]\nfolder = {log:?}\n[admin]\nlisten = \"\"\n\
             [ingress]\nlisten = \"127.0.0.1:0\"\nunknown_owners_max = 17\ncredentials = [{credentials}]\n"
        );
        std::fs::write(&config, text).unwrap();
        let command = |name: &[&str]| yahtzee(&[&["--config", config.to_str().unwrap()], name].concat());
        assert!(command(&["topics", "create"]).output().unwrap().status.success());
        let mut ingress = Process::start(command(&["ingress"]));
        let bound = ingress.line_with("unknown_owners_max");
        assert!(bound.contains("17"), "{bound}");
        let line = ingress.line_with(expected.unwrap_or("listening for drains"));
        assert!(!line.contains("hush"), "{line}");
        assert_eq!(line.contains("write for every app"), expected.is_some(), "{line}");
        assert!(ingress.terminate().success());
    }
    let bound = format!("{{ secret = \"user:hush\", apps = [\"{APP}\"] }}");
    check("", Some("no credentials"));
    check(&format!("{{ secret = \"hush\", apps = [\"*\"] }}, {bound}"), Some("1 of 2 credentials"));
    check(&bound, None);
}
