//! State in memory: topics, ranges, commits and epochs, visible only when they are durable.
//!
//! Changed only by the writer thread, after the batch on disk; one critical section publishes a whole turn, so
//! records and commits of one write are seen together.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use fjall::KvPair;
use yahtzee_core::owner::Partition;

use super::format::{PartitionId, PartitionState, commit_of, slot_of, tag};
use super::store::LogStore;
use super::topics;
use crate::log::{CommittedOffset, LogError, SlotName, TopicDescription};

/// A topic and the ranges of its partitions.
#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) number: u32,
    pub(super) description: TopicDescription,
    pub(super) partitions: Vec<PartitionState>,
}

impl TopicState {
    /// Creates a topic without records.
    pub(super) fn empty(number: u32, description: TopicDescription) -> Self {
        let partitions = vec![PartitionState::EMPTY; description.partitions as usize];
        Self { number, description, partitions }
    }
}

/// The state in memory. Small: records stay in the store.
#[derive(Debug, Default)]
pub(super) struct LogState {
    /// Indexed by number.
    pub(super) topics: Vec<TopicState>,
    numbers: HashMap<String, u32>,
    /// Commits by their key in `meta`.
    pub(super) commits: HashMap<Vec<u8>, CommittedOffset>,
    /// Current epoch of each slot that was ever opened.
    pub(super) epochs: HashMap<SlotName, u64>,
}

impl LogState {
    /// Reads everything but the records.
    pub(super) fn load(store: &LogStore) -> Result<Self, LogError> {
        let mut state = Self::default();
        for (_, value) in entries(store, tag::TOPIC)? {
            let topic = topics::from_bytes(&value).ok_or_else(|| store.malformed("a topic"))?;
            state.add_topic(topic);
        }
        for (key, value) in entries(store, tag::PARTITION)? {
            let id = key.get(1..).and_then(PartitionId::of_prefix);
            let found = id.zip(PartitionState::from_bytes(&value));
            let slot = found.and_then(|(id, partition)| Some((state.partition_mut(id)?, partition)));
            let (slot, partition) = slot.ok_or_else(|| store.malformed("a partition"))?;
            *slot = partition;
        }
        for (key, value) in entries(store, tag::COMMIT)? {
            let commit = commit_of(&value).ok_or_else(|| store.malformed("a commit"))?;
            state.commits.insert(key.to_vec(), commit);
        }
        for (key, value) in entries(store, tag::SLOT)? {
            let epoch = (&*value).try_into().map(u64::from_be_bytes).ok();
            let (slot, epoch) = slot_of(&key).zip(epoch).ok_or_else(|| store.malformed("a slot"))?;
            state.epochs.insert(slot, epoch);
        }
        Ok(state)
    }

    /// Adds a topic under the next number.
    pub(super) fn add_topic(&mut self, description: TopicDescription) {
        let number = self.next_number();
        self.numbers.insert(description.name.clone(), number);
        self.topics.push(TopicState::empty(number, description));
    }

    /// Returns the number that the next topic gets.
    pub(super) fn next_number(&self) -> u32 {
        u32::try_from(self.topics.len()).expect("a folder holds far fewer than 2^32 topics")
    }

    /// Returns the newest stamp of any record ever appended, in milliseconds since 1970; below zero without one.
    pub(super) fn newest_ms(&self) -> i64 {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.newest_ms).max().unwrap_or(PartitionState::EMPTY.newest_ms)
    }

    /// Returns the topic of this name.
    pub(super) fn topic(&self, name: &str) -> Option<&TopicState> {
        self.numbers.get(name).map(|&number| &self.topics[number as usize])
    }

    /// Returns the topic of this name.
    ///
    /// # Errors
    /// [`LogError::NoSuchTopic`] if it does not exist.
    pub(super) fn require_topic(&self, name: &str) -> Result<&TopicState, LogError> {
        let missing = || LogError::NoSuchTopic { topic: name.to_owned(), partition: None };
        self.topic(name).ok_or_else(missing)
    }

    /// Returns a partition and its state.
    ///
    /// # Errors
    /// [`LogError::NoSuchTopic`] if the topic or the partition does not exist.
    pub(super) fn find(
        &self,
        name: &str,
        partition: Partition,
    ) -> Result<(PartitionId, PartitionState), LogError> {
        let topic = self.require_topic(name)?;
        let missing = || LogError::NoSuchTopic { topic: name.to_owned(), partition: Some(partition) };
        let found = topic.partitions.get(partition.0 as usize).ok_or_else(missing)?;
        Ok((PartitionId { topic: topic.number, partition }, *found))
    }

    /// Returns the state of a partition that is known to exist.
    pub(super) fn partition(&self, id: PartitionId) -> PartitionState {
        self.topics[id.topic as usize].partitions[id.partition.0 as usize]
    }

    /// Returns the state of a partition to be changed; `None` if it does not exist.
    pub(super) fn partition_mut(&mut self, id: PartitionId) -> Option<&mut PartitionState> {
        self.topics.get_mut(id.topic as usize)?.partitions.get_mut(id.partition.0 as usize)
    }
}

/// Returns everything in `meta` under one tag, in key order.
fn entries(store: &LogStore, tag: u8) -> Result<Vec<KvPair>, LogError> {
    let read = |guard: fjall::Guard| guard.into_inner().map_err(|error| store.unreadable(error));
    store.meta.prefix([tag]).map(read).collect()
}

/// The state, and a condition variable for its changes.
pub(super) struct PublishedState {
    state: Mutex<LogState>,
    changed: Condvar,
}

impl PublishedState {
    /// Publishes a first state.
    pub(super) fn new(state: LogState) -> Self {
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Locks the state; hold the guard only briefly.
    pub(super) fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().expect("nothing panics while it holds the state")
    }

    /// Changes the state and wakes all who wait.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut LogState) -> T) -> T {
        let answer = change(&mut self.lock());
        self.changed.notify_all();
        answer
    }

    /// Blocks until `look` finds something; returns `None` at `until`, if there is one.
    pub(super) fn wait<T>(
        &self,
        until: Option<Instant>,
        mut look: impl FnMut(&LogState) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&state) {
                return Some(found);
            }
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return None,
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.expect("nothing panics while it holds the state").0
                }
                None => self.changed.wait(state).expect("nothing panics while it holds the state"),
            };
        }
    }
}
