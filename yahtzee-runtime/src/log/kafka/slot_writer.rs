//! The fenced writer of one slot: a transaction per write.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::producer::Producer;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use super::failure::{self, KafkaFailure};
use super::kept::{CLIENTS_PER_QUESTION, Keep as _, try_clients};
use super::offsets::{ConsumerGroups, GroupClient, offset_list};
use super::outbox::{MOST_IN_FLIGHT, Outbox};
use super::settings::KafkaSettings;
use crate::cause::Cause;
use crate::log::{
    Acknowledged, CommittedOffset, LogError, NewRecord, OffsetCommit, SlotName, SlotWriter, Transaction,
};

/// Most attempts at a transaction call that librdkafka allows to be repeated.
const ATTEMPTS: usize = 3;

/// Producers that are tried, one after the other, before nobody has answered a slot that opens.
const PRODUCERS_PER_OPENING: u32 = 3;

/// Timeout of an abort, which only frees readers sooner: brokers abort by themselves after the transaction timeout.
const ABORT: Duration = Duration::from_secs(2);

/// Time in which librdkafka's own, more telling error arrives after a call's time is up.
const MARGIN: Duration = Duration::from_millis(500);

/// A transactional producer. After any error it is unusable: a delayed commit or abort could hit the next
/// transaction, so the next `init_transactions` of the slot settles what became of this one.
pub(super) struct KafkaSlotWriter {
    settings: Arc<KafkaSettings>,
    slot: SlotName,
    outbox: Arc<Outbox>,
    groups: Arc<ConsumerGroups>,
    /// Name of the consumer group, as transactions take it.
    group: Arc<ConsumerGroupMetadata>,
    /// Whether a transaction is begun and neither committed nor aborted.
    is_open: bool,
    /// When the newest transaction is given up.
    give_up_at: Instant,
    failed: bool,
}

impl KafkaSlotWriter {
    /// Opens the slot: every earlier writer of it is fenced and its open transaction aborted. A producer that was tried
    /// before is one of those, should the broker hear of it late.
    pub(super) fn open(
        settings: &Arc<KafkaSettings>,
        slot: &SlotName,
        groups: &Arc<ConsumerGroups>,
    ) -> Result<Self, LogError> {
        let group = groups.ask(&slot.group, |client, _| Ok(Arc::new(client.metadata())))?;
        try_clients(PRODUCERS_PER_OPENING, settings.timeouts.transaction, |patience| {
            Self::open_within(settings, slot, groups, &group, patience)
        })
    }

    fn open_within(
        settings: &Arc<KafkaSettings>,
        slot: &SlotName,
        groups: &Arc<ConsumerGroups>,
        group: &Arc<ConsumerGroupMetadata>,
        patience: Duration,
    ) -> Result<Self, LogError> {
        let outbox = Outbox::open(&settings.slot_writer(slot), &settings.prefix, "slot writer")?;
        let writer = Self {
            settings: Arc::clone(settings),
            slot: slot.clone(),
            outbox: Arc::new(outbox),
            groups: Arc::clone(groups),
            group: Arc::clone(group),
            is_open: false,
            give_up_at: Instant::now(),
            failed: false,
        };
        repeat(patience, |left| writer.outbox.producer().init_transactions(left))
            .map_err(|error| writer.call_error("fencing earlier writers", error))
            .inspect_err(|error| writer.outbox.verdict().note(error))?;
        Ok(writer)
    }

    fn begin(&mut self) -> Result<(), LogError> {
        let begun = self.outbox.producer().begin_transaction();
        begun.map_err(|error| self.call_error("beginning a transaction", error))?;
        self.give_up_at = Instant::now() + own_time(self.settings.timeouts.transaction);
        self.is_open = true;
        Ok(())
    }

    /// Begins a transaction that holds the records. Without records it is begun when there is a commit.
    fn append_all(&mut self, records: &[NewRecord]) -> Result<(), LogError> {
        if records.is_empty() {
            return Ok(());
        }
        self.begin()?;
        self.deliver(records).map_err(|error| self.abort_after(error))
    }

    fn commit_all(&mut self, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        if !self.is_open {
            if offsets.is_empty() {
                return Ok(());
            }
            self.begin()?;
        }
        self.stage(offsets).map_err(|error| self.abort_after(error))?;
        self.commit_transaction()
    }

    /// Sends the records and waits until all are acknowledged.
    fn deliver(&self, records: &[NewRecord]) -> Result<(), LogError> {
        for chunk in records.chunks(MOST_IN_FLIGHT) {
            let (sender, answer) = mpsc::sync_channel(1);
            // Where nobody listens any more the flush has failed, and that is the error.
            self.outbox.send(chunk, Box::new(move |result| drop(sender.send(result))));
            // librdkafka looks for timed-out records once per second.
            let flushed =
                self.outbox.flush(self.left(self.settings.timeouts.delivery + Duration::from_secs(1)));
            let unanswered = || flushed.err().unwrap_or_else(|| KafkaFailure::of(Code::OperationTimedOut));
            answer
                .try_recv()
                .unwrap_or_else(|_| Err(unanswered().into_error(self.named("sending records"))))?;
        }
        Ok(())
    }

    /// Adds the commits to the transaction.
    fn stage(&self, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let list = offset_list(&self.settings, offsets)?;
        let patience = self.left(self.settings.timeouts.request / CLIENTS_PER_QUESTION);
        let (outbox, group) = (Arc::clone(&self.outbox), Arc::clone(&self.group));
        let staged = answer_within(patience + MARGIN, move || {
            repeat(patience, |left| outbox.producer().send_offsets_to_transaction(&list, &group, left))
        });
        match staged {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(self.call_error("adding offsets", error)),
            None => Err(self.failure_error("adding offsets", KafkaFailure::of(Code::OperationTimedOut))),
        }
    }

    fn commit_transaction(&mut self) -> Result<(), LogError> {
        // All is flushed already, so that the crate's own flush does not wait in steps of 100 ms.
        match repeat(self.left(self.settings.timeouts.transaction), |left| {
            self.outbox.producer().commit_transaction(left)
        }) {
            Ok(()) => {
                self.is_open = false;
                Ok(())
            }
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                let error = self.call_error("committing", KafkaError::Transaction(error));
                Err(self.abort_after(error))
            }
            // The outcome may be unknown: an abort now could undo nothing, or the wrong thing.
            Err(error) => Err(self.call_error("committing", error)),
        }
    }

    /// Aborts as far as possible and returns what the failure was.
    fn abort_after(&mut self, error: LogError) -> LogError {
        self.abort_transaction();
        match self.fatal_error() {
            Some(failure) => self.failure_error("writing", failure),
            None => error,
        }
    }

    /// Aborts the open transaction, if there is one and the producer still can; returns whether none is left open.
    fn abort_transaction(&mut self) -> bool {
        if !std::mem::take(&mut self.is_open) {
            return true;
        }
        if self.fatal_error().is_some() {
            return false;
        }
        let aborted = self.outbox.producer().abort_transaction(ABORT);
        if let Err(abort_error) = &aborted {
            tracing::warn!(slot = %self.slot, %abort_error, "a transaction was left to its timeout");
        }
        aborted.is_ok()
    }

    /// Returns how long a call may wait within the open transaction.
    fn left(&self, at_most: Duration) -> Duration {
        at_most.min(self.give_up_at.saturating_duration_since(Instant::now()))
    }

    fn give_up(&mut self, error: &LogError) {
        self.failed = true;
        self.outbox.verdict().note(error);
    }

    fn call_error(&self, what: &str, error: KafkaError) -> LogError {
        let failure = self.fatal_error().unwrap_or_else(|| error.into());
        self.failure_error(what, failure)
    }

    fn failure_error(&self, what: &str, failure: KafkaFailure) -> LogError {
        if failure::is_fenced(failure.code) {
            return LogError::Fenced(self.slot.to_string());
        }
        failure.into_error(self.named(what))
    }

    fn fatal_error(&self) -> Option<KafkaFailure> {
        self.outbox.client().fatal_error().map(|(code, reason)| KafkaFailure::new(code, reason))
    }

    fn named(&self, what: &str) -> String {
        format!("{what} for {} at {}", self.slot, self.settings.brokers)
    }
}

impl SlotWriter for KafkaSlotWriter {
    fn committed(
        &mut self,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.read_commits(topic, partitions).inspect_err(|error| self.give_up(error))
    }

    fn append(&mut self, records: &[NewRecord]) -> Result<Acknowledged<'_>, LogError> {
        if self.failed {
            let text = "an earlier write has failed; open the slot again and restart from its commits";
            return Err(LogError::refused(
                format!("a write to {}", self.slot),
                Cause::new("failed-before", text),
            ));
        }
        self.append_all(records).inspect_err(|error| self.give_up(error))?;
        Ok(Acknowledged::new(self))
    }
}

impl Transaction for KafkaSlotWriter {
    fn commit(&mut self, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        self.commit_all(offsets).inspect_err(|error| self.give_up(error))
    }

    fn abort(&mut self) {
        self.failed |= !self.abort_transaction();
    }
}

/// Commits of the slot's group, as a successor needs them.
impl KafkaSlotWriter {
    /// Returns what the group has committed, once no transaction is open over it.
    ///
    /// Where that is not answered soon, it is asked for what was committed before any open transaction. A broker that is away
    /// does not answer that either, nor does one whose coordinator is still loading; one that does, and gives a new client
    /// no answer to the first question, has a transaction that hangs.
    fn read_commits(
        &mut self,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        let (groups, group) = (Arc::clone(&self.groups), self.slot.group.clone());
        let question = |client: &GroupClient, patience| client.committed(topic, partitions, patience);
        let is_unanswered = |answer: &Result<_, LogError>| answer.as_ref().is_err_and(failure::is_unanswered);
        let answer = groups.ask_once(&group, question);
        if !is_unanswered(&answer) {
            return answer;
        }
        if let Ok(below) = groups.committed_below_open_transactions(&group, topic, partitions) {
            let answer = groups.ask_once(&group, question);
            if !is_unanswered(&answer) {
                return answer;
            }
            self.end_hanging_transaction(topic, partitions, &below)?;
        }
        groups.ask(&group, question)
    }

    /// Ends the transaction that hangs over the group's commits. `below` are those that count then.
    ///
    /// A broker that was killed may write down that a transaction is complete without ever having marked its end beside the
    /// commits of the group. It then answers nobody who asks for stable offsets, and a fence ends nothing, because its
    /// coordinator knows of nothing that is open. But whatever ends next in the name of the same producer also ends what
    /// it has left in that partition: here a transaction of its own, which is aborted.
    fn end_hanging_transaction(
        &mut self,
        topic: &str,
        partitions: &[Partition],
        below: &[Option<CommittedOffset>],
    ) -> Result<(), LogError> {
        let (Some(&partition), Some(first)) = (partitions.first(), below.first()) else { return Ok(()) };
        let offsets: Vec<_> = below.iter().map(|it| it.as_ref().map(|commit| commit.offset.0)).collect();
        tracing::warn!(
            slot = %self.slot, topic, ?offsets,
            "a transaction hangs over the group's offsets: it is ended, and the commits before it count"
        );
        let none = CommittedOffset { offset: Offset(0), metadata: String::new() };
        let committed = first.clone().unwrap_or(none);
        self.begin()?;
        let staged = self.stage(&[OffsetCommit { topic, partition, committed }]);
        staged.map_err(|error| self.abort_after(error))?;
        self.abort_transaction();
        Ok(())
    }
}

/// Returns how long a transaction is waited for. Later its coordinator aborts it, and fences its producer in the same words
/// as a successor would: who has waited for a broker must not take itself for a zombie.
fn own_time(transaction: Duration) -> Duration {
    transaction.saturating_sub(ABORT)
}

/// Makes a call of librdkafka that may take longer than the time it is given, and returns its answer; `None` if there is none
/// within `patience`. The call then goes on alone, with what it holds.
///
/// A request that needs the coordinator of a group is looked after only when the state of some broker changes, never because
/// its time is up (issues 5456 and 5511 of librdkafka).
fn answer_within<T: Send + 'static>(
    patience: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, answer) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name("kafka-call".to_owned());
    thread.spawn(move || drop(sender.send(call()))).ok()?;
    answer.recv_timeout(patience).ok()
}

/// Makes a transaction call with the time that is left, and repeats it if librdkafka allows that.
fn repeat(within: Duration, call: impl Fn(Duration) -> KafkaResult<()>) -> KafkaResult<()> {
    let may_be_repeated =
        |error: &KafkaError| matches!(error, KafkaError::Transaction(error) if error.is_retriable());
    repeat_if(within, may_be_repeated, call)
}

fn repeat_if<E>(
    within: Duration,
    may_be_repeated: impl Fn(&E) -> bool,
    call: impl Fn(Duration) -> Result<(), E>,
) -> Result<(), E> {
    let deadline = Instant::now() + within;
    let mut attempts = 1;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match call(left) {
            Err(error) if may_be_repeated(&error) && attempts < ATTEMPTS && Instant::now() < deadline => {
                attempts += 1;
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rdkafka::mocking::{MockCluster, MockCoordinator};
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::log::kafka::KafkaTimeouts;

    /// Longer than anybody waits here.
    const FOR_EVER: Duration = Duration::from_hours(1);

    type Broker = MockCluster<'static, DefaultProducerContext>;

    /// A broker, and a writer that gives up a transaction earlier than its records.
    fn broker_and_writer() -> (Broker, KafkaSlotWriter) {
        let broker = MockCluster::new(1).unwrap();
        let writer = writer(&broker);
        (broker, writer)
    }

    fn writer(broker: &Broker) -> KafkaSlotWriter {
        let mut settings = KafkaSettings::new(broker.bootstrap_servers());
        let transaction = ABORT + Duration::from_secs(2);
        settings.timeouts = KafkaTimeouts {
            request: Duration::from_secs(2),
            delivery: transaction,
            transaction,
            ..settings.timeouts
        };
        let (settings, slot) = (Arc::new(settings), SlotName { group: "group".to_owned(), slot: 0 });
        let groups = Arc::new(ConsumerGroups::new(Arc::clone(&settings)));
        KafkaSlotWriter::open(&settings, &slot, &groups).unwrap()
    }

    fn record() -> NewRecord {
        NewRecord {
            topic: "topic".into(),
            partition: Partition(0),
            timestamp_ms: 1,
            key: Vec::new(),
            value: Vec::new(),
            headers: Vec::new(),
        }
    }

    fn stand_still(broker: &Broker) {
        broker.broker_round_trip_time(1, FOR_EVER).unwrap();
    }

    /// What it has left open would become part of the next write, or end it.
    fn assert_is_unusable(writer: &mut KafkaSlotWriter) {
        for records in [&[record()][..], &[]] {
            let refused = writer.append(records).map(drop).unwrap_err();
            assert!(!refused.is_transient() && refused.code() == "failed-before", "{refused}");
        }
    }

    #[test]
    fn records_that_nobody_acknowledges_are_not_durable() {
        let (broker, mut writer) = broker_and_writer();
        stand_still(&broker);
        let error = writer.append(&[record()]).map(drop).unwrap_err();
        assert!(failure::is_unanswered(&error), "{error}");
        assert!(writer.outbox.verdict().has_timed_out());
        assert_is_unusable(&mut writer);
    }

    #[test]
    fn a_commit_that_nobody_answers_has_failed() {
        let (broker, mut writer) = broker_and_writer();
        let acknowledged = writer.append(&[record()]).unwrap();
        stand_still(&broker);
        let error = acknowledged.commit(&[]).unwrap_err();
        assert!(failure::is_unanswered(&error), "{error}");
        assert!(writer.outbox.verdict().has_timed_out());
        assert!(writer.is_open, "an abort could undo nothing, or the wrong thing");
        assert_is_unusable(&mut writer);
    }

    /// librdkafka waits for ever then: it looks again only when the state of a broker changes.
    #[test]
    fn offsets_that_no_coordinator_takes_are_given_up_in_time() {
        let broker = MockCluster::new(2).unwrap();
        broker.coordinator(MockCoordinator::Transaction("group.slot-0".to_owned()), 1).unwrap();
        broker.coordinator(MockCoordinator::Group("group".to_owned()), 2).unwrap();
        broker.broker_down(2).unwrap();
        let mut writer = writer(&broker);
        let committed = CommittedOffset { offset: Offset(1), metadata: String::new() };
        let offsets = [OffsetCommit { topic: "topic", partition: Partition(0), committed }];
        let (answered, answer) = mpsc::channel();
        thread::spawn(move || {
            let error = writer.append(&[]).unwrap().commit(&offsets).unwrap_err();
            answered.send((error, writer)).expect("received below");
        });
        let (error, mut writer) = answer.recv_timeout(Duration::from_secs(30)).expect("not given up");
        assert!(failure::is_unanswered(&error), "{error}");
        assert_is_unusable(&mut writer);
    }

    /// Or it holds back readers until its timeout.
    #[test]
    fn a_transaction_whose_commit_is_refused_is_aborted() {
        let (broker, mut writer) = broker_and_writer();
        let acknowledged = writer.append(&[record()]).unwrap();
        broker.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_REQUEST]);
        let error = acknowledged.commit(&[]).unwrap_err();
        assert!(!failure::is_unanswered(&error), "{error}");
        assert!(!writer.is_open);
        assert_is_unusable(&mut writer);
    }

    #[test]
    fn after_commits_that_nobody_tells_nothing_is_written() {
        let (broker, mut writer) = broker_and_writer();
        stand_still(&broker);
        let error = writer.committed("topic", &[Partition(0)]).unwrap_err();
        assert!(failure::is_unanswered(&error), "{error}");
        assert_is_unusable(&mut writer);
    }

    #[test]
    fn after_an_abort_that_nobody_answers_nothing_is_written() {
        let (broker, mut writer) = broker_and_writer();
        let acknowledged = writer.append(&[record()]).unwrap();
        stand_still(&broker);
        drop(acknowledged);
        assert_is_unusable(&mut writer);
    }

    #[test]
    fn no_call_waits_longer_than_its_own_time_and_that_of_its_transaction() {
        let (_broker, mut writer) = broker_and_writer();
        drop(writer.append(&[record()]).unwrap());
        assert!(writer.left(FOR_EVER) <= own_time(writer.settings.timeouts.transaction));
        assert_eq!(writer.left(Duration::ZERO), Duration::ZERO);
        writer.give_up_at = Instant::now() + FOR_EVER;
        assert_eq!(writer.left(ABORT), ABORT);
        writer.give_up_at = Instant::now();
        assert_eq!(writer.left(FOR_EVER), Duration::ZERO);
    }

    #[test]
    fn a_call_is_repeated_a_few_times_while_there_is_time() {
        const REPEAT: Result<(), bool> = Err(true);
        const NEVER: Result<(), bool> = Err(false);
        fn check(within: Duration, outcomes: &[Result<(), bool>], calls: usize) {
            let made = Cell::new(0);
            let call = |left: Duration| {
                assert!(left <= within);
                made.set(made.get() + 1);
                outcomes[made.get() - 1]
            };
            let outcome = repeat_if(within, |&may_be_repeated: &bool| may_be_repeated, call);
            assert_eq!((outcome, made.get()), (outcomes[calls - 1], calls), "{within:?} {outcomes:?}");
        }
        check(FOR_EVER, &[Ok(())], 1);
        check(FOR_EVER, &[REPEAT, Ok(())], 2);
        check(FOR_EVER, &[REPEAT, NEVER], 2);
        check(FOR_EVER, &[REPEAT; 9], ATTEMPTS);
        check(FOR_EVER, &[NEVER], 1);
        check(Duration::ZERO, &[REPEAT, Ok(())], 1);
    }

    #[test]
    fn a_transaction_is_given_up_and_aborted_before_its_coordinator_does_it() {
        fn check(transaction_s: u64) {
            let transaction = Duration::from_secs(transaction_s);
            assert!(own_time(transaction) + ABORT <= transaction.max(ABORT), "{transaction:?}");
        }
        check(0);
        check(2);
        check(15);
    }
}
