//! A generation that has committed nothing, and the one before it that has.

use super::*;
use crate::lost_tail::LostTail;

const PARTITIONS: [Partition; 2] = [Partition(0), Partition(1)];

/// What an earlier generation has committed that has read three records of minute 10, and the last of them.
fn earlier_commit() -> (CommittedOffset, RecordPrint) {
    let mut machine = opened(settings(), 0);
    (0..3).for_each(|offset| feed(&mut machine, offset, 10));
    let (key, value) = (Owner([1; 16]).0, Time { minute: 10 }.encode_to_vec());
    let last = LogRecord { offset: Offset(2), timestamp_ms: 10 * MINUTE_MS, key: &key, value: &value };
    (first_commit(&mut machine), RecordPrint::of(&last))
}

/// The commit of the first write.
fn first_commit(machine: &mut SlotMachine) -> CommittedOffset {
    while let Some(request) = machine.poll(0) {
        match request {
            SlotRequest::Commit(commits) => return commits[0].offset.clone(),
            _ => answer(machine, SlotAnswer::Appended, 0),
        }
    }
    panic!("nothing was committed")
}

/// Opens a slot of which only partition 1 has a commit. Returns the records that were asked for, and what partition 0 is said to
/// have lost.
fn losses(
    earlier: Option<CommittedOffset>,
    [start, end]: [u64; 2],
    found: &[RecordPrint],
    topic_id: [u8; 16],
) -> (Vec<(Partition, Offset)>, Vec<LostTail>) {
    let mut machine = SlotMachine::new(SlotSettings { partitions: PARTITIONS.to_vec(), ..settings() });
    let lost = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&lost);
    machine.open(
        topic_id,
        Box::new(move |history: History<'_>| {
            shared.lock().unwrap().push(history.losses.to_vec());
            Arc::new(Counter).open(POLICY, Identity { topic_id, ..identity() }, history)
        }),
    );
    let own = CommittedOffset { offset: Offset(end), metadata: String::new() };
    let bounds = Bounds { start: Offset(start), end: Offset(end) };
    let mut asked = Vec::new();
    while let Some(request) = machine.poll(0) {
        let done = match request {
            SlotRequest::Fence => SlotAnswer::Fenced,
            SlotRequest::ReadCommits => SlotAnswer::Commits(vec![None, Some(own.clone())]),
            SlotRequest::ReadEarlierCommits(partitions) => {
                assert_eq!(partitions, [Partition(0)], "the other one has a commit");
                SlotAnswer::EarlierCommits(vec![earlier.clone()])
            }
            SlotRequest::ReadBounds => SlotAnswer::Bounds(vec![bounds; 2]),
            SlotRequest::ReadRecords { from, count } => {
                asked = from;
                SlotAnswer::Records(vec![found[..count.min(found.len())].to_vec()])
            }
            SlotRequest::Assign(_) => break,
            other => panic!("{other:?}"),
        };
        answer(&mut machine, done, 0);
    }
    let lost = lost.lock().unwrap();
    assert_eq!(lost[1], [], "of the partition with a commit");
    (asked, lost[0].clone())
}

#[test]
fn what_the_log_has_lost_is_told_by_the_commit_of_an_earlier_generation() {
    let (earlier, last) = earlier_commit();
    let other = RecordPrint { crc: !last.crc, ..last };
    let check = |bounds: [u64; 2], found: &[RecordPrint], is_asked: bool, kept_before: Option<u64>| {
        let watermark_ms = Some(10 * MINUTE_MS);
        let loss = |kept_before| LostTail { watermark_ms, kept_before: Offset(kept_before), windows: None };
        let asked = if is_asked { vec![(Partition(0), last.offset)] } else { vec![] };
        let expected = (asked, kept_before.map(loss).into_iter().collect());
        let found = losses(Some(earlier.clone()), bounds, found, identity().topic_id);
        assert_eq!(found, expected, "of {bounds:?}");
    };
    let next = RecordPrint { offset: Offset(3), crc: 5 };
    check([0, 9], &[last, next], true, None);
    check([2, 3], &[last], true, None);
    // Another record has its offset, or none.
    check([0, 9], &[other, next], true, Some(2));
    check([0, 9], &[next], true, Some(2));
    check([0, 9], &[], true, Some(2));
    // The log ends below it.
    check([0, 2], &[], false, Some(2));
    check([0, 0], &[], false, Some(0));
    // Retention has taken it: what came after it is not known.
    check([3, 9], &[], false, None);
}

/// Control records have offsets, which the log has given to records since, or has not given again.
#[test]
fn a_log_that_has_lost_control_records_alone_may_have_lost_others_behind_them() {
    fn check(records: u64, end: u64, found: &[u64], kept_before: Option<u64>) {
        let mut machine = opened(settings(), 0);
        let value = Time { minute: 10 }.encode_to_vec();
        (0..records).for_each(|offset| feed(&mut machine, offset, 10));
        machine.reached(0, Offset(3)).unwrap();
        let earlier = first_commit(&mut machine);
        let print = |&offset: &u64| {
            let (key, timestamp_ms) = (Owner([1; 16]).0, 10 * MINUTE_MS);
            RecordPrint::of(&LogRecord { offset: Offset(offset), timestamp_ms, key: &key, value: &value })
        };
        let found: Vec<RecordPrint> = found.iter().map(print).collect();
        let watermark_ms = (records > 0).then_some(10 * MINUTE_MS);
        let loss = |kept_before| LostTail { watermark_ms, kept_before: Offset(kept_before), windows: None };
        let (_, lost) = losses(Some(earlier), [0, end], &found, identity().topic_id);
        assert_eq!(lost, kept_before.map(loss).into_iter().collect::<Vec<_>>(), "{records} {end} {found:?}");
    }
    check(0, 3, &[], None);
    check(0, 9, &[3, 4], None);
    check(0, 2, &[], Some(2));
    check(0, 9, &[2, 3], Some(2));
    check(1, 3, &[0], None);
    check(1, 9, &[0, 3], None);
    check(1, 2, &[0], Some(2));
    check(1, 9, &[0, 2], Some(2));
}

#[test]
fn nothing_is_lost_without_an_earlier_commit_that_can_be_read() {
    let none = (vec![], vec![]);
    assert_eq!(losses(None, [0, 9], &[], identity().topic_id), none);
    let foreign = CommittedOffset { offset: Offset(3), metadata: "foreign".to_owned() };
    assert_eq!(losses(Some(foreign), [0, 9], &[], identity().topic_id), none);
}

#[test]
fn a_topic_made_anew_has_lost_everything() {
    let (earlier, last) = earlier_commit();
    let (_, found) = losses(Some(earlier), [0, 9], &[last], [5; 16]);
    assert_eq!(found, [LostTail { watermark_ms: None, kept_before: Offset(0), windows: None }]);
}
