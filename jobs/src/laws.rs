//! Every registered job keeps the laws: order, merge, round trip, poison, and a crash at every write.

use prost::Message;
use yahtzee::Owner;
use yahtzee::job::Job;
use yahtzee_pipeline_proto::RecordOf;
use yahtzee_pipeline_proto::raw::{self, lang_metric::Value};
use yahtzee_testkit::{Bench, START_US, check_job};

/// Two owners, twelve frames; `measurement` makes what the frame of a number carries.
fn records<R>(record: impl Fn(Vec<u8>, u32) -> R) -> Vec<(Owner, R)> {
    let of = |number: u32| {
        let frame_id = [&[7; 12][..], &number.to_be_bytes()].concat();
        (Owner([1 + (number % 2) as u8; 16]), record(frame_id, number))
    };
    (0..12).map(of).collect()
}

fn process_type(number: u32) -> String {
    ["web", "worker", "clock"][number as usize % 3].to_owned()
}

/// Within the first two minutes, which stay open while the records of a check are fed.
fn time_us(number: u32) -> i64 {
    START_US + i64::from(number % 2) * 60_000_000
}

/// Checks a job and gives its name, for the list at the end.
fn checked<J: Job + Clone>(job: J, records: &[(Owner, impl Message + Clone)]) -> &'static str {
    check_job(job.clone(), records);
    // A frame that is delivered twice counts once.
    let feed = |bench: Bench<J>, (owner, record): &(Owner, _)| bench.feed(*owner, record);
    let once = records.iter().fold(Bench::new(job), feed);
    let accepted = once.outcomes().0.accepted;
    let (twice, _) = records.iter().fold(once, feed).outcomes();
    assert_eq!((twice.accepted, twice.duplicate), (accepted, accepted), "{}", J::NAME);
    J::NAME
}

fn router_latency() -> &'static str {
    let request = |number: u32| raw::RouterRequest {
        time_us: time_us(number),
        process_type: process_type(number),
        status: Some([200, 404, 503, 101][number as usize % 4]),
        service_ms: Some(number * 317 % 1_000),
        connect_ms: Some(number),
        bytes: Some(u64::from(number) << 20),
        ..Default::default()
    };
    let record = |frame_id, number| {
        let requests = (0..5).map(|index| request(number * 5 + index)).collect();
        RecordOf { frame_id, measurements: requests, ..Default::default() }
    };
    checked(crate::router_latency::RouterLatency, &records(record))
}

fn dyno_load() -> &'static str {
    let load = |number: u32| raw::DynoLoad {
        time_us: time_us(number),
        process_type: process_type(number),
        load_1m_milli: Some(u64::from(number) * 100),
        ..Default::default()
    };
    let record = |frame_id, number| {
        let loads = vec![load(number), load(number + 1)];
        RecordOf { frame_id, measurements: loads, ..Default::default() }
    };
    checked(crate::dyno_load::DynoLoad, &records(record))
}

fn dyno_memory() -> &'static str {
    let memory = |number: u32| raw::DynoMemory {
        time_us: time_us(number),
        process_type: process_type(number),
        total_bytes: Some(u64::from(number) << 24),
        rss_bytes: (!number.is_multiple_of(3)).then_some(1 << 20),
        ..Default::default()
    };
    let record = |frame_id, number| {
        let memories = vec![memory(number)];
        RecordOf { frame_id, measurements: memories, ..Default::default() }
    };
    checked(crate::dyno_memory::DynoMemory, &records(record))
}

fn errors() -> &'static str {
    let error = |number: u32| raw::PlatformError {
        time_us: time_us(number),
        process_type: process_type(number),
        code: ["H12", "R14"][number as usize % 2].to_owned(),
        ..Default::default()
    };
    let record = |frame_id, number| {
        let errors = vec![error(number), error(number + 1)];
        RecordOf { frame_id, measurements: errors, ..Default::default() }
    };
    checked(crate::errors::Errors, &records(record))
}

fn dyno_events() -> &'static str {
    let event = |number: u32| raw::DynoEvent {
        time_us: time_us(number),
        process_type: process_type(number),
        kind: (number % 11) as i32,
        exit_status: (number % 4 == 2).then_some(number),
        to: Some((number % 7) as i32),
        memory_bytes: Some(u64::from(number) << 20),
        ..Default::default()
    };
    let record = |frame_id, number| {
        let events = (0..3).map(|index| event(number * 3 + index)).collect();
        RecordOf { frame_id, measurements: events, ..Default::default() }
    };
    checked(crate::dyno_events::DynoEvents, &records(record))
}

fn app_events() -> &'static str {
    let event = |number: u32| raw::AppEvent {
        time_us: time_us(number),
        release: number.is_multiple_of(2).then_some(number),
        formation: [(process_type(number), number)].into(),
        ..Default::default()
    };
    let record = |frame_id, number| {
        let events = vec![event(number)];
        RecordOf { frame_id, measurements: events, ..Default::default() }
    };
    checked(crate::app_events::AppEvents, &records(record))
}

fn log_loss() -> &'static str {
    let loss = |number: u32| raw::LogLoss {
        time_us: time_us(number),
        code: "L10".to_owned(),
        count: u64::from(number) * 7 + 1,
        since_us: time_us(number) - i64::from(number) * 10_000_000,
        ..Default::default()
    };
    let record = |frame_id, number| {
        let losses = vec![loss(number)];
        RecordOf { frame_id, measurements: losses, ..Default::default() }
    };
    checked(crate::log_loss::LogLoss, &records(record))
}

fn language_metrics() -> &'static str {
    let value = |number: u32| match number % 3 {
        0 => Value::CounterMilli(number.into()),
        1 => Value::GaugeMilli(number.into()),
        _ => Value::Distribution(raw::Samples { values: vec![number.into(), 9] }),
    };
    let metric = |number: u32| raw::LangMetric {
        time_us: time_us(number),
        process_type: process_type(number / 3),
        name: "GC.count".to_owned(),
        value: Some(value(number)),
        ..Default::default()
    };
    let record = |frame_id, number| {
        let metrics = (0..4).map(|index| metric(number * 4 + index)).collect();
        RecordOf { frame_id, measurements: metrics, ..Default::default() }
    };
    checked(crate::language_metrics::LanguageMetrics, &records(record))
}

#[test]
fn every_registered_job_keeps_the_laws() {
    let mut checked = vec![
        app_events(),
        dyno_events(),
        dyno_load(),
        dyno_memory(),
        errors(),
        language_metrics(),
        log_loss(),
        router_latency(),
    ];
    checked.sort_unstable();
    let registered: Vec<&str> = crate::all().iter().map(|job| job.name()).collect();
    assert_eq!(checked, registered, "a job is registered and not checked here");
}
