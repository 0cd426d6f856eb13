//! A process that stood still outside a run, or while its slots opened.

use super::*;

const PAUSE_MAX_MS: u64 = 30_000;

/// A job whose process ticks, and ends if it stood still for longer than [`PAUSE_MAX_MS`].
fn ticking() -> Worked {
    let mut worked = Worked::new(Guarantee::Fenced, Script::default());
    worked.settings.pause_max = Some(Duration::from_millis(PAUSE_MAX_MS));
    worked.context.standstills.tick(0);
    worked
}

/// The process is stopped while it waits for its next try, and its successor has the slot by then.
#[test]
fn a_process_that_stood_still_between_two_runs_does_not_take_its_slot_back() {
    fn check(stands_ms: u64, ticks_meanwhile: bool, is_paused: bool) {
        let mut worked = ticking();
        *worked.log.script() = Script {
            raw: records(1),
            polls: [poll(1, FLUSH_MS), poll(0, 0)].into(),
            appends: [Err(unavailable())].into(),
            ..Script::default()
        };
        worked.run().unwrap_err();
        worked.context.standstills.tick(worked.log.pass_ms(FLUSH_MS));
        let ticks = if ticks_meanwhile { stands_ms / FLUSH_MS } else { 1 };
        for _ in 0..ticks {
            worked.context.standstills.tick(worked.log.pass_ms(stands_ms / ticks));
        }
        let ended = worked.run_again(&[poll(1, 0), poll(0, 0)]);
        assert_eq!(matches!(ended, Err(JobFailure::Paused(_))), is_paused, "{stands_ms}: {ended:?}");
        assert_eq!(worked.calls().contains(&"fence".to_owned()), !is_paused, "{stands_ms}");
    }
    check(PAUSE_MAX_MS + 1_000, false, true);
    check(PAUSE_MAX_MS + 1_000, true, false);
    check(PAUSE_MAX_MS - 1_000, false, false);
}

/// The process is stopped while a question of the first slot waits for its answer: the second slot is not fenced any more,
/// and where all are fenced nothing is read.
#[test]
fn a_process_that_stood_still_while_its_slots_open_takes_no_further_one() {
    fn check(bounds_ms: u64, is_two_slots: bool, is_paused: bool) {
        let mut worked = ticking();
        let idle_partition = is_two_slots.then_some(0);
        *worked.log.script() =
            Script { idle_partition, bounds_ms, polls: [poll(0, 0)].into(), ..Script::default() };
        if is_two_slots {
            (worked.settings.slots, worked.settings.layout.partitions) = (2, 2);
            worked.runs.slots = job_slots(&worked.plan, &worked.settings);
        }
        let ended = worked.run();
        assert_eq!(matches!(ended, Err(JobFailure::Paused(_))), is_paused, "{ended:?}");
        let calls = worked.calls();
        assert_eq!(calls == ["peek", "fence", "committed", "groups", "bounds"], is_paused, "{calls:?}");
        assert_eq!(calls.contains(&"read from 0".to_owned()), !is_paused, "{calls:?}");
    }
    check(PAUSE_MAX_MS + 1, true, true);
    check(PAUSE_MAX_MS + 1, false, true);
    check(PAUSE_MAX_MS / 2, true, false);
    check(PAUSE_MAX_MS, false, false);
}

/// The answer to a write says that nobody else had the slot until then.
#[test]
fn a_standstill_before_the_last_answer_does_not_count() {
    let mut worked = ticking();
    // The commit is renewed after ten minutes.
    *worked.log.script() = Script {
        raw: records(1),
        append_ms: [PAUSE_MAX_MS + 10_000].into(),
        polls: [vec![poll(1, FLUSH_MS)], vec![poll(0, 20_000); 31]].concat().into(),
        commits: [Ok(()), Err(unavailable())].into(),
        ..Script::default()
    };
    worked.tick_with_the_clock();
    let failure = worked.run().unwrap_err();
    assert!(failure.is_transient(), "{failure}");
    worked.run_again(&[poll(1, 0), poll(0, 0)]).unwrap();
}

#[test]
fn a_standstill_before_the_first_run_does_not_count() {
    let mut worked = ticking();
    worked.context.standstills.tick(worked.log.pass_ms(PAUSE_MAX_MS + 1_000));
    worked.runs = JobRuns::new(&worked.plan, &worked.settings, &worked.context);
    worked.run().unwrap();
}

/// That another process has the slot is what the operator must know, not why.
#[test]
fn a_failure_for_good_is_told_as_it_is_whoever_stood_still() {
    let mut worked = ticking();
    *worked.log.script() = Script {
        raw: records(1),
        append_ms: [PAUSE_MAX_MS + 1_000].into(),
        polls: [poll(1, FLUSH_MS), poll(0, 0)].into(),
        appends: [Err(LogError::Fenced("count.slot-0".to_owned()))].into(),
        ..Script::default()
    };
    let failure = worked.run().unwrap_err();
    assert!(matches!(failure, JobFailure::Log(LogError::Fenced(_))), "{failure}");
}

#[test]
fn standstills_are_watched_where_another_process_could_take_over() {
    fn check(pause_max: Option<Duration>) {
        let mut worked = Worked::new(Guarantee::Fenced, Script::default());
        worked.settings.pause_max = pause_max;
        let log: SharedLog = Arc::new(worked.log.clone());
        let worker = Worker::start(Vec::new(), &log, &worked.settings, &worked.context);
        let is_watched = worker.threads.iter().any(|(name, _)| *name == STANDSTILL);
        worked.context.stop.stop();
        worker.join().unwrap();
        assert_eq!(is_watched, pause_max.is_some());
    }
    check(None);
    check(Some(Duration::from_millis(PAUSE_MAX_MS)));
}
