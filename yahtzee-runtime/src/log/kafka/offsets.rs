//! Committed offsets of consumer groups that nobody subscribes with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset as Place, TopicPartitionList};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use super::events::{self, ClientEvents};
use super::failure::KafkaFailure;
use super::kept::{CLIENTS_PER_QUESTION, Keep, KeptClient, MonitoredClient, Verdict};
use super::native::{self, CommittedEntry};
use super::settings::KafkaSettings;
use crate::cause::Cause;
use crate::log::{CommittedOffset, Isolation, LogError, OffsetCommit};

/// Clients by group: each knows its coordinator, and librdkafka has one group per client.
pub(super) struct ConsumerGroups {
    settings: Arc<KafkaSettings>,
    clients: Mutex<HashMap<String, Arc<KeptClient<GroupClient>>>>,
}

impl ConsumerGroups {
    pub(super) fn new(settings: Arc<KafkaSettings>) -> Self {
        Self { settings, clients: Mutex::default() }
    }

    /// Asks the client of `group`, and others after it, as [`KeptClient::ask`] does.
    pub(super) fn ask<T>(
        &self,
        group: &str,
        question: impl Fn(&GroupClient, Duration) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let within = self.settings.timeouts.request;
        self.kept(group).ask(within, || self.open(group, Isolation::Committed), question)
    }

    /// Asks the client of `group` alone, for half as long as one of several clients has.
    pub(super) fn ask_once<T>(
        &self,
        group: &str,
        question: impl FnOnce(&GroupClient, Duration) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let within = self.settings.timeouts.request / CLIENTS_PER_QUESTION / 2;
        self.kept(group)
            .ask_once(|| self.open(group, Isolation::Committed), |client| question(client, within))
    }

    /// Returns the commits in the order of `partitions`, those that an open transaction is about to replace.
    pub(super) fn committed_below_open_transactions(
        &self,
        group: &str,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        let patience = self.settings.timeouts.request / CLIENTS_PER_QUESTION;
        self.open(group, Isolation::Uncommitted)?.committed(topic, partitions, patience)
    }

    fn kept(&self, group: &str) -> Arc<KeptClient<GroupClient>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(clients.entry(group.to_owned()).or_default())
    }

    fn open(&self, group: &str, isolation: Isolation) -> Result<GroupClient, LogError> {
        GroupClient::open(Arc::clone(&self.settings), group, isolation)
    }
}

/// A consumer that neither subscribes nor reads.
pub(super) struct GroupClient {
    settings: Arc<KafkaSettings>,
    group: String,
    consumer: MonitoredClient<BaseConsumer<ClientEvents>>,
}

impl Keep for GroupClient {
    fn verdict(&self) -> &Verdict {
        events::catch_up(&self.consumer);
        &self.consumer.verdict
    }
}

impl GroupClient {
    fn open(settings: Arc<KafkaSettings>, group: &str, isolation: Isolation) -> Result<Self, LogError> {
        let events = ClientEvents::of("group");
        let verdict = events.verdict();
        let consumer =
            BaseConsumer::from_config_and_context(&settings.group_client(group, isolation), events).map_err(
                |error| KafkaFailure::from(error).into_error(format!("creating a client of {group}")),
            )?;
        let consumer = MonitoredClient::new(consumer, verdict);
        Ok(Self { settings, group: group.to_owned(), consumer })
    }

    /// Returns the group's name, without members, for a transaction.
    pub(super) fn metadata(&self) -> ConsumerGroupMetadata {
        self.consumer.group_metadata().expect("the client was created with a group")
    }

    /// Returns the commits in the order of `partitions`.
    pub(super) fn committed(
        &self,
        topic: &str,
        partitions: &[Partition],
        patience: Duration,
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        let name = self.settings.prefixed(topic);
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            asked.add_partition(&name, native_partition(topic, partition)?);
        }
        let answer = self.consumer.committed_offsets(asked, patience);
        let entries = answer.map_err(|error| self.error_of(error.into()))?;
        let entries = native::committed_entries(&entries);
        partitions.iter().map(|&partition| self.commit_of(&entries, partition)).collect()
    }

    fn commit_of(
        &self,
        entries: &[CommittedEntry],
        partition: Partition,
    ) -> Result<Option<CommittedOffset>, LogError> {
        let of_partition = |entry: &&CommittedEntry| u32::try_from(entry.partition) == Ok(partition.0);
        let entry = entries.iter().find(of_partition).expect("the answer is the list that was asked for");
        if entry.code != Code::NoError {
            return Err(self.error_of(KafkaFailure::of(entry.code)));
        }
        Ok(u64::try_from(entry.offset).ok().map(|offset| CommittedOffset {
            offset: Offset(offset),
            // Foreign tools may have committed anything; our metadata carries a checksum.
            metadata: String::from_utf8_lossy(&entry.metadata).into_owned(),
        }))
    }

    /// Commits without a fence.
    pub(super) fn commit(&self, offsets: &[OffsetCommit<'_>], patience: Duration) -> Result<(), LogError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let list = offset_list(&self.settings, offsets)?;
        native::commit(self.consumer.client(), &list, patience).map_err(|failure| self.error_of(failure))
    }

    fn error_of(&self, failure: KafkaFailure) -> LogError {
        match failure.code {
            Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress => {
                LogError::GroupInUse(self.group.clone())
            }
            _ => failure.into_error(format!("offsets of group {} at {}", self.group, self.settings.brokers)),
        }
    }
}

/// Returns the commits as the broker's list.
pub(super) fn offset_list(
    settings: &KafkaSettings,
    offsets: &[OffsetCommit<'_>],
) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for OffsetCommit { topic, partition, committed } in offsets {
        add(&mut list, &settings.prefixed(topic), *partition, committed)?;
    }
    Ok(list)
}

/// Adds a commit to a list for the broker. `name` is the topic's full name.
fn add(
    list: &mut TopicPartitionList,
    name: &str,
    partition: Partition,
    commit: &CommittedOffset,
) -> Result<(), LogError> {
    let CommittedOffset { offset, metadata } = commit;
    let refused = |reason: &str| {
        LogError::refused(
            format!("commit {offset} of {name}/{partition}"),
            Cause::new("invalid-commit", reason),
        )
    };
    if !metadata.is_ascii() {
        return Err(refused("its metadata is not ASCII"));
    }
    let offset = i64::try_from(offset.0).map_err(|_| refused("the offset is beyond Kafka's"))?;
    let mut entry = list.add_partition(name, native_partition(name, partition)?);
    entry.set_metadata(metadata);
    entry.set_offset(Place::Offset(offset)).map_err(|error| refused(&error.to_string()))
}

fn native_partition(topic: &str, partition: Partition) -> Result<i32, LogError> {
    i32::try_from(partition.0)
        .map_err(|_| LogError::NoSuchTopic { topic: topic.to_owned(), partition: Some(partition) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_for_every_partition() {
        fn check(code: Code, offset: i64, expected: Result<Option<u64>, &str>) {
            let settings = Arc::new(KafkaSettings::new("127.0.0.1:1"));
            let client = GroupClient::open(settings, "group", Isolation::Committed).unwrap();
            let entry =
                |partition, offset, code| CommittedEntry { partition, offset, metadata: Vec::new(), code };
            let entries = [entry(0, 5, Code::NoError), entry(1, offset, code)];
            let read = client.commit_of(&entries, Partition(1));
            let read =
                read.map(|commit| commit.map(|it| it.offset.0)).map_err(|error| error.code().to_owned());
            assert_eq!(read, expected.map_err(str::to_owned), "{code:?}");
        }
        check(Code::NoError, 7, Ok(Some(7)));
        check(Code::NoError, -1001, Ok(None));
        check(Code::UnstableOffsetCommit, -1001, Err("kafka:UnstableOffsetCommit"));
        check(Code::GroupAuthorizationFailed, 7, Err("kafka:GroupAuthorizationFailed"));
    }

    #[test]
    fn only_ascii_metadata_and_kafka_offsets_are_committed() {
        fn check(offset: u64, metadata: &str, accepted: bool) {
            let commit = CommittedOffset { offset: Offset(offset), metadata: metadata.to_owned() };
            let added = add(&mut TopicPartitionList::new(), "RAW.v1", Partition(0), &commit);
            assert_eq!(added.is_ok(), accepted, "{commit:?}");
        }
        check(0, "", true);
        check(7, "v1.AAEC", true);
        check(7, "naïve", false);
        check(u64::MAX, "v1.AAEC", false);
    }
}
