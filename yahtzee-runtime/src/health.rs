//! Whether the parts of a process are alive and ready: what `/healthz` and `/readyz` answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A part that has waited for an answer for longer does not work, whatever it has reported before.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// State of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Does not work yet: starting, or catching up.
    Starting(String),
    /// Works.
    Ready,
    /// Cannot work now and tries again.
    Troubled(String),
    /// Has given up; restart the process or correct its configuration.
    Failed(String),
}

/// The parts of a process by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    conditions: Arc<Mutex<BTreeMap<String, Condition>>>,
    remarks: Arc<Mutex<BTreeMap<String, String>>>,
    waits: Arc<Mutex<BTreeMap<String, Instant>>>,
}

/// A part waits for an answer for as long as this lives.
#[derive(Debug)]
pub struct PartWait {
    part: String,
    health: Health,
}

impl Drop for PartWait {
    fn drop(&mut self) {
        self.health.waits.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.part);
    }
}

impl Health {
    /// Sets the state of a part.
    pub fn set(&self, part: &str, condition: Condition) {
        let mut parts = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(part.to_owned(), condition);
    }

    /// Takes a part out: it has done its work.
    pub fn forget(&self, part: &str) {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// Sets a remark on a part, which is shown whatever its state is: what has happened and is not mended by going on.
    pub fn remark(&self, part: &str, remark: String) {
        let mut remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        remarks.insert(part.to_owned(), remark);
    }

    /// Notes that the thread of a part waits for an answer until the result is dropped: it can report nothing meanwhile.
    #[must_use]
    pub fn wait(&self, part: &str) -> PartWait {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.insert(part.to_owned(), Instant::now());
        PartWait { part: part.to_owned(), health: self.clone() }
    }

    /// Returns all remarks, by name of the part.
    #[must_use]
    pub fn remarks(&self) -> BTreeMap<String, String> {
        self.remarks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns all parts with their states, by name. One that has waited for too long is troubled.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<String, Condition> {
        self.parts_at(Instant::now())
    }

    fn parts_at(&self, now: Instant) -> BTreeMap<String, Condition> {
        let mut parts = self.conditions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (part, since) in &*self.waits.lock().unwrap_or_else(PoisonError::into_inner) {
            let waited = now.saturating_duration_since(*since);
            if let Some(condition @ Condition::Ready) = parts.get_mut(part)
                && waited > WAIT_MAX
            {
                *condition = Condition::Troubled(format!("has waited {} s for an answer", waited.as_secs()));
            }
        }
        parts
    }

    /// Returns false once a part has given up.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.parts().values().any(|condition| matches!(condition, Condition::Failed(_)))
    }

    /// Returns true if there is a part and all work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let parts = self.parts();
        !parts.is_empty() && parts.values().all(|condition| *condition == Condition::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_waits_for_too_long_does_not_work() {
        fn check(before: &Condition, waited: Duration, is_as_before: bool) {
            let health = Health::default();
            health.set("sink", before.clone());
            let wait = health.wait("sink");
            let then = Instant::now() + waited;
            assert_eq!(
                health.parts_at(then).get("sink") == Some(before),
                is_as_before,
                "{before:?} {waited:?}"
            );
            drop(wait);
            assert_eq!(health.parts_at(then).get("sink"), Some(before));
        }
        check(&Condition::Ready, Duration::ZERO, true);
        check(&Condition::Ready, WAIT_MAX + Duration::from_secs(1), false);
        check(&Condition::Failed("for good".to_owned()), WAIT_MAX * 2, true);
        let health = Health::default();
        let _wait = health.wait("unknown");
        assert!(health.parts_at(Instant::now() + WAIT_MAX * 2).is_empty());
    }

    /// Who is not alive is killed by the platform: what mends itself must not be.
    #[test]
    fn a_process_is_alive_until_a_part_gives_up_and_ready_while_all_parts_work() {
        fn check(condition: Condition, is_alive: bool, is_ready: bool) {
            let health = Health::default();
            health.set("works", Condition::Ready);
            health.set("part", condition.clone());
            assert_eq!((health.is_alive(), health.is_ready()), (is_alive, is_ready), "{condition:?}");
            health.forget("part");
            assert!(health.is_alive() && health.is_ready(), "{condition:?} is forgotten");
        }
        check(Condition::Ready, true, true);
        check(Condition::Starting("opening".to_owned()), true, false);
        check(Condition::Troubled("broker down".to_owned()), true, false);
        check(Condition::Failed("fenced".to_owned()), false, false);
    }

    #[test]
    fn a_remark_changes_no_state() {
        let health = Health::default();
        health.remark("sink", "lost a record".to_owned());
        assert!(!health.is_ready() && health.parts().is_empty());
        health.set("sink", Condition::Ready);
        health.remark("sink", "lost two records".to_owned());
        assert!(health.is_ready() && health.is_alive());
        assert_eq!(health.remarks(), BTreeMap::from([("sink".to_owned(), "lost two records".to_owned())]));
    }
}
