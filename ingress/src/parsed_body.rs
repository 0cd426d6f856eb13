//! What was read of a body, of whichever endpoint.

use crate::collector::BodyCounts;
use crate::packer::PackedRecord;
use crate::stats::FrameOutcome;

/// A body that has been read.
#[derive(Debug)]
pub(crate) struct ParsedBody {
    /// Its raw records.
    pub(crate) records: Vec<PackedRecord>,
    /// Its lines and measurements.
    pub(crate) counts: BodyCounts,
    /// Whether it holds more or less than its head announces.
    pub(crate) differs_from_head: bool,
    /// The outcome to count once nothing of it is left to store; `None` for a body without content.
    pub(crate) outcome_if_stored: Option<FrameOutcome>,
}
