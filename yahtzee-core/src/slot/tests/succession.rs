//! Who was cut off or stood still does not take its slot back from a successor.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::commit::Unreadable;
use crate::crc32c::crc32c;
use crate::incomplete::IncompleteWindows;
use crate::rules::Production;

/// A commit of partition 0 by an incarnation.
fn commit_of(incarnation: u32) -> CommittedOffset {
    let owner_tag = OwnerTag { incarnation, ..identity().owner_tag };
    let commit = Commit::at::<Production>(Offset(0), None, Vec::new(), IncompleteWindows::default());
    let metadata = commit.metadata(&Identity { owner_tag, ..identity() });
    CommittedOffset { offset: Offset(0), metadata }
}

/// Begins to open, and tells who has committed. Returns whether the slot goes on to fence others.
fn looks(machine: &mut SlotMachine, committed: Option<CommittedOffset>) -> bool {
    begin(machine);
    assert_eq!(machine.poll(0), Some(SlotRequest::PeekCommits));
    match machine.answer(SlotAnswer::Commits(vec![committed]), 0) {
        Ok(()) => machine.poll(0) == Some(SlotRequest::Fence),
        Err(refused) => {
            let expected = PartitionRefused { partition: Partition(0), reason: ResumeError::TakenOver };
            assert_eq!((refused, machine.is_closed(), machine.poll(0)), (expected, true, None));
            false
        }
    }
}

#[test]
fn only_who_has_committed_since_the_first_look_is_a_successor() {
    fn check(at_first: Option<CommittedOffset>, later: Option<CommittedOffset>, goes_on: bool) {
        let mut machine = SlotMachine::new(settings());
        assert!(looks(&mut machine, at_first.clone()), "the first opening takes over from whoever is there");
        for _ in 0..2 {
            machine.failed(SlotFailure::Unanswered);
            assert_eq!(looks(&mut machine, later.clone()), goes_on, "{at_first:?} {later:?}");
        }
    }
    let own = identity().owner_tag.incarnation;
    let [own, predecessor, successor] = [own, own + 1, own + 2].map(|it| Some(commit_of(it)));
    let foreign = Some(CommittedOffset { offset: Offset(7), metadata: "set by hand".to_owned() });
    check(None, None, true);
    check(None, own.clone(), true);
    check(None, successor.clone(), false);
    check(None, foreign.clone(), true);
    check(predecessor.clone(), predecessor.clone(), true);
    check(predecessor.clone(), own, true);
    check(predecessor.clone(), successor.clone(), false);
    check(predecessor.clone(), None, true);
    check(foreign.clone(), successor, false);
    check(predecessor, foreign, true);
}

/// The fence of a successor may have come before this one's commits were read.
#[test]
fn what_is_read_behind_the_own_fence_makes_nobody_a_predecessor() {
    let mut machine = SlotMachine::new(settings());
    let successor = Some(commit_of(identity().owner_tag.incarnation + 1));
    assert!(looks(&mut machine, None));
    machine.answer(SlotAnswer::Fenced, 0).unwrap();
    assert_eq!(machine.poll(0), Some(SlotRequest::ReadCommits));
    machine.answer(SlotAnswer::Commits(vec![successor.clone()]), 0).unwrap();
    machine.failed(SlotFailure::Unanswered);
    assert!(!looks(&mut machine, successor));
}

/// Looks twice at who has committed of the partitions of a slot. Returns the partition that a successor has committed.
fn looks_at_partitions(
    at_first: &[Option<CommittedOffset>],
    later: &[Option<CommittedOffset>],
) -> Option<Partition> {
    let partitions = (0..).map(Partition).take(later.len()).collect();
    let mut machine = SlotMachine::new(SlotSettings { partitions, ..settings() });
    let mut look = |committed: &[Option<CommittedOffset>]| {
        begin(&mut machine);
        assert_eq!(machine.poll(0), Some(SlotRequest::PeekCommits));
        let refused = machine.answer(SlotAnswer::Commits(committed.to_vec()), 0).err();
        machine.failed(SlotFailure::Unanswered);
        refused.map(|refused| refused.partition)
    };
    assert_eq!(look(at_first), None);
    look(later)
}

/// One partition of many is enough.
#[test]
fn each_partition_of_a_slot_is_looked_at() {
    let successor = Some(commit_of(identity().owner_tag.incarnation + 1));
    assert_eq!(looks_at_partitions(&[None, None, None], &[None, None, None]), None);
    assert_eq!(looks_at_partitions(&[None, None, None], &[None, None, successor]), Some(Partition(2)));
}

/// A predecessor that was itself just starting has committed of some partitions at the first look, and of others before it was
/// fenced.
#[test]
fn who_had_committed_of_one_partition_is_no_successor_in_another() {
    let own = identity().owner_tag.incarnation;
    let [older, predecessor, successor] = [own + 1, own + 2, own + 3].map(|it| Some(commit_of(it)));
    let check = |at_first: [&Option<CommittedOffset>; 2],
                 later: [&Option<CommittedOffset>; 2],
                 succeeded: Option<u32>| {
        let found = looks_at_partitions(&at_first.map(Clone::clone), &later.map(Clone::clone));
        assert_eq!(found, succeeded.map(Partition), "{at_first:?} {later:?}");
    };
    check([&predecessor, &older], [&predecessor, &predecessor], None);
    check([&predecessor, &None], [&predecessor, &predecessor], None);
    check([&older, &predecessor], [&predecessor, &older], None);
    check([&predecessor, &older], [&predecessor, &successor], Some(1));
    check([&predecessor, &older], [&successor, &predecessor], Some(0));
}

/// A program that cannot read a commit cannot work on it either, and whoever has made it must not be fenced for nothing.
#[test]
fn a_commit_of_a_newer_format_is_refused_before_anybody_is_fenced() {
    let body = [u8::MAX];
    let metadata = URL_SAFE_NO_PAD.encode([&body[..], &crc32c(&body).to_le_bytes()].concat());
    let newer = CommittedOffset { offset: Offset(3), metadata };
    for is_first_look in [true, false] {
        let mut machine = SlotMachine::new(settings());
        if !is_first_look {
            assert!(looks(&mut machine, None));
            machine.failed(SlotFailure::Unanswered);
        }
        begin(&mut machine);
        assert_eq!(machine.poll(0), Some(SlotRequest::PeekCommits));
        let refused = machine.answer(SlotAnswer::Commits(vec![Some(newer.clone())]), 0).unwrap_err();
        assert_eq!(refused.reason, ResumeError::Unreadable(Unreadable::NewerFormat(u8::MAX)));
        assert_eq!((machine.is_closed(), machine.poll(0)), (true, None));
    }
}
