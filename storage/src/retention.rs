//! The retention task: creates the next days of a store ahead of time, so that midnight causes no burst of work, and
//! drops those past their retention.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use yahtzee_core::summary::SummaryKey;

use crate::delivery::StoredObserver;
use crate::metric_names;
use yahtzee_runtime::health::{Condition, Health};
use yahtzee_runtime::shutdown::StopSignal;
use yahtzee_runtime::threads;

use crate::store::{DAYS_AHEAD_MAX, Day, StoreError, SummaryStore};

/// Time between rounds if all tasks succeeded.
const INTERVAL: Duration = Duration::from_hours(1);
/// Time to the next round after one with a failure.
const AFTER_FAILURE: Duration = Duration::from_mins(1);
/// Name of the task in the health report.
const PART: &str = "retention";

/// Days by which a floor moves in one round.
const STEP_DAYS: u32 = 2;

/// The newest window that was stored. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct NewestWindow(Arc<AtomicI64>);

impl Default for NewestWindow {
    /// None yet.
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MIN)))
    }
}

impl NewestWindow {
    /// Returns an observer of a sink, which notes the windows that it has stored.
    #[must_use]
    pub fn observer(&self) -> Arc<StoredObserver> {
        let newest = self.clone();
        Arc::new(move |_, key, _| {
            if let Ok(key) = SummaryKey::decode(key) {
                newest.0.fetch_max(key.window_start_ms, Ordering::Relaxed);
            }
        })
    }

    fn day(&self) -> Option<Day> {
        let start_ms = self.0.load(Ordering::Relaxed);
        (start_ms > i64::MIN).then(|| Day::of_ms(start_ms))
    }
}

/// Retention policy of a store: what is kept, and for how long.
///
/// What is dropped is gone, so the wall clock alone drops nothing: the floor does not pass the newest window stored less
/// the retention, and moves by two days in a round.
#[derive(Clone, Debug)]
pub struct RetentionPlan {
    /// Jobs whose days are created.
    pub jobs: Vec<Arc<str>>,
    /// Number of whole days before today to keep; `None` keeps all.
    pub retention_days: Option<u32>,
    /// Newest window that the sink has stored since it started.
    pub newest: NewestWindow,
    /// Whether the first round drops all days past their retention by the wall clock, however many.
    pub is_forced: bool,
}

impl RetentionPlan {
    /// Returns the first day to keep as of `today`, and by how many days a floor may move towards it; `None` if none may.
    fn floor(&self, today: Day, is_forced: bool) -> Option<(Day, Option<u32>)> {
        let retention_days = i64::from(self.retention_days?);
        if is_forced {
            return Some((today.plus(-retention_days), None));
        }
        let newest = self.newest.day()?.min(today);
        Some((newest.plus(-retention_days), Some(STEP_DAYS)))
    }
}

/// A running retention task.
pub struct RetentionTask(JoinHandle<()>);

impl RetentionTask {
    /// Starts the thread: one round immediately, then one an hour, until `stop`.
    pub fn start(
        plan: RetentionPlan,
        store: &Arc<dyn SummaryStore>,
        health: &Health,
        stop: &StopSignal,
    ) -> Self {
        let store = Arc::clone(store);
        let (of_thread, stop_of_thread) = (health.clone(), stop.clone());
        Self(threads::spawn(PART, health, stop, move || run(&plan, &*store, &of_thread, &stop_of_thread)))
    }

    /// Blocks until the thread has ended.
    pub fn join(self) {
        threads::join(self.0);
    }
}

fn run(plan: &RetentionPlan, store: &dyn SummaryStore, health: &Health, stop: &StopSignal) {
    let mut is_forced = plan.is_forced;
    while !stop.wait(reported_round(plan, store, Day::today(), &mut is_forced, health)) {}
}

/// Does a round and reports it; returns the time to the next one. Days are dropped by force until a round has succeeded, and
/// never again.
fn reported_round(
    plan: &RetentionPlan,
    store: &dyn SummaryStore,
    today: Day,
    is_forced: &mut bool,
    health: &Health,
) -> Duration {
    match round(plan, store, today, *is_forced) {
        Ok(()) => {
            *is_forced = false;
            health.set(PART, Condition::Ready);
            INTERVAL
        }
        Err(error) => {
            tracing::warn!(%error, "days of the store are not as they should be; tried again in {AFTER_FAILURE:?}");
            health.set(PART, Condition::Troubled(error.to_string()));
            AFTER_FAILURE
        }
    }
}

/// Creates and drops days as of `today`. A failure of one does not prevent the other.
///
/// # Errors
/// If either fails; returns the first failure.
fn round(
    plan: &RetentionPlan,
    store: &dyn SummaryStore,
    today: Day,
    is_forced: bool,
) -> Result<(), StoreError> {
    let failed = |task| {
        let count = metric_names::RETENTION_FAILURES.with(&[store.name(), task]);
        move |_: &StoreError| count.increment(1)
    };
    let jobs: Vec<&str> = plan.jobs.iter().map(|job| &**job).collect();
    let created = store.create_days(&jobs, today, today.plus(DAYS_AHEAD_MAX)).inspect_err(failed("create"));
    let dropped = match plan.floor(today, is_forced) {
        Some((floor, days_max)) => store.drop_days_below(floor, days_max).inspect_err(failed("drop")),
        None => Ok(Vec::new()),
    };
    let dropped = dropped.map(|days| {
        metric_names::RETENTION_DAYS_DROPPED.with(&[store.name()]).increment(days.len() as u64);
        for day in days {
            tracing::info!(store = store.name(), %day, "dropped: older than its retention");
        }
    });
    created.and(dropped)
}

#[cfg(test)]
mod tests {
    use yahtzee_core::owner::Owner;

    use super::*;
    use crate::test_world::{Bell, Mode, ModelStore};

    const TODAY: Day = Day(20_000);

    /// A plan of a sink that has stored a window of `newest`.
    fn plan(retention_days: Option<u32>, newest: Option<Day>) -> RetentionPlan {
        let seen = NewestWindow::default();
        if let Some(day) = newest {
            let key = SummaryKey {
                owner: Owner([1; 16]),
                dimensions: Vec::new(),
                window_start_ms: day.plus(1).start_ms() - 1,
                window_length_ms: 60_000,
            };
            seen.observer()("job", &key.encode(), b"");
        }
        RetentionPlan { jobs: vec!["job".into()], retention_days, newest: seen, is_forced: false }
    }

    #[test]
    fn a_round_creates_ahead_and_drops_what_retention_has_passed() {
        let check = |retention_days: Option<u32>, floors: &[Day]| {
            let store = ModelStore::new("model", 2, Bell::default());
            assert_eq!(round(&plan(retention_days, Some(TODAY)), &store, TODAY, false), Ok(()));
            let floors = floors.iter().map(|&floor| (floor, Some(2))).collect();
            assert_eq!(store.kept(), (vec![(TODAY, Day(20_002))], floors));
        };
        check(None, &[]);
        check(Some(0), &[TODAY]);
        check(Some(30), &[Day(19_970)]);
    }

    /// The wall clock is forty days ahead, or behind, or a sink has just started.
    #[test]
    fn the_wall_clock_alone_drops_nothing() {
        let check = |newest: Option<Day>, today: Day, is_forced, expected: Option<(Day, Option<u32>)>| {
            assert_eq!(plan(Some(30), newest).floor(today, is_forced), expected, "{newest:?} {today}");
        };
        let kept = Day(19_970);
        check(Some(TODAY), TODAY.plus(40), false, Some((kept, Some(2))));
        check(Some(TODAY), TODAY.plus(-40), false, Some((kept.plus(-40), Some(2))));
        check(Some(TODAY.plus(1)), TODAY, false, Some((kept, Some(2))));
        check(None, TODAY, false, None);
        check(None, TODAY, true, Some((kept, None)));
        check(Some(TODAY), TODAY.plus(40), true, Some((kept.plus(40), None)));
    }

    #[test]
    fn a_failure_to_create_does_not_keep_days_from_being_dropped() {
        let store = ModelStore::new("model", 2, Bell::default());
        store.set(0, Mode::Down);
        assert!(matches!(
            round(&plan(Some(1), Some(TODAY)), &store, TODAY, false),
            Err(StoreError::Unavailable { .. })
        ));
        assert_eq!(store.kept().1, [(Day(19_999), Some(2))]);
    }

    /// Forced for longer, a clock that jumps ahead drops everything.
    #[test]
    fn days_are_dropped_by_force_until_that_has_succeeded_once() {
        let (store, health) = (ModelStore::new("model", 1, Bell::default()), Health::default());
        let plan = RetentionPlan { is_forced: true, ..plan(Some(1), Some(TODAY)) };
        let mut is_forced = plan.is_forced;
        let mut check = |mode: Mode, wait: Duration, days_max: Option<u32>| {
            store.set(0, mode);
            assert_eq!(reported_round(&plan, &store, TODAY, &mut is_forced, &health), wait);
            assert_eq!(store.kept().1.pop(), Some((Day(19_999), days_max)), "{mode:?}");
            assert_eq!(health.is_ready(), mode == Mode::Works);
        };
        check(Mode::Down, AFTER_FAILURE, None);
        check(Mode::Works, INTERVAL, None);
        check(Mode::Works, INTERVAL, Some(STEP_DAYS));
        check(Mode::Down, AFTER_FAILURE, Some(STEP_DAYS));
        check(Mode::Works, INTERVAL, Some(STEP_DAYS));
    }

    #[test]
    fn the_thread_works_at_once_and_stops_when_asked() {
        let (bell, health, stop) = (Bell::default(), Health::default(), StopSignal::new());
        let model = Arc::new(ModelStore::new("model", 1, bell.clone()));
        let store = Arc::clone(&model) as Arc<dyn SummaryStore>;
        let task = RetentionTask::start(plan(Some(1), Some(TODAY)), &store, &health, &stop);
        bell.wait("the first round", || health.parts().get(PART) == Some(&Condition::Ready));
        stop.stop();
        task.join();
        let (created, floors) = model.kept();
        assert_eq!((created.len(), floors.len()), (1, 1));
    }
}
