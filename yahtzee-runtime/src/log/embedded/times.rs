//! Index from times to offsets, so that a partition need not be read as a whole.
//!
//! The first record at or after `t` is where the *running maximum* of the timestamps reaches `t`, however
//! they go back and forth. So each 1,024 offsets the index notes the running maximum and the offset after it:
//! the entry just below `t` says from where to scan, and a scan ends after one stride (or one turn of the
//! writer, where that is longer). Deleting records spoils nothing: what lies before the entry is still older.

use fjall::OwnedWriteBatch;
use yahtzee_core::record::Offset;

use super::format::{PartitionId, PartitionState, number_of};
use super::store::LogStore;
use crate::log::{Bounds, LogError};

/// Offsets between two entries.
const STRIDE: u64 = 1_024;

/// Notes the running maximum when an append has passed a multiple of the stride.
pub(super) fn note(
    batch: &mut OwnedWriteBatch,
    store: &LogStore,
    id: PartitionId,
    before: &PartitionState,
    after: &PartitionState,
) {
    if before.end / STRIDE != after.end / STRIDE {
        batch.insert(&store.times, key(id, after.newest_ms), after.end.to_be_bytes());
    }
}

/// Removes the entries below the log start.
pub(super) fn forget(
    batch: &mut OwnedWriteBatch,
    store: &LogStore,
    id: PartitionId,
    start: u64,
) -> Result<(), LogError> {
    for guard in store.times.prefix(id.prefix()) {
        let (key, offset) = guard.into_inner().map_err(|error| store.unreadable(error))?;
        if number_of(&offset).is_none_or(|offset| offset > start) {
            break;
        }
        batch.remove(&store.times, key);
    }
    Ok(())
}

/// Returns the offset of the first record within `bounds` at `timestamp_ms` or later; the end if there is none.
pub(super) fn find(
    store: &LogStore,
    id: PartitionId,
    bounds: Bounds,
    timestamp_ms: i64,
) -> Result<Offset, LogError> {
    let below = store.times.range(key(id, i64::MIN)..key(id, timestamp_ms)).next_back();
    let below = below.map(fjall::Guard::value).transpose().map_err(|error| store.unreadable(error))?;
    let from = below.and_then(|offset| number_of(&offset)).unwrap_or(0).max(bounds.start.0);
    for stored in store.scan(&store.snapshot(), id, from..bounds.end.0) {
        let stored = stored?;
        let record = stored.record();
        if record.timestamp_ms >= timestamp_ms {
            return Ok(record.offset);
        }
    }
    Ok(bounds.end)
}

/// Returns the key in `times`. Appends have no negative timestamps; all of those asked for mean the log start.
fn key(id: PartitionId, timestamp_ms: i64) -> [u8; 16] {
    id.numbered(u64::try_from(timestamp_ms).unwrap_or(0))
}
