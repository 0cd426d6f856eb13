//! Packs measurements into raw records: one per owner and measurement type of a body.

use std::collections::BTreeMap;

use prost::Message;
use sha2::{Digest, Sha256};
use yahtzee_core::owner::Owner;
use yahtzee_pipeline_proto::Measurement;
use yahtzee_pipeline_proto::raw::{RawRecord, SourceKind};

/// Position of a line before all others: the notice of loss that Logplex puts in front of a body.
pub const PREPENDED_INDEX: u32 = u32::MAX;

/// Lines per record. Longer bodies give several, each with a frame id of its own, so that no record comes
/// near Kafka's default limit of 1 MB.
const LINES_PER_RECORD: u32 = 4_096;

/// A record for a raw topic, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedRecord {
    /// Names the topic: one of [`Measurement::TYPES`].
    pub measurement_type: &'static str,
    /// The key.
    pub owner: Owner,
    /// The record's timestamp: milliseconds since 1970.
    pub recv_ms: i64,
    /// The value: a [`RawRecord`].
    pub payload: Vec<u8>,
}

/// Returns the digest of a part of `whole`, both of which have a name: the first 16 bytes of SHA-256 over one, a zero byte, and the other.
#[must_use]
pub fn frame_digest(whole: &[u8], part: &[u8]) -> [u8; 16] {
    let digest = Sha256::new().chain_update(whole).chain_update([0]).chain_update(part).finalize();
    digest[..16].try_into().expect("SHA-256 has 32 bytes")
}

/// The origin of a body: the fields that all its records share.
#[derive(Clone, Copy, Debug)]
pub struct BodyOrigin {
    /// Receive time, microseconds since 1970.
    pub recv_us: i64,
    /// Frame id of the body; `None` if its sender gave it no id.
    pub frame_id: Option<[u8; 16]>,
    /// The kind of its sender.
    pub source_kind: SourceKind,
    /// UUID of the drain token; `None` if the sender had none.
    pub drain: Option<[u8; 16]>,
}

/// Collects the measurements of a body.
#[derive(Debug)]
pub struct Packer {
    origin: BodyOrigin,
    /// Encoded measurements by owner, part and type, a part being [`LINES_PER_RECORD`] lines.
    batches: BTreeMap<(Owner, u32, usize), Vec<Vec<u8>>>,
}

impl Packer {
    /// Starts a body.
    #[must_use]
    pub fn new(origin: BodyOrigin) -> Self {
        Self { origin, batches: BTreeMap::new() }
    }

    /// Adds a measurement of `owner`.
    pub fn add(&mut self, owner: Owner, measurement: &Measurement) {
        let frame_index = measurement.frame_index();
        let part = if frame_index == PREPENDED_INDEX { 0 } else { frame_index / LINES_PER_RECORD };
        let batch = self.batches.entry((owner, part, measurement.index())).or_default();
        batch.push(measurement.encode_to_vec());
    }

    /// Returns the records, ordered by owner, part of the body, and type.
    #[must_use]
    pub fn finish(self) -> Vec<PackedRecord> {
        let origin = self.origin;
        let records = self.batches.into_iter().map(|((owner, part, index), measurements)| PackedRecord {
            measurement_type: Measurement::TYPES[index],
            owner,
            recv_ms: origin.recv_us.div_euclid(1_000),
            payload: origin.record(owner, part, measurements).encode_to_vec(),
        });
        records.collect()
    }
}

impl BodyOrigin {
    /// Returns the record of some measurements of `owner`. Parts behind the first have frame ids of their own.
    fn record(self, owner: Owner, part: u32, measurements: Vec<Vec<u8>>) -> RawRecord {
        let Self { recv_us, frame_id, source_kind, drain } = self;
        let frame_id = frame_id.map(|id| if part == 0 { id } else { frame_digest(&id, &part.to_be_bytes()) });
        let bytes = |uuid: Option<[u8; 16]>| uuid.map(|uuid| uuid.to_vec()).unwrap_or_default();
        RawRecord {
            owner: owner.0.to_vec(),
            recv_us,
            frame_id: bytes(frame_id),
            source_kind: source_kind.into(),
            drain: bytes(drain),
            measurements,
        }
    }
}

#[cfg(test)]
mod tests {
    use yahtzee_pipeline_proto::raw::{
        AppEvent, DynoEvent, DynoLoad, DynoMemory, LangMetric, LogLoss, PlatformError, RouterRequest,
    };
    use yahtzee_pipeline_proto::{RawMeasurement, RecordOf};

    use super::*;

    const OWNER: Owner = Owner([7; 16]);

    fn origin(frame_id: Option<[u8; 16]>) -> BodyOrigin {
        BodyOrigin { recv_us: 1_999, frame_id, source_kind: SourceKind::Logplex, drain: Some([9; 16]) }
    }

    fn request(frame_index: u32) -> Measurement {
        Measurement::from(RouterRequest { frame_index, status: Some(200), ..RouterRequest::default() })
    }

    fn error(frame_index: u32) -> Measurement {
        Measurement::from(PlatformError { frame_index, code: "L10".to_owned(), ..PlatformError::default() })
    }

    fn pack(frame_id: Option<[u8; 16]>, measurements: Vec<(Owner, Measurement)>) -> Vec<PackedRecord> {
        let mut packer = Packer::new(origin(frame_id));
        for (owner, measurement) in measurements {
            packer.add(owner, &measurement);
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
        assert_eq!(
            keys,
            [(OWNER, RouterRequest::TYPE), (OWNER, PlatformError::TYPE), (other, RouterRequest::TYPE)]
        );
        let requests = RecordOf::<RouterRequest>::decode(records[0].payload.as_slice()).unwrap();
        let indices: Vec<_> = requests.measurements.iter().map(|request| request.frame_index).collect();
        assert_eq!(indices, [0, 2]);
    }

    #[test]
    fn every_type_has_its_record() {
        let measurements = vec![
            Measurement::from(LangMetric::default()),
            Measurement::from(LogLoss::default()),
            Measurement::from(AppEvent::default()),
            Measurement::from(DynoEvent::default()),
            error(0),
            Measurement::from(DynoMemory::default()),
            Measurement::from(DynoLoad::default()),
            request(0),
        ];
        let records = pack(None, measurements.into_iter().map(|measurement| (OWNER, measurement)).collect());
        let types: Vec<_> = records.iter().map(|record| record.measurement_type).collect();
        assert_eq!(types, Measurement::TYPES);
    }

    #[test]
    fn every_record_carries_where_it_came_from() {
        for record in pack(Some([1; 16]), vec![(OWNER, request(0))]) {
            assert_eq!(record.recv_ms, 1);
            let message = RecordOf::<RouterRequest>::decode(record.payload.as_slice()).unwrap();
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
            let decode = |record: &PackedRecord| {
                RecordOf::<RouterRequest>::decode(record.payload.as_slice()).unwrap().frame_id
            };
            let ids: std::collections::BTreeSet<_> = records.iter().map(decode).collect();
            assert_eq!(ids.len(), expected_distinct);
            assert!(ids.contains(&frame_id.map(|id| id.to_vec()).unwrap_or_default()));
        }
        check(Some([1; 16]), 3);
        check(None, 1);
    }

    #[test]
    fn the_digest_tells_whole_and_part_apart() {
        let digests = [(&b"ab"[..], &b"c"[..]), (b"a", b"bc"), (b"abc", b""), (b"", b"abc")];
        let distinct: std::collections::BTreeSet<_> =
            digests.iter().map(|(whole, part)| frame_digest(whole, part)).collect();
        assert_eq!(distinct.len(), digests.len());
        // printf 'd.1\0ff' | sha256sum
        assert_eq!(frame_digest(b"d.1", b"ff")[..4], [0x69, 0x6d, 0x13, 0x3d]);
    }
}
