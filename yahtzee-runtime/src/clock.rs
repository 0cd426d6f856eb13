//! The clocks, which the core never reads. The shell stamps with the wall clock, and decides nothing by it; intervals and
//! pauses are measured by the monotonic one.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Returns the time since 1970; zero if the clock is set before.
#[must_use]
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns milliseconds since 1970.
#[must_use]
pub fn wall_clock_ms() -> i64 {
    i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX)
}

/// Returns microseconds since 1970.
#[must_use]
pub fn wall_clock_us() -> i64 {
    i64::try_from(since_1970().as_micros()).unwrap_or(i64::MAX)
}

/// A monotonic clock. Cheap to clone; clones show the same time.
#[derive(Clone)]
pub struct MonotonicClock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl MonotonicClock {
    /// Creates a clock that shows the milliseconds that `read` returns, which never decrease.
    pub fn new(read: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Returns the milliseconds since some moment before the first call.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

impl Default for MonotonicClock {
    /// Creates a clock that shows the time since now.
    fn default() -> Self {
        let start = Instant::now();
        Self::new(move || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for MonotonicClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MonotonicClock({} ms)", self.now_ms())
    }
}
