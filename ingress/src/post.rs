//! What a request brings: where the kinds of requests differ.

use crate::collect::Counts;
use crate::dedupe::FrameId;
use crate::owner::TokenTable;
use crate::pack::PackedRecord;
use crate::reply::Reply;
use crate::stats::FrameOutcome;
use yahtzee_core::owner::Owner;

/// A request of one kind, its head read.
pub(crate) trait Post {
    /// Media types of its bodies.
    const CONTENT_TYPES: &'static [&'static str];

    /// Its greatest body, in bytes, where the settings do not demand a smaller one.
    const MAX_BODY_BYTES: usize;

    /// The reply to what has been stored, or is not worth sending again.
    const TAKEN: Reply;

    /// Whose rate it counts against.
    fn owner(&self) -> Owner;

    /// Names the delivery of `body`, the same for every attempt; `None` if attempts cannot be told apart.
    fn frame_id(&self, body: &[u8]) -> Option<FrameId>;

    /// Reads `body`, received at `recv_us`, microseconds since 1970.
    fn read(&self, body: &[u8], tokens: &TokenTable, recv_us: i64) -> Contents;
}

/// What a body was read to be.
#[derive(Debug)]
pub(crate) struct Contents {
    /// To be stored.
    pub(crate) records: Vec<PackedRecord>,
    /// What was seen in it.
    pub(crate) counts: Counts,
    /// Whether it holds more or less than its head announces.
    pub(crate) differs_from_head: bool,
    /// What to count once nothing of it is left to store; `None` for a body without content.
    pub(crate) if_stored: Option<FrameOutcome>,
}
