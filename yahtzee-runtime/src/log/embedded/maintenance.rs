//! Retention and compaction, in turns of bounded work on the writer thread.
//!
//! *Retention* deletes from the log start while the first record is older than the topic keeps; a record with a
//! wrong, far later timestamp holds back those behind it, as it does in a Kafka segment. Rounds of the log's own trust no
//! clock that jumps: see [`RetentionRound`].
//!
//! *Compaction* looks once at every record, in order, and deletes the one before it with the same key, which the
//! keyspace `newest` names. So its cost follows what is appended, not what is kept; the newest record of a key
//! always stays, and with it the last record of the partition. `newest` has exactly the kept records below
//! `cleaned`: an entry leaves when retention deletes its record.

use std::collections::HashMap;

use fjall::OwnedWriteBatch;
use yahtzee_core::owner::Partition;

use super::format::{PartitionId, PartitionState, number_of};
use super::retention_round::RetentionRound;
use super::{EmbeddedShared, times};
use crate::log::{Cleanup, LogError, TopicDescription};

/// Records that one turn looks at: some 10 ms, which an append may have to wait.
const TURN_RECORDS: usize = 8_192;

/// Records with longer keys are never superseded: the store's own keys end at 64 KiB. Their readers keep the
/// newest of a key anyway, as they must on Kafka.
const MAX_COMPACTED_KEY_BYTES: usize = 60_000;

/// Numbers of records that a turn has deleted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TurnOutcome {
    /// Records deleted by retention.
    pub(super) expired: u64,
    /// Records deleted by compaction.
    pub(super) superseded: u64,
    /// True if there may be more to do at once.
    pub(super) is_unfinished: bool,
}

/// Does one turn of a round over all partitions. Durable when it returns. On the writer thread only.
pub(super) fn turn(shared: &EmbeddedShared, round: &mut RetentionRound) -> Result<TurnOutcome, LogError> {
    let mut turn = MaintenanceTurn { shared, left: TURN_RECORDS, turned: TurnOutcome::default() };
    for (topic, description) in (0..).zip(descriptions(shared)) {
        for partition in (0..description.partitions).map(Partition) {
            let id = PartitionId { topic, partition };
            if let Some(retention_ms) = description.retention_ms {
                turn.expire(id, round, retention_ms)?;
            }
            if description.cleanup == Cleanup::CompactAndDelete {
                turn.compact(id)?;
            }
        }
    }
    turn.turned.is_unfinished = turn.left == 0;
    Ok(turn.turned)
}

/// Returns all topics, in the order of their numbers.
fn descriptions(shared: &EmbeddedShared) -> Vec<TopicDescription> {
    shared.published.lock().topics.iter().map(|topic| topic.description.clone()).collect()
}

struct MaintenanceTurn<'a> {
    shared: &'a EmbeddedShared,
    /// Records that may still be looked at.
    left: usize,
    turned: TurnOutcome,
}

impl MaintenanceTurn<'_> {
    /// Deletes from the start what is too old.
    fn expire(
        &mut self,
        id: PartitionId,
        round: &mut RetentionRound,
        retention_ms: i64,
    ) -> Result<(), LogError> {
        let (store, before) = (&self.shared.store, self.shared.published.lock().partition(id));
        let (mut batch, mut state) = (store.batch(), before);
        for stored in store.scan(&store.snapshot(), id, before.start..before.end).take(self.left) {
            let stored = stored?;
            let record = stored.record();
            if record.timestamp_ms >= round.oldest_ms(id, record.timestamp_ms, retention_ms) {
                break;
            }
            batch.remove(&store.records, id.numbered(record.offset.0));
            if record.offset.0 < before.cleaned && self.newest(id, record.key)? == Some(record.offset.0) {
                batch.remove(&store.newest, id.keyed(record.key));
            }
            state.start = record.offset.0 + 1;
            self.left -= 1;
            self.turned.expired += 1;
        }
        if state.start == before.start {
            return Ok(());
        }
        state.cleaned = state.cleaned.max(state.start);
        times::forget(&mut batch, store, id, state.start)?;
        self.commit(id, state, batch)
    }

    /// Deletes what the records since `cleaned` supersede.
    fn compact(&mut self, id: PartitionId) -> Result<(), LogError> {
        let (store, before) = (&self.shared.store, self.shared.published.lock().partition(id));
        let (mut batch, mut state) = (store.batch(), before);
        let mut newest: HashMap<Vec<u8>, u64> = HashMap::new();
        for stored in store.scan(&store.snapshot(), id, before.cleaned..before.end).take(self.left) {
            let stored = stored?;
            let record = stored.record();
            state.cleaned = record.offset.0 + 1;
            self.left -= 1;
            if record.key.len() > MAX_COMPACTED_KEY_BYTES {
                continue;
            }
            let in_this_turn = newest.insert(record.key.to_vec(), record.offset.0);
            let superseded =
                in_this_turn.map_or_else(|| self.newest(id, record.key), |offset| Ok(Some(offset)))?;
            if let Some(offset) = superseded {
                batch.remove(&store.records, id.numbered(offset));
                self.turned.superseded += 1;
            }
        }
        if state.cleaned == before.cleaned {
            return Ok(());
        }
        for (key, offset) in newest {
            batch.insert(&store.newest, id.keyed(&key), offset.to_be_bytes());
        }
        self.commit(id, state, batch)
    }

    /// Returns the newest record of a key among those that compaction has looked at.
    fn newest(&self, id: PartitionId, key: &[u8]) -> Result<Option<u64>, LogError> {
        if key.len() > MAX_COMPACTED_KEY_BYTES {
            return Ok(None);
        }
        let store = &self.shared.store;
        let offset = store.newest.get(id.keyed(key)).map_err(|error| store.unreadable(error))?;
        Ok(offset.and_then(|offset| number_of(&offset)))
    }

    /// Publishes the new start *before* the records go: a reader that misses some then always learns of it.
    fn commit(
        &self,
        id: PartitionId,
        state: PartitionState,
        mut batch: OwnedWriteBatch,
    ) -> Result<(), LogError> {
        let EmbeddedShared { store, published, .. } = self.shared;
        batch.insert(&store.meta, id.meta_key(), state.to_bytes());
        published.update(|published| {
            *published.partition_mut(id).expect("partitions never disappear") = state;
        });
        batch.commit().map_err(|error| store.unwritable(error))
    }
}
