//! Clients that have failed are not used again: one rule for all of them.
//!
//! librdkafka reconnects by itself, and mostly goes on. What keeps a client stuck is what it remembers. All questions
//! about a group go through one logical broker, `GroupCoordinator`, and a state machine in front of it, which looks for
//! the coordinator through any *other* connection that is up (`rd_kafka_cgrp_coord_query`). With sparse connections
//! nothing opens one by itself: `rd_kafka_connect_any` picks a broker handle that is idle, does nothing while any handle
//! is connecting or counted as up, and a cluster of one has two handles of the same address, that of the bootstrap list
//! and the one learned from metadata. While the query waits for its answer (`WAIT_COORD`) no other is sent, and what
//! the group is asked meanwhile waits for a change of state until its time is up (`rd_kafka_committed`). A request that
//! was queued on a handle when the broker went away is answered by its own time-out alone. A new client has none of
//! this, and costs a few threads and milliseconds. So a question gives up on a client long before its own time is up, and
//! goes to a new one.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::failure;
use crate::log::LogError;

/// Clients that a question is put to, one after the other, before it counts as not answered.
pub(super) const CLIENTS_PER_QUESTION: u32 = 4;

/// Gives each of `count` clients an equal part of the time, as long as none of them gets an answer. Any answer ends it, a
/// refusal too.
pub(super) fn try_clients<T>(
    count: u32,
    within: Duration,
    mut attempt: impl FnMut(Duration) -> Result<T, LogError>,
) -> Result<T, LogError> {
    let patience = within / count;
    for _ in 1..count {
        match attempt(patience) {
            Err(error) if failure::is_unanswered(&error) => {
                tracing::debug!(%error, "asking again through another client");
            }
            answered => return answered,
        }
    }
    attempt(patience)
}

/// What is known against a client. Shared with its callbacks; nothing is ever taken back.
#[derive(Clone, Default)]
pub(super) struct Verdict(Arc<Failings>);

#[derive(Default)]
struct Failings {
    has_timed_out: AtomicBool,
    has_lost_brokers: AtomicBool,
}

impl Verdict {
    /// Notes that no connection of the client is left.
    pub(super) fn lost_brokers(&self) {
        self.0.has_lost_brokers.store(true, Ordering::Relaxed);
    }

    /// Notes the error of a request. One that a broker has answered says nothing against the client.
    pub(super) fn note(&self, error: &LogError) {
        if failure::is_unanswered(error) {
            self.0.has_timed_out.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether a request was not answered in time.
    pub(super) fn has_timed_out(&self) -> bool {
        self.0.has_timed_out.load(Ordering::Relaxed)
    }

    /// Returns whether the client has lost all brokers, even if it has found one again since.
    pub(super) fn has_lost_brokers(&self) -> bool {
        self.0.has_lost_brokers.load(Ordering::Relaxed)
    }

    /// Returns whether the client must not be used again.
    pub(super) fn has_failed(&self) -> bool {
        self.has_timed_out() || self.has_lost_brokers()
    }
}

/// A client with its verdict. One that has failed is dropped on a thread of its own: closing it waits for brokers.
pub(super) struct MonitoredClient<T: Send + 'static> {
    /// `None` only while it is dropped.
    native: Option<T>,
    pub(super) verdict: Verdict,
}

impl<T: Send + 'static> MonitoredClient<T> {
    /// Adds to a client the verdict that its events are noted in.
    pub(super) fn new(native: T, verdict: Verdict) -> Self {
        Self { native: Some(native), verdict }
    }

    /// Returns the client for use by its owner alone.
    pub(super) fn native_mut(&mut self) -> &mut T {
        self.native.as_mut().expect("taken in drop only")
    }
}

impl<T: Send + 'static> Deref for MonitoredClient<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.native.as_ref().expect("taken in drop only")
    }
}

impl<T: Send + 'static> Drop for MonitoredClient<T> {
    fn drop(&mut self) {
        let native = self.native.take();
        if self.verdict.has_failed() {
            let thread = std::thread::Builder::new().name("kafka-close".to_owned());
            // Where no thread can be started, the client is dropped with the closure, here.
            drop(thread.spawn(move || drop(native)));
        }
    }
}

/// Something that is kept between uses until it has failed.
pub(super) trait Keep {
    /// Returns what is known against its client by now.
    fn verdict(&self) -> &Verdict;

    /// Returns whether the next use needs a new one.
    fn is_spent(&self) -> bool {
        self.verdict().has_failed()
    }
}

/// A client that is made at the first use, and anew at the next use after it has failed.
pub(super) struct KeptClient<C>(Mutex<Option<Arc<C>>>);

impl<C> Default for KeptClient<C> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<C: Keep> KeptClient<C> {
    /// Keeps a client that exists already.
    pub(super) fn of(client: C) -> Self {
        Self(Mutex::new(Some(Arc::new(client))))
    }

    /// Returns the client, a new one if there is none yet or it has failed.
    pub(super) fn get(&self, open: impl FnOnce() -> Result<C, LogError>) -> Result<Arc<C>, LogError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = kept.as_ref().filter(|client| !client.is_spent()) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(open()?);
        *kept = Some(Arc::clone(&client));
        Ok(client)
    }

    /// Asks one client after the other until one has answered. `question` may wait for as long as it is told, and may be
    /// put again after a client that has not answered.
    pub(super) fn ask<T>(
        &self,
        within: Duration,
        open: impl Fn() -> Result<C, LogError>,
        question: impl Fn(&C, Duration) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        try_clients(CLIENTS_PER_QUESTION, within, |patience| {
            self.ask_once(&open, |client| question(client, patience))
        })
    }

    /// Asks one client, and notes in its verdict what becomes of the question.
    pub(super) fn ask_once<T>(
        &self,
        open: impl FnOnce() -> Result<C, LogError>,
        question: impl FnOnce(&C) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let client = self.get(open)?;
        question(&client).inspect_err(|error| client.verdict().note(error))
    }

    /// Returns the client that is kept, if any, however it is.
    pub(super) fn present(&self) -> Option<Arc<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rdkafka::error::RDKafkaErrorCode as Code;

    use super::*;
    use crate::log::GROUP_MOVING;
    use crate::log::kafka::failure::KafkaFailure;

    #[derive(Default)]
    struct Numbered {
        number: usize,
        verdict: Verdict,
    }

    impl Keep for Numbered {
        fn verdict(&self) -> &Verdict {
            &self.verdict
        }
    }

    /// Asks twice, lets the first question end in this way, and compares which client has the second.
    fn check(first: impl Fn(&Numbered) -> Result<(), LogError>, number: usize) {
        let (kept, made) = (KeptClient::<Numbered>::default(), std::cell::Cell::new(0));
        let open = || {
            made.set(made.get() + 1);
            Ok(Numbered { number: made.get(), verdict: Verdict::default() })
        };
        let _ = kept.ask_once(open, first);
        assert_eq!(kept.ask_once(open, |client| Ok(client.number)), Ok(number));
    }

    /// Asks clients of which each ends its question in the next of these ways, and compares how many were asked and whether
    /// the last has answered.
    fn check_series(ends: &[Code], expected: (usize, Result<&(), &str>)) {
        let (kept, made) = (KeptClient::<Numbered>::default(), std::cell::Cell::new(0));
        let open = || {
            made.set(made.get() + 1);
            Ok(Numbered { number: made.get(), verdict: Verdict::default() })
        };
        let within = Duration::from_secs(10);
        let answer = kept.ask(within, open, |client, patience| {
            assert_eq!(patience * CLIENTS_PER_QUESTION, within);
            match ends.get(client.number - 1) {
                Some(&code) => Err(KafkaFailure::of(code).into_error("a question")),
                None => Ok(()),
            }
        });
        let answer = answer.as_ref().map_err(LogError::code);
        assert_eq!((made.get(), answer), expected, "{ends:?}");
    }

    #[test]
    fn a_question_goes_to_another_client_until_one_answers() {
        let silent = Code::OperationTimedOut;
        check_series(&[], (1, Ok(&())));
        check_series(&[silent], (2, Ok(&())));
        check_series(&[silent, Code::AllBrokersDown, silent], (4, Ok(&())));
        check_series(&[silent; 9], (4, Err("kafka:OperationTimedOut")));
        check_series(&[Code::TopicAuthorizationFailed], (1, Err("kafka:TopicAuthorizationFailed")));
        check_series(&[silent, Code::NotCoordinator], (2, Err(GROUP_MOVING)));
    }

    #[test]
    fn a_client_is_kept_until_it_has_failed() {
        let fail = |code: Code| move |_: &Numbered| Err(KafkaFailure::of(code).into_error("a question"));
        check(|_| Ok(()), 1);
        check(fail(Code::TopicAuthorizationFailed), 1);
        check(fail(Code::NotCoordinator), 1);
        check(fail(Code::OperationTimedOut), 2);
        check(fail(Code::MessageTimedOut), 2);
        check(fail(Code::AllBrokersDown), 2);
        check(fail(Code::BrokerTransportFailure), 2);
        check(
            |client| {
                client.verdict.lost_brokers();
                Ok(())
            },
            2,
        );
    }

    #[test]
    fn a_client_that_cannot_be_made_leaves_the_next_use_to_try_again() {
        let kept = KeptClient::<Numbered>::default();
        let refused = LogError::TopicExists("any error".to_owned());
        assert_eq!(kept.get(|| Err(refused.clone())).err(), Some(refused));
        assert!(kept.get(|| Ok(Numbered::default())).is_ok());
    }

    /// Says on which thread it was dropped.
    struct Closing(mpsc::Sender<std::thread::ThreadId>);

    impl Drop for Closing {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).expect("received below");
        }
    }

    #[test]
    fn only_a_client_that_has_failed_is_dropped_on_another_thread() {
        fn check(failed: bool) {
            let (sender, dropped_on) = mpsc::channel();
            let client = MonitoredClient::new(Closing(sender), Verdict::default());
            if failed {
                client.verdict.lost_brokers();
            }
            drop(client);
            let is_here = dropped_on.recv() == Ok(std::thread::current().id());
            assert_eq!(is_here, !failed);
        }
        check(false);
        check(true);
    }
}
