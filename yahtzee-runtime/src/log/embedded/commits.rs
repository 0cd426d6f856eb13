//! Checks of commits and group names, as a broker makes them.

use super::queue::KeyedCommit;
use super::state::LogState;
use crate::cause::Cause;
use crate::log::{LogError, OffsetCommit};

/// The broker's default `offset.metadata.max.bytes`.
const MAX_METADATA_BYTES: usize = 4_096;

/// Kafka's strings end at 32 KiB; a group is a name and needs far less.
const MAX_GROUP_BYTES: usize = 1_024;

/// Refuses names that are empty or absurdly long.
pub(super) fn check_group(group: &str) -> Result<(), LogError> {
    if matches!(group.len(), 1..=MAX_GROUP_BYTES) {
        return Ok(());
    }
    Err(LogError::refused(
        format!("a consumer group name of {} bytes", group.len()),
        Cause::new("invalid-group", format!("a name has 1 to {MAX_GROUP_BYTES} bytes")),
    ))
}

/// Keys commits after the checks that a broker would make.
pub(super) fn encode_all(
    state: &LogState,
    group: &str,
    offsets: &[OffsetCommit<'_>],
) -> Result<Vec<KeyedCommit>, LogError> {
    offsets.iter().map(|commit| encode(state, group, commit)).collect()
}

fn encode(state: &LogState, group: &str, commit: &OffsetCommit<'_>) -> Result<KeyedCommit, LogError> {
    let OffsetCommit { topic, partition, committed } = commit;
    let (id, _) = state.find(topic, *partition)?;
    let length = committed.metadata.len();
    let reason = if length > MAX_METADATA_BYTES {
        format!("its metadata has {length} bytes, the limit is {MAX_METADATA_BYTES}")
    } else if !committed.metadata.is_ascii() {
        "its metadata is not ASCII; encode it, for example as base64url".to_owned()
    } else {
        return Ok(KeyedCommit { key: id.commit_key(group), committed: committed.clone() });
    };
    let what = format!("the commit of {topic}/{partition} by {group}");
    Err(LogError::refused(what, Cause::new("invalid-commit", reason)))
}
