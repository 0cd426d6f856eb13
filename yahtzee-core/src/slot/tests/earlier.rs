//! A generation that has committed nothing, and the one before it that has.

use super::*;
use crate::log_loss::LogLoss;

const PARTITIONS: [Partition; 2] = [Partition(0), Partition(1)];

/// What an earlier generation has committed that has read three records of minute 10, and the last of them.
fn earlier_commit() -> (CommittedOffset, RecordPrint) {
    let mut machine = opened(settings(), 0);
    (0..3).for_each(|offset| feed(&mut machine, offset, 10));
    let (key, value) = (Owner([1; 16]).0, Time { minute: 10 }.encode_to_vec());
    let last = LogRecord { offset: Offset(2), timestamp_ms: 10 * MINUTE_MS, key: &key, value: &value };
    while let Some(request) = machine.poll(0) {
        match request {
            SlotRequest::Commit(commits) => return (commits[0].offset.clone(), RecordPrint::of(&last)),
            _ => answer(&mut machine, SlotAnswer::Appended, 0),
        }
    }
    panic!("nothing was committed")
}

/// Opens a slot of which only partition 1 has a commit. Returns the records that were asked for, and what partition 0 is said to
/// have lost.
fn losses(
    earlier: Option<CommittedOffset>,
    [start, end]: [u64; 2],
    found: Option<RecordPrint>,
    topic_id: [u8; 16],
) -> (Vec<(Partition, Offset)>, Vec<LogLoss>) {
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
            SlotRequest::ReadRecords(records) => {
                asked = records;
                SlotAnswer::Records(vec![found])
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
    let check = |bounds: [u64; 2], found: Option<RecordPrint>, is_asked: bool, kept_before: Option<u64>| {
        let watermark_ms = Some(10 * MINUTE_MS);
        let loss = |kept_before| LogLoss { watermark_ms, kept_before: Offset(kept_before), windows: None };
        let asked = if is_asked { vec![(Partition(0), last.offset)] } else { vec![] };
        let expected = (asked, kept_before.map(loss).into_iter().collect());
        let found = losses(Some(earlier.clone()), bounds, found, identity().topic_id);
        assert_eq!(found, expected, "of {bounds:?}");
    };
    check([0, 9], Some(last), true, None);
    check([2, 3], Some(last), true, None);
    // Another record has its offset, or none.
    check([0, 9], Some(other), true, Some(2));
    check([0, 9], None, true, Some(2));
    // The log ends below it.
    check([0, 2], None, false, Some(2));
    check([0, 0], None, false, Some(0));
    // Retention has taken it: what came after it is not known.
    check([3, 9], None, false, None);
}

/// What was lost behind them may have belonged to any window.
#[test]
fn a_log_that_has_lost_control_records_alone_may_have_lost_others_behind_them() {
    let mut machine = opened(settings(), 0);
    machine.reached(0, Offset(2)).unwrap();
    let (earlier, _) = committed(machine.poll(0)).unwrap();
    let check = |end, found: Option<u64>, kept_before: Option<u64>| {
        let found = found.map(|offset| RecordPrint { offset: Offset(offset), crc: 5 });
        let loss =
            |kept_before| LogLoss { watermark_ms: None, kept_before: Offset(kept_before), windows: None };
        let expected = (vec![(Partition(0), Offset(0))], kept_before.map(loss).into_iter().collect());
        let lost = losses(Some(earlier.clone()), [0, end], found, identity().topic_id);
        assert_eq!(lost, expected, "of a log that ends at {end}");
    };
    check(2, None, None);
    check(9, Some(2), None);
    // It ends before, or has a record where there was none.
    check(1, None, Some(1));
    check(9, Some(1), Some(1));
}

#[test]
fn nothing_is_lost_without_an_earlier_commit_that_can_be_read() {
    let none = (vec![], vec![]);
    assert_eq!(losses(None, [0, 9], None, identity().topic_id), none);
    let foreign = CommittedOffset { offset: Offset(3), metadata: "foreign".to_owned() };
    assert_eq!(losses(Some(foreign), [0, 9], None, identity().topic_id), none);
}

#[test]
fn a_topic_made_anew_has_lost_everything() {
    let (earlier, last) = earlier_commit();
    let (_, found) = losses(Some(earlier), [0, 9], Some(last), [5; 16]);
    assert_eq!(found, [LogLoss { watermark_ms: None, kept_before: Offset(0), windows: None }]);
}
