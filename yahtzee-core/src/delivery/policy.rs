//! Bounds and times of the queue of a shard.

use std::time::Duration;

use super::waits::WaitBounds;

/// Bounds and times of the queue of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePolicy {
    /// Rows per write at most.
    pub batch_max: usize,
    /// Longest time that a row waits for its batch to fill.
    pub linger: Duration,
    /// Rows that wait at most.
    pub queue_max: usize,
    /// Their bytes at most.
    pub queue_bytes_max: usize,
    /// How long a write may take before what does not fit into the queue goes to RETRY.
    pub patience: Duration,
    /// How long the shard may be down before all its rows go to RETRY; `None` waits as long as it takes.
    pub hand_over_after: Option<Duration>,
    /// Whether rows that fail beside others go to RETRY. If not, every failure is waited for in place.
    pub has_retry: bool,
    /// Whether only the newest row of each key waits.
    pub keeps_newest: bool,
    /// Whether a write with any failure is followed by a wait, not only one that shows that the shard is down.
    pub waits_after_failures: bool,
    /// Waits between tries of a shard that is down.
    pub back_off: WaitBounds,
    /// Waits between tries of a configuration that is wrong.
    pub repair_back_off: WaitBounds,
}
