//! The clocks, which the core never reads. The shell stamps with the wall clock, and decides nothing by it; intervals and
//! pauses are measured by the monotonic one.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    static FIRST: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    FIRST.elapsed()
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
    /// Creates a clock that shows the time since now. On Linux the time counts in which the machine is suspended: who has missed
    /// it has stood still.
    fn default() -> Self {
        let start = since_boot();
        Self::new(move || u64::try_from((since_boot() - start).as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for MonotonicClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MonotonicClock({} ms)", self.now_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's own account of it, in hundredths of a second.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_time_of_suspension_counts() {
        let uptime = || -> Duration {
            let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
            Duration::from_secs_f64(uptime.split(' ').next().unwrap().parse().unwrap())
        };
        let (before, now, after) = (uptime(), since_boot(), uptime() + Duration::from_millis(10));
        assert!(before <= now && now <= after, "{before:?} {now:?} {after:?}");
    }

    #[test]
    fn a_clock_begins_with_zero_and_its_clones_show_its_time() {
        let clock = MonotonicClock::default();
        let clone = clock.clone();
        let (first, second, third) = (clock.now_ms(), clone.now_ms(), clock.now_ms());
        assert!(first <= second && second <= third && third < 60_000, "{first} {second} {third}");
    }
}
