//! The bytes of raw records as they lie in topics, which must never change; and the two ways to read them.

use prost::Message;

use super::*;
use crate::raw::{RawRecord, Samples, lang_metric::Value};

/// Owner, receive time, frame id, kind of sender and drain, as every record has them.
const HEADER: &str = "0a100101010101010101010101010101010119c0ad0bc72b4c06003a100202020202020202020202020202020250015a1003030303030303030303030303030303";

fn bytes_of(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// A record of `measurement` and of one without content has these bytes, and reads the same with and without its type.
#[track_caller]
fn check<M: RawMeasurement + Clone + PartialEq>(measurement: M, expected_hex: &str)
where
    Measurement: From<M>,
{
    let encoded = bytes_of(expected_hex);
    let length = u8::try_from(encoded.len()).unwrap();
    let expected =
        [bytes_of(HEADER), vec![0x82, 0x01, length], encoded.clone(), vec![0x82, 0x01, 0]].concat();
    let typed = RecordOf {
        owner: vec![1; 16],
        recv_us: 1_772_600_767_000_000,
        frame_id: vec![2; 16],
        source_kind: SourceKind::Logplex.into(),
        drain: vec![3; 16],
        measurements: vec![measurement.clone(), M::default()],
    };
    assert_eq!(typed.encode_to_vec(), expected, "{}", M::TYPE);
    assert_eq!(RecordOf::<M>::decode(&*expected).unwrap(), typed, "{}", M::TYPE);
    let untyped = RawRecord::decode(&*expected).unwrap();
    assert_eq!(untyped.encode_to_vec(), expected, "{}", M::TYPE);
    assert_eq!(untyped.measurements, [encoded.clone(), Vec::new()], "{}", M::TYPE);
    let any = Measurement::from(measurement);
    assert_eq!((any.encode_to_vec(), any.measurement_type()), (encoded, M::TYPE));
    assert_eq!(Measurement::TYPES[any.index()], M::TYPE);
}

/// The fields that most measurements share.
macro_rules! measured {
    ($message:ident { $($field:ident: $value:expr),+ $(,)? }) => {
        $message {
            time_us: 4,
            process_type: "web".to_owned(),
            dyno_num: Some(5),
            frame_index: 6,
            flags: 7,
            $($field: $value,)+
        }
    };
}

#[test]
fn a_router_request_has_its_bytes() {
    let request = measured!(RouterRequest {
        status: Some(200),
        service_ms: Some(300),
        connect_ms: Some(0),
        bytes: Some(1 << 40),
        h_code: Some(12),
    });
    check(request, "11040000000000000022037765622805400648078001c8018801ac029001009801808080808020a0010c");
}

#[test]
fn figures_of_a_dyno_have_their_bytes() {
    let load = measured!(DynoLoad {
        dyno_uuid: vec![9; 16],
        load_1m_milli: Some(8),
        load_5m_milli: Some(0),
        load_15m_milli: None,
    });
    check(load, "1104000000000000002203776562280532100909090909090909090909090909090940064807800108880100");
    let memory = measured!(DynoMemory {
        dyno_uuid: vec![9; 16],
        total_bytes: Some(8),
        rss_bytes: Some(9),
        cache_bytes: Some(10),
        swap_bytes: Some(0),
        quota_bytes: Some(11),
        pgpgin_pages: Some(12),
        pgpgout_pages: Some(13),
    });
    check(
        memory,
        "110400000000000000220377656228053210090909090909090909090909090909094006480780010888010990010a980100a0010ba8010cb0010d",
    );
}

#[test]
fn events_have_their_bytes() {
    let error = measured!(PlatformError { code: "H12".to_owned() });
    check(error, "1104000000000000002203776562280540064807820103483132");
    let dyno_event = measured!(DynoEvent {
        kind: 1,
        from: Some(2),
        to: Some(3),
        exit_status: Some(137),
        memory_bytes: Some(14),
        memory_quota_permille: Some(15),
    });
    check(dyno_event, "110400000000000000220377656228054006480780010188010290010398018901a0010ea8010f");
    let formation = [("web".to_owned(), 2), ("api".to_owned(), 1)].into();
    let app_event = AppEvent { time_us: 4, frame_index: 6, flags: 7, release: Some(42), formation };
    check(app_event, "1104000000000000004006480780012a8a01070a0361706910018a01070a037765621002");
    let (count, since_us) = (16, 3);
    let loss = LogLoss { time_us: 4, frame_index: 6, flags: 7, code: "L10".to_owned(), count, since_us };
    check(loss, "110400000000000000400648078201034c313088011091010300000000000000");
}

#[test]
fn a_language_metric_has_its_bytes() {
    let value = Some(Value::Distribution(Samples { values: vec![1, 300] }));
    let metric = measured!(LangMetric { dyno_uuid: vec![9; 16], name: "gc".to_owned(), value: value });
    check(
        metric,
        "110400000000000000220377656228053210090909090909090909090909090909094006480782010267639a01050a0301ac02",
    );
}

#[test]
fn measurement_types_are_the_topics_in_use() {
    let expected = [
        "ROUTER_REQUEST",
        "DYNO_LOAD",
        "DYNO_MEMORY",
        "ERROR",
        "DYNO_EVENT",
        "APP_EVENT",
        "LOG_LOSS",
        "LANG_METRIC",
    ];
    assert_eq!(Measurement::TYPES, expected);
}
