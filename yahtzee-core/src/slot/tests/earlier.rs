//! A generation that has committed nothing, and the one before it that has.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::commit::Unreadable;
use crate::crc32c::crc32c;
use crate::log_tail::LogTail;
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
    earlier: &[CommittedOffset],
    [start, end]: [u64; 2],
    found: &[RecordPrint],
    topic_id: [u8; 16],
) -> (Vec<(Partition, Offset)>, Vec<LostTail>) {
    let mut machine = SlotMachine::new(SlotSettings { partitions: PARTITIONS.to_vec(), ..settings() });
    let lost = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&lost);
    machine.open(
        &Identity { topic_id, ..identity() },
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
            SlotRequest::PeekCommits | SlotRequest::ReadCommits => {
                SlotAnswer::Commits(vec![None, Some(own.clone())])
            }
            SlotRequest::ReadEarlierCommits(partitions) => {
                assert_eq!(partitions, [Partition(0)], "of the whole topic");
                SlotAnswer::EarlierCommits(vec![earlier.to_vec()])
            }
            SlotRequest::ReadBounds => SlotAnswer::Bounds(vec![bounds; 2]),
            SlotRequest::ReadRecords { from, count } => {
                let from_there = found.iter().filter(|record| record.offset >= from[0].1);
                asked.extend(&from);
                SlotAnswer::Records(vec![from_there.take(count).copied().collect()])
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
        let found = losses(std::slice::from_ref(&earlier), bounds, found, identity().topic_id);
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
        let (_, lost) = losses(&[earlier], [0, end], &found, identity().topic_id);
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

/// What a generation commits that has read the first of the records of [`earlier_commit`].
fn commit_of_one_record(of: Identity) -> CommittedOffset {
    let mut machine = SlotMachine::new(settings());
    machine.open(&of, Box::new(move |history| Arc::new(Counter).open(POLICY, of, history)));
    assign_all(&mut machine, Bounds { start: Offset(0), end: Offset(0) });
    feed(&mut machine, 0, 10);
    first_commit(&mut machine)
}

/// A generation that was raised while it still read what the log keeps, or from which somebody has stepped back, has not read as far
/// as the one before it.
#[test]
fn an_older_commit_tells_what_the_newest_one_has_not_come_to_yet() {
    let (furthest, last) = earlier_commit();
    let newest = commit_of_one_record(identity());
    let (newest_commit, _) = Commit::read(newest.offset, &newest.metadata).unwrap();
    let LogTail::EndsWith(first) = newest_commit.tail() else { panic!("{newest_commit:?}") };
    let lost = LostTail { watermark_ms: Some(10 * MINUTE_MS), kept_before: last.offset, windows: None };
    let other = RecordPrint { crc: !last.crc, ..last };
    let check = |commits: &[&CommittedOffset], at_last, asked: &[u64], expected: &[LostTail]| {
        let commits: Vec<CommittedOffset> = commits.iter().map(|it| (*it).clone()).collect();
        let log = [first, RecordPrint { offset: Offset(1), crc: 5 }, at_last];
        let (found_asked, found) = losses(&commits, [0, 9], &log, identity().topic_id);
        let found_asked: Vec<u64> = found_asked.iter().map(|(_, offset)| offset.0).collect();
        assert_eq!((&*found_asked, &*found), (asked, expected), "{commits:?}");
    };
    check(&[&newest, &furthest], last, &[0, 2], &[]);
    check(&[&newest, &furthest], other, &[0, 2], &[lost]);
    check(&[&newest, &newest, &furthest, &newest], other, &[0, 2], &[lost]);
    check(&[&furthest, &newest], other, &[2], &[lost]);
    // What cannot be read tells nothing, and hides nothing.
    let foreign = CommittedOffset { offset: Offset(3), metadata: "foreign".to_owned() };
    check(&[&foreign, &furthest], other, &[2], &[lost]);
    let moved = CommittedOffset { offset: Offset(1), ..furthest.clone() };
    check(&[&moved, &newest, &foreign, &furthest], other, &[0, 2], &[lost]);
}

/// Two generations are read side by side: the older one may have gone on with what was appended after the newer one was refused.
#[test]
fn a_tail_that_is_left_does_not_hide_that_the_one_of_the_newest_commit_is_gone() {
    let (furthest, last) = earlier_commit();
    let newest = commit_of_one_record(identity());
    let log = [RecordPrint { offset: Offset(0), crc: 5 }, RecordPrint { offset: Offset(1), crc: 5 }, last];
    let (_, found) = losses(&[newest, furthest], [0, 9], &log, identity().topic_id);
    let lost = LostTail { watermark_ms: Some(10 * MINUTE_MS), kept_before: Offset(0), windows: None };
    assert_eq!(found, [lost]);
}

/// Offsets of a topic that was deleted since say nothing of the topic of now.
#[test]
fn an_older_commit_of_another_topic_tells_nothing() {
    let (furthest, _) = earlier_commit();
    let of_now = [5; 16];
    let newest = commit_of_one_record(Identity { topic_id: of_now, ..identity() });
    let (asked, lost) = losses(&[newest, furthest], [0, 9], &[], of_now);
    assert_eq!(asked, [(Partition(0), Offset(0))], "the tail of the newest");
    assert_eq!(lost.iter().map(|loss| loss.kept_before).collect::<Vec<_>>(), [Offset(0)]);
}

/// What a generation has committed that was told of a loss and has read records of these minutes, and the last of them.
fn commit_behind(loss: LostTail, minutes: &[i64]) -> (CommittedOffset, RecordPrint) {
    let mut machine = SlotMachine::new(settings());
    let open = move |history: History<'_>| {
        Arc::new(Counter).open(POLICY, identity(), History { losses: &[loss], ..history })
    };
    machine.open(&identity(), Box::new(open));
    assign_all(&mut machine, Bounds { start: Offset(0), end: Offset(1) });
    (0..).zip(minutes).for_each(|(offset, &minute)| feed(&mut machine, offset, minute));
    let committed = first_commit(&mut machine);
    let (commit, _) = Commit::read(committed.offset, &committed.metadata).unwrap();
    let LogTail::EndsWith(last) = commit.tail() else { panic!("{commit:?}") };
    (committed, last)
}

/// What the newest one has passed is not found a second time, with other bounds.
#[test]
fn a_loss_that_the_newest_commit_knows_is_not_told_by_an_older_one_again() {
    let (furthest, _) = earlier_commit();
    let known = LostTail { watermark_ms: Some(10 * MINUTE_MS), kept_before: Offset(1), windows: None };
    let (newest, last) = commit_behind(known, &[0, 20]);
    let (asked, lost) = losses(&[newest, furthest], [0, 9], &[last], identity().topic_id);
    assert_eq!(asked, [(Partition(0), Offset(1))]);
    assert_eq!(lost.iter().map(|loss| loss.pending()).collect::<Vec<_>>(), [known]);
}

/// The older one may have begun to fold anew after the newest one was stopped.
#[test]
fn a_loss_that_only_an_older_commit_knows_is_told() {
    let newest = commit_of_one_record(identity());
    let (newest_commit, _) = Commit::read(newest.offset, &newest.metadata).unwrap();
    let LogTail::EndsWith(first) = newest_commit.tail() else { panic!("{newest_commit:?}") };
    let known = LostTail { watermark_ms: Some(12 * MINUTE_MS), kept_before: Offset(1), windows: None };
    let (furthest, last) = commit_behind(known, &[10, 20]);
    let (_, lost) = losses(&[newest, furthest], [0, 9], &[first, last], identity().topic_id);
    assert_eq!(lost.iter().map(|loss| loss.pending()).collect::<Vec<_>>(), [known]);
}

/// It may tell of a loss.
#[test]
fn an_earlier_commit_of_a_newer_format_is_refused() {
    let mut machine = SlotMachine::new(settings());
    begin(&mut machine);
    let body = [u8::MAX];
    let text = URL_SAFE_NO_PAD.encode([&body[..], &crc32c(&body).to_le_bytes()].concat());
    let newer = CommittedOffset { offset: Offset(3), metadata: text };
    let (earlier, _) = earlier_commit();
    let mut answers = [
        SlotAnswer::Commits(vec![None]),
        SlotAnswer::Fenced,
        SlotAnswer::Commits(vec![None]),
        SlotAnswer::EarlierCommits(vec![vec![earlier, newer]]),
        SlotAnswer::Bounds(vec![Bounds { start: Offset(0), end: Offset(9) }]),
    ]
    .into_iter();
    let refused = loop {
        machine.poll(0).unwrap();
        if let Err(refused) = machine.answer(answers.next().unwrap(), 0) {
            break refused;
        }
    };
    assert_eq!(refused.reason, ResumeError::Unreadable(Unreadable::NewerFormat(u8::MAX)));
    assert!(machine.is_closed());
}

#[test]
fn nothing_is_lost_without_an_earlier_commit_that_can_be_read() {
    let none = (vec![], vec![]);
    assert_eq!(losses(&[], [0, 9], &[], identity().topic_id), none);
    let foreign = CommittedOffset { offset: Offset(3), metadata: "foreign".to_owned() };
    assert_eq!(losses(&[foreign], [0, 9], &[], identity().topic_id), none);
}

#[test]
fn a_topic_made_anew_has_lost_everything() {
    let (earlier, last) = earlier_commit();
    let (_, found) = losses(&[earlier], [0, 9], &[last], [5; 16]);
    assert_eq!(found, [LostTail { watermark_ms: None, kept_before: Offset(0), windows: None }]);
}

/// Owners have moved to other partitions, also to some that nothing was ever committed of.
#[test]
fn a_topic_that_had_fewer_partitions_has_lost_what_lay_in_front_of_now() {
    let then = |topic_id| commit_of_one_record(Identity { topic_id, ..identity() });
    let check = |stored: [&[CommittedOffset]; 2], partition_count: u32, expected: [Option<u64>; 2]| {
        let now = Identity { generation: 2, partition_count, ..identity() };
        let bounds = Bounds { start: Offset(0), end: Offset(9) };
        let stored = stored.map(<[_]>::to_vec);
        let losses = PARTITIONS.map(|partition| {
            let mut earlier = EarlierCommits::read(&stored, partition, &now).unwrap()?;
            if let Some(tail) = earlier.next_tail(&bounds) {
                earlier.take_tail(vec![tail_of(&stored[0][0], tail)]);
            }
            earlier.losses(&bounds).pop()
        });
        let everything =
            |kept_before| LostTail { watermark_ms: None, kept_before: Offset(kept_before), windows: None };
        assert_eq!(losses, expected.map(|kept_before| kept_before.map(everything)));
    };
    let (same, other) = (then(identity().topic_id), then([9; 16]));
    let foreign = CommittedOffset { offset: Offset(3), metadata: "foreign".to_owned() };
    check([&[], &[]], 2, [None, None]);
    check([std::slice::from_ref(&same), &[]], 1, [None, None]);
    check([std::slice::from_ref(&same), &[]], 2, [Some(9), Some(0)]);
    check([std::slice::from_ref(&other), &[]], 1, [Some(0), Some(0)]);
    check([std::slice::from_ref(&other), &[]], 2, [Some(0), Some(0)]);
    check([&[], std::slice::from_ref(&other)], 1, [Some(0), Some(0)]);
    // Raised once more, before the generation in between had come to all partitions.
    let of_now =
        |partition_count| commit_of_one_record(Identity { generation: 2, partition_count, ..identity() });
    check([&[of_now(1), other.clone()], &[]], 1, [None, Some(0)]);
    check([&[of_now(2), same.clone()], &[]], 2, [None, Some(0)]);
    check([&[of_now(2)], std::slice::from_ref(&same)], 2, [None, Some(9)]);
    check([std::slice::from_ref(&same), std::slice::from_ref(&foreign)], 2, [Some(9), Some(0)]);
}

/// It may tell of another topic.
#[test]
fn a_commit_of_a_newer_format_is_refused_also_where_only_other_partitions_have_one() {
    let body = [u8::MAX];
    let metadata = URL_SAFE_NO_PAD.encode([&body[..], &crc32c(&body).to_le_bytes()].concat());
    let stored = [vec![CommittedOffset { offset: Offset(3), metadata }], vec![]];
    let refused = EarlierCommits::read(&stored, Partition(1), &identity()).map(drop);
    assert_eq!(refused, Err(Unreadable::NewerFormat(u8::MAX)));
}

/// It lies ahead of who reads on, whoever else has passed it; what lies behind is named as it was.
#[test]
fn a_loss_that_an_earlier_generation_has_passed_is_passed_once_more_by_who_reads_on() {
    let known = LostTail { watermark_ms: Some(12 * MINUTE_MS), kept_before: Offset(1), windows: None };
    let (furthest, last) = commit_behind(known, &[10, 20, 21]);
    let bounds = Bounds { start: Offset(0), end: Offset(9) };
    let check = |own: &CommittedOffset, is_ahead: bool| {
        let stored = [vec![furthest.clone()]];
        let mut beyond = EarlierCommits::beyond(own, &stored, Partition(0), &identity()).unwrap().unwrap();
        assert_eq!(beyond.next_tail(&bounds), Some(last.offset));
        beyond.take_tail(vec![last]);
        let losses = beyond.losses(&bounds);
        assert_eq!(losses.iter().map(|loss| loss.pending()).collect::<Vec<_>>(), [known]);
        assert_eq!(losses[0].windows.is_none(), is_ahead, "{losses:?}");
    };
    check(&commit_of_one_record(identity()), true);
    let mut machine = opened(settings(), 0);
    (0..2).for_each(|offset| feed(&mut machine, offset, 10));
    check(&first_commit(&mut machine), false);
}

/// The windows of another length are found anew; no place lies beyond the end of the log, and none below its start is named.
#[test]
fn what_a_commit_says_of_losses_is_told_of_the_log_of_now() {
    let check =
        |loss: LostTail, topic_id, window_length_ms, [start, end]: [u64; 2], expected: &[LostTail]| {
            let (committed, last) = commit_behind(loss, &[10, 20]);
            let now = Identity { topic_id, window_length_ms, ..identity() };
            let bounds = Bounds { start: Offset(start), end: Offset(end) };
            let mut earlier = EarlierCommits::read(&[vec![committed]], Partition(0), &now).unwrap().unwrap();
            if earlier.next_tail(&bounds).is_some() {
                earlier.take_tail(vec![last]);
            }
            assert_eq!(earlier.losses(&bounds), expected);
        };
    let Identity { topic_id, window_length_ms, .. } = identity();
    let loss = |kept_before| LostTail {
        watermark_ms: Some(60 * MINUTE_MS),
        kept_before: Offset(kept_before),
        windows: None,
    };
    check(loss(1), topic_id, 2 * window_length_ms, [0, 9], &[loss(1)]);
    check(loss(50), topic_id, window_length_ms, [0, 9], &[loss(9)]);
    let everything = LostTail { watermark_ms: None, kept_before: Offset(0), windows: None };
    check(loss(1), [5; 16], window_length_ms, [0, 9], &[everything]);
    check(loss(1), [5; 16], window_length_ms, [1, 9], &[]);
}

/// Those that have none to look for get no answer of another one.
#[test]
fn each_partition_gets_the_records_at_its_own_tail() {
    let (earlier, last) = earlier_commit();
    let mut machine = SlotMachine::new(SlotSettings { partitions: PARTITIONS.to_vec(), ..settings() });
    let of = Identity { partition_count: 2, ..identity() };
    let lost = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&lost);
    machine.open(
        &of,
        Box::new(move |history: History<'_>| {
            shared.lock().unwrap().push(history.losses.len());
            Arc::new(Counter).open(POLICY, of, history)
        }),
    );
    // Of a topic that was made anew nothing is looked for.
    let other = commit_of_one_record(Identity { topic_id: [9; 16], ..of });
    let of_two = Commit::read(earlier.offset, &earlier.metadata).unwrap().0.metadata(&of);
    let earlier = CommittedOffset { metadata: of_two, ..earlier };
    let bounds = Bounds { start: Offset(0), end: Offset(9) };
    for found in [
        SlotAnswer::Commits(vec![None, None]),
        SlotAnswer::Fenced,
        SlotAnswer::Commits(vec![None, None]),
        SlotAnswer::EarlierCommits(vec![vec![other], vec![earlier]]),
        SlotAnswer::Bounds(vec![bounds; 2]),
        SlotAnswer::Records(vec![vec![last]]),
    ] {
        machine.poll(0).unwrap();
        answer(&mut machine, found, 0);
    }
    assert_eq!(*lost.lock().unwrap(), [1, 0]);
}

/// The record that a commit ends with, as it is found again.
fn tail_of(committed: &CommittedOffset, at: Offset) -> RecordPrint {
    let (commit, _) = Commit::read(committed.offset, &committed.metadata).unwrap();
    let LogTail::EndsWith(last) = commit.tail() else { panic!("{commit:?}") };
    assert_eq!(last.offset, at);
    last
}

/// While a generation reads what the log keeps, the log may lose what those before had read.
#[test]
fn who_reads_on_is_told_of_what_earlier_generations_had_read_beyond_its_commit() {
    let (furthest, last) = earlier_commit();
    let mut machine = opened(settings(), 0);
    feed(&mut machine, 0, 10);
    let own = first_commit(&mut machine);
    let foreign = CommittedOffset { offset: Offset(1), metadata: "foreign".to_owned() };
    let bounds = Bounds { start: Offset(0), end: Offset(9) };
    let check =
        |own: &CommittedOffset, stored: &CommittedOffset, found: &[RecordPrint], expected: Option<&[u64]>| {
            let beyond =
                EarlierCommits::beyond(own, &[vec![stored.clone()]], Partition(0), &identity()).unwrap();
            let lost = beyond.map(|mut earlier| {
                // The tail of one's own commit is compared when it is read again.
                assert_eq!(earlier.next_tail(&bounds), Some(last.offset));
                earlier.take_tail(found.to_vec());
                assert_eq!(earlier.next_tail(&bounds), None);
                earlier.losses(&bounds).iter().map(|loss| loss.kept_before.0).collect::<Vec<_>>()
            });
            assert_eq!(lost.as_deref(), expected);
        };
    check(&own, &furthest, &[last], Some(&[]));
    check(&own, &furthest, &[], Some(&[2]));
    check(&furthest, &own, &[], None);
    // Of a commit of one's own that cannot be read nobody knows how far it had come.
    check(&foreign, &furthest, &[], Some(&[2]));
    check(&own, &foreign, &[], None);
}

#[test]
fn a_generation_above_the_first_asks_for_the_commits_of_those_before_it_at_every_opening() {
    let check = |generation: u32, expected: bool| {
        let mut machine = SlotMachine::new(settings());
        let of = Identity { generation, ..identity() };
        machine.open(&of, Box::new(move |history| Arc::new(Counter).open(POLICY, of, history)));
        let own = CommittedOffset { offset: Offset(0), metadata: String::new() };
        let committed = SlotAnswer::Commits(vec![Some(own)]);
        for found in [committed.clone(), SlotAnswer::Fenced, committed] {
            machine.poll(0).unwrap();
            answer(&mut machine, found, 0);
        }
        let asks = matches!(machine.poll(0), Some(SlotRequest::ReadEarlierCommits(_)));
        assert_eq!(asks, expected, "generation {generation}");
    };
    check(1, false);
    check(2, true);
}
