//! Sections of a test's own file in, meaning or a helpful error out.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use yahtzee_core::window::Policy;

use super::*;
use crate::topics::TopicLayout;
use crate::worker::{Guarantee, MemoryNeed};

/// A file of somebody who runs workers only.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WorkerFile {
    log: LogSection,
    topics: TopicsSection,
    worker: WorkerSection,
    jobs: BTreeMap<String, JobSection>,
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_file_is_composed_of_sections() {
    let text = "[topics]\npartitions = 4\n[worker]\nslots = 2\n[jobs.errors]\nseries_max = 7";
    let variables = environment(&[("YAHTZEE_WORKER__SLOTS", "4"), ("YAHTZEE_LOG__EMBEDDED__FOLDER", "here")]);
    let file: WorkerFile = parse_file(text, "test.toml", &variables).unwrap();
    let layout = file.topics.check(0, file.worker.guarantee).unwrap();
    let worker = file.worker.check(&layout).unwrap();
    assert_eq!((layout.partitions, worker.slots, layout.store_retention_ms), (4, 4, None));
    assert_eq!(file.jobs["errors"].policy(Policy::default()).series_max, 7);
    let log = file.log.check(&variables, Duration::from_secs(3)).unwrap();
    assert!(matches!(&log, LogChoice::Embedded(folder) if folder == Path::new("here")), "{log:?}");
}

#[test]
fn a_variable_names_a_job_with_underscores_for_dashes() {
    fn check(text: &str, variables: &[(&str, &str)], job: &str, expected: (Option<u32>, usize)) {
        let file: WorkerFile = parse_file(text, "test.toml", &environment(variables)).unwrap();
        assert_eq!(file.jobs.len(), 1, "{:?}", file.jobs);
        let section = file.jobs[job];
        assert_eq!((section.generation, section.policy(Policy::default()).series_max), expected);
    }
    let default = Policy::default().series_max;
    let generation = ("YAHTZEE_JOBS__ROUTER_LATENCY__GENERATION", "2");
    check("", &[generation], "router-latency", (Some(2), default));
    check("[jobs.router-latency]\nseries_max = 7", &[generation], "router-latency", (Some(2), 7));
    check("", &[("YAHTZEE_JOBS__ERRORS__SERIES_MAX", "8")], "errors", (None, 8));
}

#[cfg(feature = "kafka")]
#[test]
fn the_platform_names_a_kafka_cluster() {
    let variables = environment(&[("KAFKA_URL", "kafka://one:9092")]);
    let log = LogSection::default().check(&variables, Duration::from_secs(3)).unwrap();
    let LogChoice::Kafka(kafka) = log else { panic!("{log:?}") };
    assert_eq!((kafka.brokers.as_str(), kafka.timeouts.delivery), ("one:9092", Duration::from_secs(3)));
    assert!(kafka.timeouts.transaction > kafka.timeouts.delivery, "a transaction outlives its records");
}

#[cfg(not(feature = "kafka"))]
#[test]
fn a_build_without_kafka_says_how_to_build_one_that_has_it() {
    let variables = environment(&[("KAFKA_URL", "kafka://one:9092")]);
    let error = LogSection::default().check(&variables, Duration::from_secs(3)).unwrap_err().to_string();
    assert!(error.contains("cargo build --profile dist --features kafka"), "{error}");
}

/// Values that all differ, so that no key can stand for another.
#[test]
fn every_key_of_a_worker_and_of_a_job_means_itself() {
    let text = "[worker]\nslots = 2\nguarantee = \"at-least-once\"\nwrite_deadline_ms = 3\npoison_run_max = 4\n\
        poison_percent_max = 5\npause_max_ms = 6000\nmemory_max_mib = 7\nmemory_need = \"greatest\"\n\
        [jobs.errors]\nwindow_length_ms = 8\nlateness_windows = 9\nfuture_windows = 10\nflush_interval_ms = 11\n\
        clock_skew_ms = 12\nseries_max = 13\nseries_per_owner_max = 14\npublish_late = true";
    let file: WorkerFile = parse_file(text, "test.toml", &Environment::new()).unwrap();
    let layout = file.topics.check(0, file.worker.guarantee).unwrap();
    assert!(!layout.compacts_summaries, "without a fence");
    let worker = file.worker.check(&layout).unwrap();
    assert_eq!((worker.slots, worker.guarantee), (2, Guarantee::AtLeastOnce));
    assert_eq!(
        (worker.write_deadline, worker.pause_max),
        (Duration::from_millis(3), Duration::from_millis(6_000))
    );
    assert_eq!((worker.poison.run_max, worker.poison.percent_max), (4, 5));
    assert_eq!((worker.memory_max_bytes, worker.memory_need), (Some(7 << 20), MemoryNeed::Greatest));
    let expected = Policy {
        length_ms: 8,
        lateness_windows: 9,
        future_windows: 10,
        flush_interval_ms: 11,
        clock_skew_ms: 12,
        series_max: 13,
        series_per_owner_max: 14,
        publishes_late: true,
    };
    assert_eq!(file.jobs["errors"].policy(Policy::default()), expected);
}

/// The same of topics, and 0 as documented.
#[test]
fn every_key_of_topics_means_itself() {
    let check = |text: &str, expected: TopicLayout| {
        let text = format!("[topics]\n{text}");
        let file: WorkerFile = parse_file(&text, "test.toml", &Environment::new()).unwrap();
        assert_eq!(file.topics.check(7, Guarantee::Fenced).unwrap(), expected, "{text}");
    };
    let all = TopicLayout {
        version: "v2".to_owned(),
        partitions: 3,
        replication: 4,
        raw_retention_ms: Some(5 * 3_600_000),
        summary_retention_ms: Some(6 * 86_400_000),
        store_retention_ms: Some(7 * 86_400_000),
        compacts_summaries: true,
        timestamp_ahead_max_ms: Some(8),
    };
    let sizes = "version = \"v2\"\npartitions = 3\nreplication = 4\n";
    let times = "raw_retention_hours = 5\nsummary_retention_days = 6\ntimestamp_ahead_max_ms = 8";
    check(&format!("{sizes}{times}"), all.clone());
    let for_ever = TopicLayout {
        raw_retention_ms: None,
        summary_retention_ms: None,
        timestamp_ahead_max_ms: None,
        ..all
    };
    let times = "raw_retention_hours = 0\nsummary_retention_days = 0\ntimestamp_ahead_max_ms = 0";
    check(&format!("{sizes}{times}"), for_ever);
}

#[test]
fn a_section_of_another_crate_is_refused() {
    let error =
        parse_file::<WorkerFile>("[ingress]", "test.toml", &Environment::new()).unwrap_err().to_string();
    assert!(error.contains("test.toml") && error.contains("ingress"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = read_text(Some("no/such/file.toml".as_ref())).unwrap_err().to_string();
    assert!(error.contains("no/such/file.toml") && error.contains("yahtzee config example"), "{error}");
}

#[test]
fn the_worker_index_comes_from_the_argument_or_the_platform() {
    fn check(argument: Option<&str>, variables: &[(&str, &str)], expected: Result<&str, &str>) {
        let found = worker_index_from(argument, &environment(variables));
        match (found, expected) {
            (Ok(worker), Ok(text)) => assert_eq!(worker.to_string(), text),
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }
    check(None, &[], Ok("0/1"));
    check(Some("3/8"), &[("DYNO", "worker.1"), ("YAHTZEE_WORKERS", "2")], Ok("3/8"));
    check(None, &[("DYNO", "worker.3"), ("YAHTZEE_WORKERS", "8")], Ok("2/8"));
    check(None, &[("HOSTNAME", "yahtzee-worker-3"), ("YAHTZEE_WORKERS", "8")], Ok("3/8"));
    check(Some("8/8"), &[], Err("0 to 7"));
    check(Some("three"), &[], Err("0/2"));
    check(None, &[("YAHTZEE_WORKERS", "8")], Err("--worker"));
    check(None, &[("DYNO", "worker.9"), ("YAHTZEE_WORKERS", "8")], Err("out of range"));
    for dyno in ["worker-errors.3", "worker_errors.3"] {
        check(None, &[("DYNO", dyno), ("YAHTZEE_WORKERS", "8")], Ok("2/8"));
    }
    // Requests are routed to the first, and the second is started by hand.
    for dyno in ["web.1", "run.1", "workers.1", "1"] {
        check(None, &[("DYNO", dyno), ("YAHTZEE_WORKERS", "8")], Err("`worker`"));
        check(Some("0/8"), &[("DYNO", dyno), ("YAHTZEE_WORKERS", "8")], Ok("0/8"));
        check(None, &[("DYNO", dyno)], Ok("0/1"));
    }
}
