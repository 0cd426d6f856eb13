//! Who was cut off or stood still does not take its slot back from a successor.

use super::*;
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

/// One partition of many is enough.
#[test]
fn each_partition_of_a_slot_is_looked_at() {
    let partitions = vec![Partition(0), Partition(1), Partition(2)];
    let mut machine = SlotMachine::new(SlotSettings { partitions, ..settings() });
    let successor = Some(commit_of(identity().owner_tag.incarnation + 1));
    for (committed, is_refused) in [(vec![None; 3], false), (vec![None, None, successor], true)] {
        begin(&mut machine);
        assert_eq!(machine.poll(0), Some(SlotRequest::PeekCommits));
        let refused = machine.answer(SlotAnswer::Commits(committed), 0).err().map(|it| it.partition);
        assert_eq!(refused, is_refused.then_some(Partition(2)));
        machine.failed(SlotFailure::Unanswered);
    }
}
