//! Summaries of router latency, made before anything is measured.

use prost::Message;
use yahtzee_core::accumulate::{Accumulator, Counts, Distribution, Moments};
use yahtzee_core::job::Job;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_jobs::router_latency::RouterLatency;
use yahtzee_pipeline_proto::summary;
use yahtzee_storage::store::Day;
use yahtzee_storage::store::Summary;

use crate::samples::Shape;
use crate::sheet::Scale;
use yahtzee_loadgen::Rng;

/// The job that all summaries are of.
pub(super) const JOB: &str = RouterLatency::NAME;

/// The day that all windows lie in: 14 November 2023.
pub(super) const DAY: Day = Day(19_675);

const WINDOW_MS: u32 = 60_000;
const SEED: u64 = 1_024;
const WINDOWS: usize = 10;

/// Requests of one series in one minute at most.
const REQUESTS_MAX: u64 = 10_000;

/// Series with what was published of them, without a revision.
pub(super) struct Prepared {
    rows: Vec<Row>,
}

struct Row {
    parts: SummaryKey,
    requests: u64,
    body: Vec<u8>,
}

/// A summary with its bytes.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Wire form of the key.
    pub(super) key: Vec<u8>,
    /// Value, provenance included.
    pub(super) value: Vec<u8>,
    /// The key.
    pub(super) parts: SummaryKey,
    /// Where it comes from.
    pub(super) provenance: Provenance,
}

impl Prepared {
    /// Ten minutes of `times` times 10,240 series, minute by minute.
    pub(super) fn new(scale: Scale, times: usize) -> Self {
        let mut rng = Rng::new(SEED);
        let owners: Vec<_> = (0..times * scale.of(10_240, 200)).map(|_| Owner(rng.bytes())).collect();
        let minutes = (0..WINDOWS as i64).flat_map(|minute| owners.iter().map(move |&owner| (minute, owner)));
        Self { rows: minutes.map(|(minute, owner)| Row::drawn(minute, owner, &mut rng)).collect() }
    }

    /// All rows as they were published when the last record was at `last_offset`.
    pub(super) fn entries(&self, last_offset: u64) -> Vec<Entry> {
        self.rows.iter().map(|row| row.entry(last_offset)).collect()
    }
}

impl Row {
    /// How many requests follows Zipf with exponent 1, how long they took is lognormal.
    fn drawn(minute: i64, owner: Owner, rng: &mut Rng) -> Self {
        let requests = (REQUESTS_MAX / (1 + rng.below(REQUESTS_MAX))).max(1);
        let (mut distribution, mut service, mut connect) =
            (Distribution::default(), Moments::default(), Moments::default());
        let (mut by_status, mut bytes) = (Counts::default(), 0);
        for _ in 0..requests {
            let service_ms = Shape::Lognormal.draw(rng);
            distribution.record(service_ms);
            service.record(service_ms);
            connect.record(rng.below(4));
            by_status.add(if rng.below(10) == 0 { 404 } else { 200 }, 1);
            bytes += rng.below(20_000);
        }
        let mut encoded = Vec::new();
        distribution.encode(&mut encoded);
        let message = summary::RouterLatency {
            service_ms: Some(summary::Distribution { encoded }),
            service_moments_ms: Some(moments(&service)),
            connect_moments_ms: Some(moments(&connect)),
            by_status: by_status.iter().collect(),
            requests,
            bytes,
        };
        let parts = SummaryKey {
            owner,
            dimensions: vec!["web".to_owned()],
            window_start_ms: DAY.start_ms() + minute * i64::from(WINDOW_MS),
            window_length_ms: WINDOW_MS,
        };
        Self { parts, requests, body: message.encode_to_vec() }
    }

    /// As the core writes it: provenance first, then the job's own fields.
    fn entry(&self, last_offset: u64) -> Entry {
        let count = self.requests + last_offset;
        let provenance = Provenance { generation: 1, first_offset: 0, last_offset, count, is_final: false };
        let value = [provenance.join(&()), self.body.clone()].concat();
        Entry { key: self.parts.encode(), value, parts: self.parts.clone(), provenance }
    }
}

impl Entry {
    /// The summary as a sink hands it to a store.
    pub(super) fn lend(&self) -> Summary<'_> {
        let (key, value) = (&*self.key, &*self.value);
        Summary { job: JOB, key, value, parts: &self.parts, provenance: self.provenance }
    }
}

fn moments(from: &Moments) -> summary::Moments {
    summary::Moments {
        count: from.count(),
        sum: from.sum(),
        sum_squares_high: from.sum_squares_high(),
        sum_squares_low: from.sum_squares_low(),
        min: from.min().unwrap_or(0),
        max: from.max().unwrap_or(0),
        saturated: from.is_saturated(),
    }
}
