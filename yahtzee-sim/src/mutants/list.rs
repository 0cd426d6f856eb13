//! The list of mutants.

use yahtzee_core::delivery::rules::DeliveryRules;
use yahtzee_core::rules::Rules;
use yahtzee_core::slot::rules::SlotRules;

use super::{Mutant, Open, PRODUCTION, altered, core, delivery, open, shell, slot};
use crate::failure::Property;
use crate::shell::ShellRules;

/// All mutants: first those of the core and of the slot machine, in the order of their rules, then those of what
/// surrounds them, and those of the delivery of summaries.
#[must_use]
pub fn mutants() -> Vec<Mutant> {
    [core_mutants(), slot_mutants(), shell_mutants(), delivery_mutants()].concat()
}

fn of_core<R: Rules>(name: &'static str, killed_by: Property, seeds: u64, mistake: &'static str) -> Mutant {
    Mutant { name, mistake, killed_by, seeds, open: open::<R>, ..PRODUCTION }
}

fn around_core(
    open: Open,
    name: &'static str,
    killed_by: Property,
    seeds: u64,
    mistake: &'static str,
) -> Mutant {
    Mutant { name, mistake, killed_by, seeds, open, ..PRODUCTION }
}

fn of_shell(
    name: &'static str,
    shell: &'static dyn ShellRules,
    killed_by: Property,
    seeds: u64,
    mistake: &'static str,
) -> Mutant {
    Mutant { name, mistake, killed_by, seeds, shell, ..PRODUCTION }
}

fn of_slot(
    name: &'static str,
    slot: &'static dyn SlotRules,
    killed_by: Property,
    seeds: u64,
    mistake: &'static str,
) -> Mutant {
    Mutant { name, mistake, killed_by, seeds, slot, ..PRODUCTION }
}

#[rustfmt::skip]
fn core_mutants() -> Vec<Mutant> {
    use Property::{Chain, Commit, Conservation, Final, Memory, NoDip, Incomplete};
    vec![
        around_core(altered::watermark_not_restored, "watermark-not-restored", Chain, 20, "a restart begins without a watermark, so late records re-open finished windows"),
        of_core::<core::WatermarkFollowsLastRecord>("watermark-follows-last-record", Chain, 20, "the watermark goes back with every record that is stamped earlier"),
        of_core::<core::ReplayFromFirstPlusOne>("replay-from-first-plus-one", Commit, 20, "`c + 1` is committed"),
        of_core::<core::ReplayFromOldestWindow>("replay-from-oldest-window", Commit, 20, "the first offset of the oldest open window is committed"),
        of_core::<core::ReplayFromPosition>("replay-from-position", Commit, 20, "`h` is committed"),
        of_core::<core::CommitBeforeAcknowledgement>("commit-before-acknowledgement", Commit, 50, "final summaries that nobody has acknowledged do not hold a commit back"),
        of_core::<core::CommitWhileGapUnknown>("commit-while-gap-unknown", Chain, 1_000, "a commit forgets that there is a gap before its extent is known"),
        of_core::<core::CommitTakenBack>("commit-taken-back", Commit, 20, "a commit is made while the position is behind that of the last one"),
        of_core::<core::OneWindowTooMany>("one-window-too-many", Conservation, 20, "a window stays open for one length too long"),
        of_core::<core::OneWindowTooFew>("one-window-too-few", Conservation, 20, "a window closes one length too early"),
        of_core::<core::NoFutureBound>("no-future-bound", Memory, 100, "any future window is opened"),
        of_core::<core::FutureJudgedByWatermark>("future-judged-by-watermark", Chain, 20, "the future bound is counted from the watermark, which a replay has restored to a later one"),
        of_core::<core::HeartbeatIsAnyRecordWithoutKey>("heartbeat-is-any-record-without-key", Conservation, 50, "a record that has lost its key is taken for a heartbeat, and disappears"),
        of_core::<core::DuplicatesCounted>("duplicates-counted", Conservation, 20, "a frame counts as often as it is delivered"),
        of_core::<core::FramesOfAllOwnersAlike>("frames-of-all-owners-alike", Conservation, 20, "two owners in one frame are taken for a repetition"),
        of_core::<core::NoCap>("no-cap", Memory, 50, "every series is opened"),
        of_core::<core::NoCapPerOwner>("no-cap-per-owner", Property::Isolation, 1_000, "one owner may use up a window's room"),
        of_core::<core::CapOffByOne>("cap-off-by-one", Conservation, 50, "one series more than configured is opened"),
        of_core::<core::NoShares>("no-shares", Property::Isolation, 1_000, "owners with many series take the room of those with few"),
        around_core(altered::settings_not_compared, "settings-not-compared", Chain, 200, "a worker with other lateness, caps or slots goes on from the commits of those before"),
        around_core(altered::incomplete_forgotten, "incomplete-forgotten", Chain, 200, "a restart publishes what the one before had named as damaged"),
        of_core::<core::TailNotCompared>("tail-not-compared", Incomplete, 1_000, "a log that has lost records, and has grown past the commit since, is read on"),
        of_core::<core::LossNotNoticed>("loss-not-noticed", Chain, 200, "windows whose first record is gone are published"),
        of_core::<core::LossOffByOne>("loss-off-by-one", Incomplete, 20, "a window whose first record is the first that is left is called damaged"),
        of_core::<core::LossWithoutSkew>("loss-without-skew", Incomplete, 1_000, "what follows a loss is taken to be stamped no earlier than what was read before it"),
        of_core::<core::LossBeginsAtItsEnd>("loss-begins-at-its-end", Incomplete, 1_000, "whatever lies below the first offset that was surely not kept is taken to have been kept"),
        around_core(altered::losses_forgotten, "losses-forgotten", Incomplete, 1_000, "a restart knows nothing of a loss that lies ahead"),
        of_core::<core::GapWithoutSkew>("gap-without-skew", Incomplete, 200, "clocks of ingress are taken to agree"),
        of_core::<core::GapWithoutFuture>("gap-without-future", Incomplete, 100, "lost records are taken to have reached no future window"),
        of_core::<core::GapTooWide>("gap-too-wide", Incomplete, 100, "one window too many is called damaged"),
        of_core::<core::NoCatchUpBarrier>("no-catch-up-barrier", NoDip, 50, "changes go out while catching up"),
        of_core::<core::BarrierOneEarly>("barrier-one-early", NoDip, 1_000, "changes go out before the last record is read again"),
        of_core::<core::LettersWrittenAgain>("letters-written-again", Conservation, 20, "a replay writes dead letters once more"),
        of_core::<core::LetterAtPositionLost>("letter-at-position-lost", Conservation, 50, "the dead letter at the committed position is taken for written"),
        around_core(altered::revision_is_position, "revision-is-position", Chain, 20, "the revision is the position at emission, not the last record folded"),
        around_core(altered::unchanged_not_finalised, "unchanged-not-finalised", Final, 20, "a series without a change since its last summary gets no final one"),
    ]
}

#[rustfmt::skip]
fn slot_mutants() -> Vec<Mutant> {
    use Property::{Commit, Conservation, Freshness, Incomplete, Liveness, NoDip, Succession};
    vec![
        of_slot("successor-not-looked-for", &slot::SuccessorNotLookedFor, Succession, 1_000, "a process that was cut off takes the slot back from its successor"),
        of_slot("successor-not-known", &slot::SuccessorNotKnown, Succession, 1_000, "whoever has committed meanwhile is taken for a predecessor"),
        of_slot("predecessor-taken-for-successor", &slot::PredecessorTakenForSuccessor, Liveness, 1_000, "who fails before its first commit is taken to have a successor, and ends"),
        of_slot("earlier-commits-not-read", &slot::EarlierCommitsNotRead, Incomplete, 1_000, "a raised generation folds what the log keeps as if it were all there was"),
        of_slot("earlier-tail-not-read", &slot::EarlierTailNotRead, Incomplete, 1_000, "a log is taken to have lost records, because nobody has looked"),
        of_slot("commits-read-before-fence", &slot::CommitsReadBeforeFence, Conservation, 1_000, "a predecessor commits behind what was read"),
        of_slot("ends-read-before-fence", &slot::EndsReadBeforeFence, Liveness, 10_000, "a predecessor goes on beyond the end that was read; a slot refuses its commit, which lies behind that end"),
        of_slot("barrier-at-log-start", &slot::BarrierAtLogStart, NoDip, 50, "a slot catches up to the start of the log, which it has always passed"),
        of_slot("shorter-log-resumed", &slot::ShorterLogResumed, Incomplete, 1_000, "a log that ends before what was read is read on"),
        of_slot("flush-too-seldom", &slot::FlushTooSeldom, Freshness, 200, "summaries wait for eight flush intervals"),
        of_slot("commits-before-writing", &slot::CommitsBeforeWriting, Commit, 20, "offsets are committed before the summaries are written"),
        of_slot("large-effect-never-fits", &slot::LargeEffectNeverFits, Liveness, 100, "an effect that is larger than a whole write waits for ever, and all behind it"),
        of_slot("commits-not-renewed", &slot::CommitsNotRenewed, Incomplete, 200, "the broker forgets the offset of a partition in which nothing happens"),
        of_slot("core-kept-after-failure", &slot::CoreKeptAfterFailure, Conservation, 500, "what a failed write had carried is not written again"),
    ]
}

#[rustfmt::skip]
fn shell_mutants() -> Vec<Mutant> {
    use Property::{Chain, Commit, Conservation, Final, Liveness, NoDip, Incomplete, Stores};
    vec![
        of_shell("frame-id-per-delivery", &shell::FrameIdPerDelivery, Conservation, 20, "ingress gives every delivery of a frame an id of its own"),
        of_shell("frame-id-per-node", &shell::FrameIdPerNode, Conservation, 20, "a frame has another id on every ingress node"),
        of_shell("event-time-of-delivery", &shell::EventTimeOfDelivery, Conservation, 100, "ingress gives lines without a readable time that of their receipt, another one at every delivery"),
        of_shell("stamp-is-event-time", &shell::StampIsEventTime, Property::Isolation, 200, "a tenant's clock moves the watermark"),
        of_shell("stamps-not-bounded", &shell::StampsNotBounded, Property::Clocks, 50, "the log takes any stamp, and one fast clock makes late what all others send"),
        of_shell("partitions-added", &shell::PartitionsAdded, Conservation, 20, "the partition count of a live topic changes"),
        of_shell("generation-not-raised", &shell::GenerationNotRaised, Chain, 50, "a changed fold publishes under the old generation"),
        of_shell("generation-not-in-key", &shell::GenerationNotInKey, Stores, 5_000, "compaction keeps the last record of a key, whatever its generation"),
        of_shell("compacts-without-fence", &shell::CompactsWithoutFence, Final, 2_000, "a summary topic whose last record need not be the newest is compacted"),
        of_shell("no-fence", &shell::NoFence, NoDip, 100, "every process has a transactional id of its own"),
        of_shell("barrier-at-last-stable-offset", &shell::BarrierAtLastStableOffset, Liveness, 500, "the end of the log is taken for the last stable offset; a slot refuses it, because it has read further"),
        of_shell("commits-beside-not-read", &shell::CommitsBesideNotRead, Final, 1_000, "a raw topic that was made anew, without its commits, is taken for the first one"),
        of_shell("reset-to-earliest", &shell::ResetToEarliest, Chain, 100, "where the log has lost the offset, reading goes on at its start as if nothing were missing"),
        of_shell("reset-to-latest", &shell::ResetToLatest, Final, 20, "without a commit, reading starts at the end"),
        of_shell("reads-on-from-position", &shell::ReadsOnFromPosition, Liveness, 20, "a restart reads on from `h` instead of `c`; a slot refuses it, because it misses the tail"),
        of_shell("reads-on-one-later", &shell::ReadsOnOneLater, Chain, 20, "the committed offset is taken for the last one read"),
        of_shell("end-not-told", &shell::EndNotTold, Liveness, 50, "a control record at the end keeps the partition catching up"),
        of_shell("one-state-per-slot", &shell::OneStatePerSlot, Conservation, 20, "the partitions of a slot share a state"),
        of_shell("dead-letters-dropped", &shell::DeadLettersDropped, Conservation, 20, "dead letters are not written"),
        of_shell("late-dropped", &shell::LateDropped, Conservation, 20, "late records are not written although asked for"),
        of_shell("offsets-outside-transaction", &shell::OffsetsOutsideTransaction, Commit, 20, "plain commits beside the transaction of the summaries"),
        of_shell("metadata-not-stored", &shell::MetadataNotStored, Incomplete, 20, "only the offset is committed"),
        of_shell("failed-writes-ignored", &shell::FailedWritesIgnored, Commit, 100, "a failed write is taken for a success"),
        of_shell("old-bytes-resent", &shell::OldBytesResent, NoDip, 500, "the bytes of a failed write are sent again after a restart"),
        of_shell("marks-not-carried", &shell::MarksNotCarried, Final, 200, "commits of sinks do not say how far the databases of shards were"),
        of_shell("mark-moved-when-behind", &shell::MarkMovedWhenBehind, Final, 200, "a restored database gets a mark beyond what it has lost"),
        of_shell("store-keeps-last", &shell::StoreKeepsLast, Stores, 20, "a store takes whatever comes last"),
        of_shell("store-keeps-first", &shell::StoreKeepsFirst, Final, 20, "a store keeps what it has"),
        of_shell("store-ignores-final", &shell::StoreIgnoresFinal, Final, 20, "a final summary without a change is taken for known"),
        of_shell("store-ignores-generation", &shell::StoreIgnoresGeneration, Final, 50, "a new fold's summary of the same record is taken for known"),
        of_shell("store-compares-count", &shell::StoreComparesCount, Stores, 50, "the greater count wins, whatever the generation"),
    ]
}

fn of_delivery(
    name: &'static str,
    delivery: &'static dyn DeliveryRules,
    killed_by: Property,
    seeds: u64,
    mistake: &'static str,
) -> Mutant {
    Mutant { name, mistake, killed_by, seeds, delivery, ..PRODUCTION }
}

#[rustfmt::skip]
fn delivery_mutants() -> Vec<Mutant> {
    use Property::{Memory, Stores};
    vec![
        of_delivery("delivery-commits-position", &delivery::CommitsPosition, Stores, 200, "what was read is committed, whatever became of it"),
        of_delivery("delivery-commits-past-open", &delivery::CommitsPastOpen, Stores, 200, "a commit passes records that wait for their shard"),
        of_delivery("delivery-commits-past-held", &delivery::CommitsPastHeld, Stores, 500, "a commit passes records that were left in the log for a wrong configuration"),
        of_delivery("retry-keeps-oldest", &delivery::KeepsOldest, Stores, 500, "of the rows that wait under a key the oldest is kept"),
        of_delivery("retry-superseded-not-settled", &delivery::SupersededNotSettled, Stores, 200, "a row that a newer one has replaced stays open"),
        of_delivery("retry-earlier-openings-kept", &delivery::EarlierOpeningsKept, Stores, 1_000, "a row of an earlier opening supersedes the one that is read again"),
        of_delivery("dead-shard-waited-for", &delivery::NeverHandsOver, Stores, 200, "rows of a shard that is down wait in memory, and hold back commits"),
        of_delivery("queue-without-bound", &delivery::QueueWithoutBound, Memory, 200, "whatever is read is queued"),
        of_delivery("held-never-probed", &delivery::HeldNeverProbed, Stores, 200, "nobody tries whether a configuration was repaired"),
        of_delivery("held-not-read-again", &delivery::HeldNotReadAgain, Stores, 200, "a probe works, and what was held stays in the log"),
        of_delivery("append-failure-ignored", &delivery::SettlesUnacknowledged, Stores, 500, "what the log did not take counts as handed over"),
        of_delivery("retryable-settled", &delivery::RetryableSettled, Stores, 100, "a failed write is taken for done"),
        of_delivery("poison-settled", &delivery::PoisonSettled, Stores, 500, "what no store takes is dropped"),
        of_delivery("poison-handed-over", &delivery::PoisonHandedOver, Stores, 200, "what no store takes goes to RETRY"),
        of_delivery("poison-takes-neighbours", &delivery::PoisonTakesNeighbours, Stores, 200, "the whole batch is quarantined for one row"),
        of_delivery("misconfigured-handed-over", &delivery::MisconfiguredHandedOver, Stores, 200, "a wrong password floods RETRY"),
        of_delivery("stale-is-failure", &delivery::StaleIsFailure, Stores, 100, "a store that has something newer is taken for one that fails"),
    ]
}
