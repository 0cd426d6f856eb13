//! Lines that are cut or garbled at any byte: each figure is the one that was written, or missing.

use std::collections::BTreeSet;

use yahtzee_pipeline_proto::Measurement;
use yahtzee_pipeline_proto::raw::DynoState;

use super::*;

/// Header of the platform's lines in both forms, and what it says.
const LINES: [(&str, &str); 9] = [
    (
        "router",
        "at=info method=GET path=\"/\" host=h request_id=x fwd=\"192.0.2.1\" dyno=web.12 connect=13ms \
         service=345ms status=200 bytes=678 protocol=https",
    ),
    (
        "router",
        "at=error code=H12 desc=\"Request timeout\" method=GET path=\"/\" host=h request_id=x fwd=\"192.0.2.1\" \
         dyno=web.12 connect=13ms service=30001ms status=503 bytes=0 protocol=https",
    ),
    (
        "web.12",
        "source=web.12 dyno=heroku.2808254.0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d sample#load_avg_1m=12.46 \
         sample#load_avg_5m=11.06 sample#load_avg_15m=10.99",
    ),
    (
        "web.12",
        "source=web.12 sample#memory_total=521.22MB sample#memory_rss=421.33MB sample#memory_cache=10.01MB \
         sample#memory_swap=11.00MB sample#memory_pgpgin=348836pages sample#memory_pgpgout=343403pages",
    ),
    ("web.12", "Process running mem=590M(115.2%)"),
    ("web.12", "State changed from starting to crashed"),
    ("web.12", "Error R14 (Memory quota exceeded)"),
    ("logplex", "Error L10 (output buffer overflow): 123 messages dropped since 2026-03-04T05:05:07+00:00."),
    ("api", "Scaled to web@14:Standard-1X worker@23:Standard-2X by user dev@example.com"),
];

/// Bytes that are part of no value. A digit for a digit cannot be noticed, and is none of them.
const GARBAGE: [u8; 8] = [0, 0xff, b' ', b'"', b'=', b'\n', b']', b'<'];

/// Everything that the measurements of a line say, one by one.
fn figures(message: &[u8], is_whole: bool) -> BTreeSet<String> {
    let line = LogLine::parse(message).or_else(|| heroku_logs::parse(message.trim_ascii_end()));
    let Some(line) = line else { return BTreeSet::new() };
    let context = LineContext {
        time_us: 1_772_600_767_000_000,
        time_replaced: false,
        frame_index: 0,
        repaired: !is_whole,
    };
    measure(&line, context).measurements.iter().flatten().flat_map(figures_of).collect()
}

fn figures_of(measurement: &Measurement) -> Vec<String> {
    let mut figures = Vec::new();
    let mut add =
        |name: &str, value: Option<String>| figures.extend(value.map(|value| format!("{name} {value}")));
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    let dyno =
        |process_type: &str, number: Option<u32>| number.map(|number| format!("{process_type}.{number}"));
    match measurement {
        Measurement::RouterRequest(request) => {
            add("dyno", dyno(&request.process_type, request.dyno_num));
            add("code", number(request.h_code.map(Into::into)));
            add("connect", number(request.connect_ms.map(Into::into)));
            add("service", number(request.service_ms.map(Into::into)));
            add("status", number(request.status.map(Into::into)));
            add("bytes", number(request.bytes));
        }
        Measurement::DynoLoad(load) => {
            add("dyno", dyno(&load.process_type, load.dyno_num));
            add("load 1", number(load.load_1m_milli));
            add("load 5", number(load.load_5m_milli));
            add("load 15", number(load.load_15m_milli));
        }
        Measurement::DynoMemory(memory) => {
            add("dyno", dyno(&memory.process_type, memory.dyno_num));
            add("total", number(memory.total_bytes));
            add("rss", number(memory.rss_bytes));
            add("cache", number(memory.cache_bytes));
            add("swap", number(memory.swap_bytes));
            add("in", number(memory.pgpgin_pages));
            add("out", number(memory.pgpgout_pages));
        }
        Measurement::DynoEvent(event) => {
            let state = |state: DynoState| (state != DynoState::Other).then(|| format!("{state:?}"));
            add("dyno", dyno(&event.process_type, event.dyno_num));
            add("from", event.from.and_then(|_| state(event.from())));
            add("to", event.to.and_then(|_| state(event.to())));
            add("exit", number(event.exit_status.map(Into::into)));
            add("memory", number(event.memory_bytes));
            add("quota", number(event.memory_quota_permille.map(Into::into)));
        }
        Measurement::PlatformError(error) => {
            add("error", Some(error.code.clone()));
            add("dyno", dyno(&error.process_type, error.dyno_num));
        }
        Measurement::LogLoss(loss) => add("lost", Some(loss.count.to_string())),
        Measurement::AppEvent(event) => {
            add("release", number(event.release.map(Into::into)));
            for (process_type, quantity) in &event.formation {
                add(process_type, Some(quantity.to_string()));
            }
        }
        other => panic!("{other:?}"),
    }
    figures
}

/// The lines in both forms, each with its newline.
fn messages() -> impl Iterator<Item = Vec<u8>> {
    LINES.iter().flat_map(|(process, text)| {
        let time = "2026-03-04T05:06:07.080910+00:00";
        let syslog = format!("<158>1 {time} host heroku {process} - {text}\n");
        [syslog.into_bytes(), format!("{time} heroku[{process}]: {text}\n").into_bytes()]
    })
}

#[track_caller]
fn check(damaged: &[u8], is_whole: bool, written: &BTreeSet<String>) {
    let found = figures(damaged, is_whole);
    let invented: Vec<&String> = found.difference(written).collect();
    assert!(invented.is_empty(), "{invented:?} in {}", String::from_utf8_lossy(damaged));
}

#[test]
fn a_line_that_is_cut_says_nothing_that_nobody_wrote() {
    for message in messages() {
        let written = figures(&message, true);
        assert!(!written.is_empty(), "{}", String::from_utf8_lossy(&message));
        for at in 0..message.len() {
            check(&message[..at], false, &written);
            check(&message[at..], true, &written);
        }
    }
}

/// By the log system, which ends what it has cut with a newline. The bytes of a router line are left out: lines of before
/// 2016 end with them.
#[test]
fn a_line_that_was_cut_before_it_was_framed_says_nothing_that_nobody_wrote() {
    for message in messages() {
        let mut written = figures(&message, true);
        written.extend(["bytes 6", "bytes 67"].map(str::to_owned));
        for at in 0..message.len() {
            check(&[&message[..at], b"\n"].concat(), true, &written);
        }
    }
}

#[test]
fn a_line_that_is_garbled_says_nothing_that_nobody_wrote() {
    for message in messages() {
        let written = figures(&message, true);
        for at in 0..message.len() {
            for garbage in GARBAGE {
                let replaced = [&message[..at], &[garbage], &message[at + 1..]].concat();
                check(&replaced, true, &written);
                let inserted = [&message[..at], &[garbage], &message[at..]].concat();
                check(&inserted, true, &written);
            }
        }
    }
}
