//! Windows of event time by number, and the policy that says which of them are kept.

/// A window by its number: event time divided by the window length, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window(pub i64);

impl Window {
    /// The window of a time in milliseconds since 1970. Euclidean, so that times before 1970 work.
    #[must_use]
    pub fn of_ms(time_ms: i64, length_ms: u32) -> Self {
        Self(time_ms.div_euclid(i64::from(length_ms.max(1))))
    }

    /// The window of a time in microseconds since 1970.
    #[must_use]
    pub fn of_us(time_us: i64, length_ms: u32) -> Self {
        Self::of_ms(time_us.div_euclid(1_000), length_ms)
    }

    /// First millisecond of the window.
    #[must_use]
    pub fn start_ms(self, length_ms: u32) -> i64 {
        self.0.saturating_mul(i64::from(length_ms))
    }

    /// The window `count` windows earlier.
    #[must_use]
    pub fn minus(self, count: u32) -> Self {
        Self(self.0.saturating_sub(i64::from(count)))
    }

    /// The window `count` windows later.
    #[must_use]
    pub fn plus(self, count: u32) -> Self {
        Self(self.0.saturating_add(i64::from(count)))
    }
}

/// Which windows are kept, and when their summaries go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Length of a window in milliseconds.
    pub length_ms: u32,
    /// Windows behind the watermark's own that are still accepted (`L`).
    pub lateness_windows: u32,
    /// Windows ahead of a record's own log timestamp that are accepted (`F`).
    pub future_windows: u32,
    /// A changed summary goes out at most once per this time, in milliseconds.
    pub flush_interval_ms: u64,
    /// Greatest difference between the clocks of two ingress processes, in milliseconds. Used only to name the
    /// windows that a gap in the log may have hit.
    pub clock_skew_ms: u32,
    /// Series of one window of one partition at most; further ones are folded into their owner's `other` series.
    pub series_max: usize,
    /// Series of one owner in one window at most; further ones are folded into its `other` series.
    pub series_per_owner_max: usize,
    /// Whether measurements that come too late or too early are written to the LATE topic.
    pub publishes_late: bool,
}

/// The share of `series_max` that a window can hold in `other` series beyond it.
const OTHER_SHARE: usize = 8;

impl Policy {
    /// Series that one window can hold, `other` ones included.
    #[must_use]
    pub fn series_per_window(&self) -> usize {
        self.series_max.saturating_add(self.series_max / OTHER_SHARE + 1)
    }

    /// Series that one partition can hold: those of all windows that can be open together, `other` ones included.
    #[must_use]
    pub fn series_bound(&self) -> u64 {
        let windows = u64::from(self.lateness_windows) + 1 + u64::from(self.future_windows);
        windows * self.series_per_window() as u64
    }

    /// The first multiple of the flush interval after the monotonic time `now_ms`. Multiples, so that all partitions
    /// of a worker flush together.
    #[must_use]
    pub fn next_flush_ms(&self, now_ms: u64) -> u64 {
        let interval_ms = self.flush_interval_ms.max(1);
        (now_ms / interval_ms + 1).saturating_mul(interval_ms)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            length_ms: 60_000,
            lateness_windows: 5,
            future_windows: 1,
            flush_interval_ms: 10_000,
            clock_skew_ms: 60_000,
            series_max: 20_000,
            series_per_owner_max: 1_000,
            publishes_late: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_half_open_and_work_before_1970() {
        fn check(time_ms: i64, expected: i64) {
            let window = Window::of_ms(time_ms, 60_000);
            assert_eq!(window, Window(expected), "{time_ms}");
            assert!(window.start_ms(60_000) <= time_ms && time_ms < window.plus(1).start_ms(60_000));
        }
        check(0, 0);
        check(59_999, 0);
        check(60_000, 1);
        check(-1, -1);
        check(-60_000, -1);
        check(-60_001, -2);
    }

    #[test]
    fn microseconds_fall_into_the_window_of_their_millisecond() {
        assert_eq!(Window::of_us(59_999_999, 60_000), Window(0));
        assert_eq!(Window::of_us(60_000_000, 60_000), Window(1));
        assert_eq!(Window::of_us(-1, 60_000), Window(-1));
    }
}
