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
    /// Series of one window of one partition at most, half of them beyond the shares of their owners
    /// ([`Self::series_share`]); further ones are folded into their owner's `other` series.
    pub series_max: usize,
    /// Series of one owner in one window at most; further ones are folded into its `other` series.
    pub series_per_owner_max: usize,
    /// Whether measurements that come too late or too early are written to the LATE topic.
    pub publishes_late: bool,
}

/// Windows that can be open together, at most: a commit names each of them, and what is stored with an offset has less than
/// 4,096 characters.
pub const OPEN_WINDOWS_MAX: u32 = 200;

/// Why a policy cannot be worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// A length or an interval of 0: the name of its key.
    Zero(&'static str),
    /// More windows would be open than a commit can name.
    TooManyWindows {
        /// Windows behind the watermark.
        lateness_windows: u32,
        /// Windows ahead.
        future_windows: u32,
    },
    /// More series than fit in any memory: the cap.
    TooManySeries(usize),
}

impl std::fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Zero(key) => write!(formatter, "{key} must be above 0"),
            Self::TooManyWindows { lateness_windows, future_windows } => write!(
                formatter,
                "lateness_windows = {lateness_windows} and future_windows = {future_windows} keep more than \
                 {OPEN_WINDOWS_MAX} windows open, which a commit could not name; lengthen the windows"
            ),
            Self::TooManySeries(series_max) => {
                write!(formatter, "series_max = {series_max} must be at most {}", Policy::SERIES_MAX)
            }
        }
    }
}

impl std::error::Error for PolicyError {}

/// The share of `series_max` that a window can hold in `other` series beyond it.
const OTHER_SHARE: usize = 8;

/// The share of `series_per_owner_max` for which an owner's series need not compete with those of owners that have many.
const OWNER_SHARE: usize = 32;

/// Frames that a window remembers for each of the series that it can hold, and however few those are. Busy drains send
/// about one frame per app and second.
const FRAMES_PER_SERIES: usize = 16;
const FRAMES_MIN: usize = 1 << 16;

impl Policy {
    /// The greatest `series_max`: with more, sums of sizes would end beyond 64 bits.
    pub const SERIES_MAX: usize = 1 << 30;

    /// Checks that the policy can be worked with.
    ///
    /// # Errors
    /// If a length is 0, more windows would be open than a commit can name, or more series than can be counted.
    pub fn check(&self) -> Result<(), PolicyError> {
        let Self { lateness_windows, future_windows, .. } = *self;
        if self.length_ms == 0 {
            return Err(PolicyError::Zero("window_length_ms"));
        }
        if self.flush_interval_ms == 0 {
            return Err(PolicyError::Zero("flush_interval_ms"));
        }
        if self.series_max > Self::SERIES_MAX {
            return Err(PolicyError::TooManySeries(self.series_max));
        }
        match lateness_windows.saturating_add(future_windows) < OPEN_WINDOWS_MAX {
            true => Ok(()),
            false => Err(PolicyError::TooManyWindows { lateness_windows, future_windows }),
        }
    }

    /// Series of an owner in one window that owners with more cannot take the room of: at least 1. They have a place as long
    /// as all owners together have fewer than half of `series_max` within their shares.
    #[must_use]
    pub fn series_share(&self) -> usize {
        (self.series_per_owner_max / OWNER_SHARE).max(1)
    }

    /// Series of one window that owners can have beyond their shares, all together.
    #[must_use]
    pub fn series_beyond_shares_max(&self) -> usize {
        self.series_max / 2
    }

    /// Series that one window can hold, `other` ones included.
    #[must_use]
    pub fn series_per_window(&self) -> usize {
        self.series_max.saturating_add(self.series_max / OTHER_SHARE + 1)
    }

    /// Frames that one window remembers, to know their repetitions.
    #[must_use]
    pub fn frames_max(&self) -> usize {
        FRAMES_MIN.max(self.series_max.saturating_mul(FRAMES_PER_SERIES))
    }

    /// Windows that can be open together.
    #[must_use]
    pub fn open_windows_max(&self) -> u64 {
        u64::from(self.lateness_windows) + 1 + u64::from(self.future_windows)
    }

    /// Series that one partition can hold: those of all windows that can be open together, `other` ones included.
    #[must_use]
    pub fn series_bound(&self) -> u64 {
        self.open_windows_max().saturating_mul(self.series_per_window() as u64)
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
