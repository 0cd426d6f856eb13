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
pub struct Health(Arc<Mutex<BTreeMap<String, Condition>>>);

impl Health {
    /// Sets the state of a part.
    pub fn set(&self, part: &str, condition: Condition) {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(part.to_owned(), condition);
    }

    /// Returns all parts with their states, by name.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<String, Condition> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
