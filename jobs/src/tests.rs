//! What every job must give: golden summaries, one path from raw records in to figures out.

use std::sync::Arc;

use prost::Message;
use yahtzee_core::commit::{Identity, OwnerTag};
use yahtzee_core::effect::Effect;
use yahtzee_core::job::{AnyJob, Job};
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::partition::History;
use yahtzee_core::record::{Fate, LogRecord, Offset};
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_proto::{raw, summary};

use crate::figures::{self, Figures};

const OWNER: Owner = Owner([3; 16]);
/// Minute 0 of some hour, microseconds.
const MINUTE_US: i64 = 1_772_600_760_000_000;

/// Folds raw records, all received at [`MINUTE_US`], and returns each series with its figures.
fn summaries<J: Job>(job: J, records: &[J::Record]) -> Vec<(Vec<String>, Figures)> {
    let identity = Identity {
        generation: J::GENERATION,
        topic_id: [0; 16],
        partition_count: 1,
        window_length_ms: 60_000,
        owner_tag: OwnerTag::default(),
    };
    let start = Offset(0);
    let history =
        History { partition: Partition(0), committed: None, log_start: start, log_end: start, poisoned: &[] };
    let job: Arc<dyn AnyJob> = Arc::new(job);
    let mut core = Arc::clone(&job).open(job.policy(), identity, history).unwrap().core;
    let mut effects: Vec<Effect> = Vec::new();
    for (offset, record) in records.iter().enumerate() {
        let value = record.encode_to_vec();
        let timestamp_ms = MINUTE_US / 1_000;
        let record = LogRecord { offset: Offset(offset as u64), timestamp_ms, key: &OWNER.0, value: &value };
        let fate = core.ingest(record, &mut effects);
        assert!(matches!(fate, Fate::Folded(outcomes) if outcomes.accepted == outcomes.total()), "{fate:?}");
    }
    core.tick(0, &mut effects);
    let read = |effect: &Effect| {
        let Effect::Emit(emit) = effect else { panic!("{effect:?}") };
        let dimensions = SummaryKey::decode(&emit.key).unwrap().dimensions;
        assert_eq!(dimensions.len(), J::DIMENSIONS.len());
        (dimensions, figures::read(J::NAME, &emit.value).unwrap())
    };
    effects.iter().map(read).collect()
}

fn check(figures: &Figures, expected: &[(&str, f64)]) {
    for &(name, value) in expected {
        let found = figures.get(name).copied();
        assert_eq!(found, Some(value), "{name} in {figures:?}");
    }
}

fn request(status: Option<u32>, service_ms: Option<u32>, flags: u32) -> raw::RouterRequest {
    raw::RouterRequest {
        time_us: MINUTE_US,
        process_type: "web".to_owned(),
        status,
        service_ms,
        flags,
        bytes: Some(100),
        ..Default::default()
    }
}

#[test]
fn router_latency_counts_what_the_rules_say() {
    let requests = vec![
        request(Some(200), Some(10), 0),
        request(Some(200), Some(30), 0),
        request(Some(503), Some(30_000), 0),
        request(Some(101), Some(3_600_000), 0),
        request(None, None, 0),
        request(Some(200), Some(99), raw::Flag::NotARequest as u32),
    ];
    let record = raw::RouterRequests { requests, ..Default::default() };
    let summaries = summaries(crate::router_latency::RouterLatency, &[record]);
    let [(dimensions, figures)] = &summaries[..] else { panic!("{summaries:?}") };
    assert_eq!(dimensions, &["web"]);
    check(figures, &[("requests", 4.0), ("status_200", 2.0), ("status_503", 1.0), ("status_101", 1.0)]);
    check(figures, &[("service_ms_p50", 30.0), ("service_ms_p99", 30_000.0), ("service_ms_max", 30_000.0)]);
    check(figures, &[("service_ms_min", 10.0), ("bytes", 500.0)]);
    assert_eq!(figures.get("connect_ms_mean"), None, "missing is not zero");
}

#[test]
fn load_and_memory_keep_process_types_apart() {
    let load = |process_type: &str, load_1m_milli| raw::DynoLoad {
        time_us: MINUTE_US,
        process_type: process_type.to_owned(),
        load_1m_milli: Some(load_1m_milli),
        ..Default::default()
    };
    let loads = vec![load("web", 2_460), load("worker", 500), load("web", 1_540)];
    let loads = summaries(crate::dyno_load::DynoLoad, &[raw::DynoLoads { loads, ..Default::default() }]);
    assert_eq!(loads.len(), 2);
    check(&loads[0].1, &[("load_1m_mean", 2.0), ("load_1m_max", 2.46)]);
    check(&loads[1].1, &[("load_1m_mean", 0.5)]);

    let memories = vec![raw::DynoMemory {
        time_us: MINUTE_US,
        process_type: "web".to_owned(),
        total_bytes: Some(512 << 20),
        quota_bytes: Some(512 << 20),
        ..Default::default()
    }];
    let record = raw::DynoMemories { memories, ..Default::default() };
    let memory = summaries(crate::dyno_memory::DynoMemory, &[record]);
    check(&memory[0].1, &[("total_bytes_max", 536_870_912.0), ("quota_bytes_mean", 536_870_912.0)]);
    assert_eq!(memory[0].1.get("swap_bytes_mean"), None);
}

#[test]
fn errors_are_counted_by_process_type_and_code() {
    let error = |process_type: &str, code: &str| raw::PlatformError {
        time_us: MINUTE_US,
        process_type: process_type.to_owned(),
        code: code.to_owned(),
        ..Default::default()
    };
    let errors = vec![error("web", "H12"), error("worker", "R14"), error("web", "H12")];
    let record = raw::PlatformErrors { errors, ..Default::default() };
    let summaries = summaries(crate::errors::Errors, &[record]);
    let web = summaries.iter().find(|(dimensions, _)| dimensions == &["web", "H12"]).unwrap();
    check(&web.1, &[("occurrences", 2.0)]);
    let worker = summaries.iter().find(|(dimensions, _)| dimensions == &["worker", "R14"]).unwrap();
    check(&worker.1, &[("occurrences", 1.0)]);
}

#[test]
fn names_are_unique_and_the_list_is_in_order() {
    let names: Vec<&str> = crate::all().iter().map(|job| job.name()).collect();
    assert!(names.is_sorted_by(|left, right| left < right), "{names:?}");
    assert!(crate::find("router-latency").is_some() && crate::find("nothing").is_none());
}

/// The core writes provenance by its own definition; outsiders read it by the one in the .proto file.
#[test]
fn provenance_reads_the_same_through_the_published_schema() {
    let core = Provenance { generation: 2, first_offset: 3, last_offset: 1 << 40, count: 5, is_final: true };
    let published = summary::Provenance::decode(&*core.encode_to_vec()).unwrap();
    let expected =
        summary::Provenance { generation: 2, first_offset: 3, last_offset: 1 << 40, count: 5, r#final: true };
    assert_eq!(published, expected);
    let body = summary::Errors { provenance: Some(expected), occurrences: 9 }.encode_to_vec();
    assert_eq!(Provenance::of_value(&body), Ok(core));
}
