//! Writes the input of a run at an even pace, and remembers what was acknowledged.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use yahtzee_loadgen::hostile::{HostileRecord, HostileTraffic, Limits};
use yahtzee_runtime::clock::wall_clock_ms;
use yahtzee_runtime::log::{Appender, NewRecord, SharedLog};

use crate::policy::{CLOCK_SKEW_MS, FUTURE, LATENESS, PARTITIONS, WINDOW_MS};
use crate::raw::Fingerprint;

/// Records that may wait for their acknowledgement; beyond, the generator waits too.
const WAITING_MAX: u64 = 50_000;
/// A watermark this far ahead of every record's stamp leaves no window open that a record can have reached.
pub(crate) const LAST_WORD_MS: i64 = (LATENESS + FUTURE + 2) * WINDOW_MS;
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
    is_held: Arc<Mutex<bool>>,
    /// Gives back the rest of the traffic.
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

/// What became of the records of a generator.
pub(crate) struct Sent {
    pub(crate) acknowledged: Vec<Fingerprint>,
    /// Records that the log has refused, or not acknowledged in time.
    pub(crate) failed: u64,
}

impl Clock {
    /// A clock that is back by less than a day, so that it shows midnight after this time.
    pub(crate) fn midnight_in(time: Duration) -> Self {
        let then_ms = Self::default().now_ms() + time.as_millis() as i64;
        Self { shift_ms: -then_ms.rem_euclid(DAY_MS) }
    }

    /// A clock that is ahead.
    pub(crate) fn ahead(time: Duration) -> Self {
        Self { shift_ms: time.as_millis() as i64 }
    }

    fn now_ms(self) -> i64 {
        wall_clock_ms() + self.shift_ms
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
        let is_held = Arc::new(Mutex::new(false));
        let thread = std::thread::Builder::new().name("generator".to_owned()).spawn({
            let (ledger, appender) = (Arc::clone(&ledger), Arc::clone(&appender));
            let (topic, pace) =
                (Arc::clone(&topic), Pace { rate, stop: Arc::clone(&stop), is_held: Arc::clone(&is_held) });
            move || {
                let raw = Raw { appender: &*appender, topic: &topic, ledger: &ledger };
                generate(traffic, &pace, clock, &raw)
            }
        })?;
        Ok(Self { stop, is_held, thread, ledger, appender, topic, clock })
    }

    /// Writes nothing more from now on, or makes up for the time in which nothing was written.
    pub(crate) fn hold(&self, is_held: bool) {
        *self.is_held.lock().unwrap_or_else(PoisonError::into_inner) = is_held;
    }

    /// Whether the fate of every record is known.
    pub(crate) fn is_settled(&self) -> bool {
        self.ledger.waiting() == 0
    }

    /// When the newest record was acknowledged.
    pub(crate) fn acknowledged_at(&self) -> Option<Instant> {
        *self.ledger.acknowledged_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops, writes `count` heartbeats to every partition, and waits until the fate of every record is known.
    pub(crate) fn finish_with_heartbeats(self, count: u64) -> Sent {
        self.end((0..count).map(|_| 0))
    }

    /// Stops, writes heartbeats this far ahead, where they end every window, and waits until the fate of every record is
    /// known.
    pub(crate) fn finish(self, last_word_ms: Option<i64>) -> Sent {
        self.end(last_word_ms.into_iter())
    }

    /// Stops, writes heartbeats that are ahead by each of these times, and waits.
    fn end(self, heartbeats_ms: impl Iterator<Item = i64>) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        let Self { thread, ledger, appender, topic, clock, .. } = self;
        let raw = Raw { appender: &*appender, topic: &topic, ledger: &ledger };
        let mut traffic = thread.join().expect("the generator does not panic");
        for ahead_ms in heartbeats_ms {
            traffic.heartbeats(clock.now_ms() + ahead_ms).into_iter().for_each(|record| raw.append(record));
        }
        while ledger.waiting() > 0 {
            std::thread::sleep(STEP);
        }
        let failed = ledger.failed.load(Ordering::Relaxed);
        let mut acknowledged = ledger.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        Sent { acknowledged: std::mem::take(&mut acknowledged), failed }
    }
}

/// How fast a generator writes, and whether at all.
struct Pace {
    rate: u32,
    stop: Arc<AtomicBool>,
    is_held: Arc<Mutex<bool>>,
}

fn generate(mut traffic: HostileTraffic, pace: &Pace, clock: Clock, raw: &Raw<'_>) -> HostileTraffic {
    // So that every partition has a record, and its worker something to commit.
    for record in traffic.heartbeats(clock.now_ms()) {
        raw.append(record);
    }
    let started = Instant::now();
    let mut sent = 0_u64;
    while !pace.stop.load(Ordering::Relaxed) {
        let due = (started.elapsed().as_secs_f64() * f64::from(pace.rate)) as u64;
        // Kept meanwhile, so that whoever holds the generator knows that it writes nothing.
        let is_held = pace.is_held.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_held && sent < due && raw.ledger.waiting() < WAITING_MAX {
            raw.append(traffic.next(clock.now_ms()));
            sent += 1;
        }
        drop(is_held);
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
