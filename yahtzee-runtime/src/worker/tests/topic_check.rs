//! The raw topic is deleted, and perhaps created again, under a worker.

use super::*;

/// A client that asked for nothing when it happened reads on, if the new topic has the next offset.
#[test]
fn a_raw_topic_that_is_made_anew_under_a_worker_is_noticed_before_it_is_published() {
    const ANEW_AT_MS: u64 = 10_000;
    // Before the second record comes, the process stands still.
    let polls = [poll(1, FLUSH_MS), poll(1, ANEW_AT_MS), poll(0, 0)].into();
    let script = Script { raw: records(2), polls, made_anew_at_ms: Some(ANEW_AT_MS), ..Script::default() };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    let failure = worked.run().unwrap_err();
    assert!(!failure.is_transient(), "{failure}");
    assert!(failure.to_string().contains("deleted and created again"), "{failure}");
    assert_eq!(worked.calls_after_opening(), ["poll 1", "commit [0]", "poll 1"]);
}

/// A slot that opens may wait for an answer for minutes, behind the question for the topic's identity.
#[test]
fn a_raw_topic_that_is_made_anew_while_a_slot_opens_is_noticed_before_it_is_published() {
    for read in [1, 0] {
        let polls = [poll(read, FLUSH_MS), poll(0, 0)].into();
        let script = Script { raw: records(read), polls, made_anew_at_ms: Some(1), ..Script::default() };
        let mut worked = Worked::new(Guarantee::Fenced, script);
        let failure = worked.run().unwrap_err();
        assert!(failure.to_string().contains("deleted and created again"), "{failure}");
        assert_eq!(worked.calls_after_opening(), [format!("poll {read}")]);
    }
}

#[test]
fn a_raw_topic_that_is_deleted_under_a_worker_ends_it() {
    let polls = [poll(1, FLUSH_MS), poll(1, 10_000), poll(0, 0)].into();
    let script = Script { raw: records(2), polls, gone_at_ms: Some(10_000), ..Script::default() };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    let failure = worked.run().unwrap_err();
    assert!(!failure.is_transient(), "{failure}");
    assert!(matches!(failure, JobFailure::Log(LogError::NoSuchTopic { .. })), "{failure}");
    assert_eq!(worked.calls_after_opening(), ["poll 1", "commit [0]", "poll 1"]);
}

/// A question is a request to a broker: none for nothing.
#[test]
fn the_identity_is_asked_for_before_a_write_if_something_was_read() {
    fn check(polls: Vec<Poll>, expected: u64) {
        let raw = records(polls.iter().map(|poll| poll.records).sum());
        let mut worked =
            Worked::new(Guarantee::Fenced, Script { raw, polls: polls.into(), ..Script::default() });
        worked.run().unwrap();
        assert_eq!(worked.log.script().identity_questions, expected);
    }
    check(vec![poll(1, 1_000); 12], 12);
    check([vec![poll(1, 1_000)], vec![poll(0, 60_000); 30]].concat(), 1);
}

/// The process is stopped while it waits for the identity, and what it writes then is not answered.
#[test]
fn a_process_that_stood_still_in_the_question_does_not_take_its_slot_back() {
    fn check(identity_ms: u64, is_paused: bool) {
        let script = Script {
            raw: records(1),
            identity_ms,
            polls: [poll(1, FLUSH_MS), poll(0, 0)].into(),
            appends: [Err(unavailable())].into(),
            ..Script::default()
        };
        let mut worked = Worked::new(Guarantee::Fenced, script);
        worked.settings.pause_max = Some(Duration::from_secs(30));
        worked.tick_with_the_clock();
        let failure = worked.run().unwrap_err();
        assert_eq!(matches!(failure, JobFailure::Paused(_)), is_paused, "{failure}");
    }
    check(40_000, true);
    check(20_000, false);
}
