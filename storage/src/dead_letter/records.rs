//! Records of the RETRY and QUARANTINE topics.

use std::sync::Arc;

use yahtzee_core::owner::Partition;
use yahtzee_core::summary::SummaryKey;
use yahtzee_runtime::clock::wall_clock_ms;
use yahtzee_runtime::log::NewRecord;

use crate::dead_letter::headers::FailureHeaders;
use crate::job_topics::JobTopics;
use crate::store::Shard;
use crate::store::VALUE_BYTES_MAX;

/// Returns the RETRY record of a summary that waits for its shard.
pub(crate) fn retry(
    topics: &JobTopics,
    shard: Shard,
    key: &[u8],
    value: &[u8],
    trail: &FailureHeaders,
) -> NewRecord {
    NewRecord {
        topic: Arc::clone(&topics.retry),
        partition: topics.retry_partition(shard),
        // Retention counts from now on: how old the summary is does not matter. A clock that is behind the summary is wrong.
        timestamp_ms: SummaryKey::decode(key).map_or(0, |key| key.window_start_ms).max(wall_clock_ms()),
        key: key.to_vec(),
        value: value.to_vec(),
        headers: trail.headers(),
    }
}

/// Returns the QUARANTINE record of a summary that `store` will never take. A value too large for any store is cut, and
/// the error says so: with its headers it might not fit into a record.
pub(crate) fn quarantine(
    topics: &JobTopics,
    store: &str,
    key: &[u8],
    value: &[u8],
    trail: &FailureHeaders,
) -> NewRecord {
    let mut trail = trail.clone();
    let kept = &value[..value.len().min(VALUE_BYTES_MAX)];
    if kept.len() < value.len() {
        let error = trail.error.unwrap_or_default();
        trail.error = Some(format!("{error}; kept are the first {VALUE_BYTES_MAX} of {} bytes", value.len()));
    }
    NewRecord {
        topic: Arc::clone(&topics.quarantine),
        partition: quarantine_partition(topics, key, &trail),
        timestamp_ms: wall_clock_ms(),
        key: quarantine_key(store, key),
        value: kept.to_vec(),
        headers: trail.headers(),
    }
}

/// Returns the record that settles the one in `partition` under `key`, which is that of the QUARANTINE topic.
pub(crate) fn settlement(
    topics: &JobTopics,
    partition: Partition,
    key: &[u8],
    trail: &FailureHeaders,
) -> NewRecord {
    NewRecord {
        topic: Arc::clone(&topics.quarantine),
        partition,
        timestamp_ms: wall_clock_ms(),
        key: key.to_vec(),
        value: Vec::new(),
        headers: trail.headers(),
    }
}

/// Returns the key in the QUARANTINE topic: name of the store, `/`, key of the summary. Two stores that refuse the same
/// summary must not replace each other's record.
fn quarantine_key(store: &str, key: &[u8]) -> Vec<u8> {
    [store.as_bytes(), b"/", key].concat()
}

/// Returns name of the store and key of the summary from a key of the QUARANTINE topic.
pub(crate) fn split_quarantine_key(key: &[u8]) -> Option<(&str, &[u8])> {
    let at = key.iter().position(|&byte| byte == b'/')?;
    let (store, key) = key.split_at(at);
    Some((str::from_utf8(store).ok()?, &key[1..]))
}

/// Returns the partition in QUARANTINE: the owner's, the same for every record of a key, so that settling reads one
/// partition. A key that cannot be read stays in the partition of its source.
fn quarantine_partition(topics: &JobTopics, key: &[u8], trail: &FailureHeaders) -> Partition {
    let of_source = || trail.source.as_ref().map_or(Partition(0), |source| source.partition);
    let partition =
        SummaryKey::decode(key).map_or_else(|_| of_source(), |key| key.owner.partition(topics.partitions));
    Partition(partition.0 % topics.partitions)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quarantine_keys_keep_stores_apart(store in "[a-z0-9_-]{1,12}", key: Vec<u8>) {
            let joined = quarantine_key(&store, &key);
            prop_assert_eq!(split_quarantine_key(&joined), Some((store.as_str(), key.as_slice())));
        }
    }
}
