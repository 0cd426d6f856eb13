//! The librdkafka calls that the `rdkafka` crate does not wrap, or wraps in a way that does not serve.
//!
//! Every function borrows the client it works on, so that the client outlives the call; nothing that
//! librdkafka hands out outlives the function that asked for it.
#![allow(unsafe_code, reason = "a C interface; each block says why it is sound")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use yahtzee_core::owner::Partition;

use super::failure::KafkaFailure;

/// Identity and size of a topic, from the cluster's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TopicFacts {
    /// The bytes of the topic's UUID, as they are written.
    pub(super) id: [u8; 16],
    pub(super) partitions: u32,
    pub(super) replication: u32,
}

/// One partition's entry of an answer about committed offsets.
#[derive(Debug)]
pub(super) struct CommittedEntry {
    pub(super) partition: i32,
    /// Negative if nothing was committed.
    pub(super) offset: i64,
    pub(super) metadata: Vec<u8>,
    pub(super) code: Code,
}

/// A librdkafka object that is destroyed on drop.
struct OwnedNative<T> {
    object: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> OwnedNative<T> {
    /// Takes ownership of `object`; `None` if it is null.
    ///
    /// # Safety
    /// `object` is null, or `destroy` may be called on it once, at any later time.
    unsafe fn new(object: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(object).map(|object| Self { object, destroy })
    }

    fn ptr(&self) -> *mut T {
        self.object.as_ptr()
    }
}

impl<T> Drop for OwnedNative<T> {
    fn drop(&mut self) {
        // SAFETY: promised to `new`; `drop` runs once.
        unsafe { (self.destroy)(self.object.as_ptr()) }
    }
}

/// Sends what is queued without lingering, and blocks until all of it is answered.
///
/// Something else must be polling the producer. The crate's own `flush` polls, in steps of 100 ms.
///
/// # Errors
/// If records are still unanswered after `timeout`.
pub(super) fn flush<C: ClientContext>(producer: &Client<C>, timeout: Duration) -> Result<(), KafkaFailure> {
    // SAFETY: the client is alive while it is borrowed, and librdkafka's clients may be used from any thread.
    checked(unsafe { c::rd_kafka_flush(producer.native_ptr(), millis(timeout)) })
}

/// Returns the end offset of a partition in the newest fetch response; `None` before the first one.
pub(super) fn cached_end<C: ClientContext>(
    consumer: &Client<C>,
    topic: &CStr,
    partition: Partition,
) -> Option<u64> {
    let (mut low, mut high) = (0, 0);
    let partition = i32::try_from(partition.0).ok()?;
    // SAFETY: the client is alive while it is borrowed; the pointers are valid for the duration of the call.
    let code = unsafe {
        c::rd_kafka_get_watermark_offsets(
            consumer.native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    checked(code).ok()?;
    u64::try_from(high).ok()
}

/// Commits `offsets` in the consumer's group and waits for the answer.
///
/// The crate's own synchronous commit waits without bound.
///
/// # Errors
/// If the broker refused any of the offsets, or did not answer in `timeout`: the commit may still happen.
pub(super) fn commit<C: ClientContext>(
    consumer: &Client<C>,
    offsets: &TopicPartitionList,
    timeout: Duration,
) -> Result<(), KafkaFailure> {
    let queue = new_queue(consumer)?;
    // SAFETY: client, list and queue are alive during the call; librdkafka copies the list. Without a callback
    // the answer is an event in our queue, and nothing is called back later.
    checked(unsafe {
        c::rd_kafka_commit_queue(
            consumer.native_ptr(),
            offsets.ptr(),
            queue.ptr(),
            None,
            std::ptr::null_mut(),
        )
    })?;
    let answer = wait_for_event(&queue, timeout)?;
    // SAFETY: the event is alive; the list belongs to it, and entries are copied out before it goes.
    let refused = unsafe { entries_of(c::rd_kafka_event_topic_partition_list(answer.ptr())) };
    match refused.iter().find(|entry| entry.code != Code::NoError) {
        Some(entry) => Err(KafkaFailure::of(entry.code)),
        None => Ok(()),
    }
}

/// Copies an answer about committed offsets. The crate's accessor panics on metadata that is not UTF-8.
pub(super) fn committed_entries(answer: &TopicPartitionList) -> Vec<CommittedEntry> {
    // SAFETY: the list is alive while it is borrowed.
    unsafe { entries_of(answer.ptr()) }
}

/// Asks the cluster for a topic's identity and size; `None` if it does not exist.
///
/// # Errors
/// If there is no answer in `timeout`, or an error.
pub(super) fn describe_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<TopicFacts>, KafkaFailure> {
    let name = topic_name(topic)?;
    let mut names = [name.as_ptr()];
    // SAFETY: one valid name; librdkafka copies it.
    let topics = unsafe {
        let topics = c::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        OwnedNative::new(topics, c::rd_kafka_TopicCollection_destroy)
    };
    let topics = topics.ok_or_else(out_of_memory)?;
    let options = describe_options(client, timeout)?;
    let queue = new_queue(client)?;
    // SAFETY: all four objects are alive; librdkafka copies names and options and holds on to the queue itself.
    unsafe { c::rd_kafka_DescribeTopics(client.native_ptr(), topics.ptr(), options.ptr(), queue.ptr()) };
    // The request times out by itself; the margin lets its own, more telling error arrive.
    let answer = wait_for_event(&queue, timeout + Duration::from_millis(500))?;
    // SAFETY: the answer is alive and everything below is copied out of it.
    unsafe { facts_of(&answer) }
}

fn describe_options<C: ClientContext>(
    client: &Client<C>,
    timeout: Duration,
) -> Result<OwnedNative<c::rd_kafka_AdminOptions_t>, KafkaFailure> {
    let kind = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the client is alive; the options are destroyed once.
    let options = unsafe {
        OwnedNative::new(
            c::rd_kafka_AdminOptions_new(client.native_ptr(), kind),
            c::rd_kafka_AdminOptions_destroy,
        )
    };
    let options = options.ok_or_else(out_of_memory)?;
    let mut text: [c_char; 256] = [0; 256];
    // SAFETY: the options are alive and the buffer has the length that is given.
    checked(unsafe {
        c::rd_kafka_AdminOptions_set_request_timeout(
            options.ptr(),
            millis(timeout),
            text.as_mut_ptr(),
            text.len(),
        )
    })?;
    Ok(options)
}

/// # Safety
/// `answer` is an event of librdkafka.
unsafe fn facts_of(answer: &OwnedNative<c::rd_kafka_event_t>) -> Result<Option<TopicFacts>, KafkaFailure> {
    // SAFETY: the event is alive. A result of another type is null and has no topics; one name was asked for,
    // so there is at most one description, which belongs to the event.
    unsafe {
        let result = c::rd_kafka_event_DescribeTopics_result(answer.ptr());
        let mut count = 0;
        let topics = match NonNull::new(result.cast_mut()) {
            Some(result) => c::rd_kafka_DescribeTopics_result_topics(result.as_ptr(), &raw mut count),
            None => std::ptr::null_mut(),
        };
        if topics.is_null() || count == 0 {
            return Err(KafkaFailure::of(Code::BadMessage));
        }
        let topic = *topics;
        let error = c::rd_kafka_TopicDescription_error(topic);
        match Code::from(c::rd_kafka_error_code(error)) {
            Code::NoError => {}
            Code::UnknownTopicOrPartition => return Ok(None),
            code => {
                let reason = CStr::from_ptr(c::rd_kafka_error_string(error)).to_string_lossy().into_owned();
                return Err(KafkaFailure::new(code, reason));
            }
        }
        let (mut partition_count, mut replica_count) = (0, 0);
        let partitions = c::rd_kafka_TopicDescription_partitions(topic, &raw mut partition_count);
        if partition_count > 0 {
            c::rd_kafka_TopicPartitionInfo_replicas(*partitions, &raw mut replica_count);
        }
        Ok(Some(TopicFacts {
            id: id_of(c::rd_kafka_TopicDescription_topic_id(topic)),
            partitions: u32::try_from(partition_count).map_err(|_| KafkaFailure::of(Code::BadMessage))?,
            replication: u32::try_from(replica_count).map_err(|_| KafkaFailure::of(Code::BadMessage))?,
        }))
    }
}

/// # Safety
/// `id` is a live UUID of librdkafka.
unsafe fn id_of(id: *const c::rd_kafka_Uuid_t) -> [u8; 16] {
    // SAFETY: promised by the caller.
    let (high, low) =
        unsafe { (c::rd_kafka_Uuid_most_significant_bits(id), c::rd_kafka_Uuid_least_significant_bits(id)) };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&low.to_be_bytes());
    bytes
}

/// # Safety
/// `list` is null or a live list.
unsafe fn entries_of(list: *const c::rd_kafka_topic_partition_list_t) -> Vec<CommittedEntry> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a live list has `cnt` elements at `elems`; each has `metadata_size` bytes at `metadata`, or none.
    unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        (0..count)
            .map(|index| {
                let entry = &*(*list).elems.add(index);
                CommittedEntry {
                    partition: entry.partition,
                    offset: entry.offset,
                    metadata: bytes_at(entry.metadata.cast(), entry.metadata_size).to_vec(),
                    code: entry.err.into(),
                }
            })
            .collect()
    }
}

/// # Safety
/// `start` is null, or `length` bytes are readable there for as long as `'a`.
pub(super) unsafe fn bytes_at<'a>(start: *const u8, length: usize) -> &'a [u8] {
    if start.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: promised by the caller.
    unsafe { std::slice::from_raw_parts(start, length) }
}

fn new_queue<C: ClientContext>(client: &Client<C>) -> Result<OwnedNative<c::rd_kafka_queue_t>, KafkaFailure> {
    // SAFETY: the client is alive; the queue is destroyed once, before the caller lets go of the client.
    let queue =
        unsafe { OwnedNative::new(c::rd_kafka_queue_new(client.native_ptr()), c::rd_kafka_queue_destroy) };
    queue.ok_or_else(out_of_memory)
}

/// Returns the first event of `queue`, if it carries no error.
fn wait_for_event(
    queue: &OwnedNative<c::rd_kafka_queue_t>,
    timeout: Duration,
) -> Result<OwnedNative<c::rd_kafka_event_t>, KafkaFailure> {
    // SAFETY: the queue is alive; the event is ours to destroy.
    let event = unsafe {
        OwnedNative::new(c::rd_kafka_queue_poll(queue.ptr(), millis(timeout)), c::rd_kafka_event_destroy)
    };
    let event = event.ok_or_else(|| KafkaFailure::of(Code::OperationTimedOut))?;
    // SAFETY: the event is alive; its text is a C string that lives as long.
    let (code, text) = unsafe {
        (c::rd_kafka_event_error(event.ptr()), CStr::from_ptr(c::rd_kafka_event_error_string(event.ptr())))
    };
    match Code::from(code) {
        Code::NoError => Ok(event),
        code => Err(KafkaFailure::new(code, text.to_string_lossy().into_owned())),
    }
}

/// Returns the error of a code.
pub(super) fn checked(code: c::rd_kafka_resp_err_t) -> Result<(), KafkaFailure> {
    match Code::from(code) {
        Code::NoError => Ok(()),
        code => Err(KafkaFailure::of(code)),
    }
}

/// Checks a pointer: librdkafka returns null only if memory or a name is missing.
fn out_of_memory() -> KafkaFailure {
    KafkaFailure::of(Code::CriticalSystemResource)
}

/// Returns a topic name as librdkafka takes it.
pub(super) fn topic_name(topic: &str) -> Result<CString, KafkaFailure> {
    CString::new(topic).map_err(|_| KafkaFailure::of(Code::InvalidTopic))
}

/// Converts a timeout for librdkafka, rounded up so that a short wait does not become zero.
pub(super) fn millis(duration: Duration) -> c_int {
    c_int::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
}
