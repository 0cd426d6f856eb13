//! Writes the input of a run at an even pace, and remembers what was acknowledged.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use yahtzee_loadgen::hostile::{HostileRecord, HostileTraffic, Limits};
use yahtzee_runtime::log::{Appender, NewRecord, SharedLog};

use crate::policy::{CLOCK_SKEW_MS, FUTURE, LATENESS, PARTITIONS, WINDOW_MS};
use crate::raw::Fingerprint;

/// Records that may wait for their acknowledgement; beyond, the generator waits too.
const WAITING_MAX: u64 = 50_000;
/// A watermark this far ahead of every record's stamp leaves no window open that a record can have reached.
const LAST_WORD_MS: i64 = (LATENESS + FUTURE + 2) * WINDOW_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const STEP: Duration = Duration::from_millis(5);
const LIMITS: Limits = Limits {
    partitions: PARTITIONS,
    window_ms: WINDOW_MS as u32,
    lateness_windows: LATENESS as u32,
    future_windows: FUTURE as u32,
    clock_skew_ms: CLOCK_SKEW_MS as u32,
};

/// A generator at work.
pub(crate) struct Generator {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<HostileTraffic>,
    ledger: Arc<Ledger>,
    appender: Arc<dyn Appender>,
    topic: Arc<str>,
    clock: Clock,
}

/// What all ingress processes of a run take for the time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    shift_ms: i64,
}

impl Clock {
    /// A clock that is back by less than a day, so that it shows midnight after this time.
    pub(crate) fn midnight_in(time: Duration) -> Self {
        let then_ms = Self::default().now_ms() + time.as_millis() as i64;
        Self { shift_ms: -then_ms.rem_euclid(DAY_MS) }
    }

    fn now_ms(self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis() as i64 + self.shift_ms
    }
}

/// What was sent and what became of it.
#[derive(Default)]
struct Ledger {
    acknowledged: Mutex<Vec<Fingerprint>>,
    sent: AtomicU64,
    settled: AtomicU64,
    failed: AtomicU64,
    /// When the newest record was acknowledged.
    acknowledged_at: Mutex<Option<Instant>>,
}

impl Ledger {
    fn waiting(&self) -> u64 {
        self.sent.load(Ordering::Acquire) - self.settled.load(Ordering::Acquire)
    }
}

impl Generator {
    /// Begins to write `rate` records per second, each of which fails if it is not acknowledged after `deadline`.
    pub(crate) fn start(
        log: &SharedLog,
        topic: &str,
        (seed, rate): (u64, u32),
        clock: Clock,
        deadline: Duration,
    ) -> Result<Self> {
        let appender = log.appender(deadline)?;
        let (stop, ledger) = (Arc::new(AtomicBool::new(false)), Arc::new(Ledger::default()));
        let topic: Arc<str> = topic.into();
        let traffic = HostileTraffic::new(seed, LIMITS);
        let thread = std::thread::Builder::new().name("generator".to_owned()).spawn({
            let (stop, ledger, appender) = (Arc::clone(&stop), Arc::clone(&ledger), Arc::clone(&appender));
            let topic = Arc::clone(&topic);
            move || {
                generate(
                    traffic,
                    rate,
                    clock,
                    &Raw { appender: &*appender, topic: &topic, ledger: &ledger },
                    &stop,
                )
            }
        })?;
        Ok(Self { stop, thread, ledger, appender, topic, clock })
    }

    /// When the newest record was acknowledged.
    pub(crate) fn acknowledged_at(&self) -> Option<Instant> {
        *self.ledger.acknowledged_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops, writes heartbeats that end every window, waits until the fate of every record is known, and returns
    /// those that were acknowledged.
    pub(crate) fn finish(self) -> Vec<Fingerprint> {
        self.stop.store(true, Ordering::Relaxed);
        let Self { thread, ledger, appender, topic, clock, .. } = self;
        let raw = Raw { appender: &*appender, topic: &topic, ledger: &ledger };
        let mut traffic = thread.join().expect("the generator does not panic");
        for record in traffic.heartbeats(clock.now_ms() + LAST_WORD_MS) {
            raw.append(record);
        }
        while ledger.waiting() > 0 {
            std::thread::sleep(STEP);
        }
        let failed = ledger.failed.load(Ordering::Relaxed);
        if failed > 0 {
            eprintln!("chaos: {failed} raw records were not acknowledged; they may or may not be in the log");
        }
        std::mem::take(&mut ledger.acknowledged.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn generate(
    mut traffic: HostileTraffic,
    rate: u32,
    clock: Clock,
    raw: &Raw<'_>,
    stop: &AtomicBool,
) -> HostileTraffic {
    // So that every partition has a record, and its worker something to commit.
    for record in traffic.heartbeats(clock.now_ms()) {
        raw.append(record);
    }
    let started = Instant::now();
    let mut sent = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let due = (started.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while sent < due && raw.ledger.waiting() < WAITING_MAX {
            raw.append(traffic.next(clock.now_ms()));
            sent += 1;
        }
        std::thread::sleep(STEP);
    }
    traffic
}

/// The raw topic, and what is known of what was written to it.
struct Raw<'a> {
    appender: &'a dyn Appender,
    topic: &'a Arc<str>,
    ledger: &'a Arc<Ledger>,
}

impl Raw<'_> {
    fn append(&self, record: HostileRecord) {
        let HostileRecord { partition, timestamp_ms, key, value } = record;
        let fingerprint = Fingerprint::of(partition, timestamp_ms, &key, &value);
        self.ledger.sent.fetch_add(1, Ordering::Release);
        let ledger = Arc::clone(self.ledger);
        let done = move |outcome: Result<(), _>| {
            match outcome {
                Ok(()) => {
                    let mut at = ledger.acknowledged_at.lock().unwrap_or_else(PoisonError::into_inner);
                    *at = Some(Instant::now());
                    ledger.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(fingerprint);
                }
                Err(_) => _ = ledger.failed.fetch_add(1, Ordering::Relaxed),
            }
            ledger.settled.fetch_add(1, Ordering::Release);
        };
        let topic = Arc::clone(self.topic);
        let record = NewRecord { topic, partition, timestamp_ms, key, value, headers: Vec::new() };
        self.appender.append(&[record], Box::new(done));
    }
}
