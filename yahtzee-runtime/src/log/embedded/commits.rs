//! What may be committed, and under which name.

use yahtzee_core::owner::Partition;

use super::queue::Commit;
use super::state::State;
use crate::log::{CommittedOffset, LogError};

/// The broker's default `offset.metadata.max.bytes`.
const MAX_METADATA_BYTES: usize = 4_096;

/// Kafka's strings end at 32 KiB; a group is a name and needs far less.
const MAX_GROUP_BYTES: usize = 1_024;

/// Refuses names that are empty or absurdly long.
pub(super) fn check_group(group: &str) -> Result<(), LogError> {
    if matches!(group.len(), 1..=MAX_GROUP_BYTES) {
        return Ok(());
    }
    Err(LogError::Refused {
        what: format!("a consumer group name of {} bytes", group.len()),
        reason: format!("a name has 1 to {MAX_GROUP_BYTES} bytes"),
    })
}

/// Finds the partition, and checks what a broker would check.
pub(super) fn draft(
    state: &State,
    group: &str,
    topic: &str,
    partition: Partition,
    committed: CommittedOffset,
) -> Result<Commit, LogError> {
    let (id, _) = state.find(topic, partition)?;
    let length = committed.metadata.len();
    let reason = if length > MAX_METADATA_BYTES {
        format!("its metadata has {length} bytes, the limit is {MAX_METADATA_BYTES}")
    } else if !committed.metadata.is_ascii() {
        "its metadata is not ASCII; encode it, for example as base64url".to_owned()
    } else {
        return Ok(Commit { key: id.commit_key(group), committed });
    };
    Err(LogError::Refused { what: format!("the commit of {topic}/{partition} by {group}"), reason })
}
