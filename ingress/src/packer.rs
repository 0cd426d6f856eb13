//! Packs measurements into raw records: one per owner and measurement type of a body, several where one would be too large.

use std::collections::BTreeMap;

use prost::Message;
use sha2::{Digest, Sha256};
use yahtzee_core::owner::Owner;
use yahtzee_pipeline_proto::Measurement;
use yahtzee_pipeline_proto::raw::{RawRecord, SourceKind};

/// Position of a line before all others: the notice of loss that Logplex puts in front of a body.
pub const PREPENDED_INDEX: u32 = u32::MAX;

/// Lines per record. Longer bodies give several, each with a frame id of its own.
const LINES_PER_RECORD: u32 = 4_096;

/// Bytes of measurements per record. More give several records too: Kafka's clients take 1,000,000 bytes by default, and a record that
/// the log never takes would hold up its body for ever.
const MEASUREMENT_BYTES_PER_RECORD: usize = 900_000;

/// Bytes of the prepended notice, beside those of the lines. It does not come with every attempt, and must not move their borders.
const NOTICE_BYTES_MAX: usize = 1_000;

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
    digest_of(&[whole, &[0], part])
}

/// Returns the first 16 bytes of SHA-256 over the pieces, one after the other.
pub(crate) fn digest_of(pieces: &[&[u8]]) -> [u8; 16] {
    let digest = pieces.iter().fold(Sha256::new(), |digest, piece| digest.chain_update(piece)).finalize();
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
    /// Measurements by owner, part and type, a part being [`LINES_PER_RECORD`] lines.
    parts: BTreeMap<(Owner, u32, usize), PartMeasurements>,
}

impl Packer {
    /// Starts a body.
    #[must_use]
    pub fn new(origin: BodyOrigin) -> Self {
        Self { origin, parts: BTreeMap::new() }
    }

    /// Adds a measurement of `owner`; returns false if it alone is too large for a record.
    #[must_use]
    pub fn add(&mut self, owner: Owner, measurement: &Measurement) -> bool {
        let frame_index = measurement.frame_index();
        let is_notice = frame_index == PREPENDED_INDEX;
        let part = if is_notice { 0 } else { frame_index / LINES_PER_RECORD };
        let part = self.parts.entry((owner, part, measurement.index())).or_default();
        let encoded = measurement.encode_to_vec();
        if is_notice { part.add_notice(encoded) } else { part.add(encoded) }
    }

    /// Returns the records, ordered by owner, part of the body, and type.
    #[must_use]
    pub fn finish(self) -> Vec<PackedRecord> {
        let origin = self.origin;
        let records =
            self.parts.into_iter().flat_map(|((owner, part, index), PartMeasurements { runs, .. })| {
                runs.into_iter().zip(0..).map(move |(measurements, run)| PackedRecord {
                    measurement_type: Measurement::TYPES[index],
                    owner,
                    recv_ms: origin.recv_us.div_euclid(1_000),
                    payload: origin.record(owner, (part, run), measurements).encode_to_vec(),
                })
            });
        records.collect()
    }
}

/// Encoded measurements of one owner, part and type, in runs of a record each.
#[derive(Debug, Default)]
struct PartMeasurements {
    runs: Vec<Vec<Vec<u8>>>,
    /// Bytes of the last run, without notices.
    run_bytes: usize,
    notice_bytes: usize,
}

impl PartMeasurements {
    /// Adds the measurement of a line; returns false if it is too large.
    fn add(&mut self, encoded: Vec<u8>) -> bool {
        let bytes = field_bytes(&encoded);
        if bytes > MEASUREMENT_BYTES_PER_RECORD {
            return false;
        }
        let has_room = self.run_bytes + bytes <= MEASUREMENT_BYTES_PER_RECORD;
        match self.runs.last_mut().filter(|_| has_room) {
            Some(run) => run.push(encoded),
            None => {
                self.runs.push(vec![encoded]);
                self.run_bytes = 0;
            }
        }
        self.run_bytes += bytes;
        true
    }

    /// Adds the measurement of a prepended notice; returns false if there is no room for it.
    fn add_notice(&mut self, encoded: Vec<u8>) -> bool {
        self.notice_bytes += field_bytes(&encoded);
        if self.notice_bytes > NOTICE_BYTES_MAX {
            return false;
        }
        match self.runs.first_mut() {
            Some(run) => run.push(encoded),
            None => self.runs.push(vec![encoded]),
        }
        true
    }
}

/// Returns the size of a measurement in its record, with tag and length.
fn field_bytes(encoded: &[u8]) -> usize {
    2 + prost::length_delimiter_len(encoded.len()) + encoded.len()
}

impl BodyOrigin {
    /// Returns the record of some measurements of `owner`. Parts and runs behind the first have frame ids of their own.
    fn record(self, owner: Owner, (part, run): (u32, u32), measurements: Vec<Vec<u8>>) -> RawRecord {
        let Self { recv_us, frame_id, source_kind, drain } = self;
        let frame_id = frame_id.map(|id| match (part, run) {
            (0, 0) => id,
            (_, 0) => frame_digest(&id, &part.to_be_bytes()),
            _ => frame_digest(&id, &[part.to_be_bytes(), run.to_be_bytes()].concat()),
        });
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
    use proptest::prelude::*;
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
            assert!(packer.add(owner, &measurement));
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

    /// Packs lines of these places and sizes, with a notice in front, behind, or not at all; returns what was taken, and the records.
    fn pack_lines(lines: &[(u32, usize)], notice: [bool; 2]) -> (Vec<u32>, Vec<RecordOf<PlatformError>>) {
        let mut packer = Packer::new(origin(Some([1; 16])));
        let mut add = |frame_index, bytes| {
            let (code, default) = ("x".repeat(bytes), PlatformError::default());
            packer.add(OWNER, &PlatformError { frame_index, code, ..default }.into())
        };
        assert!(!notice[0] || add(PREPENDED_INDEX, 3));
        let mut places: Vec<u32> = (0..).zip(lines).map(|(number, (step, _))| number + step).collect();
        places.sort_unstable();
        let taken = places.into_iter().zip(lines).filter(|&(place, &(_, bytes))| add(place, bytes));
        let taken = taken.map(|(place, _)| place).collect();
        assert!(!notice[1] || add(PREPENDED_INDEX, 3));
        let records = packer.finish();
        assert!(records.iter().all(|record| record.payload.len() < 950_000));
        (taken, records.iter().map(|it| RecordOf::decode(it.payload.as_slice()).unwrap()).collect())
    }

    fn sizes() -> impl Strategy<Value = usize> {
        prop_oneof![0_usize..2_000, 0_usize..300_000, 899_900_usize..900_100, Just(2_000_000)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn records_are_below_the_limit_of_the_log_and_have_all_that_was_taken(
            lines in proptest::collection::vec((0_u32..9_000, sizes()), 0..12),
            notice in any::<[bool; 2]>(),
        ) {
            let (taken, records) = pack_lines(&lines, notice);
            let fitting = lines.iter().filter(|(_, bytes)| *bytes < 899_900).count();
            let possible = lines.iter().filter(|(_, bytes)| *bytes < 900_000).count();
            prop_assert!((fitting..=possible).contains(&taken.len()));
            let ids: std::collections::BTreeSet<_> = records.iter().map(|record| &record.frame_id).collect();
            prop_assert_eq!(ids.len(), records.len());
            let places = records.iter().flat_map(|record| &record.measurements).map(|it| it.frame_index);
            prop_assert_eq!(places.filter(|&place| place != PREPENDED_INDEX).collect::<Vec<_>>(), taken);
        }

        /// A frame counts once, whether or not an attempt of it has a notice in front.
        #[test]
        fn a_notice_moves_nothing_to_another_record(
            lines in proptest::collection::vec((0_u32..9_000, sizes()), 1..12),
            notice in any::<[bool; 2]>(),
        ) {
            let lines_of = |notice| {
                let mut records = pack_lines(&lines, notice).1;
                records.iter_mut().for_each(|it| it.measurements.retain(|it| it.frame_index != PREPENDED_INDEX));
                records.retain(|record| !record.measurements.is_empty());
                records
            };
            prop_assert_eq!(lines_of(notice), lines_of([false; 2]));
        }
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
