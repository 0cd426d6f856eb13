//! From measurements to raw records: one per owner and measurement type of a body.

use std::collections::BTreeMap;

use prost::Message;
use sha2::{Digest, Sha256};
use yahtzee_core::owner::Owner;
use yahtzee_pipeline_proto::raw::{
    AppEvent, AppEvents, DynoEvent, DynoEvents, DynoLoad, DynoLoads, DynoMemories, DynoMemory, LangMetric,
    LangMetrics, LogLoss, LogLosses, PlatformError, PlatformErrors, RouterRequest, RouterRequests,
    SourceKind,
};

use crate::measure::Measurement;

/// Measurement type of router requests.
pub const ROUTER_REQUEST: &str = "ROUTER_REQUEST";

/// Measurement type of dyno load.
pub const DYNO_LOAD: &str = "DYNO_LOAD";

/// Measurement type of dyno memory.
pub const DYNO_MEMORY: &str = "DYNO_MEMORY";

/// Measurement type of error codes.
pub const ERROR: &str = "ERROR";

/// Measurement type of what happens to dynos.
pub const DYNO_EVENT: &str = "DYNO_EVENT";

/// Measurement type of releases and scaling.
pub const APP_EVENT: &str = "APP_EVENT";

/// Measurement type of lines that were lost on the way.
pub const LOG_LOSS: &str = "LOG_LOSS";

/// Measurement type of what language runtimes post.
pub const LANG_METRIC: &str = "LANG_METRIC";

/// Every measurement type: those of log lines, then that of posts.
pub const MEASUREMENT_TYPES: [&str; 8] =
    [ROUTER_REQUEST, DYNO_LOAD, DYNO_MEMORY, ERROR, DYNO_EVENT, APP_EVENT, LOG_LOSS, LANG_METRIC];

/// Place of a line that stands before all others: the notice of loss that Logplex puts in front of a body.
pub const PREPENDED_INDEX: u32 = u32::MAX;

/// Lines per record. Longer bodies give several, each with a frame id of its own, so that no record comes
/// near Kafka's default limit of 1 MB.
const LINES_PER_RECORD: u32 = 4_096;

impl Measurement {
    /// Its measurement type: one of [`MEASUREMENT_TYPES`].
    #[must_use]
    pub fn measurement_type(&self) -> &'static str {
        match self {
            Self::Request(_) => ROUTER_REQUEST,
            Self::Load(_) => DYNO_LOAD,
            Self::Memory(_) => DYNO_MEMORY,
            Self::Error(_) => ERROR,
            Self::DynoEvent(_) => DYNO_EVENT,
            Self::AppEvent(_) => APP_EVENT,
            Self::Loss(_) => LOG_LOSS,
            Self::Metric(_) => LANG_METRIC,
        }
    }

    /// Its place in the body.
    #[must_use]
    pub fn frame_index(&self) -> u32 {
        match self {
            Self::Request(request) => request.frame_index,
            Self::Load(load) => load.frame_index,
            Self::Memory(memory) => memory.frame_index,
            Self::Error(error) => error.frame_index,
            Self::DynoEvent(event) => event.frame_index,
            Self::AppEvent(event) => event.frame_index,
            Self::Loss(loss) => loss.frame_index,
            Self::Metric(metric) => metric.frame_index,
        }
    }
}

/// A record for a raw topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Which topic: one of [`MEASUREMENT_TYPES`].
    pub measurement_type: &'static str,
    /// The key.
    pub owner: Owner,
    /// The record's timestamp: milliseconds since 1970.
    pub recv_ms: i64,
    /// The value: a message of `raw.proto`.
    pub payload: Vec<u8>,
}

/// Digest that names a delivery: the same for every attempt, different under another sender.
///
/// The first 16 bytes of SHA-256 over sender, a zero byte, and the id that the sender gave the delivery.
#[must_use]
pub fn frame_digest(sender: &[u8], id: &[u8]) -> [u8; 16] {
    let digest = Sha256::new().chain_update(sender).chain_update([0]).chain_update(id).finalize();
    digest[..16].try_into().expect("SHA-256 has 32 bytes")
}

/// What all records of a body share.
#[derive(Clone, Copy, Debug)]
pub struct Provenance {
    /// Receive time, microseconds since 1970.
    pub recv_us: i64,
    /// [`frame_digest`] of the body; `None` if its sender gave it no id.
    pub frame_id: Option<[u8; 16]>,
    /// What kind of sender it came from.
    pub source_kind: SourceKind,
    /// UUID of the drain token; `None` if the sender had none.
    pub drain: Option<[u8; 16]>,
}

/// Fields 1 to 15 of a raw record.
#[derive(Clone)]
struct Envelope {
    owner: Owner,
    recv_us: i64,
    frame_id: Vec<u8>,
    source_kind: i32,
    drain: Vec<u8>,
}

impl Envelope {
    fn new(provenance: Provenance, owner: Owner, part: u32) -> Self {
        let Provenance { recv_us, frame_id, source_kind, drain } = provenance;
        let frame_id = frame_id.map(|id| if part == 0 { id } else { frame_digest(&id, &part.to_be_bytes()) });
        let bytes = |uuid: Option<[u8; 16]>| uuid.map(|uuid| uuid.to_vec()).unwrap_or_default();
        Self {
            owner,
            recv_us,
            frame_id: bytes(frame_id),
            source_kind: source_kind.into(),
            drain: bytes(drain),
        }
    }
}

/// The record of some measurements of one type; `None` if there are none.
macro_rules! seal {
    ($envelope:expr, $measurement_type:expr, $message:ident { $field:ident: $measurements:expr }) => {{
        let measurements = $measurements;
        (!measurements.is_empty()).then(|| {
            let Envelope { owner, recv_us, frame_id, source_kind, drain } = $envelope.clone();
            let key = owner.0.to_vec();
            let message =
                $message { owner: key, recv_us, frame_id, source_kind, drain, $field: measurements };
            RawRecord {
                measurement_type: $measurement_type,
                owner,
                recv_ms: recv_us.div_euclid(1_000),
                payload: message.encode_to_vec(),
            }
        })
    }};
}

/// Collects the measurements of a body.
#[derive(Debug)]
pub struct Packer {
    provenance: Provenance,
    /// By owner and part, a part being [`LINES_PER_RECORD`] lines.
    batches: BTreeMap<(Owner, u32), Batch>,
}

#[derive(Debug, Default)]
struct Batch {
    requests: Vec<RouterRequest>,
    loads: Vec<DynoLoad>,
    memories: Vec<DynoMemory>,
    errors: Vec<PlatformError>,
    dyno_events: Vec<DynoEvent>,
    app_events: Vec<AppEvent>,
    losses: Vec<LogLoss>,
    metrics: Vec<LangMetric>,
}

impl Packer {
    /// Starts a body.
    #[must_use]
    pub fn new(provenance: Provenance) -> Self {
        Self { provenance, batches: BTreeMap::new() }
    }

    /// Adds a measurement of `owner`.
    pub fn add(&mut self, owner: Owner, measurement: Measurement) {
        let index = measurement.frame_index();
        let part = if index == PREPENDED_INDEX { 0 } else { index / LINES_PER_RECORD };
        let batch = self.batches.entry((owner, part)).or_default();
        match measurement {
            Measurement::Request(request) => batch.requests.push(request),
            Measurement::Load(load) => batch.loads.push(load),
            Measurement::Memory(memory) => batch.memories.push(memory),
            Measurement::Error(error) => batch.errors.push(error),
            Measurement::DynoEvent(event) => batch.dyno_events.push(event),
            Measurement::AppEvent(event) => batch.app_events.push(event),
            Measurement::Loss(loss) => batch.losses.push(loss),
            Measurement::Metric(metric) => batch.metrics.push(metric),
        }
    }

    /// The records, ordered by owner, part of the body, and type.
    #[must_use]
    pub fn finish(self) -> Vec<RawRecord> {
        let provenance = self.provenance;
        let records = self.batches.into_iter().flat_map(|((owner, part), batch)| {
            let envelope = Envelope::new(provenance, owner, part);
            let records = [
                seal!(envelope, ROUTER_REQUEST, RouterRequests { requests: batch.requests }),
                seal!(envelope, DYNO_LOAD, DynoLoads { loads: batch.loads }),
                seal!(envelope, DYNO_MEMORY, DynoMemories { memories: batch.memories }),
                seal!(envelope, ERROR, PlatformErrors { errors: batch.errors }),
                seal!(envelope, DYNO_EVENT, DynoEvents { events: batch.dyno_events }),
                seal!(envelope, APP_EVENT, AppEvents { events: batch.app_events }),
                seal!(envelope, LOG_LOSS, LogLosses { losses: batch.losses }),
                seal!(envelope, LANG_METRIC, LangMetrics { metrics: batch.metrics }),
            ];
            records.into_iter().flatten()
        });
        records.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner([7; 16]);

    fn provenance(frame_id: Option<[u8; 16]>) -> Provenance {
        Provenance { recv_us: 1_999, frame_id, source_kind: SourceKind::Logplex, drain: Some([9; 16]) }
    }

    fn request(frame_index: u32) -> Measurement {
        Measurement::Request(RouterRequest { frame_index, status: Some(200), ..RouterRequest::default() })
    }

    fn error(frame_index: u32) -> Measurement {
        Measurement::Error(PlatformError { frame_index, code: "L10".to_owned(), ..PlatformError::default() })
    }

    fn pack(frame_id: Option<[u8; 16]>, measurements: Vec<(Owner, Measurement)>) -> Vec<RawRecord> {
        let mut packer = Packer::new(provenance(frame_id));
        for (owner, measurement) in measurements {
            packer.add(owner, measurement);
        }
        packer.finish()
    }

    #[test]
    fn one_record_per_owner_and_type() {
        let other = Owner([8; 16]);
        let measurements = vec![
            (OWNER, error(PREPENDED_INDEX)),
            (OWNER, request(0)),
            (other, request(1)),
            (OWNER, request(2)),
        ];
        let records = pack(Some([1; 16]), measurements);
        let keys: Vec<_> = records.iter().map(|record| (record.owner, record.measurement_type)).collect();
        assert_eq!(keys, [(OWNER, ROUTER_REQUEST), (OWNER, ERROR), (other, ROUTER_REQUEST)]);
        let requests = RouterRequests::decode(records[0].payload.as_slice()).unwrap();
        let indices: Vec<_> = requests.requests.iter().map(|request| request.frame_index).collect();
        assert_eq!(indices, [0, 2]);
    }

    #[test]
    fn every_type_has_its_record() {
        let measurements = vec![
            Measurement::Metric(LangMetric::default()),
            Measurement::Loss(LogLoss::default()),
            Measurement::AppEvent(AppEvent::default()),
            Measurement::DynoEvent(DynoEvent::default()),
            error(0),
            Measurement::Memory(DynoMemory::default()),
            Measurement::Load(DynoLoad::default()),
            request(0),
        ];
        let records = pack(None, measurements.into_iter().map(|measurement| (OWNER, measurement)).collect());
        let types: Vec<_> = records.iter().map(|record| record.measurement_type).collect();
        assert_eq!(types, MEASUREMENT_TYPES);
    }

    #[test]
    fn every_record_carries_where_it_came_from() {
        for record in pack(Some([1; 16]), vec![(OWNER, request(0))]) {
            assert_eq!(record.recv_ms, 1);
            let message = RouterRequests::decode(record.payload.as_slice()).unwrap();
            assert_eq!(
                (message.owner, message.frame_id, message.drain),
                (vec![7; 16], vec![1; 16], vec![9; 16])
            );
            assert_eq!((message.recv_us, message.source_kind), (1_999, SourceKind::Logplex.into()));
        }
    }

    #[test]
    fn parts_of_a_long_body_have_frame_ids_of_their_own() {
        fn check(frame_id: Option<[u8; 16]>, expected_distinct: usize) {
            let measurements = (0..3).map(|part| (OWNER, request(part * LINES_PER_RECORD))).collect();
            let records = pack(frame_id, measurements);
            assert_eq!(records.len(), 3);
            let decode =
                |record: &RawRecord| RouterRequests::decode(record.payload.as_slice()).unwrap().frame_id;
            let ids: std::collections::BTreeSet<_> = records.iter().map(decode).collect();
            assert_eq!(ids.len(), expected_distinct);
            assert!(ids.contains(&frame_id.map(|id| id.to_vec()).unwrap_or_default()));
        }
        check(Some([1; 16]), 3);
        check(None, 1);
    }

    #[test]
    fn the_digest_tells_sender_and_id_apart() {
        let digests = [(&b"ab"[..], &b"c"[..]), (b"a", b"bc"), (b"abc", b""), (b"", b"abc")];
        let distinct: std::collections::BTreeSet<_> =
            digests.iter().map(|(sender, id)| frame_digest(sender, id)).collect();
        assert_eq!(distinct.len(), digests.len());
        // printf 'd.1\0ff' | sha256sum
        assert_eq!(frame_digest(b"d.1", b"ff")[..4], [0x69, 0x6d, 0x13, 0x3d]);
    }
}
