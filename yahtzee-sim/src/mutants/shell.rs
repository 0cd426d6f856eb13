//! Mistakes around the shipped machines: each type replaces one rule of what surrounds them.

use yahtzee_core::delivery::{KnownMark, SettledMark, WriteId};
use yahtzee_core::record::Offset;
use yahtzee_core::summary::Provenance;

use crate::raw::RawLog;
use crate::shell::{Delivery, ProductionShell, ReadStart, ShellRules};

/// Declares a shell with one rule replaced.
macro_rules! mistake {
    ($name:ident, fn $rule:ident($($argument:ident: $type:ty),*) -> $answer:ty $body:block) => {
        #[derive(Debug)]
        pub(super) struct $name;

        impl ShellRules for $name {
            fn $rule(&self, $($argument: $type),*) -> $answer $body
        }
    };
}

mistake!(
    FrameIdPerDelivery,
    fn frame_id(delivery: Delivery) -> Vec<u8> {
        ProductionShell.frame_id(Delivery { frame: delivery.frame + (delivery.nth << 32), ..delivery })
    }
);

mistake!(
    FrameIdPerNode,
    fn frame_id(delivery: Delivery) -> Vec<u8> {
        ProductionShell.frame_id(Delivery { frame: delivery.frame + (delivery.node << 32), ..delivery })
    }
);

mistake!(
    EventTimeOfDelivery,
    fn event_ms(delivery: Delivery, time_ms: i64, received_ms: i64) -> i64 {
        if delivery.frame.is_multiple_of(5) { received_ms } else { time_ms }
    }
);

mistake!(
    StampIsEventTime,
    fn stamp_ms(received_ms: i64, event_ms: Option<i64>) -> i64 {
        event_ms.filter(|&event_ms| event_ms >= 0).unwrap_or(received_ms)
    }
);

mistake!(
    StampsNotBounded,
    fn log_takes(_timestamp_ms: i64, _now_ms: i64, _ahead_max_ms: i64) -> bool {
        true
    }
);

mistake!(
    PartitionsAdded,
    fn partitions_hashed_to(partition_count: u32, frame: u64) -> u32 {
        partition_count + u32::from(frame >= 20)
    }
);

mistake!(
    GenerationNotRaised,
    fn generation(_version: u32) -> u32 {
        1
    }
);

mistake!(
    GenerationNotInKey,
    fn record_key(key: &[u8], _generation: u32) -> Vec<u8> {
        key.to_vec()
    }
);

mistake!(
    CompactsWithoutFence,
    fn compacts_summaries(_is_fenced: bool) -> bool {
        true
    }
);

mistake!(
    NoFence,
    fn transactional_suffix(process: u64) -> u64 {
        process
    }
);

mistake!(
    BarrierAtLastStableOffset,
    fn log_end(log: &RawLog) -> u64 {
        log.last_stable_offset()
    }
);

mistake!(
    CommitsBesideNotRead,
    fn reads_commits_beside() -> bool {
        false
    }
);

/// Replaces two rules: what the core is told, and where the client then really starts.
#[derive(Debug)]
pub(super) struct ResetToEarliest;

impl ShellRules for ResetToEarliest {
    fn log_start(&self, _log: &RawLog) -> u64 {
        0
    }

    fn reads_from(&self, start: &ReadStart) -> u64 {
        start.opened.max(start.first_left)
    }
}

mistake!(
    ResetToLatest,
    fn reads_from(start: &ReadStart) -> u64 {
        if start.position.is_none() { start.log_end } else { start.opened }
    }
);

mistake!(
    ReadsOnFromPosition,
    fn reads_from(start: &ReadStart) -> u64 {
        start.position.unwrap_or(start.opened).max(start.first_left)
    }
);

mistake!(
    ReadsOnOneLater,
    fn reads_from(start: &ReadStart) -> u64 {
        if start.opened > 0 { (start.opened + 1).min(start.log_end) } else { 0 }
    }
);

mistake!(
    EndNotTold,
    fn tells_end() -> bool {
        false
    }
);

mistake!(
    OneStatePerSlot,
    fn core_of(_place: usize) -> usize {
        0
    }
);

mistake!(
    DeadLettersDropped,
    fn writes_dead_letters() -> bool {
        false
    }
);

mistake!(
    LateDropped,
    fn writes_late() -> bool {
        false
    }
);

mistake!(
    OffsetsOutsideTransaction,
    fn commits_in_transaction() -> bool {
        false
    }
);

mistake!(
    MetadataNotStored,
    fn metadata(_text: String) -> String {
        String::new()
    }
);

mistake!(
    FailedWritesIgnored,
    fn ignores_failed_writes() -> bool {
        true
    }
);

mistake!(
    OldBytesResent,
    fn resends_old_bytes() -> bool {
        true
    }
);

mistake!(
    MarksNotCarried,
    fn carries_marks() -> bool {
        false
    }
);

mistake!(
    MarkMovedWhenBehind,
    fn mark_after(found: SettledMark, write: (Offset, WriteId), _known: KnownMark) -> Option<SettledMark> {
        found.after_write(write.0, write.1, found.known())
    }
);

mistake!(
    StoreKeepsLast,
    fn store_takes(_old: &Provenance, _new: &Provenance) -> bool {
        true
    }
);

mistake!(
    StoreKeepsFirst,
    fn store_takes(_old: &Provenance, _new: &Provenance) -> bool {
        false
    }
);

mistake!(
    StoreIgnoresFinal,
    fn store_takes(old: &Provenance, new: &Provenance) -> bool {
        (new.generation, new.last_offset) > (old.generation, old.last_offset)
    }
);

mistake!(
    StoreIgnoresGeneration,
    fn store_takes(old: &Provenance, new: &Provenance) -> bool {
        (new.last_offset, new.is_final) > (old.last_offset, old.is_final)
    }
);

mistake!(
    StoreComparesCount,
    fn store_takes(old: &Provenance, new: &Provenance) -> bool {
        new.count > old.count || (new.count == old.count && new.is_final)
    }
);
