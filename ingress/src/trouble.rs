//! A trouble of this process that its health shows while it lasts.

use std::sync::atomic::{AtomicBool, Ordering};

use yahtzee_runtime::health::{Condition, Health};

/// A trouble that begins and ends, as appends are answered.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// Part of the health report.
    part: &'static str,
    health: Health,
    is_on: AtomicBool,
}

impl Trouble {
    /// Creates one that is not there, and that the health report does not name before it has been.
    pub(crate) fn new(part: &'static str, health: Health) -> Self {
        Self { part, health, is_on: AtomicBool::new(false) }
    }

    /// Notes that it is there, and why; returns whether it has just begun.
    pub(crate) fn begin(&self, reason: String) -> bool {
        self.health.set(self.part, Condition::Troubled(reason));
        !self.is_on.swap(true, Ordering::Relaxed)
    }

    /// Notes that it is not there; returns whether it has just ended.
    pub(crate) fn end(&self) -> bool {
        let has_ended = self.is_on.swap(false, Ordering::Relaxed);
        if has_ended {
            self.health.set(self.part, Condition::Ready);
        }
        has_ended
    }
}
