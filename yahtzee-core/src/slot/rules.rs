//! The decisions of a slot, each in one small function. [`SlotProduction`] takes them as they stand here; the simulator
//! replaces one at a time by a plausible mistake.

use crate::record::Offset;
use crate::rules::sealed::Sealed;
use crate::window::Policy;

use super::{Bounds, SlotFailure, WriteMax};

/// An unchanged commit is written again after this time: brokers forget offsets that nobody renews.
const RENEWAL_MS: u64 = 10 * 60 * 1_000;

/// A step of opening a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningStep {
    /// Look who has committed: at any attempt but the first, a process that has not done so before is a successor.
    Successor,
    /// Fence earlier writers.
    Fence,
    /// Read committed offsets.
    Commits,
    /// Read what earlier generations have committed of the partitions of which this one has not.
    EarlierCommits,
    /// Read where the logs start and end.
    Bounds,
    /// Read the records that the logs have at the ends of what earlier generations had read.
    Tails,
}

/// A step of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteStep {
    /// Append the effects.
    Append,
    /// Commit what their acknowledgement allows.
    Commit,
}

/// The decisions that a slot takes. The default of every function is the right one; nobody but the simulator implements
/// others.
pub trait SlotRules: Sealed + std::fmt::Debug + Sync {
    /// The order in which a slot is opened. Fence before anything is read that counts: a predecessor could still write behind
    /// it. Before the fence, a look at whether there is a successor, which the fence would end. Ends
    /// last: what a predecessor emitted lies before them. A generation that has committed nothing folds anew what the log keeps, and
    /// only the one before it can tell what the log has lost.
    fn opening(&self) -> [OpeningStep; 6] {
        use OpeningStep::{Bounds, Commits, EarlierCommits, Fence, Successor, Tails};
        [Successor, Fence, Commits, EarlierCommits, Bounds, Tails]
    }

    /// Whether the incarnation that has made the newest commit of a partition is a successor: neither `own` nor one of the
    /// `predecessors`, who had committed of any partition of the slot when this one looked first. A process that stood still, or was
    /// cut off, would else take the slot back from the one that was started in its place. Commits that are read behind its fence tell
    /// nothing of this: it may be fenced itself.
    fn is_successor(&self, committer: u32, predecessors: &[u32], own: u32) -> bool {
        committer != own && !predecessors.contains(&committer)
    }

    /// The end up to which a partition catches up: everything below it may have been published by a predecessor.
    fn barrier(&self, bounds: &Bounds) -> Offset {
        bounds.end
    }

    /// Whether the log has lost what was read before the commit: it ends below its position.
    fn is_shorter(&self, position: Offset, bounds: &Bounds) -> bool {
        position > bounds.end
    }

    /// The time of the write after one at `now_ms`, unless much waits: when changes become due.
    fn next_write_ms(&self, policy: &Policy, now_ms: u64) -> u64 {
        policy.next_flush_ms(now_ms)
    }

    /// The order of a write, whatever the guarantee: a commit vouches for effects that are durable already, or that
    /// become durable with it.
    fn write_order(&self) -> [WriteStep; 2] {
        [WriteStep::Append, WriteStep::Commit]
    }

    /// Whether a write of which so much is left takes an effect of so many bytes. It always takes its first one: what is larger
    /// than a whole write would else never go out, nor anything behind it.
    fn takes_effect(&self, is_first: bool, bytes: usize, left: &WriteMax) -> bool {
        is_first || (left.effects > 0 && bytes <= left.bytes)
    }

    /// Whether a commit is old enough to be written again although it says nothing new.
    fn is_renewal(&self, committed_at_ms: u64, now_ms: u64) -> bool {
        now_ms >= committed_at_ms + RENEWAL_MS
    }

    /// Whether a slot gives up its partitions after a failure: after any. What a failed write had carried is in no
    /// core any more.
    fn drops_partitions_after(&self, _failure: SlotFailure) -> bool {
        true
    }
}

/// The rules of production.
#[derive(Clone, Copy, Debug)]
pub struct SlotProduction;

impl Sealed for SlotProduction {}

impl SlotRules for SlotProduction {}
