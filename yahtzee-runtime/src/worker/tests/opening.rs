//! Opening the slots of a job: what is asked, and who has a successor and does not open them again.

use super::*;

/// The same commit, made by another process.
fn by_another(own: &CommittedOffset, incarnation: u32) -> CommittedOffset {
    let (commit, mut identity) = Commit::read(own.offset, &own.metadata).unwrap();
    identity.owner_tag.incarnation = incarnation;
    CommittedOffset { metadata: commit.metadata(&identity), ..own.clone() }
}

/// As after a standstill that was too short to end the process, but longer than a request waits.
#[test]
fn who_was_not_answered_does_not_take_its_slot_back_from_a_successor() {
    fn check(guarantee: Guarantee, has_successor: bool) {
        let script = Script {
            raw: records(2),
            polls: [poll(1, FLUSH_MS), poll(1, FLUSH_MS), poll(0, 0)].into(),
            appends: [Err(unavailable())].into(),
            ..Script::default()
        };
        let mut worked = Worked::new(guarantee, script);
        let failure = worked.run().unwrap_err();
        assert!(failure.is_transient(), "{failure}");
        let own = worked.log.script().committed.clone().unwrap();
        if has_successor {
            worked.log.script().committed = Some(by_another(&own, worked.settings.incarnation + 1));
        }
        let ended = worked.run_again(&[poll(0, 0)]);
        assert_eq!(worked.calls() == ["peek"], has_successor, "{:?}", worked.calls());
        match has_successor {
            true => {
                let failure = ended.unwrap_err();
                assert!(!failure.is_transient(), "{failure}");
                assert!(failure.to_string().contains("another worker has taken over"), "{failure}");
            }
            false => ended.unwrap(),
        }
    }
    for guarantee in BOTH {
        check(guarantee, true);
        check(guarantee, false);
    }
}

/// What all slots have to know is asked for once, at every opening.
#[test]
fn slots_share_the_answers_that_concern_the_whole_topic() {
    let script = Script { idle_partition: Some(0), polls: [poll(0, 0)].into(), ..Script::default() };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    for opening in 1..=2 {
        worked.run_again(&[poll(0, 0)]).unwrap();
        let count = |call: &str| worked.calls().iter().filter(|made| *made == call).count();
        assert_eq!((count("peek"), count("groups"), count("fence")), (1, 1, 2), "opening {opening}");
    }
}

/// Who cannot look may have a successor.
#[test]
fn nobody_is_fenced_as_long_as_nobody_says_who_has_committed() {
    for guarantee in BOTH {
        let script = Script { raw: records(1), is_peek_unanswered: true, ..Script::default() };
        let mut worked = Worked::new(guarantee, script);
        let failure = worked.run().unwrap_err();
        assert!(failure.is_transient(), "{failure}");
        assert_eq!(worked.calls(), ["peek"]);
    }
}

/// The commits of the raw topic go with it; those beside the summaries stay.
#[test]
fn a_successor_is_known_by_its_commit_beside_the_summaries_too() {
    let polls = [poll(1, FLUSH_MS), poll(1, FLUSH_MS)].into();
    let script = Script { raw: records(2), polls, ..Script::default() };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    worked.run().unwrap();
    let own = worked.log.script().committed.take().unwrap();
    worked.log.script().committed_beside = Some(by_another(&own, worked.settings.incarnation + 1));
    let failure = worked.run_again(&[poll(0, 0)]).unwrap_err();
    assert!(failure.to_string().contains("another worker has taken over"), "{failure}");
}
