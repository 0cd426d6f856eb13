//! Reading: explicit offsets, ends, ranges and times.

use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_runtime::log::scan::{OffsetRange, first_records, scan, scan_with, uncommitted, whole};
use yahtzee_runtime::log::{Headers, Isolation, LogError, MovingReader, NewRecord, SlotName};

use super::Bench;
use super::support::{
    NOON_MS, append, append_values, at, commit, create, read_all, read_until, reader, record,
};

/// A reader begins at the offset it was given, that record included.
pub(crate) fn reads_from_explicit_offsets(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "explicit", 2));
    append_values(&*log, &topic, 0, &["a", "b", "c"]);
    append_values(&*log, &topic, 1, &["x", "y"]);
    let all = read_all(&*log, &topic, &[0, 1]);
    let offset_of = |value: &[u8]| all.records.iter().find(|seen| seen.value == value).expect("read").offset;
    let from = [(Partition(0), offset_of(b"b")), (Partition(1), offset_of(b"y"))];
    let mut reader = log.reader(&topic, &from, Isolation::Uncommitted).expect("reader");
    let reading = read_until(&mut *reader, |reading| reading.has_end(0) && reading.has_end(1));
    assert_eq!((reading.values(0), reading.values(1)), (vec!["b".into(), "c".into()], vec!["y".into()]));
}

/// The end is reported after the last record, and again after more were appended and read.
pub(crate) fn reports_the_end_again_after_each_append(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "ends", 1));
    let mut reader = reader(&*log, &topic, &[0]);
    for round in ["first", "second", "third"] {
        append_values(&*log, &topic, 0, &[round, round]);
        let wanted = |(_, next): &(Partition, Offset), last: Offset| *next > last;
        let reading = read_until(&mut *reader, |reading| {
            let last = reading.records.get(1).map(|seen| seen.offset);
            last.is_some_and(|last| reading.ends.iter().any(|end| wanted(end, last)))
        });
        assert_eq!(reading.values(0), [round, round]);
        let told = reading.ends.last().expect("waited for").1;
        let bounds = log.bounds(&topic, &[Partition(0)]).expect("bounds")[0];
        assert!(told <= bounds.end, "{told} is told, {} is the end", bounds.end);
        assert!(reader.known_end(Partition(0)).is_some_and(|end| end >= told && end <= bounds.end));
    }
}

/// A partition without records has an end too, at its first offset.
pub(crate) fn reports_the_end_of_an_empty_partition(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "empty", 1));
    let reading = read_all(&*log, &topic, &[0]);
    assert_eq!(
        (reading.records.as_slice(), reading.ends.as_slice()),
        (&[][..], &[(Partition(0), Offset(0))][..])
    );
}

/// What is appended to one partition is seen in that partition only, and a reader sees only its partitions.
pub(crate) fn keeps_partitions_apart(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "apart", 3));
    append_values(&*log, &topic, 0, &["zero"]);
    append_values(&*log, &topic, 2, &["two", "two again"]);
    let reading = read_all(&*log, &topic, &[0, 1]);
    assert_eq!((reading.values(0), reading.records.len()), (vec!["zero".into()], 1));
    assert_eq!(read_all(&*log, &topic, &[2]).values(2), ["two", "two again"]);
}

/// A partition that cannot be read at its offset is named; the others are read all the same.
pub(crate) fn reports_an_offset_out_of_range_and_reads_on_elsewhere(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "range", 2));
    append_values(&*log, &topic, 0, &["unreachable"]);
    append_values(&*log, &topic, 1, &["reachable"]);
    let from = [(Partition(0), Offset(1_000)), (Partition(1), Offset(0))];
    let mut reader = log.reader(&topic, &from, Isolation::Committed).expect("reader");
    let reading = read_until(&mut *reader, |reading| reading.has_end(1) && !reading.errors.is_empty());
    let out_of_range = LogError::OffsetOutOfRange { topic, partition: Partition(0), offset: Offset(1_000) };
    assert_eq!(reading.errors, [out_of_range]);
    assert_eq!((reading.values(1), reading.records.len()), (vec!["reachable".into()], 1));
}

/// The end grows with the appends and the start stays, each in the order asked.
pub(crate) fn bounds_follow_the_appends(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "bounds", 2));
    let bounds = || {
        let answer = log.bounds(&topic, &[Partition(1), Partition(0)]).expect("bounds");
        answer.iter().map(|bounds| (bounds.start.0, bounds.end.0)).collect::<Vec<_>>()
    };
    assert_eq!(bounds(), [(0, 0), (0, 0)]);
    append_values(&*log, &topic, 1, &["a", "b", "c"]);
    assert_eq!(bounds(), [(0, 3), (0, 0)]);
    append_values(&*log, &topic, 0, &["d"]);
    assert_eq!(bounds(), [(0, 3), (0, 1)]);
}

/// The first record at or after a time, though timestamps go back and forth; the end where there is none.
pub(crate) fn finds_the_first_record_of_a_time(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "times", 1));
    let stamps = [1_000, 3_000, 2_000, 5_000];
    for after in stamps {
        let record = NewRecord { timestamp_ms: NOON_MS + after, ..record(&topic, 0, "key", "value") };
        append(&*log, vec![record]).expect("append");
    }
    let check = |after: i64, expected: usize| {
        let found = log.offset_for_time(&topic, Partition(0), NOON_MS + after).expect("offset for time");
        assert_eq!(found, Offset(expected as u64), "{after} ms after noon");
    };
    for after in [500, 1_000, 1_001, 2_000, 3_000, 3_001, 5_000, 5_001] {
        let model = stamps.iter().position(|&stamp| stamp >= after).unwrap_or(stamps.len());
        check(after, model);
    }
}

/// A scan delivers what is committed of its ranges, and ends even while a transaction is open.
pub(crate) fn scans_each_record_once_and_ends(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "scan", 3), bench.group("scan"));
    append_values(&*log, &topic, 0, &["a", "b", "c"]);
    append_values(&*log, &topic, 1, &["x"]);
    commit(&*log, &group, &topic, &[(0, &at(2, ""))]).expect("commit");
    let mut writer = log.slot_writer(&SlotName { group: group.clone(), slot: 0 }).expect("slot writer");
    let open = writer.append(&[record(&topic, 1, "key", "open")]).expect("append");

    let partitions = [Partition(0), Partition(1), Partition(2)];
    let values = |ranges: &[OffsetRange]| {
        let mut values = Vec::new();
        let each = |partition: Partition, record: LogRecord<'_>, _: Headers<'_>| {
            values.push((partition.0, String::from_utf8_lossy(record.value).into_owned()));
        };
        scan(&*log, &topic, ranges, each).expect("scan");
        values.sort();
        values
    };
    let check = |ranges: &[OffsetRange], expected: &[(u32, &str)]| {
        let expected: Vec<_> =
            expected.iter().map(|&(partition, value)| (partition, value.to_owned())).collect();
        assert_eq!(values(ranges), expected, "{ranges:?}");
    };
    check(&whole(&*log, &topic, &partitions).expect("bounds"), &[(0, "a"), (0, "b"), (0, "c"), (1, "x")]);
    check(&uncommitted(&*log, &group, &topic, &partitions).expect("bounds"), &[(0, "c"), (1, "x")]);
    check(&[OffsetRange { partition: Partition(0), from: Offset(1), end: Offset(2) }], &[(0, "b")]);
    check(&[], &[]);
    drop(open);
}

/// The first records from an offset on are told by their prints; fewer where the partition ends.
pub(crate) fn finds_the_first_records_from_an_offset(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "first", 3), bench.group("first"));
    append_values(&*log, &topic, 0, &["a", "b", "c"]);
    append_values(&*log, &topic, 1, &["x"]);
    let mut writer = log.slot_writer(&SlotName { group, slot: 0 }).expect("slot writer");
    let open = writer.append(&[record(&topic, 1, "key", "open")]).expect("append");
    let offsets = |from: &[(u32, u64)], count: usize| -> Vec<Vec<u64>> {
        let from: Vec<_> =
            from.iter().map(|&(partition, offset)| (Partition(partition), Offset(offset))).collect();
        let found = first_records(&*log, &topic, &from, count).expect("first records");
        found.iter().map(|prints| prints.iter().map(|print| print.offset.0).collect()).collect()
    };
    assert_eq!(offsets(&[(0, 1)], 2), [[1, 2]]);
    assert_eq!(offsets(&[(0, 0), (2, 0)], 1), [vec![0], vec![]]);
    assert_eq!(offsets(&[(0, 2)], 2), [[2]], "the partition ends");
    assert_eq!(offsets(&[(1, 0)], 1), [[0]], "before the open transaction");
    let prints =
        |from: u64| first_records(&*log, &topic, &[(Partition(0), Offset(from))], 1).expect("first records");
    assert_eq!(prints(1), prints(1));
    assert_ne!(prints(0), prints(1));
    drop(open);
}

/// A reader that is moved delivers what lies there, as a new one does: of another partition, of the same one from an earlier or a
/// later offset, of one whose end it has told; and nothing of what it read before.
pub(crate) fn moves_a_reader_from_piece_to_piece(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "moved", 3));
    append_values(&*log, &topic, 0, &["a", "b", "c"]);
    append_values(&*log, &topic, 1, &["x", "y"]);
    let mut reader = MovingReader::new(&topic, Isolation::Committed);
    let mut check = |partition: u32, from: u64, end: u64, expected: &[&str]| {
        let mut values = Vec::new();
        let range = OffsetRange { partition: Partition(partition), from: Offset(from), end: Offset(end) };
        let each = |partition: Partition, record: LogRecord<'_>, _: Headers<'_>| {
            values.push((partition.0, String::from_utf8_lossy(record.value).into_owned()));
        };
        scan_with(&*log, &mut reader, &[range], each).expect("scan");
        let expected: Vec<_> = expected.iter().map(|&value| (partition, value.to_owned())).collect();
        assert_eq!(values, expected, "{range:?}");
    };
    // The end of a piece before that of its partition: what was fetched beyond it is left lying.
    check(0, 0, 1, &["a"]);
    check(1, 0, 2, &["x", "y"]);
    check(0, 1, 3, &["b", "c"]);
    check(0, 0, 3, &["a", "b", "c"]);
    check(0, 2, 3, &["c"]);
    // Beyond the end, so that only the end that is told once more ends it.
    check(0, 2, 9, &["c"]);
    check(0, 2, 9, &["c"]);
    check(2, 0, 9, &[]);
    check(2, 0, 9, &[]);
    check(1, 1, 9, &["y"]);
}
