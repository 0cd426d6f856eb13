//! A generation that was raised, because the log has lost records or for another reason.

use crate::topics::group;

use super::*;

/// What a generation has committed of the first of three records of minute 0.
fn earlier_commit(count: usize) -> CommittedOffset {
    let script =
        Script { raw: records(3), polls: [poll(count, FLUSH_MS), poll(0, 0)].into(), ..Script::default() };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    worked.run().unwrap();
    worked.log.script().committed.clone().unwrap()
}

/// Lets generation 3 fold a log, of which generation 1 had read three records, and generation 2 one, before it was stopped. Returns
/// its calls and its last commit.
fn raised(guarantee: Guarantee, raw: Vec<RawRecord>, polls: &[Poll]) -> (Vec<String>, Option<Commit>) {
    let foreign = CommittedOffset { offset: Offset(0), metadata: "foreign".to_owned() };
    let of_generation = |generation| group("count", generation, &TopicLayout::default().version);
    let script = Script {
        raw,
        polls: polls.iter().copied().collect(),
        earlier: vec![
            ("another".to_owned(), foreign.clone()),
            (of_generation(4), foreign),
            (of_generation(1), earlier_commit(3)),
            (of_generation(2), earlier_commit(1)),
        ],
        ..Script::default()
    };
    let mut worked = Worked::new(guarantee, script);
    worked.plan.generation = 3;
    worked.run().unwrap();
    let committed = worked.log.script().committed.clone();
    let commit = committed.map(|it| Commit::read(it.offset, &it.metadata).unwrap().0);
    (worked.calls(), commit)
}

#[test]
fn a_log_that_was_read_by_an_earlier_generation_and_is_whole_is_folded_whole() {
    for guarantee in BOTH {
        let polls = [poll(2, 0), poll(2, 0), poll(4, FLUSH_MS), poll(0, 0)];
        let raw = [records(3), vec![record(20, 1)]].concat();
        let (calls, commit) = raised(guarantee, raw, &polls);
        // The tail of the newest one, of the one that had read further, and all of it.
        let reads = ["read from 0", "poll 2", "read from 2", "poll 2", "read from 0", "poll 4"];
        assert_eq!(calls[3..11], [&["groups", "bounds"][..], &reads].concat());
        assert!(calls.contains(&"append 3. 1".to_owned()), "{calls:?}");
        let commit = commit.unwrap();
        assert!(commit.incomplete().is_empty() && commit.losses().is_empty(), "{commit:?}");
    }
}

#[test]
fn windows_that_lack_what_the_log_has_lost_are_named_and_not_published() {
    for guarantee in BOTH {
        // The third record is another one.
        let raw = [records(2), vec![record(10, 1), record(20, 1)]].concat();
        let (calls, commit) =
            raised(guarantee, raw, &[poll(2, 0), poll(2, 0), poll(4, FLUSH_MS), poll(0, 0)]);
        let appends: Vec<&String> = calls.iter().filter(|call| call.starts_with("append")).collect();
        assert_eq!(appends, ["append 1"], "only the window that was opened long after the loss: {calls:?}");
        let minute = |minute: i64| (START_MS + minute * 60_000).div_euclid(60_000);
        let commit = commit.unwrap();
        let through = commit.incomplete().reach_through();
        assert_eq!(through.map(|window| window.0), None, "closed since");
        let [loss] = commit.losses() else { panic!("{commit:?}") };
        assert_eq!(loss.kept_before, Offset(2));
        assert_eq!(loss.windows.map(|(_, last)| last.0), Some(minute(12)));
    }
}

/// Nobody has to look for a record that the log cannot have.
#[test]
fn a_log_that_ends_below_what_an_earlier_generation_had_read_is_not_asked_for_its_end() {
    let (calls, commit) = raised(Guarantee::Fenced, records(2), &[poll(2, 0), poll(2, FLUSH_MS), poll(0, 0)]);
    // The tail of the newest one, which is still there, and all of it.
    assert_eq!(calls[3..9], ["groups", "bounds", "read from 0", "poll 2", "read from 0", "poll 2"]);
    assert!(!calls.iter().any(|call| call.starts_with("append")), "{calls:?}");
    assert_eq!(commit, None, "the first record after the loss is still to come");
}
