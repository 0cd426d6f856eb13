//! Records of the DLQ and LATE topics. Wire form: `proto/yahtzee/letters.proto`.

use std::sync::Arc;

use prost::Message;
use yahtzee_core::effect::{DeadLetter, Late};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use crate::log::NewRecord;

use super::slot::Topics;

#[derive(Clone, PartialEq, Message)]
struct DeadLetterMessage {
    #[prost(string, tag = "1")]
    job: String,
    #[prost(string, tag = "2")]
    topic: String,
    #[prost(uint32, tag = "3")]
    partition: u32,
    #[prost(uint64, tag = "4")]
    offset: u64,
    #[prost(sint64, tag = "5")]
    timestamp_ms: i64,
    #[prost(string, tag = "6")]
    reason: String,
    #[prost(bytes = "vec", tag = "7")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "8")]
    value: Vec<u8>,
    #[prost(uint64, tag = "9")]
    value_bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
struct LateMessage {
    #[prost(string, tag = "1")]
    job: String,
    #[prost(string, tag = "2")]
    topic: String,
    #[prost(uint32, tag = "3")]
    partition: u32,
    #[prost(uint64, tag = "4")]
    offset: u64,
    #[prost(sint64, tag = "5")]
    timestamp_ms: i64,
    #[prost(bytes = "vec", tag = "6")]
    owner: Vec<u8>,
    #[prost(uint64, tag = "7")]
    late: u64,
    #[prost(uint64, tag = "8")]
    future: u64,
    #[prost(uint64, tag = "9")]
    latest_windows: u64,
    #[prost(bytes = "vec", tag = "10")]
    value: Vec<u8>,
}

/// The record of a dead letter.
pub(super) fn dead_letter(
    letter: DeadLetter,
    topics: &Topics,
    partition: Partition,
    now_ms: i64,
) -> NewRecord {
    let key = key(topics, partition, letter.offset);
    let message = DeadLetterMessage {
        job: topics.job.to_owned(),
        topic: topics.raw.clone(),
        partition: partition.0,
        offset: letter.offset.0,
        timestamp_ms: letter.timestamp_ms,
        reason: letter.reason.name().to_owned(),
        key: letter.key,
        value: letter.value,
        value_bytes: letter.value_bytes as u64,
    };
    let topic = Arc::clone(&topics.dead_letters);
    NewRecord { topic, partition, timestamp_ms: now_ms, key, value: message.encode_to_vec() }
}

/// The record of what came too late or too early.
pub(super) fn late(late: Late, topics: &Topics, partition: Partition, now_ms: i64) -> NewRecord {
    let key = key(topics, partition, late.offset);
    let message = LateMessage {
        job: topics.job.to_owned(),
        topic: topics.raw.clone(),
        partition: partition.0,
        offset: late.offset.0,
        timestamp_ms: late.timestamp_ms,
        owner: late.owner.0.to_vec(),
        late: late.outcomes.late(),
        future: late.outcomes.future,
        latest_windows: late.outcomes.latest_windows,
        value: late.value,
    };
    let topic = Arc::clone(&topics.late);
    NewRecord { topic, partition, timestamp_ms: now_ms, key, value: message.encode_to_vec() }
}

/// `job/topic/partition/offset`: the same for every delivery, so that a reader can drop repetitions.
fn key(topics: &Topics, partition: Partition, offset: Offset) -> Vec<u8> {
    format!("{}/{}/{partition}/{offset}", topics.job, topics.raw).into_bytes()
}
