//! The settings of a run, in one place: the workers are configured with them and the oracle judges by them.

use std::fmt::Write as _;
use std::path::Path;

use yahtzee_core::job::Job;
use yahtzee_jobs::router_latency::RouterLatency;

/// The job that runs: the richest one.
pub(crate) const JOB: &str = RouterLatency::NAME;
/// Stem of its raw topic.
pub(crate) const MEASUREMENT: &str = RouterLatency::MEASUREMENT;
/// Stem of its summary topic.
pub(crate) const SUMMARY: &str = RouterLatency::SUMMARY;
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

/// The configuration file of the processes under test. `shards` are lines of the PostgreSQL store.
pub(crate) fn config_file(
    brokers: &str,
    version: &str,
    store: &Path,
    shards: &[String],
    pause_max_ms: u64,
    guarantee: &str,
) -> String {
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
    section(
        &format!("jobs.{JOB}"),
        &[
            format!("window_length_ms = {WINDOW_MS}"),
            format!("lateness_windows = {LATENESS}"),
            format!("future_windows = {FUTURE}"),
            format!("flush_interval_ms = {FLUSH_INTERVAL_MS}"),
            format!("clock_skew_ms = {CLOCK_SKEW_MS}"),
        ],
    );
    section("ingress", &["listen = \"127.0.0.1:0\"".to_owned()]);
    section("sink.embedded", &[format!("folder = {store:?}")]);
    section("sink.postgres.shards", shards);
    section("admin", &["listen = \"127.0.0.1:0\"".to_owned()]);
    section("logging", &["filter = \"info\"".to_owned()]);
    text
}
