//! Fetched records in librdkafka's memory, a batch at a time.
//!
//! The fetch queues of all assigned partitions are forwarded into one queue of ours, which is drained by
//! `rd_kafka_consume_batch_queue`: about a third of the cost per record of polling them one by one. The
//! consumer's main queue must never be drained that way (librdkafka asserts on the other events it carries),
//! so it is served separately.
#![allow(unsafe_code, reason = "a C interface; each block says why it is sound")]

use std::ffi::CStr;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset as Place, TopicPartitionList};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};

use super::events::{self, ClientEvents};
use super::failure::KafkaFailure;
use super::native;
use crate::log::{HeaderSource, Headers, Item};

/// Messages per call into librdkafka.
const BATCH: usize = 1024;

/// A consumer with assigned partitions and the newest batch of what it fetched.
pub(super) struct BatchQueue {
    queue: NonNull<c::rd_kafka_queue_t>,
    messages: Vec<FetchedMessage>,
    /// Last, so that it is destroyed after what [`Drop`] destroys.
    consumer: BaseConsumer<ClientEvents>,
}

// SAFETY: librdkafka's objects may be used from any thread, and these are reached through this value alone.
// `BatchQueue` is not `Sync`: batch calls on one client must not overlap, which `&mut self` ensures.
unsafe impl Send for BatchQueue {}

/// An error of a partition, delivered in place of a record.
#[derive(Debug)]
pub(super) struct PartitionFailure {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    pub(super) failure: KafkaFailure,
}

impl BatchQueue {
    /// Begins to fetch `partitions` of `topic` at the given offsets.
    pub(super) fn open(
        consumer: BaseConsumer<ClientEvents>,
        topic: &CStr,
        partitions: &[(i32, i64)],
    ) -> Result<Self, KafkaFailure> {
        // SAFETY: the client is alive; the queue is destroyed in `drop`, before the client.
        let queue = unsafe { c::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).ok_or_else(|| KafkaFailure::of(Code::CriticalSystemResource))?;
        let mut opened = Self { queue, messages: Vec::with_capacity(BATCH), consumer };
        opened.assign(topic, partitions)?;
        Ok(opened)
    }

    /// Begins to fetch `partitions` of `topic` at the given offsets, and stops fetching others. librdkafka discards what it has
    /// fetched for an earlier assignment and not handed out.
    pub(super) fn assign(&mut self, topic: &CStr, partitions: &[(i32, i64)]) -> Result<(), KafkaFailure> {
        self.clear();
        let mut assignment = TopicPartitionList::with_capacity(partitions.len());
        let name = topic.to_str().map_err(|_| KafkaFailure::of(Code::InvalidTopic))?;
        for &(partition, offset) in partitions {
            // Before the assignment, so that nothing ever arrives in the main queue.
            self.forward(topic, partition)?;
            assignment.add_partition_offset(name, partition, Place::Offset(offset))?;
        }
        Ok(self.consumer.assign(&assignment)?)
    }

    fn forward(&self, topic: &CStr, partition: i32) -> Result<(), KafkaFailure> {
        // SAFETY: client and name are alive; the handle is destroyed below, the forwarding outlives it.
        let source = unsafe {
            let client = self.consumer.client().native_ptr();
            c::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition)
        };
        let source = NonNull::new(source).ok_or_else(|| KafkaFailure::of(Code::UnknownPartition))?;
        // SAFETY: both queues are alive.
        unsafe {
            c::rd_kafka_queue_forward(source.as_ptr(), self.queue.as_ptr());
            c::rd_kafka_queue_destroy(source.as_ptr());
        }
        Ok(())
    }

    /// Returns the consumer behind the queue.
    pub(super) fn consumer(&self) -> &BaseConsumer<ClientEvents> {
        &self.consumer
    }

    /// Releases the batch and takes the next one: what is there, or the first to come within `wait`.
    pub(super) fn fill(&mut self, wait: Duration) {
        self.clear();
        self.take(Duration::ZERO, BATCH);
        if self.messages.is_empty() && !wait.is_zero() {
            // A call for more than one message would wait until it has them all, or for the whole time.
            self.take(wait, 1);
            self.take(Duration::ZERO, BATCH - self.messages.len());
        }
        events::serve(&self.consumer);
    }

    /// Appends up to `count` messages to the batch, which has room for [`BATCH`].
    fn take(&mut self, wait: Duration, count: usize) {
        let start = self.messages.len();
        assert!(start + count <= self.messages.capacity(), "room for the batch was made at the start");
        // SAFETY: there is room for `count` pointers past `start`, each laid out as a `FetchedMessage`; librdkafka
        // writes at most that many and says how many. They are not null, and ours to destroy. Batch calls cannot
        // overlap: `&mut self`.
        unsafe {
            let room = self.messages.as_mut_ptr().add(start).cast::<*mut c::rd_kafka_message_t>();
            let taken =
                c::rd_kafka_consume_batch_queue(self.queue.as_ptr(), native::millis(wait), room, count);
            self.messages.set_len(start + usize::try_from(taken).unwrap_or(0));
        }
    }

    /// Lends the records and ends of the batch.
    pub(super) fn messages(&self) -> FetchedMessages<'_> {
        FetchedMessages { rest: self.messages.iter() }
    }

    /// Returns the errors in the batch.
    pub(super) fn failures(&self) -> impl Iterator<Item = PartitionFailure> + '_ {
        self.messages.iter().filter_map(|message| {
            // SAFETY: the message lives until `clear`, which needs `&mut self`.
            let message = unsafe { message.0.as_ref() };
            let code = Code::from(message.err);
            (!matches!(code, Code::NoError | Code::PartitionEOF)).then(|| PartitionFailure {
                partition: partition_of(message),
                offset: offset_of(message),
                failure: KafkaFailure::new(code, text_of(message)),
            })
        })
    }

    fn clear(&mut self) {
        for message in self.messages.drain(..) {
            // SAFETY: ours, and drained, so destroyed once. Nobody borrows from it: `&mut self`.
            unsafe { c::rd_kafka_message_destroy(message.0.as_ptr()) };
        }
    }
}

impl Drop for BatchQueue {
    fn drop(&mut self) {
        self.clear();
        // SAFETY: ours and destroyed once. The client, which must go last, is dropped after this.
        unsafe { c::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

/// The records and ends of one batch, in offset order per partition. They borrow from the reader, which keeps
/// the batch until it is polled again.
pub(super) struct FetchedMessages<'a> {
    rest: std::slice::Iter<'a, FetchedMessage>,
}

impl<'a> Iterator for FetchedMessages<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        for fetched in self.rest.by_ref() {
            // SAFETY: `'a` borrows the `BatchQueue`, which destroys its messages only through `&mut self`.
            let message: &'a c::rd_kafka_message_t = unsafe { fetched.0.as_ref() };
            match message.err {
                c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                    let headers = Headers::new(fetched);
                    return Some(Item::Record(partition_of(message), record_of(message), headers));
                }
                c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                    return Some(Item::End(partition_of(message), offset_of(message)));
                }
                _ => {}
            }
        }
        None
    }
}

/// A message of the batch.
#[repr(transparent)]
struct FetchedMessage(NonNull<c::rd_kafka_message_t>);

/// librdkafka parses the headers of a record when it is first asked and keeps them with the message.
///
/// That changes the message behind a shared borrow, which is sound because it happens on one thread: neither this
/// nor [`BatchQueue`], from which it is borrowed, can be shared between threads.
impl HeaderSource for FetchedMessage {
    /// `None` also if librdkafka cannot parse the headers.
    fn header(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let mut headers = ptr::null_mut();
        let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `self` is borrowed from the `BatchQueue`, which destroys its messages, and with them their headers,
        // only through `&mut self`. What the calls point at is set where they succeed: the name is a C string, the
        // value readable for its length or null, both for as long as the message lives.
        unsafe {
            native::checked(c::rd_kafka_message_headers(self.0.as_ptr(), &raw mut headers)).ok()?;
            native::checked(c::rd_kafka_header_get_all(
                headers,
                index,
                &raw mut name,
                &raw mut value,
                &raw mut length,
            ))
            .ok()?;
            Some((CStr::from_ptr(name).to_bytes(), native::bytes_at(value.cast(), length)))
        }
    }
}

fn record_of(message: &c::rd_kafka_message_t) -> LogRecord<'_> {
    let mut kind = c::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: a live message; key and payload are readable for their lengths for as long as it lives.
    unsafe {
        LogRecord {
            offset: offset_of(message),
            timestamp_ms: c::rd_kafka_message_timestamp(message, &raw mut kind),
            key: native::bytes_at(message.key.cast(), message.key_len),
            value: native::bytes_at(message.payload.cast(), message.len),
        }
    }
}

fn text_of(message: &c::rd_kafka_message_t) -> String {
    // SAFETY: a live message that is an error: its text is a C string that lives as long.
    unsafe { CStr::from_ptr(c::rd_kafka_message_errstr(message)).to_string_lossy().into_owned() }
}

fn partition_of(message: &c::rd_kafka_message_t) -> Partition {
    Partition(u32::try_from(message.partition).expect("an assigned partition has a number"))
}

/// Errors may carry librdkafka's negative placeholders; they become 0.
fn offset_of(message: &c::rd_kafka_message_t) -> Offset {
    Offset(u64::try_from(message.offset).unwrap_or(0))
}
