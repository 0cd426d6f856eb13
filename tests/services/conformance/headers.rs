//! Headers: they come back with their record, whoever wrote it.

use yahtzee_runtime::log::{Header, Log, LogError, NewRecord, SlotName};

use super::Bench;
use super::support::{
    append, append_values, create, header, read_all, read_until, reader, record, with_first_headers, write,
};

/// None, several, without value, of one name, not text: neighbours keep theirs apart, in the order of the call.
pub(crate) fn reads_back_headers_in_their_order(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "headers", 1));
    let sent = kinds();
    append(&*log, sent.iter().map(|headers| with_headers(&topic, headers)).collect()).expect("append");
    check(&*log, &topic, &sent);
}

/// A value is asked for by its name: of two, the later one is given.
pub(crate) fn the_last_header_of_a_name_counts(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "last-header", 1));
    let headers = [header("attempt", b"1"), header("cause", b""), header("attempt", b"2")];
    append(&*log, vec![with_headers(&topic, &headers)]).expect("append");
    with_first_headers(&*log, &topic, |headers| {
        let values = ["attempt", "cause", "attemp", ""].map(|name| headers.get(name));
        assert_eq!(values, [Some(&b"2"[..]), Some(&b""[..]), None, None]);
    });
}

/// A fenced write carries headers as an append does.
pub(crate) fn a_slot_writer_appends_headers(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "slot-headers", 1), bench.group("slot-headers"));
    let mut writer = log.slot_writer(&SlotName { group, slot: 0 }).expect("slot writer");
    let sent = kinds();
    let records: Vec<NewRecord> = sent.iter().map(|headers| with_headers(&topic, headers)).collect();
    write(&mut *writer, &records, &topic, None).expect("write");
    check(&*log, &topic, &sent);
}

/// A later process finds them.
pub(crate) fn finds_headers_after_reopening(bench: &dyn Bench) {
    let topic = create(bench, "kept-headers", 1);
    let (log, sent) = (bench.log(), kinds());
    append(&*log, sent.iter().map(|headers| with_headers(&topic, headers)).collect()).expect("append");
    drop(log);
    check(&*bench.reopen(), &topic, &sent);
}

/// Kafka's C client would cut such a name: it is refused for good, and the log stays usable.
pub(crate) fn refuses_a_header_name_with_a_nul(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "nul", 1));
    let error = append(&*log, vec![with_headers(&topic, &[header("a\0b", b"")])]).expect_err("has a NUL");
    assert!(matches!(error, LogError::Refused { .. }), "{error:?}");
    append_values(&*log, &topic, 0, &["kept"]);
    assert_eq!(read_all(&*log, &topic, &[0]).values(0), ["kept"]);
}

/// The headers of some records.
fn kinds() -> Vec<Vec<Header>> {
    vec![
        vec![],
        vec![header("job", b"errors")],
        vec![header("attempt", b"1"), header("cause", b"timed out"), header("attempt", b"2")],
        vec![],
        vec![header("", b"no name"), header("no value", b"")],
        vec![header("not text", b"\xff\0\xfe"), header("gr\u{fc}n", &[7; 300])],
    ]
}

fn with_headers(topic: &str, headers: &[Header]) -> NewRecord {
    NewRecord { headers: headers.to_vec(), ..record(topic, 0, "key", "value") }
}

fn check(log: &dyn Log, topic: &str, sent: &[Vec<Header>]) {
    // Not up to the end only: a broker answers a commit before its markers are in the log, and until then a reader
    // of committed records may be told an end that lies before them.
    let mut reader = reader(log, topic, &[0]);
    let read = read_until(&mut *reader, |reading| reading.records.len() >= sent.len()).records;
    assert!(read.iter().all(|seen| (&*seen.key, &*seen.value) == (b"key", b"value")));
    let found: Vec<&[Header]> = read.iter().map(|seen| seen.headers.as_slice()).collect();
    assert_eq!(found, sent);
}
