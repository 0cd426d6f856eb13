//! Threads and tasks of a process and how they are supervised: none ends unnoticed, and what fails for a while is run
//! again after a wait.

use std::fmt;
use std::future::Future;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::back_off::BackOff;
use crate::health::{Condition, Health};
use crate::shutdown::StopSignal;

/// Starts a thread that works until `stop` is given. Its panic, and its end before that, are reported to `health` and stop
/// the process.
///
/// # Panics
/// If the system cannot start a thread.
pub fn spawn<T: Send + 'static>(
    name: &str,
    health: &Health,
    stop: &StopSignal,
    run: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let alarm = Alarm { part: name.to_owned(), health: health.clone(), stop: stop.clone() };
    let body = move || {
        let alarm = alarm;
        let ended = run();
        alarm.end();
        ended
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.expect("the system can start a thread")
}

/// Waits for the end of a thread and passes on its panic.
pub fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs a task that works until `stop` is given. Its panic, and its end before that, are reported to `health` and stop the
/// process. Nothing is reported of a task that is dropped.
pub async fn watch<T>(name: &str, health: &Health, stop: &StopSignal, task: impl Future<Output = T>) -> T {
    let alarm = Alarm { part: name.to_owned(), health: health.clone(), stop: stop.clone() };
    let ended = task.await;
    alarm.end();
    ended
}

struct Alarm {
    part: String,
    health: Health,
    stop: StopSignal,
}

impl Alarm {
    fn raise(&self, what: &str) {
        tracing::error!(part = self.part, what, "stopping the process");
        self.health.set(&self.part, Condition::Failed(what.to_owned()));
        self.stop.stop();
    }

    /// Takes the end of the work.
    fn end(&self) {
        if !self.stop.is_stopped() {
            self.raise("has ended although nobody has stopped it: a mistake of the program");
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.raise("has panicked; the message is in the log of the process");
        }
    }
}

/// A failure of a supervised task.
pub trait TaskFailure: fmt::Display {
    /// Whether starting again from the last commit can help.
    fn is_transient(&self) -> bool;

    /// Whether nobody has answered, so that nothing is spared by long waits, and whoever comes back is wanted at once.
    fn is_unanswered(&self) -> bool;

    /// Whether it is usual when a task starts, and passes by itself: it is worth a warning only where it lasts.
    fn is_usual_at_start(&self) -> bool {
        false
    }
}

/// Time after the start of a task in which a failure that is usual at a start is worth no warning.
const START: Duration = Duration::from_secs(10);

fn is_worth_a_warning(failure: &impl TaskFailure, since_start: Duration) -> bool {
    !failure.is_usual_at_start() || since_start >= START
}

/// Longest wait after a failure of which nothing is known but that nobody answered.
const UNANSWERED_WAIT_MAX: Duration = Duration::from_secs(1);

/// Runs a task that opens, works and fails, again and again until it ends or the process stops. A failure that
/// may pass is reported as [`Condition::Troubled`] and followed by a wait; any other as [`Condition::Failed`], and
/// it stops the process. `open_and_run` resets the back-off once it has got something done, and reports
/// [`Condition::Ready`].
///
/// Returns what the task returned, or `None` if the process stopped while nothing was open.
///
/// # Errors
/// If the task fails for good.
pub fn supervise<T, F: TaskFailure>(
    part: &str,
    health: &Health,
    stop: &StopSignal,
    mut back_off: BackOff,
    mut open_and_run: impl FnMut(&mut BackOff) -> Result<T, F>,
) -> Result<Option<T>, F> {
    let started = Instant::now();
    while !stop.is_stopped() {
        match open_and_run(&mut back_off) {
            Ok(ended) => return Ok(Some(ended)),
            Err(failure) if failure.is_transient() => {
                let cap = if failure.is_unanswered() { UNANSWERED_WAIT_MAX } else { Duration::MAX };
                let wait = back_off.next_wait_within(cap);
                if is_worth_a_warning(&failure, started.elapsed()) {
                    tracing::warn!(part, %failure, ?wait, "starting again from the last commit");
                } else {
                    tracing::debug!(part, %failure, ?wait, "starting again, as is usual on a new cluster");
                }
                health.set(part, Condition::Troubled(failure.to_string()));
                stop.wait(wait);
            }
            Err(failure) => {
                tracing::error!(part, %failure, "stopped for good");
                health.set(part, Condition::Failed(failure.to_string()));
                stop.stop();
                return Err(failure);
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_unnoticed_but_by_the_stop() {
        fn check(run: fn(&StopSignal), expected: Option<&str>) {
            let of_thread = |health: &Health, stop: &StopSignal| {
                let seen = stop.clone();
                spawn("part", health, stop, move || run(&seen)).join().is_err()
            };
            let of_task = |health: &Health, stop: &StopSignal| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let (health, stop) = (health.clone(), stop.clone());
                let task = async move { watch("part", &health, &stop, async { run(&stop) }).await };
                runtime.block_on(runtime.spawn(task)).is_err()
            };
            for run_to_end in [&of_thread as &dyn Fn(&Health, &StopSignal) -> bool, &of_task] {
                let (health, stop) = (Health::default(), StopSignal::new());
                let has_panicked = run_to_end(&health, &stop);
                assert!(stop.is_stopped());
                let found = health.parts().remove("part");
                match expected {
                    None => assert_eq!((has_panicked, found), (false, None)),
                    Some(text) => {
                        let Some(Condition::Failed(found)) = found else { panic!("{found:?}") };
                        assert!(found.contains(text), "{found}");
                    }
                }
            }
        }
        check(StopSignal::stop, None);
        check(|_| {}, Some("nobody has stopped it"));
        check(|_| std::panic::resume_unwind(Box::new("as planned")), Some("has panicked"));
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Broken {
        is_transient: bool,
        is_unanswered: bool,
        is_usual_at_start: bool,
    }

    const PASSING: Broken = Broken { is_transient: true, is_unanswered: false, is_usual_at_start: false };
    const UNANSWERED: Broken = Broken { is_unanswered: true, ..PASSING };
    const LASTING: Broken = Broken { is_transient: false, ..PASSING };
    const USUAL: Broken = Broken { is_usual_at_start: true, ..PASSING };

    impl fmt::Display for Broken {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("broken as planned")
        }
    }

    impl TaskFailure for Broken {
        fn is_transient(&self) -> bool {
            self.is_transient
        }

        fn is_unanswered(&self) -> bool {
            self.is_unanswered
        }

        fn is_usual_at_start(&self) -> bool {
            self.is_usual_at_start
        }
    }

    #[test]
    fn what_is_usual_at_a_start_is_a_warning_only_where_it_lasts() {
        let check = |failure: Broken, since_start, expected| {
            assert_eq!(is_worth_a_warning(&failure, since_start), expected, "{failure:?} {since_start:?}");
        };
        let shortly_before = START.saturating_sub(Duration::from_nanos(1));
        check(USUAL, Duration::ZERO, false);
        check(USUAL, shortly_before, false);
        check(USUAL, START, true);
        for failure in [PASSING, UNANSWERED] {
            check(failure, Duration::ZERO, true);
        }
    }

    /// Lets a task end in these ways, one run after the other, and compares how the supervision ends.
    fn check(
        runs: &[Result<u32, Broken>],
        expected: Result<Option<u32>, Broken>,
        condition: Option<Condition>,
    ) {
        let (health, stop) = (Health::default(), StopSignal::new());
        let mut runs = runs.iter();
        let ended =
            supervise("part", &health, &stop, BackOff::new(Duration::ZERO, Duration::ZERO, 1), |_| {
                *runs.next().expect("nothing is run after the end")
            });
        assert_eq!(stop.is_stopped(), ended.is_err());
        assert_eq!(ended, expected);
        assert_eq!(health.parts().remove("part"), condition);
        assert_eq!(runs.next(), None);
    }

    #[test]
    fn what_may_pass_is_run_again_and_what_does_not_stops_the_process() {
        let text = || "broken as planned".to_owned();
        check(&[Ok(1)], Ok(Some(1)), None);
        check(&[Err(PASSING), Err(PASSING), Ok(2)], Ok(Some(2)), Some(Condition::Troubled(text())));
        check(&[Err(PASSING), Err(LASTING)], Err(LASTING), Some(Condition::Failed(text())));
    }

    #[test]
    fn a_stop_ends_the_wait_of_a_task_that_failed() {
        let (health, stop) = (Health::default(), StopSignal::new());
        let an_hour = Duration::from_hours(1);
        let ended = supervise("part", &health, &stop, BackOff::new(an_hour, an_hour, 1), |_| {
            stop.stop();
            Err::<(), _>(PASSING)
        });
        assert_eq!(ended, Ok(None));
    }

    /// Or a task that fails at once takes a processor, and floods the log of the process.
    #[test]
    fn a_task_that_has_failed_is_run_again_after_its_wait() {
        let wait_max = Duration::from_millis(20);
        let back_off = BackOff::new(wait_max, wait_max, 7);
        let mut waits = back_off.clone();
        let least: Duration = (0..3).map(|_| waits.next_wait()).sum();
        let mut runs = [Err(PASSING), Err(UNANSWERED), Err(PASSING), Ok(1)].into_iter();
        let began = Instant::now();
        let ended = supervise("part", &Health::default(), &StopSignal::new(), back_off, |_| {
            runs.next().expect("nothing is run after the end")
        });
        assert_eq!(ended, Ok(Some(1)));
        assert!(!least.is_zero() && began.elapsed() >= least, "{least:?}");
    }

    /// Where the wait were that of the back-off, an hour, the test would not end.
    #[test]
    fn what_nobody_has_answered_is_tried_again_soon() {
        let (health, stop) = (Health::default(), StopSignal::new());
        let mut runs = [Err(UNANSWERED), Ok(1)].into_iter();
        let an_hour = Duration::from_hours(1);
        let ended = supervise("part", &health, &stop, BackOff::new(an_hour, an_hour, 1), |_| {
            runs.next().expect("nothing is run after the end")
        });
        assert_eq!(ended, Ok(Some(1)));
    }
}
