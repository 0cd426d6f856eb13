//! What it costs to read the values of records: router lines, as logfmt and as JSON, six of their fields.

use std::hint::black_box;

use anyhow::Result;
use serde::Deserialize;
use yahtzee::json::{Json, JsonRecord};
use yahtzee::logfmt;
use yahtzee::prelude::Record;
use yahtzee::wire::Malformed;
use yahtzee_loadgen::Rng;

use crate::measure::measured;
use crate::sheet::{Bench, Setting, Sheet, Target};

/// All cases, in the order of the table.
pub(crate) const BENCHES: &[Bench] =
    &[Bench::timed("readers/logfmt", logfmt_lines), Bench::timed("readers/json", json_documents)];

const SEED: u64 = 61;

/// Of a line of logfmt.
const GOAL_NS: Target = Target::at_most(110.0, None);

/// What a job reads of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Request<'a> {
    host: &'a str,
    dyno: &'a str,
    connect: u32,
    service: u32,
    status: u16,
    bytes: u64,
}

impl<'a> JsonRecord<'a> for Request<'a> {}

/// A request with what is in a line beside it.
struct Line {
    host: String,
    dyno: String,
    path: String,
    connect: u32,
    service: u32,
    status: u16,
    bytes: u64,
}

impl Line {
    fn drawn(rng: &mut Rng) -> Self {
        Self {
            host: format!("app-{:04}.example.com", rng.below(2_000)),
            dyno: format!("web.{}", rng.from_to(1, 20)),
            path: format!("/orders/{}/items?page={}", rng.below(1_000_000), rng.below(40)),
            connect: rng.below(4) as u32,
            service: rng.lognormal(80.0, 1.0) as u32,
            status: rng.pick(&[200, 200, 200, 201, 302, 404, 503]),
            bytes: rng.below(100_000),
        }
    }

    fn request(&self) -> Request<'_> {
        let Self { connect, service, status, bytes, .. } = *self;
        Request { host: &self.host, dyno: &self.dyno, connect, service, status, bytes }
    }

    fn logfmt(&self) -> String {
        let Self { host, dyno, path, connect, service, status, bytes } = self;
        format!(
            "at=info method=GET path=\"{path}\" host={host} request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 \
             fwd=\"204.204.204.204\" dyno={dyno} connect={connect}ms service={service}ms status={status} bytes={bytes} \
             protocol=https tls=true tls_version=tls1.3"
        )
    }

    fn json(&self) -> String {
        let Self { host, dyno, path, connect, service, status, bytes } = self;
        format!(
            r#"{{"at":"info","method":"GET","path":"{path}","host":"{host}","fwd":"204.204.204.204","dyno":"{dyno}","connect":{connect},"service":{service},"status":{status},"bytes":{bytes},"protocol":"https"}}"#
        )
    }
}

fn of_logfmt(line: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut request = Request::default();
    for pair in logfmt::pairs(line) {
        let pair = pair?;
        match pair.key {
            b"host" => request.host = pair.value()?.as_str()?,
            b"dyno" => request.dyno = pair.value()?.as_str()?,
            b"connect" => request.connect = pair.value()?.parse_in("ms")?,
            b"service" => request.service = pair.value()?.parse_in("ms")?,
            b"status" => request.status = pair.value()?.parse()?,
            b"bytes" => request.bytes = pair.value()?.parse()?,
            _ => {}
        }
    }
    Ok(request)
}

fn of_json(document: &[u8]) -> Result<Request<'_>, Malformed> {
    Json::read(document).map(|Json(request)| request)
}

fn logfmt_lines(setting: &Setting) -> Result<Sheet> {
    let mut sheet = Sheet::default();
    let lines = drawn(setting);
    let ns = read_all(&mut sheet, &lines, Line::logfmt, of_logfmt);
    sheet.figure_for(GOAL_NS, "a line, six of fourteen fields", "CPU ns", ns);
    let values: Vec<String> = lines.iter().map(Line::logfmt).collect();
    let pairs = |line: &String| logfmt::pairs(line.as_bytes()).filter(Result::is_ok).count();
    let (found, cost) = measured(|| values.iter().map(pairs).sum::<usize>());
    sheet.check("pairs", found, 14 * lines.len());
    sheet.figure("its pairs alone", "CPU ns", cost.cpu_ns as f64 / lines.len() as f64);
    let bytes: usize = values.iter().map(String::len).sum();
    sheet.figure("length of a line, mean", "bytes", bytes as f64 / lines.len() as f64);
    Ok(sheet)
}

fn json_documents(setting: &Setting) -> Result<Sheet> {
    let mut sheet = Sheet::default();
    let lines = drawn(setting);
    let ns = read_all(&mut sheet, &lines, Line::json, of_json);
    sheet.figure("a document, six of eleven fields", "CPU ns", ns);
    Ok(sheet)
}

fn drawn(setting: &Setting) -> Vec<Line> {
    let mut rng = Rng::new(SEED);
    (0..setting.scale.of(200_000, 100)).map(|_| Line::drawn(&mut rng)).collect()
}

/// Reads all lines as they are written, checks what was read, and returns CPU nanoseconds for each.
fn read_all(
    sheet: &mut Sheet,
    lines: &[Line],
    written: impl Fn(&Line) -> String,
    read: impl for<'a> Fn(&'a [u8]) -> Result<Request<'a>, Malformed>,
) -> f64 {
    let values: Vec<String> = lines.iter().map(written).collect();
    let right = lines.iter().zip(&values);
    let right = right.filter(|(line, value)| read(value.as_bytes()) == Ok(line.request())).count();
    sheet.check("values that are read as they were written", right, lines.len());
    let ((), cost) = measured(|| values.iter().for_each(|value| drop(black_box(read(value.as_bytes())))));
    cost.cpu_ns as f64 / lines.len() as f64
}
