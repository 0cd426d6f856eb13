//! The settings of a run, in one place: the workers are configured with them and the oracle judges by them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use yahtzee_core::job::Job;
use yahtzee_jobs::router_latency::RouterLatency;

use crate::options::Options;
use crate::scenarios::Scenario;

/// The job that runs: the richest one.
pub(crate) const JOB: &str = RouterLatency::NAME;
/// Stem of its raw topic.
pub(crate) const MEASUREMENT: &str = RouterLatency::MEASUREMENT;
/// Stem of its summary topic.
pub(crate) const SUMMARY: &str = RouterLatency::SUMMARY;
/// Generation of the job at the start; an operator may raise it.
pub(crate) const GENERATION: u32 = RouterLatency::GENERATION;

pub(crate) const PARTITIONS: u32 = 8;
pub(crate) const SLOTS: u32 = 4;

/// Short windows, so that many of them end during a run.
pub(crate) const WINDOW_MS: i64 = 1_000;
/// Windows behind the watermark's own that are accepted.
pub(crate) const LATENESS: i64 = 5;
/// Windows ahead of a record's own stamp that are accepted.
pub(crate) const FUTURE: i64 = 1;
const FLUSH_INTERVAL_MS: u64 = 200;
/// Greatest difference between two stamps that are made at one time; the generator keeps to it.
pub(crate) const CLOCK_SKEW_MS: i64 = 2_000;
/// Shorter than the default, so that a broker that is away shows.
const WRITE_DEADLINE_MS: u64 = 5_000;

/// The window of a time.
pub(crate) fn window_of_ms(time_ms: i64) -> i64 {
    time_ms.div_euclid(WINDOW_MS)
}

/// What the configuration file of the processes under test says that is not the same in all runs.
pub(crate) struct Configuration {
    pub(crate) brokers: String,
    pub(crate) version: String,
    /// Folder of the embedded store.
    pub(crate) store: PathBuf,
    /// Lines of the PostgreSQL store.
    pub(crate) shards: Vec<String>,
    pub(crate) pause_max_ms: u64,
    pub(crate) guarantee: &'static str,
    pub(crate) generation: u32,
}

impl Configuration {
    /// What scenario and options say of it.
    pub(crate) fn of(scenario: &Scenario, options: &Options) -> Self {
        Self {
            brokers: String::new(),
            version: String::new(),
            store: PathBuf::new(),
            shards: Vec::new(),
            pause_max_ms: scenario.pause_max_ms,
            guarantee: options.guarantee_name(),
            generation: GENERATION,
        }
    }

    /// Writes the file, as an operator does.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join("yahtzee.toml");
        std::fs::write(&path, config_file(self)).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn config_file(configuration: &Configuration) -> String {
    let Configuration { brokers, version, store, shards, pause_max_ms, guarantee, generation } =
        configuration;
    let mut text = String::new();
    let mut section = |name: &str, lines: &[String]| {
        writeln!(text, "[{name}]\n{}\n", lines.join("\n")).expect("a String takes any text");
    };
    section("log", &["kind = \"kafka\"".to_owned()]);
    section("log.kafka", &[format!("brokers = {brokers:?}")]);
    section(
        "topics",
        &[
            format!("version = {version:?}"),
            format!("partitions = {PARTITIONS}"),
            "raw_retention_hours = 0".to_owned(),
            "summary_retention_days = 0".to_owned(),
        ],
    );
    section(
        "worker",
        &[
            format!("slots = {SLOTS}"),
            format!("guarantee = {guarantee:?}"),
            format!("write_deadline_ms = {WRITE_DEADLINE_MS}"),
            format!("pause_max_ms = {pause_max_ms}"),
        ],
    );
    let mut of_job = vec![
        format!("window_length_ms = {WINDOW_MS}"),
        format!("lateness_windows = {LATENESS}"),
        format!("future_windows = {FUTURE}"),
        format!("flush_interval_ms = {FLUSH_INTERVAL_MS}"),
        format!("clock_skew_ms = {CLOCK_SKEW_MS}"),
    ];
    if *generation != GENERATION {
        of_job.push(format!("generation = {generation}"));
    }
    section(&format!("jobs.{JOB}"), &of_job);
    section("ingress", &["listen = \"127.0.0.1:0\"".to_owned()]);
    section("sink.embedded", &[format!("folder = {store:?}")]);
    section("sink.postgres.shards", shards);
    section("admin", &["listen = \"127.0.0.1:0\"".to_owned()]);
    section("logging", &["filter = \"info\"".to_owned()]);
    text
}
