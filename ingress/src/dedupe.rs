//! A delivery is stored once: further attempts wait for the one in flight, and what is stored is not stored again.
//!
//! Time is handed in, so that expiry needs no waiting to be tested.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// The identity of a delivery, the same for all its attempts: its frame id ([`crate::sender_name::SenderName::frame_id`]), and what its
/// sender may write.
pub type DeliveryId = [u8; 16];

/// The end of a delivery.
pub type DeliveryOutcome = Result<(), NotStored>;

/// Records did not reach the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("records were not stored: {reason}")]
pub struct NotStored {
    /// The reason, for the operator.
    pub reason: String,
}

impl NotStored {
    pub(crate) fn because(reason: impl ToString) -> Self {
        Self { reason: reason.to_string() }
    }
}

/// The deliveries of the last minutes. Memory is bounded by number and by age.
#[derive(Debug)]
pub struct Dedupe {
    retention: Duration,
    max_entries: usize,
    entries: Mutex<DedupeEntries>,
}

#[derive(Debug, Default)]
struct DedupeEntries {
    by_id: HashMap<DeliveryId, DedupeEntry>,
    /// Oldest first. May name entries that are gone or have been replaced.
    by_age: VecDeque<(Instant, DeliveryId, u64)>,
    next_serial: u64,
}

#[derive(Debug)]
struct DedupeEntry {
    serial: u64,
    state: DedupeState,
}

#[derive(Debug)]
enum DedupeState {
    InFlight(watch::Receiver<Option<DeliveryOutcome>>),
    Done,
}

/// The state in which a claim found a delivery.
#[derive(Debug)]
pub enum Claim {
    /// It is new: store it and settle the ticket.
    New(DeliveryTicket),
    /// It is being stored: wait for its outcome.
    InFlight(Waiter),
    /// It was stored before.
    Done,
}

impl Dedupe {
    /// Remembers each delivery for `retention`, and no more than `max_entries` of them.
    #[must_use]
    pub fn new(retention: Duration, max_entries: usize) -> Arc<Self> {
        Arc::new(Self { retention, max_entries, entries: Mutex::default() })
    }

    /// Claims the delivery `id` at time `now`.
    #[must_use]
    pub fn claim(self: &Arc<Self>, id: DeliveryId, now: Instant) -> Claim {
        let mut entries = self.lock();
        entries.expire(now, self.retention);
        match entries.by_id.get(&id).map(|entry| &entry.state) {
            Some(DedupeState::Done) => return Claim::Done,
            Some(DedupeState::InFlight(outcome)) => {
                return Claim::InFlight(Waiter { outcome: outcome.clone() });
            }
            None => {}
        }
        entries.make_room(self.max_entries);
        let (outcome, waiters) = watch::channel(None);
        let serial = entries.insert(id, now, DedupeState::InFlight(waiters));
        Claim::New(DeliveryTicket { dedupe: Arc::clone(self), entry: Some((id, serial)), outcome })
    }

    /// Returns a ticket for a delivery without a name: all its attempts are new.
    #[must_use]
    pub fn ticket_without_name(self: &Arc<Self>) -> DeliveryTicket {
        DeliveryTicket { dedupe: Arc::clone(self), entry: None, outcome: watch::channel(None).0 }
    }

    /// Returns the number of deliveries that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Returns whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Locks the entries. They are whole between any two statements, so a panic elsewhere does not spoil them.
    fn lock(&self) -> std::sync::MutexGuard<'_, DedupeEntries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DedupeEntries {
    fn insert(&mut self, id: DeliveryId, now: Instant, state: DedupeState) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.by_id.insert(id, DedupeEntry { serial, state });
        self.by_age.push_back((now, id, serial));
        serial
    }

    fn expire(&mut self, now: Instant, retention: Duration) {
        while let Some(&(since, ..)) = self.by_age.front()
            && now.saturating_duration_since(since) >= retention
        {
            self.forget_oldest();
        }
    }

    fn make_room(&mut self, max_entries: usize) {
        while self.by_age.len() >= max_entries.max(1) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id, serial)) = self.by_age.pop_front() {
            self.remove(id, serial);
        }
    }

    fn remove(&mut self, id: DeliveryId, serial: u64) {
        if self.by_id.get(&id).is_some_and(|entry| entry.serial == serial) {
            self.by_id.remove(&id);
        }
    }
}

/// The right to store a delivery. Dropping it unsettled counts as failed.
#[derive(Debug)]
pub struct DeliveryTicket {
    dedupe: Arc<Dedupe>,
    /// Name and serial number of its entry; `None` for a delivery without a name.
    entry: Option<(DeliveryId, u64)>,
    outcome: watch::Sender<Option<DeliveryOutcome>>,
}

impl DeliveryTicket {
    /// Returns what waits for the outcome.
    #[must_use]
    pub fn waiter(&self) -> Waiter {
        Waiter { outcome: self.outcome.subscribe() }
    }

    /// Reports the outcome to everybody who waits. A stored delivery is remembered, a failed one may be claimed again.
    pub fn settle(self, outcome: &DeliveryOutcome) {
        if outcome.is_ok()
            && let Some((id, serial)) = self.entry
        {
            let mut entries = self.dedupe.lock();
            if let Some(entry) = entries.by_id.get_mut(&id).filter(|entry| entry.serial == serial) {
                entry.state = DedupeState::Done;
            }
        }
        // Failed deliveries are removed by `drop`.
        self.outcome.send_replace(Some(outcome.clone()));
    }
}

impl Drop for DeliveryTicket {
    fn drop(&mut self) {
        let is_stored = matches!(&*self.outcome.borrow(), Some(Ok(())));
        if !is_stored && let Some((id, serial)) = self.entry {
            self.dedupe.lock().remove(id, serial);
        }
    }
}

/// Waits for the outcome of a delivery.
#[derive(Debug)]
pub struct Waiter {
    outcome: watch::Receiver<Option<DeliveryOutcome>>,
}

impl Waiter {
    /// Waits until the outcome is known.
    ///
    /// # Errors
    /// If the delivery was not stored, or given up.
    pub async fn outcome(mut self) -> DeliveryOutcome {
        let settled = self.outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        settled.unwrap_or_else(|| Err(NotStored::because("the delivery was given up")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETENTION: Duration = Duration::from_secs(600);

    fn failed() -> DeliveryOutcome {
        Err(NotStored { reason: "broker down".to_owned() })
    }

    fn ticket(claim: Claim) -> DeliveryTicket {
        match claim {
            Claim::New(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn waiter(claim: Claim) -> Waiter {
        match claim {
            Claim::InFlight(waiter) => waiter,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn all_attempts_in_flight_get_the_outcome_of_the_first() {
        for outcome in [Ok(()), failed()] {
            let (dedupe, now) = (Dedupe::new(RETENTION, 10), Instant::now());
            let first = ticket(dedupe.claim([1; 16], now));
            let waiters = [waiter(dedupe.claim([1; 16], now)), waiter(dedupe.claim([1; 16], now))];
            first.settle(&outcome);
            for waiter in waiters {
                assert_eq!(waiter.outcome().await, outcome);
            }
        }
    }

    #[test]
    fn stored_deliveries_are_done_and_failed_ones_may_be_claimed_again() {
        let (dedupe, now) = (Dedupe::new(RETENTION, 10), Instant::now());
        ticket(dedupe.claim([1; 16], now)).settle(&failed());
        ticket(dedupe.claim([1; 16], now)).settle(&Ok(()));
        assert!(matches!(dedupe.claim([1; 16], now), Claim::Done));
        ticket(dedupe.claim([2; 16], now)).settle(&Ok(()));
    }

    #[tokio::test]
    async fn a_dropped_ticket_is_a_failure() {
        let (dedupe, now) = (Dedupe::new(RETENTION, 10), Instant::now());
        let first = ticket(dedupe.claim([1; 16], now));
        let waiting = waiter(dedupe.claim([1; 16], now));
        drop(first);
        assert!(waiting.outcome().await.is_err());
        assert!(dedupe.is_empty());
    }

    #[test]
    fn deliveries_expire_after_the_retention() {
        fn check(age: Duration, expected_done: bool) {
            let (dedupe, start) = (Dedupe::new(RETENTION, 10), Instant::now());
            ticket(dedupe.claim([1; 16], start)).settle(&Ok(()));
            let is_done = matches!(dedupe.claim([1; 16], start + age), Claim::Done);
            assert_eq!(is_done, expected_done, "{age:?}");
        }
        check(RETENTION - Duration::from_nanos(1), true);
        check(RETENTION, false);
    }

    #[test]
    fn the_oldest_make_room() {
        let (dedupe, now) = (Dedupe::new(RETENTION, 3), Instant::now());
        for id in 0..10 {
            ticket(dedupe.claim([id; 16], now)).settle(&Ok(()));
            assert!(dedupe.len() <= 3);
        }
        assert!(matches!(dedupe.claim([9; 16], now), Claim::Done));
        assert!(matches!(dedupe.claim([7; 16], now), Claim::Done));
        assert!(matches!(dedupe.claim([6; 16], now), Claim::New(_)));
    }

    #[test]
    fn repeated_failures_take_no_memory() {
        let (dedupe, now) = (Dedupe::new(RETENTION, 3), Instant::now());
        for _ in 0..100 {
            drop(ticket(dedupe.claim([1; 16], now)));
        }
        assert!(dedupe.is_empty());
        assert!(dedupe.lock().by_age.len() <= 3);
    }

    #[test]
    fn a_late_outcome_does_not_touch_the_next_claim() {
        let (dedupe, start) = (Dedupe::new(RETENTION, 10), Instant::now());
        let late = ticket(dedupe.claim([1; 16], start));
        let current = ticket(dedupe.claim([1; 16], start + RETENTION));
        late.settle(&failed());
        assert!(matches!(dedupe.claim([1; 16], start + RETENTION), Claim::InFlight(_)));
        current.settle(&Ok(()));
        assert!(matches!(dedupe.claim([1; 16], start + RETENTION), Claim::Done));
    }
}
