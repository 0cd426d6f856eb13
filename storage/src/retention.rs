//! The retention task: creates the next days of a store ahead of time, so that midnight causes no burst of work, and
//! drops those past their retention.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

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

/// Retention policy of a store: what is kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPlan {
    /// Jobs whose days are created.
    pub jobs: Vec<Arc<str>>,
    /// Number of whole days before today to keep; `None` keeps all.
    pub retention_days: Option<u32>,
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
    loop {
        let wait = match round(plan, store, Day::today()) {
            Ok(()) => {
                health.set(PART, Condition::Ready);
                INTERVAL
            }
            Err(error) => {
                tracing::warn!(%error, "days of the store are not as they should be; tried again in {AFTER_FAILURE:?}");
                health.set(PART, Condition::Troubled(error.to_string()));
                AFTER_FAILURE
            }
        };
        if stop.wait(wait) {
            return;
        }
    }
}

/// Creates and drops days as of `today`. A failure of one does not prevent the other.
///
/// # Errors
/// If either fails; returns the first failure.
pub fn round(plan: &RetentionPlan, store: &dyn SummaryStore, today: Day) -> Result<(), StoreError> {
    let failed = |task| {
        let count = metric_names::RETENTION_FAILURES.with(&[store.name(), task]);
        move |_: &StoreError| count.increment(1)
    };
    let jobs: Vec<&str> = plan.jobs.iter().map(|job| &**job).collect();
    let created = store.create_days(&jobs, today, today.plus(DAYS_AHEAD_MAX)).inspect_err(failed("create"));
    let dropped = match plan.retention_days {
        Some(days) => store.drop_days_below(today.plus(-i64::from(days))).inspect_err(failed("drop")),
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
    use super::*;
    use crate::test_world::{Bell, Mode, ModelStore};

    const TODAY: Day = Day(20_000);

    fn plan(retention_days: Option<u32>) -> RetentionPlan {
        RetentionPlan { jobs: vec!["job".into()], retention_days }
    }

    #[test]
    fn a_round_creates_ahead_and_drops_what_retention_has_passed() {
        let check = |retention_days: Option<u32>, floors: &[Day]| {
            let store = ModelStore::new("model", 2, Bell::default());
            assert_eq!(round(&plan(retention_days), &store, TODAY), Ok(()));
            assert_eq!(store.kept(), (vec![(TODAY, Day(20_002))], floors.to_vec()));
        };
        check(None, &[]);
        check(Some(0), &[TODAY]);
        check(Some(30), &[Day(19_970)]);
    }

    #[test]
    fn a_failure_to_create_does_not_keep_days_from_being_dropped() {
        let store = ModelStore::new("model", 2, Bell::default());
        store.set(0, Mode::Down);
        assert!(matches!(round(&plan(Some(1)), &store, TODAY), Err(StoreError::Unavailable { .. })));
        assert_eq!(store.kept().1, [Day(19_999)]);
    }

    #[test]
    fn the_thread_works_at_once_and_stops_when_asked() {
        let (bell, health, stop) = (Bell::default(), Health::default(), StopSignal::new());
        let model = Arc::new(ModelStore::new("model", 1, bell.clone()));
        let store = Arc::clone(&model) as Arc<dyn SummaryStore>;
        let task = RetentionTask::start(plan(Some(1)), &store, &health, &stop);
        bell.wait("the first round", || health.parts().get(PART) == Some(&Condition::Ready));
        stop.stop();
        task.join();
        let (created, floors) = model.kept();
        assert_eq!((created.len(), floors.len()), (1, 1));
    }
}
