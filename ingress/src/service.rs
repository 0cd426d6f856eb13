//! The state of the HTTP service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::sync::Semaphore;

use crate::auth::SenderCredentials;
use crate::body_memory::BodyMemory;
use crate::dedupe::Dedupe;
use crate::rate_limit::OwnerRateLimit;
use crate::raw_topics::RawTopics;
use crate::settings::Settings;
use crate::stats::IngressStats;
use crate::token_table::TokenTable;
use crate::unknown_owners::UnknownOwners;

/// Returns the time of the wall clock, in microseconds since 1970.
pub type WallClock = Box<dyn Fn() -> i64 + Send + Sync>;

/// The HTTP service: the state that all requests share.
pub struct Ingress {
    pub(crate) settings: Settings,
    pub(crate) credentials: SenderCredentials,
    pub(crate) tokens: TokenTable,
    pub(crate) dedupe: Arc<Dedupe>,
    pub(crate) rate_limit: Option<OwnerRateLimit>,
    pub(crate) unknown_owners: UnknownOwners,
    pub(crate) topics: Arc<RawTopics>,
    pub(crate) body_memory: Arc<BodyMemory>,
    /// One permit per delivery that may wait for the log.
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) stats: IngressStats,
    clock: ReceiveClock,
    is_closing: AtomicBool,
}

impl Ingress {
    /// Creates a service that appends what it receives to `topics`.
    #[must_use]
    pub fn new(
        settings: Settings,
        tokens: TokenTable,
        topics: Arc<RawTopics>,
        clock: WallClock,
    ) -> Arc<Self> {
        let bound = settings.credentials.iter().flat_map(|credential| credential.scope.named());
        let named = tokens.owners().chain(bound);
        Arc::new(Self {
            credentials: SenderCredentials::new(&settings.credentials),
            unknown_owners: UnknownOwners::new(named.collect(), settings.unknown_owners_max),
            tokens,
            dedupe: Dedupe::new(settings.dedupe_retention, settings.dedupe_entries),
            rate_limit: settings.owner_bytes_per_second.map(OwnerRateLimit::new),
            topics,
            body_memory: BodyMemory::new(settings.body_memory_bytes),
            in_flight: Arc::new(Semaphore::new(settings.max_deliveries)),
            stats: IngressStats::default(),
            clock: ReceiveClock::new(clock),
            is_closing: AtomicBool::new(false),
            settings,
        })
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn stats(&self) -> &IngressStats {
        &self.stats
    }

    /// Returns the receive stamp of now, microseconds since 1970.
    pub(crate) fn recv_us(&self) -> i64 {
        self.clock.now_us()
    }

    /// Begins the shutdown: every further reply asks its sender to close the connection.
    pub fn begin_shutdown(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// Returns whether a shutdown has begun.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Ingress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("Ingress");
        debug.field("settings", &self.settings).field("stats", &self.stats).finish_non_exhaustive()
    }
}

/// Greatest step back of the wall clock that stamps hide.
const STEP_BACK_MAX_US: i64 = 1_000_000;

/// A wall clock that does not go back by less than a second, so that corrections in passing do not reorder stamps. A
/// greater step back ends a time in which the clock was ahead, and is followed at once.
struct ReceiveClock {
    clock: WallClock,
    latest_us: AtomicI64,
}

impl ReceiveClock {
    fn new(clock: WallClock) -> Self {
        Self { clock, latest_us: AtomicI64::new(i64::MIN) }
    }

    fn now_us(&self) -> i64 {
        let now_us = (self.clock)();
        let latest_us = self.latest_us.fetch_max(now_us, Ordering::Relaxed).max(now_us);
        if latest_us.saturating_sub(now_us) <= STEP_BACK_MAX_US {
            return latest_us;
        }
        self.latest_us.store(now_us, Ordering::Relaxed);
        now_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receive_stamps_follow_the_clock_but_for_small_steps_back() {
        let wall_us = Arc::new(AtomicI64::new(0));
        let source = Arc::clone(&wall_us);
        let clock = ReceiveClock::new(Box::new(move || source.load(Ordering::Relaxed)));
        let check = |wall, expected| {
            wall_us.store(wall, Ordering::Relaxed);
            assert_eq!(clock.now_us(), expected);
        };
        check(-5, -5);
        check(10, 10);
        check(7, 10);
        check(10, 10);
        check(11, 11);
        check(50_000_000, 50_000_000);
        check(49_000_000, 50_000_000);
        check(48_999_999, 48_999_999);
        check(48_500_000, 48_999_999);
        check(11, 11);
    }
}
