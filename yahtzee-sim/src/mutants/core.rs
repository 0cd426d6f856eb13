//! Mistakes in the core: each type replaces one rule.

use yahtzee_core::log_tail::LogTail;
use yahtzee_core::owner::Owner;
use yahtzee_core::record::{FrameId, FrameKey, LogRecord, Offset};
use yahtzee_core::rules::{CommitGate, OpenSeries, PlantedMistake, Production, Rules};
use yahtzee_core::window::{Policy, Window};

/// Declares a set of rules with one of them replaced.
macro_rules! mistake {
    ($name:ident, fn $rule:ident($($argument:ident: $type:ty),*) -> $answer:ty $body:block) => {
        #[derive(Debug)]
        pub(super) struct $name;

        impl PlantedMistake for $name {}

        impl Rules for $name {
            fn $rule($($argument: $type),*) -> $answer $body
        }
    };
}

mistake!(
    WatermarkFollowsLastRecord,
    fn watermark(_before_ms: Option<i64>, log_timestamp_ms: i64) -> i64 {
        log_timestamp_ms
    }
);

mistake!(
    ReplayFromFirstPlusOne,
    fn replay_offset(position: Offset, open: &[(Window, Offset)]) -> Offset {
        Production::replay_offset(position, open).next().min(position)
    }
);

mistake!(
    ReplayFromOldestWindow,
    fn replay_offset(position: Offset, open: &[(Window, Offset)]) -> Offset {
        open.first().map_or(position, |&(_, first)| first)
    }
);

mistake!(
    ReplayFromPosition,
    fn replay_offset(position: Offset, _open: &[(Window, Offset)]) -> Offset {
        position
    }
);

mistake!(
    CommitBeforeAcknowledgement,
    fn may_commit(gate: &CommitGate) -> bool {
        Production::may_commit(&CommitGate { acknowledged: gate.required, ..*gate })
    }
);

mistake!(
    CommitWhileGapUnknown,
    fn may_commit(gate: &CommitGate) -> bool {
        Production::may_commit(&CommitGate { is_gap_unknown: false, ..*gate })
    }
);

mistake!(
    CommitTakenBack,
    fn may_commit(gate: &CommitGate) -> bool {
        Production::may_commit(&CommitGate { resumed_position: gate.position, ..*gate })
    }
);

mistake!(
    OneWindowTooMany,
    fn open_from(watermark_ms: Option<i64>, policy: &Policy) -> Window {
        Production::open_from(watermark_ms, policy).minus(1)
    }
);

mistake!(
    OneWindowTooFew,
    fn open_from(watermark_ms: Option<i64>, policy: &Policy) -> Window {
        Production::open_from(watermark_ms, policy).plus(1)
    }
);

mistake!(
    NoFutureBound,
    fn accepts(watermark_ms: Option<i64>, _log_timestamp_ms: i64, policy: &Policy) -> (Window, Window) {
        (Production::open_from(watermark_ms, policy), Window(i64::MAX))
    }
);

mistake!(
    FutureJudgedByWatermark,
    fn accepts(watermark_ms: Option<i64>, log_timestamp_ms: i64, policy: &Policy) -> (Window, Window) {
        Production::accepts(watermark_ms, watermark_ms.unwrap_or(log_timestamp_ms), policy)
    }
);

mistake!(
    HeartbeatIsAnyRecordWithoutKey,
    fn is_heartbeat(record: &LogRecord<'_>) -> bool {
        record.key.is_empty()
    }
);

mistake!(
    DuplicatesCounted,
    fn frame_key(_owner: Owner, _frame: Option<FrameId>) -> Option<FrameKey> {
        None
    }
);

mistake!(
    FramesOfAllOwnersAlike,
    fn frame_key(_owner: Owner, frame: Option<FrameId>) -> Option<FrameKey> {
        Production::frame_key(Owner([0; 16]), frame)
    }
);

mistake!(
    NoCap,
    fn takes_series(_open: &OpenSeries, _policy: &Policy) -> bool {
        true
    }
);

mistake!(
    NoCapPerOwner,
    fn takes_series(open: &OpenSeries, policy: &Policy) -> bool {
        Production::takes_series(&OpenSeries { of_owner: 0, ..*open }, policy)
    }
);

mistake!(
    CapOffByOne,
    fn takes_series(open: &OpenSeries, policy: &Policy) -> bool {
        Production::takes_series(open, &Policy { series_max: policy.series_max + 1, ..*policy })
    }
);

mistake!(
    NoShares,
    fn takes_series(open: &OpenSeries, policy: &Policy) -> bool {
        Production::takes_series(&OpenSeries { beyond_shares: 0, ..*open }, policy)
    }
);

mistake!(
    TailNotCompared,
    fn expected_tail(_committed: LogTail) -> LogTail {
        LogTail::Unknown
    }
);

mistake!(
    LossNotNoticed,
    fn has_lost_input(_first_offset: Offset, _log_start: Offset) -> bool {
        false
    }
);

mistake!(
    LossOffByOne,
    fn has_lost_input(first_offset: Offset, log_start: Offset) -> bool {
        first_offset <= log_start
    }
);

mistake!(
    GapWithoutSkew,
    fn gap_reaches(log_timestamp_ms: i64, policy: &Policy) -> Window {
        Production::gap_reaches(log_timestamp_ms, &Policy { clock_skew_ms: 0, ..*policy })
    }
);

mistake!(
    GapWithoutFuture,
    fn gap_reaches(log_timestamp_ms: i64, policy: &Policy) -> Window {
        Production::gap_reaches(log_timestamp_ms, &Policy { future_windows: 0, ..*policy })
    }
);

mistake!(
    GapTooWide,
    fn gap_reaches(log_timestamp_ms: i64, policy: &Policy) -> Window {
        Production::gap_reaches(log_timestamp_ms, policy).plus(1)
    }
);

mistake!(
    NoCatchUpBarrier,
    fn may_emit_changes(_position: Offset, _log_end_at_start: Offset) -> bool {
        true
    }
);

mistake!(
    BarrierOneEarly,
    fn may_emit_changes(position: Offset, log_end_at_start: Offset) -> bool {
        position.next() >= log_end_at_start
    }
);

mistake!(
    LettersWrittenAgain,
    fn is_done_before(_offset: Offset, _resumed_position: Offset) -> bool {
        false
    }
);

mistake!(
    LetterAtPositionLost,
    fn is_done_before(offset: Offset, resumed_position: Offset) -> bool {
        offset <= resumed_position && resumed_position > Offset(0)
    }
);

mistake!(
    LossWithoutSkew,
    fn may_follow_loss(watermark_ms: i64, log_timestamp_ms: i64, _policy: &Policy) -> bool {
        log_timestamp_ms >= watermark_ms
    }
);

mistake!(
    LossBeginsAtItsEnd,
    fn may_follow_loss(_watermark_ms: i64, _log_timestamp_ms: i64, _policy: &Policy) -> bool {
        false
    }
);
