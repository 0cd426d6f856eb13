//! The samples all the way: through the ingress into raw records, through a job into figures.

use std::collections::BTreeMap;
use std::sync::Arc;

use yahtzee_core::commit::{Identity, OwnerTag};
use yahtzee_core::effect::Effect;
use yahtzee_core::erased::AnyJob;
use yahtzee_core::erased::AnyPartition;
use yahtzee_core::job::Figures;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::partition::{History, Start};
use yahtzee_core::record::{LogRecord, MeasurementCounts, Offset, RecordOutcome};
use yahtzee_core::summary::SummaryKey;
use yahtzee_core::window::Policy;
use yahtzee_ingress::collector::{Collector, collect_body};
use yahtzee_ingress::line::timestamp;
use yahtzee_ingress::packer::BodyOrigin;
use yahtzee_ingress::{PackedRecord, TokenTable};
use yahtzee_pipeline_proto::raw::{DynoEventKind, SourceKind};

use crate::lines::{expected_types, life_cycle, text};
use crate::requests;
use crate::sample::{self, Sample};

const MINUTE_US: i64 = 60_000_000;

/// When the samples of platform events were written: 05:06:07.080910.
const WRITTEN_US: i64 = 1_772_600_767_080_910;

/// What a job makes of raw records, all in one partition of its own.
struct Outcome {
    outcomes: MeasurementCounts,
    /// By minute and dimensions.
    figures: BTreeMap<(i64, Vec<String>), Figures>,
}

fn run(job: &str, records: &[PackedRecord]) -> Outcome {
    let job = yahtzee_jobs::find(job).expect("a known job");
    let identity = Identity {
        generation: job.generation(),
        topic_id: [0; 16],
        partition_count: 1,
        window_length_ms: job.policy().length_ms,
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
    let opened =
        Arc::clone(&job).open(job.policy(), identity, history).unwrap_or_else(|error| panic!("{error}"));
    let mut core = opened.core;
    let wanted = records.iter().filter(|record| record.measurement_type == job.measurement());
    let outcomes = ingest(&mut *core, wanted);
    let mut effects = Vec::new();
    core.tick(0, &mut effects);
    let figures = effects.iter().filter_map(|effect| {
        let Effect::Emit(emit) = effect else { return None };
        let key = SummaryKey::decode(&emit.key).expect("a key");
        let figures = job.figures(&emit.value).expect("its summary");
        Some(((key.window_start_ms * 1_000 / MINUTE_US, key.dimensions), figures))
    });
    Outcome { outcomes, figures: figures.collect() }
}

fn ingest<'a>(
    core: &mut dyn AnyPartition,
    records: impl Iterator<Item = &'a PackedRecord>,
) -> MeasurementCounts {
    let mut outcomes = MeasurementCounts::default();
    for (record, offset) in records.zip(0..) {
        let record = LogRecord {
            offset: Offset(offset),
            timestamp_ms: record.recv_ms,
            key: &record.owner.0,
            value: &record.payload,
        };
        match core.ingest(record, &mut Vec::new()) {
            RecordOutcome::Folded(folded) => outcomes.add(folded),
            other => panic!("{other:?}"),
        }
    }
    outcomes
}

/// The raw records of one body with these messages, received at `recv_us`.
fn records<'a>(messages: impl Iterator<Item = &'a Sample>, recv_us: i64) -> Vec<PackedRecord> {
    let counted =
        |sample: &Sample| [format!("{} ", sample.bytes().len()).as_bytes(), &sample.bytes()].concat();
    let body: Vec<u8> = messages.flat_map(counted).collect();
    let provenance =
        BodyOrigin { recv_us, frame_id: Some([1; 16]), source_kind: SourceKind::Logplex, drain: None };
    let tokens = TokenTable::default();
    let mut collector = Collector::new(&tokens, Owner([7; 16]), provenance);
    collect_body(&mut collector, &body, true);
    collector.finish(Some(recv_us)).0
}

/// Messages of the classes that begin so.
fn of_class<'a>(samples: &'a [Sample], class: &str) -> Vec<&'a Sample> {
    let is_wanted =
        |sample: &&Sample| sample.form() == "syslog" && text(&sample.expect()["class"]).starts_with(class);
    samples.iter().filter(is_wanted).filter(|sample| written_us(sample) == Some(WRITTEN_US)).collect()
}

fn written_us(sample: &Sample) -> Option<i64> {
    sample.expect()["syslog"]["ts_us"].as_i64()
}

/// Sum of the figure `name` over all series.
fn sum(outcome: &Outcome, name: &str) -> f64 {
    outcome.figures.values().filter_map(|figures| figures.get(name)).sum()
}

/// Measurements that a job should fold of a line, by what the sample says.
fn expected_folds(sample: &Sample, job: &dyn AnyJob) -> usize {
    let expect = sample.expect();
    let data = &expect["data"];
    let types = expected_types(&expect["measurements"]);
    let of_its_type = types.iter().filter(|name| **name == job.measurement()).count();
    match job.name() {
        "app-events" => {
            data["formation"].as_array().map_or(0, Vec::len) + usize::from(data["version"].is_string())
        }
        "dyno-events" => of_its_type + usize::from(life_cycle_of(sample).is_some()),
        _ => of_its_type,
    }
}

fn life_cycle_of(sample: &Sample) -> Option<DynoEventKind> {
    life_cycle(&sample.expect()["class"], text(&sample.expect()["syslog"]["msg"]))
}

/// Loss is left to a test of its own: one notice is several measurements, some of them too late.
pub(crate) fn every_measurement_reaches_its_job() {
    let samples = sample::all();
    let jobs = || yahtzee_jobs::all().into_iter().filter(|job| job.name() != "log-loss");
    let mut reached: BTreeMap<&str, u64> = jobs().map(|job| (job.name(), 0)).collect();
    let is_line = |sample: &&Sample| {
        sample.form() == "syslog" && crate::EXCEPTIONS.iter().all(|(id, _)| *id != sample.id())
    };
    for sample in samples.iter().filter(is_line) {
        let records = records([sample].into_iter(), written_us(sample).unwrap_or(WRITTEN_US));
        for job in jobs() {
            let outcomes = run(job.name(), &records).outcomes;
            let expected = expected_folds(sample, &*job) as u64;
            assert_eq!(outcomes.accepted, expected, "{} by {}", sample.id(), job.name());
            assert_eq!(outcomes.total(), expected, "{} by {}", sample.id(), job.name());
            *reached.get_mut(job.name()).expect("in the list") += expected;
        }
    }
    reached.retain(|_, count| *count == 0);
    assert_eq!(reached.into_keys().collect::<Vec<_>>(), ["language-metrics"], "jobs that no line reaches");
}

pub(crate) fn dyno_events() {
    let samples = sample::all();
    let lines = of_class(&samples, "dyno_");
    let outcome = run("dyno-events", &records(lines.iter().copied(), WRITTEN_US));
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    let mut count = |name: String| *expected.entry(name).or_default() += 1.0;
    for line in &lines {
        let data = &line.expect()["data"];
        if let Some(state) = data["to"].as_str() {
            count("state_changed".to_owned());
            count(format!("entered_{state}"));
        }
        if let Some(status) = data["status"].as_u64() {
            count("exited".to_owned());
            count(format!("exit_status_{status}"));
        }
        if data["mem_mb"].is_number() {
            count("memory_reported".to_owned());
        }
        if let Some(kind) = life_cycle_of(line) {
            count(kind.as_str_name().replace("DYNO_EVENT_KIND_", "").to_lowercase());
        }
    }
    assert!(expected.len() > 10, "{expected:?}");
    for (name, count) in &expected {
        assert_eq!(sum(&outcome, name), *count, "{name}");
    }
    assert_eq!(sum(&outcome, "crashes"), expected["entered_crashed"]);
    let reported_mb = lines.iter().filter_map(|line| line.expect()["data"]["mem_mb"].as_f64());
    let most_bytes = outcome.figures.values().filter_map(|figures| figures.get("memory_bytes_max").copied());
    assert_eq!(most_bytes.fold(0.0, f64::max), reported_mb.fold(0.0, f64::max) * 1_048_576.0);
}

/// Two scalings at one instant: the greater quantity stands.
pub(crate) fn app_events() {
    let samples = sample::all();
    let lines = [of_class(&samples, "release"), of_class(&samples, "scale")].concat();
    let outcome = run("app-events", &records(lines.iter().copied(), WRITTEN_US));
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    for line in &lines {
        let data = &line.expect()["data"];
        if let Some(version) = data["version"].as_str() {
            let version: f64 = version.trim_start_matches('v').parse().expect("a number");
            let last = expected.entry("release/".to_owned()).or_default();
            *last = last.max(version);
        }
        for wanted in data["formation"].as_array().into_iter().flatten() {
            let last = expected.entry(format!("formation/{}", text(&wanted["process_type"]))).or_default();
            *last = last.max(wanted["quantity"].as_f64().expect("a number"));
        }
    }
    assert!(expected["release/"] == 42.0 && expected["formation/web"] == 4.0);
    let found = outcome.figures.iter().map(|((_, series), figures)| (series.join("/"), figures["last"]));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
}

/// Each notice of the samples, for itself: as large as the minute's part of the time is its part of the loss.
pub(crate) fn log_loss() {
    let samples = sample::all();
    let notices = of_class(&samples, "log_loss");
    assert!(notices.len() > 5);
    for notice in notices {
        let data = &notice.expect()["data"];
        let (code, count) = (text(&data["code"]), data["count"].as_f64().expect("a number"));
        let since_us = data["since"].as_str().and_then(|since| timestamp::parse_us(since.as_bytes()));
        let outcome = run("log-loss", &records([notice].into_iter(), WRITTEN_US));
        let mut open_lost = 0.0;
        for (minute, part) in open_parts(since_us.unwrap_or(WRITTEN_US)) {
            let figures = &outcome.figures[&(minute, vec![code.to_owned()])];
            let lost = count * part;
            assert!((figures["lost"] - lost).abs() <= 1.0, "{} in {minute}: {figures:?}", notice.id());
            assert_eq!(figures["notices"], 1.0, "{}", notice.id());
            open_lost += lost;
        }
        assert!((sum(&outcome, "lost") - open_lost).abs() <= 1.0, "{}", notice.id());
    }
}

/// Minutes since then that are still open when a sample is written, and their parts of the time.
fn open_parts(since_us: i64) -> Vec<(i64, f64)> {
    let span_us = WRITTEN_US - since_us;
    let last = WRITTEN_US.div_euclid(MINUTE_US);
    let first = (last - i64::from(Policy::default().lateness_windows)).max(since_us.div_euclid(MINUTE_US));
    let part = |minute: i64| {
        let begin_us = since_us.max(minute * MINUTE_US);
        let end_us = WRITTEN_US.min((minute + 1) * MINUTE_US);
        if span_us == 0 { 1.0 } else { (end_us - begin_us) as f64 / span_us as f64 }
    };
    (first..=last).map(|minute| (minute, part(minute))).collect()
}

pub(crate) fn language_metrics() {
    let samples = sample::all();
    let posts =
        ["language_metrics-001", "language_metrics-002", "language_metrics-003", "language_metrics-009"];
    let posts = posts.map(|id| samples.iter().find(|sample| sample.id() == id).expect("a sample"));
    let outcome = run("language-metrics", &requests::stored(posts.into_iter()));
    // The second is the first again; the third falls into the next minute.
    let minute = 4_102_444_800_000_000 / MINUTE_US;
    let figure = |minute: i64, name: &str, kind: &str, figure: &str| {
        let series = ["web", name, kind].map(ToOwned::to_owned).to_vec();
        outcome.figures[&(minute, series)][figure]
    };
    assert_eq!(figure(minute - 1, "go.gc.collections", "counter", "total"), 3.0);
    assert_eq!(figure(minute, "go.gc.collections", "counter", "total"), 2.0);
    assert_eq!(figure(minute - 1, "go.gc.pause.ns", "counter", "total"), 12_345.0);
    assert_eq!(figure(minute, "go.gc.pause.ns", "counter", "total"), 0.5);
    assert_eq!(figure(minute - 1, "go.memory.heap.bytes", "gauge", "last"), 1_048_576.0);
    assert_eq!(figure(minute, "go.routines", "gauge", "max"), 10.0);
    assert_eq!(figure(minute - 1, "Rack.Server.request.ms", "distribution", "p50"), 18.0);
    assert_eq!(outcome.outcomes.accepted, 4 + 4 + 1);
}
