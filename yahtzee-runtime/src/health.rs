//! Whether the parts of a process are alive and ready: what `/healthz` and `/readyz` answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

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
}

impl Health {
    /// Sets the state of a part.
    pub fn set(&self, part: &str, condition: Condition) {
        let mut parts = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(part.to_owned(), condition);
    }

    /// Sets a remark on a part, which is shown whatever its state is: what has happened and is not mended by going on.
    pub fn remark(&self, part: &str, remark: String) {
        let mut remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        remarks.insert(part.to_owned(), remark);
    }

    /// Returns all remarks, by name of the part.
    #[must_use]
    pub fn remarks(&self) -> BTreeMap<String, String> {
        self.remarks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns all parts with their states, by name.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<String, Condition> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
