//! Every view against prost: the same bytes are accepted, and the same values read.

use std::fmt::Debug;

use proptest::prelude::*;
use prost::Message;
use yahtzee_core::job::Record;
use yahtzee_pipeline_proto::{RawMeasurement, RecordOf};

use super::*;

/// A measurement, as prost decodes it, and its view.
trait Oracle: RawMeasurement + 'static {
    type View<'a>: View<'a> + From<&'a Self> + Copy + PartialEq + Debug;
}

macro_rules! oracles {
    ($($name:ident),+) => { $(
        impl Oracle for raw::$name {
            type View<'a> = $name<'a>;
        }
    )+ };
}

oracles! { RouterRequest, DynoLoad, DynoMemory, PlatformError }

/// Both read the same, or both refuse. Whether they read is told.
#[track_caller]
fn check<O: Oracle>(bytes: &[u8]) -> bool {
    let expected = RecordOf::<O>::decode(bytes).ok();
    let found = Measurements::<O::View<'_>>::read(bytes).ok();
    assert_eq!(found.is_some(), expected.is_some(), "{bytes:02x?}");
    let (Some(expected), Some(found)) = (expected, found) else { return false };
    assert_eq!(found.frame_id(), expected.frame_id, "{bytes:02x?}");
    let measurements: Vec<O::View<'_>> = found.iter().collect();
    let expected: Vec<O::View<'_>> = expected.measurements.iter().map(Into::into).collect();
    assert_eq!(measurements, expected, "{bytes:02x?}");
    true
}

fn check_all(bytes: &[u8]) {
    check::<raw::RouterRequest>(bytes);
    check::<raw::DynoLoad>(bytes);
    check::<raw::DynoMemory>(bytes);
    check::<raw::PlatformError>(bytes);
}

/// One field: its number, and a value of some wire type. Numbers are those of the raw messages and their neighbours.
fn field(inner: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![4 => 1_u32..24, 1 => 1_u32..4_000];
    let value = prop_oneof![
        any::<u64>().prop_map(|value| (0, varint(value))),
        (0_u64..1_000).prop_map(|value| (0, varint(value))),
        any::<[u8; 8]>().prop_map(|value| (1, value.to_vec())),
        any::<[u8; 4]>().prop_map(|value| (5, value.to_vec())),
        "[a-zé]{0,6}".prop_map(|text| (2, delimited(text.as_bytes()))),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(|bytes| (2, delimited(&bytes))),
        inner.prop_map(|message| (2, delimited(&message))),
    ];
    (number, value)
        .prop_map(|(number, (wire_type, value))| [varint(u64::from(number << 3 | wire_type)), value].concat())
}

fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(value, &mut bytes);
    bytes
}

fn delimited(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// Fields in any order, of which most messages have the one or other of a wrong wire type.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let inner = prop::collection::vec(field(Just(Vec::new())), 0..3).prop_map(|fields| fields.concat());
    prop::collection::vec(field(inner), 0..4).prop_map(|fields| fields.concat())
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé_]{0,9}"
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

type Common = (i64, String, Option<u32>, Vec<u8>, u32, u32);

/// Time, process type, dyno, its UUID, index and flags.
fn common() -> impl Strategy<Value = Common> {
    (any::<i64>(), text(), any::<Option<u32>>(), some_bytes(), any::<u32>(), any::<u32>())
}

fn router_request() -> impl Strategy<Value = raw::RouterRequest> {
    let numbers = (any::<[Option<u32>; 4]>(), any::<Option<u64>>());
    (common(), numbers).prop_map(|(common, ([status, service_ms, connect_ms, h_code], bytes))| {
        let (time_us, process_type, dyno_num, _, frame_index, flags) = common;
        raw::RouterRequest {
            time_us,
            process_type,
            dyno_num,
            frame_index,
            flags,
            status,
            service_ms,
            connect_ms,
            bytes,
            h_code,
        }
    })
}

fn router_requests() -> impl Strategy<Value = RecordOf<raw::RouterRequest>> {
    let envelope = (some_bytes(), any::<i64>(), some_bytes(), any::<i32>(), some_bytes());
    (envelope, prop::collection::vec(router_request(), 0..5)).prop_map(|(envelope, requests)| {
        let (owner, recv_us, frame_id, source_kind, drain) = envelope;
        RecordOf { owner, recv_us, frame_id, source_kind, drain, measurements: requests }
    })
}

fn dyno_loads() -> impl Strategy<Value = RecordOf<raw::DynoLoad>> {
    let load = (common(), any::<[Option<u64>; 3]>()).prop_map(|(common, loads)| {
        let (time_us, process_type, dyno_num, dyno_uuid, frame_index, flags) = common;
        let [load_1m_milli, load_5m_milli, load_15m_milli] = loads;
        raw::DynoLoad {
            time_us,
            process_type,
            dyno_num,
            dyno_uuid,
            frame_index,
            flags,
            load_1m_milli,
            load_5m_milli,
            load_15m_milli,
        }
    });
    (some_bytes(), prop::collection::vec(load, 0..4)).prop_map(|(frame_id, loads)| RecordOf {
        frame_id,
        measurements: loads,
        ..Default::default()
    })
}

fn dyno_memories() -> impl Strategy<Value = RecordOf<raw::DynoMemory>> {
    let memory = (common(), any::<[Option<u64>; 7]>()).prop_map(|(common, numbers)| {
        let (time_us, process_type, dyno_num, dyno_uuid, frame_index, flags) = common;
        let [total_bytes, rss_bytes, cache_bytes, swap_bytes, quota_bytes, pgpgin_pages, pgpgout_pages] =
            numbers;
        raw::DynoMemory {
            time_us,
            process_type,
            dyno_num,
            dyno_uuid,
            frame_index,
            flags,
            total_bytes,
            rss_bytes,
            cache_bytes,
            swap_bytes,
            quota_bytes,
            pgpgin_pages,
            pgpgout_pages,
        }
    });
    (some_bytes(), prop::collection::vec(memory, 0..4)).prop_map(|(frame_id, memories)| RecordOf {
        frame_id,
        measurements: memories,
        ..Default::default()
    })
}

fn platform_errors() -> impl Strategy<Value = RecordOf<raw::PlatformError>> {
    let error = (common(), text()).prop_map(|(common, code)| {
        let (time_us, process_type, dyno_num, _, frame_index, flags) = common;
        raw::PlatformError { time_us, process_type, dyno_num, frame_index, flags, code }
    });
    (some_bytes(), prop::collection::vec(error, 0..4)).prop_map(|(frame_id, errors)| RecordOf {
        frame_id,
        measurements: errors,
        ..Default::default()
    })
}

proptest! {
    #[test]
    fn every_record_is_read(
        requests in router_requests(),
        loads in dyno_loads(),
        memories in dyno_memories(),
        errors in platform_errors(),
    ) {
        prop_assert!(check::<raw::RouterRequest>(&requests.encode_to_vec()));
        prop_assert!(check::<raw::DynoLoad>(&loads.encode_to_vec()));
        prop_assert!(check::<raw::DynoMemory>(&memories.encode_to_vec()));
        prop_assert!(check::<raw::PlatformError>(&errors.encode_to_vec()));
    }

    /// Two records in one: the last value of every field but the measurements, which are those of both.
    #[test]
    fn records_merge(first in router_requests(), second in router_requests(), unknown in some_bytes()) {
        let unknown = [&[0xfa, 0x01][..], &delimited(&unknown)].concat();
        let bytes = [first.encode_to_vec(), unknown, second.encode_to_vec()].concat();
        prop_assert!(check::<raw::RouterRequest>(&bytes));
        let measurements = Measurements::<RouterRequest<'_>>::read(&bytes).unwrap().iter().count();
        prop_assert_eq!(measurements, first.measurements.len() + second.measurements.len());
    }

    #[test]
    fn a_cut_or_changed_record_is_read_by_both_or_by_none(
        requests in router_requests(),
        place: prop::sample::Index,
        byte: u8,
    ) {
        let mut bytes = requests.encode_to_vec();
        if !bytes.is_empty() {
            let place = place.index(bytes.len());
            check_all(&bytes[..place]);
            bytes[place] = byte;
            check_all(&bytes);
            bytes.insert(place, byte);
            check_all(&bytes);
        }
    }

    #[test]
    fn any_fields_are_read_by_both_or_by_none(bytes in fields()) {
        check_all(&bytes);
    }

    #[test]
    fn any_bytes_are_read_by_both_or_by_none(bytes in some_bytes()) {
        check_all(&bytes);
    }
}

/// The last measurement is damaged: none of those before it is handed out.
#[test]
fn a_record_is_refused_as_a_whole() {
    let request = |process_type: &str| raw::RouterRequest {
        process_type: process_type.to_owned(),
        ..raw::RouterRequest::default()
    };
    let record = RecordOf { measurements: vec![request("web"), request("x")], ..Default::default() };
    let mut bytes = record.encode_to_vec();
    assert!(check::<raw::RouterRequest>(&bytes));
    *bytes.last_mut().unwrap() = 0xff;
    assert!(!check::<raw::RouterRequest>(&bytes));
}
