//! Topics: what may be created, and how a description is stored.

use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

use crate::cause::Cause;
use crate::log::{Cleanup, LogError, TopicDescription, TopicSpec};

/// Kafka's limit for the length of a topic name.
const MAX_NAME_BYTES: usize = 249;

/// More than any machine of this kind serves; each costs 32 bytes of memory.
const MAX_PARTITIONS: u32 = 4_096;

/// Checks what a broker would check.
pub(super) fn check(spec: &TopicSpec) -> Result<(), LogError> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let name_is_legal = matches!(spec.name.len(), 1..=MAX_NAME_BYTES)
        && spec.name.bytes().all(is_legal)
        && !matches!(spec.name.as_str(), "." | "..");
    let reason = if !name_is_legal {
        format!("a name has 1 to {MAX_NAME_BYTES} of the characters a-z A-Z 0-9 . _ -")
    } else if !(1..=MAX_PARTITIONS).contains(&spec.partitions) {
        format!("{} partitions are asked for, possible are 1 to {MAX_PARTITIONS}", spec.partitions)
    } else if spec.replication == 0 {
        "a topic has at least one copy: set replication to 1".to_owned()
    } else if spec.retention_ms.is_some_and(|ms| ms < 0) {
        "the retention is negative; leave it out to keep records for ever".to_owned()
    } else {
        return Ok(());
    };
    Err(LogError::refused(format!("creating topic {:?}", spec.name), Cause::new("invalid-topic", reason)))
}

/// Returns the description of a topic that is created now, with an id that no other creation gets.
pub(super) fn describe(spec: &TopicSpec) -> TopicDescription {
    TopicDescription {
        name: spec.name.clone(),
        id: fresh_id(),
        partitions: spec.partitions,
        replication: spec.replication,
        cleanup: spec.cleanup,
        retention_ms: spec.retention_ms,
        timestamp_ahead_max_ms: spec.timestamp_ahead_max_ms,
    }
}

/// Returns 128 bits: the clock and the process under two keys which the standard library draws from the system.
fn fresh_id() -> [u8; 16] {
    let moment = (SystemTime::now(), std::process::id());
    let mut id = [0; 16];
    for half in id.as_chunks_mut::<8>().0 {
        *half = RandomState::new().hash_one(moment).to_be_bytes();
    }
    id
}

/// Flag beside the cleanup of a topic whose bound of timestamps follows.
const HAS_BOUND: u8 = 2;

/// Returns the value in `meta`: id (16), partitions u32, replication u32, cleanup u8 (0, 1; 2 more with a bound),
/// retention i64 (-1: for ever), the bound of timestamps i64 if there is one, name.
pub(super) fn to_bytes(topic: &TopicDescription) -> Vec<u8> {
    let cleanup = match topic.cleanup {
        Cleanup::Delete => 0,
        Cleanup::CompactAndDelete => 1,
    };
    let retention_ms = topic.retention_ms.unwrap_or(-1);
    let bound = topic.timestamp_ahead_max_ms.map(i64::to_be_bytes);
    let flags = if bound.is_some() { HAS_BOUND } else { 0 };
    [
        topic.id.as_slice(),
        &topic.partitions.to_be_bytes(),
        topic.replication.to_be_bytes().as_slice(),
        &[cleanup | flags],
        &retention_ms.to_be_bytes(),
        bound.as_ref().map_or(&[][..], |bound| bound),
        topic.name.as_bytes(),
    ]
    .concat()
}

/// Reads [`to_bytes`] back.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<TopicDescription> {
    let (id, rest) = bytes.split_first_chunk()?;
    let (partitions, rest) = rest.split_first_chunk()?;
    let (replication, rest) = rest.split_first_chunk()?;
    let (cleanup, rest) = rest.split_first()?;
    let (retention_ms, rest) = rest.split_first_chunk()?;
    let (timestamp_ahead_max_ms, name) = match cleanup & HAS_BOUND {
        0 => (None, rest),
        _ => rest.split_first_chunk().map(|(bound, name)| (Some(i64::from_be_bytes(*bound)), name))?,
    };
    Some(TopicDescription {
        name: str::from_utf8(name).ok()?.to_owned(),
        id: *id,
        partitions: u32::from_be_bytes(*partitions),
        replication: u32::from_be_bytes(*replication),
        cleanup: match cleanup & !HAS_BOUND {
            0 => Cleanup::Delete,
            1 => Cleanup::CompactAndDelete,
            _ => return None,
        },
        retention_ms: Some(i64::from_be_bytes(*retention_ms)).filter(|&ms| ms >= 0),
        timestamp_ahead_max_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, partitions: u32, replication: u32, retention_ms: Option<i64>) -> TopicSpec {
        let cleanup = Cleanup::CompactAndDelete;
        let (name, timestamp_ahead_max_ms) = (name.to_owned(), None);
        TopicSpec { name, partitions, replication, cleanup, retention_ms, timestamp_ahead_max_ms }
    }

    #[test]
    fn a_description_reads_back() {
        let bounded = TopicSpec { timestamp_ahead_max_ms: Some(60_000), ..spec("a", 1, 1, Some(5)) };
        for spec in [spec("a", 1, 1, None), spec("RETRY.x_y-z.v2", 4_096, 3, Some(0)), bounded] {
            let topic = describe(&spec);
            assert_eq!(from_bytes(&to_bytes(&topic)), Some(topic));
        }
    }

    #[test]
    fn refuses_what_a_broker_refuses() {
        let check = |spec: TopicSpec, is_legal: bool| assert_eq!(check(&spec).is_ok(), is_legal, "{spec:?}");
        check(spec(&"x".repeat(249), 1, 1, Some(0)), true);
        check(spec(&"x".repeat(250), 1, 1, None), false);
        for name in ["", ".", "..", "a b", "\u{e4}", "a/b"] {
            check(spec(name, 1, 1, None), false);
        }
        check(spec("a", 0, 1, None), false);
        check(spec("a", 4_097, 1, None), false);
        check(spec("a", 1, 0, None), false);
        check(spec("a", 1, 1, Some(-1)), false);
    }

    #[test]
    fn every_creation_has_an_id_of_its_own() {
        let ids: std::collections::BTreeSet<_> = (0..1_000).map(|_| fresh_id()).collect();
        assert_eq!(ids.len(), 1_000);
    }
}
