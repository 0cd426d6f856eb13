//! What every job must give: golden summaries, one path from raw records in to figures out.

use std::sync::Arc;

use prost::Message;
use yahtzee_core::accumulate::{Accumulator, Counts, Distribution, Gauge, Moments};
use yahtzee_core::commit::{Identity, OwnerTag};
use yahtzee_core::effect::{Effect, summary_bytes_max};
use yahtzee_core::erased::AnyJob;
use yahtzee_core::job::Job;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::partition::{History, Start};
use yahtzee_core::record::{LogRecord, Offset, RecordOutcome};
use yahtzee_core::summary::SummaryKey;
use yahtzee_pipeline_proto::{Measurement, RecordOf, raw};

use crate::dyno_events::DynoEvents;
use crate::dyno_load::DynoLoad;
use crate::dyno_memory::DynoMemory;
use crate::figures::{self, Figures};
use crate::language_metrics::LanguageMetrics;
use crate::log_loss::LogLoss;
use crate::router_latency::RouterLatency;

const OWNER: Owner = Owner([3; 16]);
/// Minute 0 of some hour, microseconds.
const MINUTE_US: i64 = 1_772_600_760_000_000;

/// Folds raw records, all received at [`MINUTE_US`], and returns each series with its figures.
fn summaries<J: Job>(job: J, records: &[impl Message]) -> Vec<(Vec<String>, Figures)> {
    let identity = Identity {
        generation: J::GENERATION,
        topic_id: [0; 16],
        partition_count: 1,
        window_length_ms: 60_000,
        acceptance: None,
        owner_tag: OwnerTag::default(),
    };
    let start = Offset(0);
    let history = History {
        partition: Partition(0),
        start: Start::Beginning,
        log_start: start,
        log_end: start,
        poisoned: &[],
        losses: &[],
    };
    let job: Arc<dyn AnyJob> = Arc::new(job);
    let mut core = Arc::clone(&job).open(job.policy(), identity, history).unwrap().core;
    let mut effects: Vec<Effect> = Vec::new();
    for (offset, record) in records.iter().enumerate() {
        let value = record.encode_to_vec();
        let timestamp_ms = MINUTE_US / 1_000;
        let record = LogRecord { offset: Offset(offset as u64), timestamp_ms, key: &OWNER.0, value: &value };
        let fate = core.ingest(record, &mut effects);
        assert!(
            matches!(fate, RecordOutcome::Folded(outcomes) if outcomes.accepted == outcomes.total()),
            "{fate:?}"
        );
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
    let record = RecordOf { measurements: requests, ..Default::default() };
    let summaries = summaries(RouterLatency, &[record]);
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
    let loads = summaries(DynoLoad, &[RecordOf { measurements: loads, ..Default::default() }]);
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
    let record = RecordOf { measurements: memories, ..Default::default() };
    let memory = summaries(DynoMemory, &[record]);
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
    let record = RecordOf { measurements: errors, ..Default::default() };
    let summaries = summaries(crate::errors::Errors, &[record]);
    let web = summaries.iter().find(|(dimensions, _)| dimensions == &["web", "H12"]).unwrap();
    check(&web.1, &[("occurrences", 2.0)]);
    let worker = summaries.iter().find(|(dimensions, _)| dimensions == &["worker", "R14"]).unwrap();
    check(&worker.1, &[("occurrences", 1.0)]);
}

fn dyno_event(process_type: &str, kind: raw::DynoEventKind) -> raw::DynoEvent {
    raw::DynoEvent {
        time_us: MINUTE_US,
        process_type: process_type.to_owned(),
        kind: kind.into(),
        ..Default::default()
    }
}

#[test]
fn dyno_events_are_counted_by_kind_state_and_exit_status() {
    let exit = |exit_status| raw::DynoEvent { exit_status, ..dyno_event("web", raw::DynoEventKind::Exited) };
    let enter = |state: raw::DynoState| raw::DynoEvent {
        to: Some(state.into()),
        ..dyno_event("web", raw::DynoEventKind::StateChanged)
    };
    let report = raw::DynoEvent {
        memory_bytes: Some(590 << 20),
        memory_quota_permille: Some(1_152),
        ..dyno_event("worker", raw::DynoEventKind::MemoryReported)
    };
    let events = vec![
        exit(Some(137)),
        exit(Some(0)),
        exit(Some(137)),
        exit(None),
        enter(raw::DynoState::Crashed),
        enter(raw::DynoState::Up),
        report,
    ];
    let summaries = summaries(DynoEvents, &[RecordOf { measurements: events, ..Default::default() }]);
    let [(web, of_web), (worker, of_worker)] = &summaries[..] else { panic!("{summaries:?}") };
    assert_eq!((&web[..], &worker[..]), (&["web".to_owned()][..], &["worker".to_owned()][..]));
    check(of_web, &[("exited", 4.0), ("exit_status_137", 2.0), ("exit_status_0", 1.0), ("crashes", 1.0)]);
    check(of_web, &[("state_changed", 2.0), ("entered_up", 1.0), ("entered_crashed", 1.0)]);
    assert_eq!(of_web.get("memory_bytes_max"), None);
    check(of_worker, &[("crashes", 0.0), ("memory_reported", 1.0)]);
    check(of_worker, &[("memory_bytes_max", 618_659_840.0), ("memory_quota_percent_max", 115.2)]);
}

fn release(second: i64, version: u32) -> raw::AppEvent {
    raw::AppEvent { time_us: MINUTE_US + second * 1_000_000, release: Some(version), ..Default::default() }
}

fn scaling(second: i64, formation: &[(&str, u32)]) -> raw::AppEvent {
    let formation = formation.iter().map(|&(name, quantity)| (name.to_owned(), quantity)).collect();
    raw::AppEvent { time_us: MINUTE_US + second * 1_000_000, formation, ..Default::default() }
}

/// Figures by kind and process type.
fn app_figures(events: Vec<raw::AppEvent>) -> Vec<(Vec<String>, Figures)> {
    let mut figures =
        summaries(crate::app_events::AppEvents, &[RecordOf { measurements: events, ..Default::default() }]);
    figures.sort_by(|left, right| left.0.cmp(&right.0));
    figures
}

#[test]
fn app_events_keep_the_last_of_each_in_any_order() {
    let mut events = vec![
        release(5, 43),
        release(2, 44),
        scaling(1, &[("web", 9), ("worker", 1)]),
        scaling(7, &[("web", 2)]),
        scaling(7, &[("web", 3)]),
    ];
    let forwards = app_figures(events.clone());
    let [(web, of_web), (worker, of_worker), (release, of_releases)] = &forwards[..] else {
        panic!("{forwards:?}")
    };
    let series = [web, worker, release].map(|dimensions| dimensions.join("/"));
    assert_eq!(series, ["formation/web", "formation/worker", "release/"]);
    check(of_web, &[("events", 3.0), ("last", 3.0), ("min", 2.0), ("max", 9.0)]);
    check(of_worker, &[("events", 1.0), ("last", 1.0)]);
    check(of_releases, &[("events", 2.0), ("last", 43.0), ("max", 44.0)]);
    events.reverse();
    assert_eq!(app_figures(events), forwards);
}

#[test]
fn a_loss_is_spread_over_its_minutes() {
    let loss = |code: &str, since_s: i64, count| raw::LogLoss {
        time_us: MINUTE_US,
        since_us: MINUTE_US - since_s * 1_000_000,
        code: code.to_owned(),
        count,
        ..Default::default()
    };
    let losses = vec![loss("L10", 120, 10), loss("L10", 0, 1), loss("L13", 0, 5)];
    let record = RecordOf { measurements: losses, ..Default::default() };
    let summaries = summaries(LogLoss, &[record]);
    let of_code = |code: &str| {
        let of_code = summaries.iter().filter(|(dimensions, _)| dimensions == &[code]);
        let mut lost: Vec<_> = of_code.map(|(_, figures)| (figures["lost"], figures["notices"])).collect();
        lost.sort_by(|left: &(f64, f64), right| left.partial_cmp(right).expect("numbers"));
        lost
    };
    // The notice's own minute has just begun: nothing of the loss lies in it, but its name does.
    assert_eq!(of_code("L10"), [(1.0, 2.0), (5.0, 1.0), (5.0, 1.0)]);
    assert_eq!(of_code("L13"), [(5.0, 1.0)]);
}

#[test]
fn language_metrics_of_each_kind() {
    use raw::lang_metric::Value;
    let metric = |second: i64, name: &str, value| raw::LangMetric {
        time_us: MINUTE_US + second * 1_000_000,
        process_type: "web".to_owned(),
        name: name.to_owned(),
        value,
        ..Default::default()
    };
    let samples = |values: &[u64]| Some(Value::Distribution(raw::Samples { values: values.to_vec() }));
    let metrics = vec![
        metric(0, "gc", Some(Value::CounterMilli(3_000))),
        metric(20, "gc", Some(Value::CounterMilli(1_500))),
        metric(40, "heap", Some(Value::GaugeMilli(2_000))),
        metric(20, "heap", Some(Value::GaugeMilli(7_000))),
        metric(0, "gc", Some(Value::GaugeMilli(250))),
        metric(0, "pause", samples(&[10, 30])),
        metric(20, "pause", samples(&[20])),
        metric(20, "nothing", None),
    ];
    let record = RecordOf { measurements: metrics, ..Default::default() };
    let summaries = summaries(LanguageMetrics, &[record]);
    assert_eq!(summaries.len(), 4, "{summaries:?}");
    let of = |name: &str, kind: &str| {
        let is_wanted = |(dimensions, _): &&(Vec<String>, Figures)| dimensions == &["web", name, kind];
        &summaries.iter().find(is_wanted).unwrap().1
    };
    check(of("gc", "counter"), &[("total", 4.5)]);
    check(of("heap", "gauge"), &[("last", 2.0), ("min", 2.0), ("max", 7.0), ("mean", 4.5)]);
    check(of("gc", "gauge"), &[("last", 0.25)]);
    check(of("pause", "distribution"), &[("samples", 3.0), ("p50", 20.0), ("p99", 30.0)]);
    assert_eq!(of("gc", "counter").len(), 1);
}

#[test]
fn names_are_unique_and_the_list_is_in_order() {
    let names: Vec<&str> = crate::all().iter().map(|job| job.name()).collect();
    assert!(names.is_sorted_by(|left, right| left < right), "{names:?}");
    assert!(crate::find("router-latency").is_some() && crate::find("nothing").is_none());
}

/// A type without a job would be stored and never read.
#[test]
fn every_measurement_type_has_a_job() {
    let mut read: Vec<&str> = crate::all().iter().map(|job| job.measurement()).collect();
    let mut types = Measurement::TYPES.to_vec();
    read.sort_unstable();
    // Several jobs may read one type.
    read.dedup();
    types.sort_unstable();
    assert_eq!(read, types);
}

fn encoded(state: &impl Accumulator) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    bytes
}

/// A summary may be so much larger than its accumulator in memory, or it is not published.
#[test]
fn the_largest_states_are_published() {
    fn check<J: Job>(job: &J, fields: &[&[u8]]) {
        let mut state = Vec::new();
        for field in fields {
            prost::encoding::encode_varint(field.len() as u64, &mut state);
            state.extend_from_slice(field);
        }
        let state = J::Accumulator::decode(&state).expect("its fields in their order");
        let bytes = job.summarize(&state).encoded_len();
        let series_key_and_provenance = 16 + 256 * J::DIMENSIONS.len() + 12 + 60;
        let bytes_max = summary_bytes_max::<J::Accumulator>(J::DIMENSIONS.len());
        assert!(bytes + series_key_and_provenance <= bytes_max, "{}: {bytes} of {bytes_max}", J::NAME);
    }
    let mut distribution = Distribution::default();
    // Every bucket there is, with a counter of the greatest width.
    let values = (0..256_u64).chain((1..20).flat_map(|power| (128..256).map(move |value| value << power)));
    values.for_each(|value| distribution.record_n(value, 1 << 62));
    assert!(distribution.heap_bytes() + 200 > Distribution::HEAP_BYTES_MAX.unwrap());
    let mut counts = Counts::default();
    (0..2_000).for_each(|key| counts.add(u32::MAX - 1 - key, u64::MAX));
    let mut moments = Moments::default();
    (0..2).for_each(|_| moments.record(u64::MAX));
    let mut gauge = Gauge::default();
    (0..2).for_each(|_| gauge.record(i64::MIN, u64::MAX));
    let (distribution, counts) = (encoded(&distribution), encoded(&counts));
    let (moments, gauge, sum) = (encoded(&moments), encoded(&gauge), encoded(&u64::MAX));
    check(&RouterLatency, &[&distribution, &moments, &moments, &counts, &sum]);
    check(&DynoEvents, &[&counts, &counts, &counts, &moments, &moments]);
    check(&DynoLoad, &[&moments, &moments, &moments]);
    check(&DynoMemory, &[&moments, &moments, &moments, &moments, &moments]);
    check(&LanguageMetrics, &[&sum, &sum, &gauge, &distribution]);
    check(&LogLoss, &[&sum, &sum]);
}

#[test]
fn counters_that_are_not_told_apart_are_other() {
    let by_status = [(200, 3), (Counts::GREATER_KEYS, 4)].into();
    let summary =
        yahtzee_pipeline_proto::summary::RouterLatency { by_status, requests: 7, ..Default::default() };
    check(
        &<RouterLatency as Job>::figures(&summary),
        &[("status_200", 3.0), ("status_other", 4.0), ("requests", 7.0)],
    );
}
