//! The fenced writer of a slot: records and commits as one, and never by two.

use yahtzee_core::owner::Partition;
use yahtzee_runtime::log::{LogError, OffsetCommit, SlotName};

use super::Bench;
use super::support::{at, committed, create, read_all, read_all_of, record, write};

/// Neither records nor commits are visible when the records are acknowledged; both are when the commit has returned.
pub(crate) fn makes_records_and_commits_visible_together(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "atomic", 2), bench.group("atomic"));
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    let records = [record(&topic, 0, "key", "zero"), record(&topic, 1, "key", "one")];
    let acknowledged = writer.append(&records).expect("append");
    assert_eq!(read_all(&*log, &topic, &[0, 1]).records, [], "nothing is visible yet");
    assert_eq!(committed(&*log, &group, &topic), None, "nothing is visible yet");
    let committing = at(41, "with the records");
    let offset = OffsetCommit { topic: &topic, partition: Partition(0), committed: committing.clone() };
    acknowledged.commit(&[offset]).expect("commit");
    let reading = read_all_of(&*log, &topic, &[0, 1], 2);
    assert_eq!((reading.values(0), reading.values(1)), (vec!["zero".into()], vec!["one".into()]));
    assert_eq!(committed(&*log, &group, &topic), Some(committing));
}

/// What was acknowledged and not committed never becomes visible, and the writer goes on.
pub(crate) fn aborts_what_is_not_committed(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "abort", 1), bench.group("abort"));
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    for _ in 0..2 {
        drop(writer.append(&[record(&topic, 0, "key", "aborted")]).expect("append"));
        drop(writer.append(&[]).expect("append nothing"));
    }
    write(&mut *writer, &[record(&topic, 0, "key", "kept")], &topic, Some(at(1, "kept"))).expect("write");
    assert_eq!(read_all_of(&*log, &topic, &[0], 1).values(0), ["kept"]);
    assert_eq!(committed(&*log, &group, &topic), Some(at(1, "kept")));
}

/// A panic between acknowledgement and commit leaves nothing behind.
pub(crate) fn aborts_when_the_thread_panics(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "panic", 1), bench.group("panic"));
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    let panicked = std::thread::scope(|scope| {
        let of_thread = scope.spawn(|| {
            let _acknowledged = writer.append(&[record(&topic, 0, "key", "aborted")]).expect("append");
            // Without the message that a panic prints.
            std::panic::resume_unwind(Box::new("in the middle of a write"));
        });
        of_thread.join().is_err()
    });
    assert!(panicked);
    let mut successor = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    write(&mut *successor, &[record(&topic, 0, "key", "kept")], &topic, None).expect("write");
    assert_eq!(read_all_of(&*log, &topic, &[0], 1).values(0), ["kept"]);
}

/// A write may carry commits only: an idle partition's commit is renewed.
pub(crate) fn commits_without_records(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "renewal", 1), bench.group("renewal"));
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    for offset in [8, 8, 9] {
        write(&mut *writer, &[], &topic, Some(at(offset, "renewed"))).expect("write");
        assert_eq!(committed(&*log, &group, &topic), Some(at(offset, "renewed")));
    }
}

/// The commits of a write are all of its slot's partitions, in the raw topic and beside the summaries.
pub(crate) fn commits_all_offsets_of_a_write(bench: &dyn Bench) {
    let (log, group) = (bench.log(), bench.group("several"));
    let (one, other) = (create(bench, "several", 2), create(bench, "several", 1));
    let offset =
        |topic, partition, committed| OffsetCommit { topic, partition: Partition(partition), committed };
    let offsets = [offset(&one, 1, at(3, "b")), offset(&other, 0, at(4, "c")), offset(&one, 0, at(2, "a"))];
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    writer.append(&[record(&other, 0, "key", "value")]).expect("append").commit(&offsets).expect("commit");
    let of =
        |topic: &str, partitions: &[Partition]| log.committed(&group, topic, partitions).expect("committed");
    assert_eq!(of(&one, &[Partition(0), Partition(1)]), [Some(at(2, "a")), Some(at(3, "b"))]);
    assert_eq!(of(&other, &[Partition(0)]), [Some(at(4, "c"))]);
}

/// A successor fences: the predecessor's next write fails, changes nothing, and the successor goes on.
pub(crate) fn fences_the_earlier_writer_of_a_slot(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "fence", 1), bench.group("fence"));
    let mut first = log.slot_writer(&slot(&group, 3)).expect("slot writer");
    write(&mut *first, &[record(&topic, 0, "key", "first")], &topic, Some(at(1, "first"))).expect("write");
    let mut second = log.slot_writer(&slot(&group, 3)).expect("slot writer");
    let zombie = write(&mut *first, &[record(&topic, 0, "key", "zombie")], &topic, Some(at(99, "zombie")));
    assert!(matches!(zombie, Err(LogError::Fenced(_))), "{zombie:?}");
    assert_eq!(committed(&*log, &group, &topic), Some(at(1, "first")));
    assert_eq!(read_all_of(&*log, &topic, &[0], 1).values(0), ["first"]);
    write(&mut *second, &[record(&topic, 0, "key", "second")], &topic, Some(at(2, "second"))).expect("write");
    assert_eq!(read_all_of(&*log, &topic, &[0], 2).values(0), ["first", "second"]);
    assert_eq!(committed(&*log, &group, &topic), Some(at(2, "second")));
}

/// A successor that comes after the records and before the commit fences too: neither becomes visible.
pub(crate) fn fences_a_writer_in_the_middle_of_a_write(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "middle", 1), bench.group("middle"));
    let mut first = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    let acknowledged = first.append(&[record(&topic, 0, "key", "zombie")]).expect("append");
    let mut successor = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    let offset = OffsetCommit { topic: &topic, partition: Partition(0), committed: at(99, "zombie") };
    let zombie = acknowledged.commit(&[offset]);
    assert!(matches!(zombie, Err(LogError::Fenced(_))), "{zombie:?}");
    assert_eq!(committed(&*log, &group, &topic), None);
    write(&mut *successor, &[record(&topic, 0, "key", "kept")], &topic, Some(at(1, "kept"))).expect("write");
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
        write(&mut **writer, &[record], &topic, None).expect("nobody fenced this slot");
    }
    assert_eq!(read_all_of(&*log, &topic, &[0], 3).values(0), ["0", "1", "2"]);
}

/// A write of which one record cannot be stored leaves neither its other records nor its commits.
pub(crate) fn leaves_no_trace_of_a_failed_write(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "trace", 1), bench.group("trace"));
    let missing = bench.topic("missing");
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    let records = [record(&topic, 0, "key", "lost"), record(&missing, 0, "key", "nowhere")];
    write(&mut *writer, &records, &topic, Some(at(5, "lost"))).expect_err("one topic does not exist");
    drop(writer);
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    assert_eq!(committed(&*log, &group, &topic), None);
    write(&mut *writer, &[record(&topic, 0, "key", "kept")], &topic, None).expect("write");
    assert_eq!(read_all_of(&*log, &topic, &[0], 1).values(0), ["kept"]);
}

/// A write of which one commit cannot be stored leaves neither its records nor the other commit, and its writer writes no more.
pub(crate) fn leaves_no_trace_of_a_failed_commit(bench: &dyn Bench) {
    let (log, topic, group) = (bench.log(), create(bench, "untaken", 2), bench.group("untaken"));
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    let offset = |partition, metadata| OffsetCommit {
        topic: &topic,
        partition: Partition(partition),
        committed: at(5, metadata),
    };
    let acknowledged = writer.append(&[record(&topic, 0, "key", "lost")]).expect("append");
    acknowledged.commit(&[offset(0, "lost"), offset(1, "na\u{ef}ve")]).expect_err("metadata is ASCII");
    for records in [&[record(&topic, 0, "key", "later")][..], &[]] {
        assert!(writer.append(records).is_err(), "a writer that has failed stays unusable");
    }
    drop(writer);
    let mut writer = log.slot_writer(&slot(&group, 0)).expect("slot writer");
    assert_eq!(committed(&*log, &group, &topic), None);
    write(&mut *writer, &[record(&topic, 0, "key", "kept")], &topic, None).expect("write");
    assert_eq!(read_all_of(&*log, &topic, &[0], 1).values(0), ["kept"]);
}

fn slot(group: &str, slot: u32) -> SlotName {
    SlotName { group: group.to_owned(), slot }
}
