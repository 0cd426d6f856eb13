//! Wakes who waits for a condition, whenever something has happened.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Far beyond what any test needs: reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// What does not ring, such as health, is looked at this often.
const GLANCE: Duration = Duration::from_millis(20);

/// Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<(Mutex<u64>, Condvar)>);

impl Bell {
    pub(crate) fn ring(&self) {
        *self.0.0.lock().unwrap() += 1;
        self.0.1.notify_all();
    }

    /// Waits until `reached`.
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
