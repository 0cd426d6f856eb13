//! Router traffic as ingress writes it, well-formed and in the order of the log.

use std::fmt;

use prost::Message;
use serde::{Deserialize, Serialize};
use yahtzee_core::owner::Owner;
use yahtzee_pipeline_proto::RecordOf;
use yahtzee_pipeline_proto::raw::{RouterRequest, SourceKind};

use crate::apps::{App, AppMix};
use crate::rng::Rng;

/// Number of partitions of all topics.
pub const PARTITIONS: u32 = 8;

/// Log time that all records together cover: enough windows close while it is read, and six are open at its end.
pub const SPAN_MS: i64 = 10 * 60_000;

const SEED: u64 = 2_012;
/// Log timestamp of the first record: 14 November 2023, 22:13:20.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// Distribution of measurements over records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Frames as drains deliver them: 1 to 30 measurements per record, 10.5 on average.
    Frames,
    /// One measurement per record, as other systems have it.
    Single,
}

impl Shape {
    /// Both shapes.
    pub const ALL: [Self; 2] = [Self::Frames, Self::Single];

    /// Returns the number of records of a run of `frames` frames: five times as many single ones, for half as many
    /// measurements.
    fn records(self, frames: usize) -> usize {
        match self {
            Self::Frames => frames,
            Self::Single => frames * 5,
        }
    }

    /// Draws the number of measurements of a record; in a frame the smaller of two uniform numbers of 1 to 30, which
    /// has the mean 10.5.
    fn measurements(self, rng: &mut Rng) -> u64 {
        match self {
            Self::Frames => 1 + rng.below(30).min(rng.below(30)),
            Self::Single => 1,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Frames => "frames",
            Self::Single => "single",
        })
    }
}

/// A well-formed raw record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteadyRecord {
    /// Owner of its measurements.
    pub owner: Owner,
    /// Log timestamp, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// A [`RecordOf`] requests.
    pub value: Vec<u8>,
}

/// Returns the records of a run of `frames` frames, in the order of their log timestamps, evenly spread over
/// [`SPAN_MS`].
///
/// Apps are drawn by Zipf's law from 10,000. Of the frames 97 % are up to 2 s late, 2.5 % up to 60 s, 0.49 % up to 5
/// minutes, and 0.01 % up to an hour, most of those too late for their windows. No frame is delivered twice.
pub fn records(shape: Shape, frames: usize) -> impl Iterator<Item = SteadyRecord> {
    let count = shape.records(frames);
    let mut rng = Rng::new(SEED);
    let apps = AppMix::new(&mut rng);
    (0..count).map(move |index| {
        let timestamp_ms = BEGIN_MS + SPAN_MS * index as i64 / count as i64;
        let app = apps.draw(&mut rng);
        let message = frame(shape, app, timestamp_ms, &mut rng);
        SteadyRecord { owner: app.owner, timestamp_ms, value: message.encode_to_vec() }
    })
}

/// Creates a frame of measurements of one app.
fn frame(shape: Shape, app: &App, timestamp_ms: i64, rng: &mut Rng) -> RecordOf<RouterRequest> {
    let recv_us = timestamp_ms * 1_000;
    let newest_us = recv_us - delay_us(rng);
    let count = shape.measurements(rng);
    RecordOf {
        owner: app.owner.0.to_vec(),
        recv_us,
        frame_id: rng.bytes().to_vec(),
        source_kind: SourceKind::Logplex.into(),
        drain: app.owner.0.to_vec(),
        measurements: (0..count).map(|index| request(app, newest_us, index, rng)).collect(),
    }
}

/// Draws the time that a frame has waited, in microseconds.
fn delay_us(rng: &mut Rng) -> i64 {
    let bound_s = match rng.below(10_000) {
        0..9_700 => 2,
        9_700..9_950 => 60,
        9_950..9_999 => 300,
        _ => 3_600,
    };
    rng.below(bound_s * 1_000_000).cast_signed()
}

/// Creates one request, up to a second before the newest of its frame.
pub(crate) fn request(app: &App, newest_us: i64, index: u64, rng: &mut Rng) -> RouterRequest {
    let service_ms = app.service_ms(rng);
    let status = match rng.below(1_000) {
        0..900 => 200,
        900..940 => 302,
        940..980 => 404,
        980..995 => 500,
        _ => 503,
    };
    RouterRequest {
        time_us: newest_us - rng.below(1_000_000).cast_signed(),
        process_type: "web".to_owned(),
        dyno_num: Some(1 + rng.below(8) as u32),
        frame_index: index as u32,
        flags: 0,
        status: Some(status),
        service_ms: Some(service_ms),
        connect_ms: Some(rng.below(4) as u32),
        bytes: Some(rng.below(20_000)),
        h_code: None,
    }
}
