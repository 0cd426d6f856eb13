//! A producer with its own polling thread, which reports the outcome of each call once.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header as NativeHeader, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use yahtzee_core::owner::Partition;

use super::events::ClientEvents;
use super::failure::KafkaFailure;
use super::kept::{Keep, MonitoredClient, Verdict};
use super::native;
use crate::cause::Cause;
use crate::log::{AppendCallback, Header, LogError, NewRecord, header};

/// Records that may wait for their acknowledgement. librdkafka's own bound, so that it is never met there.
pub(super) const MOST_IN_FLIGHT: usize = 100_000;

/// A producer and the number of its unacknowledged records.
pub(super) struct Outbox {
    producer: MonitoredClient<ThreadedProducer<DeliveryReports>>,
    prefix: String,
    in_flight: Arc<AtomicUsize>,
}

impl Keep for Outbox {
    fn verdict(&self) -> &Verdict {
        &self.producer.verdict
    }

    /// What is on its way is not overtaken by what a new producer sends.
    fn is_spent(&self) -> bool {
        self.verdict().has_failed() && self.in_flight() == 0
    }
}

impl Outbox {
    /// Creates the producer and its thread.
    pub(super) fn open(config: &ClientConfig, prefix: &str, role: &'static str) -> Result<Self, LogError> {
        let in_flight = Arc::new(AtomicUsize::new(0));
        let events = ClientEvents::of(role);
        let verdict = events.verdict();
        let context =
            DeliveryReports { events, prefix: prefix.to_owned(), in_flight: Arc::clone(&in_flight) };
        let producer = ThreadedProducer::from_config_and_context(config, context)
            .map_err(|error| KafkaFailure::from(error).into_error(format!("creating the {role}")))?;
        let producer = MonitoredClient::new(producer, verdict);
        Ok(Self { producer, prefix: prefix.to_owned(), in_flight })
    }

    /// Returns the number of records that are neither acknowledged nor given up.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns the producer, for its transaction calls.
    pub(super) fn producer(&self) -> &ThreadedProducer<DeliveryReports> {
        &self.producer
    }

    /// Hands the records to librdkafka. `done` is called once, perhaps before this returns: when all are
    /// acknowledged, or at the first failure. Never waits for room.
    pub(super) fn send(&self, records: &[NewRecord], done: AppendCallback) {
        if records.is_empty() {
            return done(Ok(()));
        }
        if let Err(error) = check(records).and_then(|()| self.reserve(records.len())) {
            return done(Err(error));
        }
        let pending = Arc::new(PendingAppend {
            unacknowledged: AtomicUsize::new(records.len()),
            done: Mutex::new(Some(done)),
        });
        for (index, record) in records.iter().enumerate() {
            if let Err(error) = self.enqueue(record, Arc::clone(&pending)) {
                self.in_flight.fetch_sub(records.len() - index, Ordering::Relaxed);
                return pending.fail(error);
            }
        }
    }

    /// Reserves room for `count` more records; fails if there is none.
    fn reserve(&self, count: usize) -> Result<(), LogError> {
        let room = |waiting: usize| waiting.checked_add(count).filter(|&sum| sum <= MOST_IN_FLIGHT);
        match self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => Ok(()),
            Err(waiting) => {
                let text = format!("{waiting} records wait for acknowledgement, {count} more do not fit");
                Err(LogError::unavailable("the queue of records to be sent", Cause::new("queue-full", text)))
            }
        }
    }

    fn enqueue(&self, record: &NewRecord, pending: Arc<PendingAppend>) -> Result<(), LogError> {
        let failed = |failure: KafkaFailure| failure.into_topic_error(&record.topic, Some(record.partition));
        let partition = i32::try_from(record.partition.0)
            .map_err(|_| failed(KafkaFailure::of(Code::UnknownPartition)))?;
        let topic = prefixed(&self.prefix, &record.topic);
        let mut message = BaseRecord::with_opaque_to(&topic, pending)
            .partition(partition)
            .timestamp(record.timestamp_ms)
            .key(record.key.as_slice())
            .payload(record.value.as_slice());
        if !record.headers.is_empty() {
            message = message.headers(native_headers(&record.headers));
        }
        self.producer.send(message).map_err(|(error, _)| failed(error.into()))
    }

    /// Blocks until all records are answered, without lingering.
    pub(super) fn flush(&self, timeout: Duration) -> Result<(), KafkaFailure> {
        native::flush(self.client(), timeout)
    }

    pub(super) fn client(&self) -> &Client<DeliveryReports> {
        self.producer.client()
    }
}

fn prefixed<'a>(prefix: &str, topic: &'a str) -> Cow<'a, str> {
    if prefix.is_empty() { Cow::Borrowed(topic) } else { Cow::Owned(format!("{prefix}{topic}")) }
}

fn native_headers(headers: &[Header]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |native, Header { name, value }| {
        native.insert(NativeHeader { key: name, value: Some(value) })
    })
}

fn check(records: &[NewRecord]) -> Result<(), LogError> {
    records.iter().try_for_each(|record| match flaw(record) {
        None => Ok(()),
        Some(reason) => {
            let what = format!("a record to {}/{}", record.topic, record.partition);
            Err(LogError::refused(what, Cause::new("invalid-record", reason)))
        }
    })
}

/// Returns why the client cannot take a record as it is; `None` if it can.
fn flaw(record: &NewRecord) -> Option<String> {
    // librdkafka stamps a record of time 0 with the present, silently; no log has records from before 1970.
    if record.timestamp_ms <= 0 {
        let timestamp_ms = record.timestamp_ms;
        return Some(format!(
            "its timestamp is {timestamp_ms} ms; Kafka's client takes only later ones than 0"
        ));
    }
    header::flaw(&record.headers)
}

/// State that the records of one call share.
pub(super) struct PendingAppend {
    unacknowledged: AtomicUsize,
    done: Mutex<Option<AppendCallback>>,
}

impl PendingAppend {
    fn acknowledge(&self) {
        if self.unacknowledged.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.answer(Ok(()));
        }
    }

    fn fail(&self, error: LogError) {
        self.answer(Err(error));
    }

    fn answer(&self, result: Result<(), LogError>) {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(done) = done {
            done(result);
        }
    }
}

/// Receives the delivery reports of one producer, on its polling thread.
pub(super) struct DeliveryReports {
    events: ClientEvents,
    prefix: String,
    in_flight: Arc<AtomicUsize>,
}

impl ClientContext for DeliveryReports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.events.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.events.error(error, reason);
    }
}

impl ProducerContext for DeliveryReports {
    type DeliveryOpaque = Arc<PendingAppend>;

    fn delivery(&self, report: &DeliveryResult<'_>, pending: Arc<PendingAppend>) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        match report {
            Ok(_) => pending.acknowledge(),
            Err((error, message)) => {
                let topic = message.topic().strip_prefix(&self.prefix).unwrap_or_else(|| message.topic());
                let partition = u32::try_from(message.partition()).ok().map(Partition);
                let error = KafkaFailure::from(error.clone()).into_topic_error(topic, partition);
                self.events.verdict().note(&error);
                pending.fail(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::log::kafka::failure;

    /// An outbox whose broker is nowhere, and a record for a partition.
    fn outbox_and_record() -> (Outbox, impl Fn(u32) -> NewRecord) {
        outbox_and_record_with(ClientConfig::new())
    }

    fn outbox_and_record_with(mut config: ClientConfig) -> (Outbox, impl Fn(u32) -> NewRecord) {
        config.set("bootstrap.servers", "127.0.0.1:1");
        let record = |partition| NewRecord {
            topic: "topic".into(),
            partition: Partition(partition),
            timestamp_ms: 1,
            key: Vec::new(),
            value: Vec::new(),
            headers: Vec::new(),
        };
        (Outbox::open(&config, "", "test").unwrap(), record)
    }

    /// Or what it is refused takes the room of others, until nothing fits any more.
    #[test]
    fn what_the_client_does_not_take_is_not_in_flight() {
        fn check(partitions: &[u32], in_flight: usize) {
            let (outbox, record) = outbox_and_record();
            let records: Vec<NewRecord> = partitions.iter().map(|&partition| record(partition)).collect();
            let (sender, answers) = mpsc::channel();
            outbox.send(&records, Box::new(move |result| sender.send(result).expect("received below")));
            assert!(matches!(answers.recv(), Ok(Err(LogError::NoSuchTopic { .. }))), "{partitions:?}");
            assert_eq!(outbox.in_flight(), in_flight, "{partitions:?}");
        }
        check(&[u32::MAX; 3], 0);
        check(&[0, u32::MAX, 0], 1);
    }

    /// Or what has timed out takes the room of others, and its client is used for ever.
    #[test]
    fn what_the_client_gives_up_is_not_in_flight() {
        let mut config = ClientConfig::new();
        config.set("message.timeout.ms", "1");
        let (outbox, record) = outbox_and_record_with(config);
        let (sender, answers) = mpsc::channel();
        for partition in 0..2 {
            let sender = sender.clone();
            outbox.send(
                &[record(partition)],
                Box::new(move |result| sender.send(result).expect("received below")),
            );
        }
        drop(sender);
        for answer in answers {
            assert!(failure::is_unanswered(&answer.unwrap_err()));
        }
        assert_eq!(outbox.in_flight(), 0);
        assert!(outbox.is_spent());
    }

    /// A new producer would overtake what the old one has on its way.
    #[test]
    fn a_client_that_has_failed_is_used_until_nothing_is_in_flight() {
        let (outbox, record) = outbox_and_record();
        outbox.verdict().lost_brokers();
        assert!(outbox.is_spent());
        outbox.send(&[record(0)], Box::new(drop));
        assert!(!outbox.is_spent());
    }

    #[test]
    fn a_call_is_answered_once() {
        fn check(outcomes: &[bool], expected: Option<bool>) {
            let (sender, answers) = mpsc::channel();
            let done: AppendCallback =
                Box::new(move |result| sender.send(result.is_ok()).expect("received below"));
            let unacknowledged = AtomicUsize::new(3);
            let pending = PendingAppend { unacknowledged, done: Mutex::new(Some(done)) };
            for &acknowledged in outcomes {
                if acknowledged {
                    pending.acknowledge();
                } else {
                    pending.fail(LogError::TopicExists("any error".to_owned()));
                }
            }
            drop(pending);
            assert_eq!(answers.iter().collect::<Vec<_>>(), Vec::from_iter(expected), "{outcomes:?}");
        }
        check(&[true, true], None);
        check(&[true, true, true], Some(true));
        check(&[true, false, true], Some(false));
        check(&[false, false, false], Some(false));
    }
}
