//! Mistakes in the slot machine: each type replaces one rule.

use yahtzee_core::record::Offset;
use yahtzee_core::rules::PlantedMistake;
use yahtzee_core::slot::rules::OpeningStep::{
    self, Bounds, Commits, EarlierCommits, Fence, Successor, Tails,
};
use yahtzee_core::slot::rules::{SlotRules, WriteStep};
use yahtzee_core::slot::{self, SlotFailure, WriteMax};
use yahtzee_core::window::Policy;

/// Declares a set of rules with one of them replaced.
macro_rules! mistake {
    ($name:ident, fn $rule:ident($($argument:ident: $type:ty),*) -> $answer:ty $body:block) => {
        #[derive(Debug)]
        pub(super) struct $name;

        impl PlantedMistake for $name {}

        impl SlotRules for $name {
            fn $rule(&self, $($argument: $type),*) -> $answer $body
        }
    };
}

mistake!(
    CommitsReadBeforeFence,
    fn opening() -> [OpeningStep; 6] {
        [Successor, Commits, Fence, EarlierCommits, Bounds, Tails]
    }
);

mistake!(
    EndsReadBeforeFence,
    fn opening() -> [OpeningStep; 6] {
        [Successor, Bounds, Fence, Commits, EarlierCommits, Tails]
    }
);

mistake!(
    SuccessorNotLookedFor,
    fn opening() -> [OpeningStep; 6] {
        [Fence, Commits, EarlierCommits, Bounds, Tails, Tails]
    }
);

mistake!(
    SuccessorNotKnown,
    fn is_successor(_committer: u32, _predecessors: &[u32], _own: u32) -> bool {
        false
    }
);

mistake!(
    PredecessorTakenForSuccessor,
    fn is_successor(committer: u32, _predecessors: &[u32], own: u32) -> bool {
        committer != own
    }
);

mistake!(
    EarlierCommitsNotRead,
    fn opening() -> [OpeningStep; 6] {
        [Successor, Fence, Commits, Commits, Bounds, Tails]
    }
);

mistake!(
    EarlierTailNotRead,
    fn opening() -> [OpeningStep; 6] {
        [Successor, Fence, Commits, EarlierCommits, Bounds, Bounds]
    }
);

mistake!(
    BarrierAtLogStart,
    fn barrier(bounds: &slot::Bounds) -> Offset {
        bounds.start
    }
);

mistake!(
    ShorterLogResumed,
    fn is_shorter(_position: Offset, _bounds: &slot::Bounds) -> bool {
        false
    }
);

mistake!(
    FlushTooSeldom,
    fn next_write_ms(policy: &Policy, now_ms: u64) -> u64 {
        Policy { flush_interval_ms: 8 * policy.flush_interval_ms, ..*policy }.next_flush_ms(now_ms)
    }
);

mistake!(
    CommitsBeforeWriting,
    fn write_order() -> [WriteStep; 2] {
        [WriteStep::Commit, WriteStep::Append]
    }
);

mistake!(
    LargeEffectNeverFits,
    fn takes_effect(_is_first: bool, bytes: usize, left: &WriteMax) -> bool {
        left.effects > 0 && bytes <= left.bytes
    }
);

mistake!(
    CommitsNotRenewed,
    fn is_renewal(_committed_at_ms: u64, _now_ms: u64) -> bool {
        false
    }
);

mistake!(
    CoreKeptAfterFailure,
    fn drops_partitions_after(failure: SlotFailure) -> bool {
        failure != SlotFailure::Unanswered
    }
);
