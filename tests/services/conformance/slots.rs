//! The fenced writer of a slot: records and commits as one, and never by two.

use yahtzee_core::owner::Partition;
use yahtzee_runtime::log::{CommittedOffset, LogError, NewRecord, SlotName, SlotWriter};

use super::Bench;
use super::support::{at, committed, create, read_all, read_all_of, record};

/// Neither records nor commits are visible when the commit is asked for; both become so when the write has returned.
pub(crate) fn makes_records_and_commits_visible_together(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "atomic", 2), bench.group("atomic"));
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    let mut asked = 0;
    let mut source = || {
        asked += 1;
        assert_eq!(read_all(&*log, &topic, &[0, 1]).records, [], "nothing is visible yet");
        vec![(topic.clone(), Partition(0), at(41, "with the records"))]
    };
    let records = [record(&topic, 0, "key", "zero"), record(&topic, 1, "key", "one")];
    writer.write(&records, &mut source).expect("write");
    assert_eq!(asked, 1, "the commit is asked for once");
    let reading = read_all_of(&*log, &topic, &[0, 1], 2);
    assert_eq!((reading.values(0), reading.values(1)), (vec!["zero".into()], vec!["one".into()]));
    assert_eq!(committed(&*log, &group, &topic), Some(at(41, "with the records")));
}

/// A write may carry commits only: an idle partition's commit is renewed.
pub(crate) fn commits_without_records(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "renewal", 1), bench.group("renewal"));
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    for offset in [8, 8, 9] {
        write(&mut *writer, &[], &topic, at(offset, "renewed")).expect("write");
        assert_eq!(committed(&*log, &group, &topic), Some(at(offset, "renewed")));
    }
}

/// A successor fences: the predecessor's next write fails, changes nothing, and the successor goes on.
pub(crate) fn fences_the_earlier_writer_of_a_slot(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "fence", 1), bench.group("fence"));
    let mut first = log.slot_writer(&slot(&group, 3)).expect("slot writer");
    write(&mut *first, &[record(&topic, 0, "key", "first")], &topic, at(1, "first")).expect("write");
    let mut second = log.slot_writer(&slot(&group, 3)).expect("slot writer");
    let zombie = write(&mut *first, &[record(&topic, 0, "key", "zombie")], &topic, at(99, "zombie"));
    assert!(matches!(zombie, Err(LogError::Fenced(_))), "{zombie:?}");
    assert_eq!(committed(&*log, &group, &topic), Some(at(1, "first")));
    assert_eq!(read_all_of(&*log, &topic, &[0], 1).values(0), ["first"]);
    write(&mut *second, &[record(&topic, 0, "key", "second")], &topic, at(2, "second")).expect("write");
    assert_eq!(read_all_of(&*log, &topic, &[0], 2).values(0), ["first", "second"]);
    assert_eq!(committed(&*log, &group, &topic), Some(at(2, "second")));
}

/// A successor that comes after the records and before the commit fences too: neither becomes visible.
pub(crate) fn fences_a_writer_in_the_middle_of_a_write(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "middle", 1), bench.group("middle"));
    let mut first = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    let mut successor = None;
    let mut source = || {
        successor = Some(log.slot_writer(&slot(&group, 0)).expect("slot writer"));
        vec![(topic.clone(), Partition(0), at(99, "zombie"))]
    };
    let zombie = first.write(&[record(&topic, 0, "key", "zombie")], &mut source);
    assert!(matches!(zombie, Err(LogError::Fenced(_))), "{zombie:?}");
    assert_eq!(committed(&*log, &group, &topic), None);
    let mut successor = successor.expect("the commit was asked for");
    write(&mut *successor, &[record(&topic, 0, "key", "kept")], &topic, at(1, "kept")).expect("write");
    assert_eq!(read_all_of(&*log, &topic, &[0], 1).values(0), ["kept"]);
}

/// Other slots of the group, and the same slot of another group, keep writing.
pub(crate) fn does_not_fence_other_slots(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "slots", 1));
    let (group, other) = (bench.group("slots"), bench.group("others"));
    let slots = [slot(&group, 0), slot(&group, 1), slot(&other, 0)];
    let mut writers: Vec<_> = slots.iter().map(|slot| log.slot_writer(slot).expect("slot writer")).collect();
    for (index, writer) in writers.iter_mut().enumerate() {
        let record = record(&topic, 0, "key", &index.to_string());
        writer.write(&[record], &mut Vec::new).expect("nobody fenced this slot");
    }
    assert_eq!(read_all_of(&*log, &topic, &[0], 3).values(0), ["0", "1", "2"]);
}

/// A write of which one record cannot be stored leaves neither its other records nor its commits.
pub(crate) fn leaves_no_trace_of_a_failed_write(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "trace", 1), bench.group("trace"));
    let missing = bench.topic("missing");
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    let records = [record(&topic, 0, "key", "lost"), record(&missing, 0, "key", "nowhere")];
    write(&mut *writer, &records, &topic, at(5, "lost")).expect_err("one topic does not exist");
    drop(writer);
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    assert_eq!(committed(&*log, &group, &topic), None);
    writer.write(&[record(&topic, 0, "key", "kept")], &mut Vec::new).expect("write");
    assert_eq!(read_all_of(&*log, &topic, &[0], 1).values(0), ["kept"]);
}

fn slot(group: &str, slot: u32) -> SlotName {
    SlotName { group: group.to_owned(), slot }
}

/// Writes the records together with a commit of partition 0.
fn write(
    writer: &mut dyn SlotWriter,
    records: &[NewRecord],
    topic: &str,
    commit: CommittedOffset,
) -> Result<(), LogError> {
    writer.write(records, &mut || vec![(topic.to_owned(), Partition(0), commit.clone())])
}
