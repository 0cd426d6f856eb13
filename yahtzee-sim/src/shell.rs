//! What everything around the shipped machines does: ingress, the log's client, and the sinks.
//!
//! In the style of [`yahtzee_core::rules::Rules`]: the default of every function is the right one, and a mutant
//! replaces one of them. What a slot decides itself is in [`yahtzee_core::slot::rules`].

use yahtzee_core::delivery::{KnownMark, SettledMark, WriteId};
use yahtzee_core::record::Offset;
use yahtzee_core::summary::{Provenance, record_key};

use crate::raw::RawLog;

/// The decisions. The default of every function is the right one.
pub(crate) trait ShellRules: Sync {
    /// The frame id in a raw record: of the frame alone, whichever node got it and how often.
    fn frame_id(&self, delivery: Delivery) -> Vec<u8> {
        u128::from(delivery.frame).to_be_bytes().to_vec()
    }

    /// The event time of a measurement: as its frame says, the same for every delivery.
    fn event_ms(&self, _delivery: Delivery, time_ms: i64, _received_ms: i64) -> i64 {
        time_ms
    }

    /// The log timestamp of a raw record: when ingress received it, whatever the tenant says.
    fn stamp_ms(&self, received_ms: i64, _event_ms: Option<i64>) -> i64 {
        received_ms
    }

    /// Whether the log takes a record with this stamp at `now_ms`: one that is further ahead than the slowest clock may be behind
    /// would make late what honest clocks stamp.
    fn log_takes(&self, timestamp_ms: i64, now_ms: i64, ahead_max_ms: i64) -> bool {
        timestamp_ms <= now_ms + ahead_max_ms
    }

    /// Partitions that owners are hashed to; the same for every frame.
    fn partitions_hashed_to(&self, partition_count: u32, _frame: u64) -> u32 {
        partition_count
    }

    /// Version under which a fold publishes: every fold that gives other bytes has its own.
    fn generation(&self, version: u32) -> u32 {
        version
    }

    /// The key of a summary's record, of which compaction keeps the last: that of each generation.
    fn record_key(&self, key: &[u8], generation: u32) -> Vec<u8> {
        record_key(key.to_vec(), generation)
    }

    /// Whether the summary topic is compacted: only where the last record of a key is the newest.
    fn compacts_summaries(&self, is_fenced: bool) -> bool {
        is_fenced
    }

    /// What distinguishes the transactional ids of two processes that hold the same slot: nothing, so that the
    /// later one fences the earlier.
    fn transactional_suffix(&self, _process: u64) -> u64 {
        0
    }

    /// The end that the log names: the high watermark. Records behind an open foreign transaction are
    /// read, and predecessors have published them.
    fn log_end(&self, log: &RawLog) -> u64 {
        log.end()
    }

    /// The start that the log names.
    fn log_start(&self, log: &RawLog) -> u64 {
        log.start
    }

    /// Whether the commits beside the summaries are read where there is none beside the raw records: those go when the raw topic
    /// is deleted, and the summaries stay.
    fn reads_commits_beside(&self) -> bool {
        true
    }

    /// Where reading starts.
    fn reads_from(&self, start: &ReadStart) -> u64 {
        start.opened
    }

    /// Whether the core is told that the end of a partition is reached. The last offsets can be control records,
    /// which are never delivered.
    fn tells_end(&self) -> bool {
        true
    }

    /// Which core of a slot gets a partition's records: its own.
    fn core_of(&self, place: usize) -> usize {
        place
    }

    /// Whether a dead letter is written.
    fn writes_dead_letters(&self) -> bool {
        true
    }

    /// Whether a late record is written.
    fn writes_late(&self) -> bool {
        true
    }

    /// Whether a fenced slot's offsets go into the transaction of its effects.
    fn commits_in_transaction(&self) -> bool {
        true
    }

    /// The text stored with an offset.
    fn metadata(&self, text: String) -> String {
        text
    }

    /// Whether a failed write is taken for a success.
    fn ignores_failed_writes(&self) -> bool {
        false
    }

    /// Whether the bytes of a failed write are sent again after the slot was opened anew.
    fn resends_old_bytes(&self) -> bool {
        false
    }

    /// Whether the commits of sinks and retry processes carry the marks that the databases of shards are known to have.
    fn carries_marks(&self) -> bool {
        true
    }

    /// The mark of a database after a write: see [`SettledMark::after_write`].
    fn mark_after(
        &self,
        found: SettledMark,
        (settled, write): (Offset, WriteId),
        known: KnownMark,
    ) -> Option<SettledMark> {
        found.after_write(settled, write, known)
    }

    /// Whether a store takes `new` in place of `old`.
    fn store_takes(&self, old: &Provenance, new: &Provenance) -> bool {
        new.revision() > old.revision()
    }
}

/// The shell as it stands.
#[derive(Debug)]
pub(crate) struct ProductionShell;

impl ShellRules for ProductionShell {}

impl std::fmt::Debug for dyn ShellRules {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ShellRules")
    }
}

/// One delivery of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) frame: u64,
    pub(crate) node: u64,
    /// From 0.
    pub(crate) nth: u64,
}

/// What is known when reading starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadStart {
    /// What the core said.
    pub(crate) opened: u64,
    /// Position in the commit, if there is a readable one.
    pub(crate) position: Option<u64>,
    /// First offset that the log still has.
    pub(crate) first_left: u64,
    pub(crate) log_end: u64,
}
