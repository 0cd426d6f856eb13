//! Wakes threads that wait for a condition, whenever something has happened.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Maximum time to wait, far beyond what any test needs: reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Interval at which conditions that do not ring, such as health, are checked.
const GLANCE: Duration = Duration::from_millis(20);

/// A bell that any thread can ring or wait for. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<(Mutex<u64>, Condvar)>);

impl Bell {
    pub(crate) fn ring(&self) {
        *self.0.0.lock().unwrap() += 1;
        self.0.1.notify_all();
    }

    /// Blocks until `reached` returns true.
    pub(crate) fn wait(&self, what: &str, reached: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let rung = *self.0.0.lock().unwrap();
            if reached() {
                return;
            }
            assert!(Instant::now() < until, "waited {PATIENCE:?} for: {what}");
            let guard = self.0.0.lock().unwrap();
            drop(self.0.1.wait_timeout_while(guard, GLANCE, |now| *now == rung).unwrap());
        }
    }
}
