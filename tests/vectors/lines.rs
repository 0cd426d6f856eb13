//! Lines: header, class, figures, measurements.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde_json::Value;
use yahtzee_ingress::line::LogLine;
use yahtzee_ingress::line::{LineContext, ParsedLine, measure};
use yahtzee_ingress::line::{heroku_logs, timestamp};
use yahtzee_pipeline_proto::Measurement;
use yahtzee_pipeline_proto::raw::{
    AppEvent, DynoEvent, DynoEventKind, DynoLoad, DynoMemory, DynoState, Flag, LogLoss, PlatformError,
    RouterRequest,
};

use crate::sample::Sample;

/// Texts that the samples class as `dyno_other` and that are events nevertheless, by their beginning and end.
const LIFE_CYCLE: &[(&str, &str, DynoEventKind)] = &[
    ("Restarting", "Restarting", DynoEventKind::Restarting),
    ("Cycling", "Cycling", DynoEventKind::Cycling),
    ("Idling", "Idling", DynoEventKind::Idling),
    ("Unidling", "Unidling", DynoEventKind::Unidling),
    ("Starting process with command `", "", DynoEventKind::Starting),
    ("Stopping ", " with SIGTERM", DynoEventKind::Stopping),
    ("Stopping ", " with SIGKILL", DynoEventKind::Killing),
];

/// Later than any sample: no loss begins behind it.
const TIME_US: i64 = 4_102_444_800_000_000;

type Check = Result<(), String>;

pub(crate) fn check(sample: &Sample) -> Check {
    let input = sample.bytes();
    match sample.form() {
        "syslog" => check_message(&input, sample.expect()),
        "payload" => check_line(Some(&payload_line(sample, &input)), sample.expect()),
        "cli" => {
            // What `expect` says of these is that they are no drain messages.
            same(
                "class as a drain message",
                LogLine::parse(&input).is_none(),
                sample.expect()["class"] == "malformed",
            )?;
            heroku_logs::parse(&input)
                .map(|_| ())
                .ok_or_else(|| "not read as text of `heroku logs`".to_owned())
        }
        form => Err(format!("unknown form {form}")),
    }
}

/// Compares one message with its expected reading.
pub(crate) fn check_message(message: &[u8], expect: &Value) -> Check {
    check_line(LogLine::parse(message).as_ref(), expect)
}

pub(crate) fn read(line: &LogLine<'_>, repaired: bool) -> ParsedLine {
    measure(line, LineContext { time_us: TIME_US, time_replaced: false, frame_index: 0, repaired })
}

fn payload_line<'a>(sample: &'a Sample, text: &'a [u8]) -> LogLine<'a> {
    let name = |key: &str| sample.0[key].as_str().unwrap_or_default().as_bytes();
    LogLine {
        priority: None,
        time: b"-",
        hostname: b"host",
        app_name: name("app_name"),
        proc_id: name("proc_id"),
        message_id: b"-",
        text,
    }
}

fn check_line(line: Option<&LogLine<'_>>, expect: &Value) -> Check {
    let Some(line) = line else { return same("class", "malformed", text(&expect["class"])) };
    if expect["syslog"].is_object() {
        check_header(line, &expect["syslog"])?;
    }
    let reading = read(line, false);
    same("class", reading.class.name(), text(&expect["class"]))?;
    let mut expected = expected_types(&expect["measurements"]);
    expected.extend(life_cycle(&expect["class"], &said(line)).map(|_| "DYNO_EVENT"));
    same("measurements", measured_types(&reading), expected)?;
    for measurement in reading.measurements.iter().flatten() {
        match measurement {
            Measurement::DynoEvent(event) => check_dyno_event(event, line, expect)?,
            other => check_figures(other, &expect["data"])?,
        }
    }
    Ok(())
}

/// The event of a line whose class does not name one, by what it says.
pub(crate) fn life_cycle(class: &Value, said: &str) -> Option<DynoEventKind> {
    let is_said = |(begin, end, _): &&(&str, &str, DynoEventKind)| {
        said.starts_with(begin) && said.trim_end().ends_with(end)
    };
    LIFE_CYCLE.iter().find(is_said).filter(|_| class == "dyno_other").map(|(.., kind)| *kind)
}

fn said(line: &LogLine<'_>) -> String {
    String::from_utf8_lossy(line.text_after_structured_data()).into_owned()
}

fn check_header(line: &LogLine<'_>, expect: &Value) -> Check {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let message_id = Some(lossy(line.message_id)).filter(|id| id != "-");
    let message = if line.app_name == b"app" { line.text } else { line.text_after_structured_data() };
    same("priority", line.priority.map(u64::from), expect["pri"].as_u64())?;
    same("timestamp", lossy(line.time), text(&expect["timestamp"]).to_owned())?;
    same("time", timestamp::parse_us(line.time), expect["ts_us"].as_i64())?;
    same("hostname", lossy(line.hostname), text(&expect["hostname"]).to_owned())?;
    same("app name", lossy(line.app_name), text(&expect["app_name"]).to_owned())?;
    same("process id", lossy(line.proc_id), text(&expect["proc_id"]).to_owned())?;
    same("message id", message_id.as_deref(), expect["msg_id"].as_str())?;
    same("message", lossy(message), text(&expect["msg"]).to_owned())
}

/// The types of what was measured, in order; requests that are none of their own left out.
pub(crate) fn measured_types(reading: &ParsedLine) -> Vec<&'static str> {
    let counts = |measurement: &&Measurement| match measurement {
        Measurement::RouterRequest(request) => request.flags & Flag::NotARequest as u32 == 0,
        _ => true,
    };
    reading.measurements.iter().flatten().filter(counts).map(Measurement::measurement_type).collect()
}

/// The expected types, under the names of the raw topics. A notice of loss is an error as well.
pub(crate) fn expected_types(expect: &Value) -> Vec<&'static str> {
    let types = expect.as_array().into_iter().flatten().map(|name| match text(name) {
        "ROUTER_REQUEST" => &["ROUTER_REQUEST"][..],
        "DYNO_LOAD" => &["DYNO_LOAD"],
        "DYNO_MEMORY" => &["DYNO_MEMORY"],
        "ROUTER_ERROR" | "DYNO_ERROR" => &["ERROR"],
        "LOG_LOSS" => &["ERROR", "LOG_LOSS"],
        "DYNO_EVENT" => &["DYNO_EVENT"],
        "RELEASE_EVENT" | "SCALE_EVENT" => &["APP_EVENT"],
        other => panic!("unknown measurement {other}"),
    });
    types.flatten().copied().collect()
}

fn check_figures(measurement: &Measurement, data: &Value) -> Check {
    match measurement {
        Measurement::RouterRequest(request) => check_request(request, data),
        Measurement::PlatformError(error) => check_error(error, data),
        Measurement::DynoLoad(load) => check_load(load, data),
        Measurement::DynoMemory(memory) => check_memory(memory, data),
        Measurement::AppEvent(event) => check_app_event(event, data),
        Measurement::LogLoss(loss) => check_loss(loss, data),
        other => Err(format!("no line gives {other:?}")),
    }
}

fn check_request(request: &RouterRequest, data: &Value) -> Check {
    let number = |key: &str| data[key].as_u64();
    same("status", request.status.map(u64::from), number("status"))?;
    same("service", request.service_ms.map(u64::from), number("service_ms"))?;
    same("connect", request.connect_ms.map(u64::from), number("connect_ms"))?;
    same("bytes", request.bytes, number("bytes"))?;
    same("code", request.h_code.map(|code| format!("H{code}")).as_deref(), data["code"].as_str())?;
    same("process type", request.process_type.as_str(), data["process_type"].as_str().unwrap_or("web"))?;
    let dyno = request.dyno_num.map(|number| format!("{}.{number}", request.process_type));
    same("dyno", dyno.as_deref(), data["dyno"].as_str())
}

fn check_error(error: &PlatformError, data: &Value) -> Check {
    let process_type = match error.code.as_bytes()[0] {
        b'H' => "web",
        b'L' => "logplex",
        _ => text(&data["process_type"]),
    };
    same("code", error.code.as_str(), text(&data["code"]))?;
    same("process type of the error", error.process_type.as_str(), process_type)?;
    let dyno = error.dyno_num.map(|number| format!("{process_type}.{number}"));
    same("dyno of the error", dyno.as_deref(), data["dyno"].as_str())
}

fn check_dyno_event(event: &DynoEvent, line: &LogLine<'_>, expect: &Value) -> Check {
    let data = &expect["data"];
    let kind = match text(&expect["class"]) {
        "dyno_state" => Some(DynoEventKind::StateChanged),
        "dyno_exit" => Some(DynoEventKind::Exited),
        "dyno_mem_report" => Some(DynoEventKind::MemoryReported),
        _ => life_cycle(&expect["class"], &said(line)),
    };
    same("kind", Some(event.kind()), kind)?;
    same("state before", event.from.map(state_name), data["from"].as_str().map(ToOwned::to_owned))?;
    same("state after", event.to.map(state_name), data["to"].as_str().map(ToOwned::to_owned))?;
    same("exit status", event.exit_status.map(u64::from), data["status"].as_u64())?;
    close("memory", event.memory_bytes, data["mem_mb"].as_f64().map(|mebibytes| mebibytes * 1_048_576.0))?;
    let permille = data["quota_pct"].as_f64().map(|percent| percent * 10.0);
    close("part of the quota", event.memory_quota_permille.map(u64::from), permille)?;
    let dyno = event.dyno_num.map(|number| format!("{}.{number}", event.process_type));
    same("dyno of the event", dyno, Some(String::from_utf8_lossy(line.proc_id).into_owned()))
}

fn state_name(state: i32) -> String {
    let state = DynoState::try_from(state).expect("a state of the schema");
    state.as_str_name().replace("DYNO_STATE_", "").to_lowercase()
}

fn check_app_event(event: &AppEvent, data: &Value) -> Check {
    let release = event.release.map(|version| format!("v{version}"));
    same("release", release.as_deref(), data["version"].as_str())?;
    let formation = data["formation"].as_array().into_iter().flatten();
    let formation =
        formation.map(|wanted| (text(&wanted["process_type"]).to_owned(), wanted["quantity"].as_u64()));
    let found = event.formation.iter().map(|(name, &quantity)| (name.clone(), Some(u64::from(quantity))));
    same("formation", found.collect::<BTreeMap<_, _>>(), formation.collect())
}

fn check_loss(loss: &LogLoss, data: &Value) -> Check {
    same("code of the loss", loss.code.as_str(), text(&data["code"]))?;
    same("lines lost", Some(loss.count), data["count"].as_u64())?;
    let since_us = data["since"].as_str().and_then(|since| timestamp::parse_us(since.as_bytes()));
    same("since", loss.since_us, since_us.map_or(loss.time_us, |since_us| since_us.min(loss.time_us)))
}

fn check_load(load: &DynoLoad, data: &Value) -> Check {
    check_dyno(&load.process_type, load.dyno_num, &load.dyno_uuid, data)?;
    let value = |key: &str| expected_number(&data["values"][key], 1e3);
    close("load of 1 m", load.load_1m_milli, value("load_avg_1m"))?;
    close("load of 5 m", load.load_5m_milli, value("load_avg_5m"))?;
    close("load of 15 m", load.load_15m_milli, value("load_avg_15m"))
}

fn check_memory(memory: &DynoMemory, data: &Value) -> Check {
    check_dyno(&memory.process_type, memory.dyno_num, &memory.dyno_uuid, data)?;
    let bytes = |key: &str| expected_number(&data["values"][key], 1_048_576.0);
    let pages = |key: &str, old_key: &str| {
        expected_number(&data["values"][key], 1.0).or_else(|| expected_number(&data["values"][old_key], 1.0))
    };
    close("total", memory.total_bytes, bytes("memory_total"))?;
    close("rss", memory.rss_bytes, bytes("memory_rss"))?;
    close("cache", memory.cache_bytes, bytes("memory_cache"))?;
    close("swap", memory.swap_bytes, bytes("memory_swap"))?;
    close("quota", memory.quota_bytes, bytes("memory_quota"))?;
    close("pages in", memory.pgpgin_pages, pages("memory_pgpgin", "memory_pgin"))?;
    close("pages out", memory.pgpgout_pages, pages("memory_pgpgout", "memory_pgout"))
}

/// The dyno of a sample; PROCID stands in where the line does not name it, which `expect` leaves open.
fn check_dyno(process_type: &str, number: Option<u32>, uuid: &[u8], data: &Value) -> Check {
    if let Some(expected) = data["process_type"].as_str() {
        same("process type", process_type, expected)?;
        same("dyno number", number.map(u64::from), data["dyno_number"].as_u64())?;
    }
    let expected = data["dyno_uuid"].as_str().unwrap_or_default().replace('-', "");
    let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    same("dyno's UUID", hex, expected)
}

fn expected_number(value: &Value, scale: f64) -> Option<f64> {
    value["value"].as_f64().map(|value| value * scale)
}

/// Compares a number in fixed point with the float of the samples, to within one unit or one part in 2^50.
#[allow(clippy::cast_precision_loss, reason = "the expected values are floats")]
fn close(what: &str, found: Option<u64>, expected: Option<f64>) -> Check {
    let is_close = match (found, expected) {
        (Some(found), Some(expected)) => {
            (found as f64 - expected).abs() <= (expected / 2_f64.powi(50)).max(0.5001)
        }
        (None, None) => true,
        _ => false,
    };
    if is_close { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Check {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}
