//! P10, of logs that lose records from their end: a generation that folds anew what such a log keeps names the windows that lack
//! records, and publishes none of them, as far as a generation before it had read what was lost. It names no more than
//! stamps and offsets leave in doubt.

use std::collections::{BTreeMap, BTreeSet};

use yahtzee_core::commit::{Commit, Identity};
use yahtzee_core::log_tail::LogTail;
use yahtzee_core::lost_tail::LostTail;
use yahtzee_core::partition::ResumeKind;
use yahtzee_core::record::Offset;
use yahtzee_core::summary::SummaryKey;
use yahtzee_core::window::{Policy, Window};

use super::{Evidence, describe};
use crate::broker::OffsetCommit;
use crate::failure::{Findings, Property};
use crate::raw::{RawEntry, RawLog};
use crate::slot::topic_id;
use crate::watch::Opened;

/// By window, the first life of the log in which it lacks records.
type DamagedWindows = BTreeMap<i64, usize>;
/// First and last windows that may be named.
type Ranges = BTreeSet<(Window, Window)>;

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    check_ranges(evidence, findings);
    let damaged = damaged(evidence);
    for (&(version, partition), windows) in &damaged {
        // Who was refused before the log had grown has named nothing yet, and published nothing.
        if evidence.world.watch.refused.contains(&(version, partition)) {
            continue;
        }
        for &window in windows.keys() {
            if !evidence.is_incomplete(version, partition, window) {
                findings.fail(Property::Incomplete, || {
                    format!("version {version}, partition {partition}: window {window} lacks records that the log has lost")
                });
            }
        }
    }
    check_published(&damaged, evidence, findings);
}

/// By version and partition, the windows that lack what the log has lost.
fn damaged(evidence: &Evidence<'_, '_>) -> BTreeMap<(u32, u32), DamagedWindows> {
    let mut damaged: BTreeMap<(u32, u32), DamagedWindows> = BTreeMap::new();
    for opened in evidence.world.watch.opened.iter().filter(|opened| opened.committed.is_none()) {
        let Some(newest) = opened.earlier.first() else { continue };
        let known = damaged.get(&(newest.generation, opened.partition)).cloned().unwrap_or_default();
        let readers = readers(&opened.earlier);
        let lost = readers
            .iter()
            .flat_map(|(earlier, commit, _)| lost_windows(opened, earlier, commit.position().0, evidence));
        let of_key = damaged.entry((opened.generation, opened.partition)).or_default();
        for (window, life) in known.into_iter().chain(lost) {
            let first = of_key.entry(window).or_insert(life);
            *first = life.min(*first);
        }
    }
    damaged
}

/// No generation names more than it has to.
fn check_ranges(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    // An opening that comes before the log has grown knows more than a later one.
    let mut ranges: BTreeMap<(u32, u32), Option<Ranges>> = BTreeMap::new();
    for opened in &evidence.world.watch.opened {
        let key = (opened.generation, opened.partition);
        // Behind a gap nobody knows the watermark either.
        if learns_of_loss(opened) || opened.verdict == ResumeKind::Unknown {
            ranges.insert(key, None);
        }
        if opened.committed.is_some() || opened.earlier.is_empty() {
            continue;
        }
        let readers = readers(&opened.earlier);
        let has_known_losses = readers.iter().any(|(_, commit, _)| !commit.losses().is_empty());
        let expected = readers
            .iter()
            .map(|(earlier, commit, identity)| expected_range(opened, earlier, (commit, identity), evidence));
        let expected: Option<Vec<Ranges>> = if has_known_losses { None } else { expected.collect() };
        let expected = expected.map(|of_readers| of_readers.into_iter().flatten().collect::<Ranges>());
        let of_key = ranges.entry(key).or_insert_with(|| Some(Ranges::new()));
        *of_key = of_key.take().zip(expected).map(|(all, expected)| all.union(&expected).copied().collect());
    }
    for (key, expected) in ranges {
        let named = evidence.world.watch.lost.get(&key).into_iter().flatten();
        let Some(expected) = expected else { continue };
        if let Some(range) = named.copied().find(|range| !expected.contains(range)) {
            findings.fail(Property::Incomplete, || {
                format!(
                    "version and partition {key:?} have named {range:?}, and must name one of {expected:?}"
                )
            });
        }
    }
}

/// Whether who reads on from its commit has learned of a loss that the commit does not tell: from there on it names by other bounds
/// than those of its beginning.
fn learns_of_loss(opened: &Opened) -> bool {
    let Some((offset, metadata)) = &opened.committed else { return false };
    let Ok((commit, _)) = Commit::read(Offset(*offset), metadata) else { return false };
    let is_told = |loss: &LostTail| loss.is_among(commit.losses());
    !opened.losses.iter().all(is_told)
}

/// The newest commit, and each older one of the same topic that had read further than those before it, if what it had read is not known
/// to be lost.
fn readers(earlier: &[OffsetCommit]) -> Vec<(&OffsetCommit, Commit, Identity)> {
    let mut readers: Vec<(&OffsetCommit, Commit, Identity)> = Vec::new();
    for stored in earlier {
        let Ok((commit, identity)) = Commit::read(Offset(stored.offset), &stored.metadata) else { continue };
        let is_further = match (readers.first(), readers.last()) {
            (Some((_, newest, of_newest)), Some((_, furthest, _))) => {
                identity.topic_id == of_newest.topic_id
                    && commit.position() > furthest.position()
                    && !LostTail::is_known_after(commit.watermark_ms(), newest.losses())
            }
            _ => true,
        };
        if is_further {
            readers.push((stored, commit, identity));
        }
    }
    readers
}

/// The windows that records were accepted into which the log has lost since a commit, where some of those that went together had been
/// read before it.
fn lost_windows(
    opened: &Opened,
    earlier: &OffsetCommit,
    position: u64,
    evidence: &Evidence<'_, '_>,
) -> DamagedWindows {
    let log = &evidence.world.logs[opened.partition as usize];
    let (mut windows, mut read_below) = (DamagedWindows::new(), position);
    for life in earlier.life..opened.life {
        let kept = log.shared_between(life, life + 1);
        if kept < read_below {
            read_below = kept;
            let truth = evidence.truth_of((opened.generation, opened.partition), life);
            let is_lost = |states: &[(u64, u64, u64)]| states.iter().any(|&(offset, ..)| offset >= kept);
            let series = truth.series.values().filter(|series| is_lost(&series.states));
            for series in series {
                windows.entry(series.window).or_insert(life + 1);
            }
        }
    }
    windows
}

/// The windows that a generation opened like this has to name: none, or a range; `None` where more than one loss decides.
fn expected_range(
    opened: &Opened,
    earlier: &OffsetCommit,
    (commit, identity): (&Commit, &Identity),
    evidence: &Evidence<'_, '_>,
) -> Option<Ranges> {
    let log = &evidence.world.logs[opened.partition as usize];
    if opened.life != log.life() || opened.topic != log.topic {
        return None;
    }
    let policy = evidence.world.config.policy();
    let range = if identity.topic_id != topic_id(log.topic) {
        range(log, opened.log_start, None, 0, &policy)
    } else if opened.log_end >= commit.position().0
        && log.is_same_below(commit.position().0, earlier.life, opened.life)
    {
        None
    } else {
        // Where a record lies now that is not the one of before.
        let is_other = |&(offset, entry): &(u64, &RawEntry)| {
            matches!(entry, RawEntry::Record(record) if record.timestamp_ms >= 0)
                && !log.is_same_below(offset + 1, earlier.life, opened.life)
        };
        let behind_tail = match commit.tail() {
            LogTail::EndsWith(last) => last.offset.0 + 1,
            LogTail::Empty | LogTail::Unknown => 0,
        };
        let mut below = (0..commit.position().0).zip(&log.entries).skip(behind_tail as usize);
        let first = match log.is_same_below(behind_tail, earlier.life, opened.life) {
            true => below.find(is_other).map(|(offset, _)| offset),
            false => behind_tail.checked_sub(1),
        };
        let kept_before = first.unwrap_or(u64::MAX).min(opened.log_end);
        range(log, opened.log_start, commit.watermark_ms(), kept_before, &policy)
    };
    Some(range.into_iter().collect())
}

/// First and last window that may lack what was lost: those that were open when the first record came that may have been appended
/// afterwards, up to what the first one allows that surely was.
fn range(
    log: &RawLog,
    log_start: u64,
    watermark_ms: Option<i64>,
    kept_before: u64,
    policy: &Policy,
) -> Option<(Window, Window)> {
    let minute = |time_ms: i64| time_ms.div_euclid(i64::from(policy.length_ms));
    let (mut newest_ms, mut first) = (None, None);
    for (offset, entry) in (0_u64..).zip(&log.entries).filter(|&(offset, _)| offset >= log_start) {
        let RawEntry::Record(record) = entry else { continue };
        let stamp_ms = record.timestamp_ms;
        if stamp_ms < 0 {
            continue;
        }
        let skew_ms = i64::from(policy.clock_skew_ms);
        let may_follow =
            offset >= kept_before || watermark_ms.is_none_or(|before| stamp_ms >= before - skew_ms);
        if may_follow {
            let open =
                newest_ms.map_or(i64::MIN, |newest| minute(newest) - i64::from(policy.lateness_windows));
            first.get_or_insert(Window(open));
        }
        if let Some(first) = first.filter(|_| offset >= kept_before) {
            let last = minute(stamp_ms + skew_ms) + i64::from(policy.future_windows);
            return Some((first, Window(last)));
        }
        newest_ms = newest_ms.max(Some(stamp_ms));
    }
    None
}

fn check_published(
    damaged: &BTreeMap<(u32, u32), DamagedWindows>,
    evidence: &Evidence<'_, '_>,
    findings: &mut Findings,
) {
    let length_ms = i64::from(evidence.world.config.policy().length_ms);
    for seen in evidence.visible() {
        let of_partition = damaged.get(&(seen.record.generation, seen.record.partition));
        let Some((windows, key)) = of_partition.zip(SummaryKey::decode(seen.key).ok()) else { continue };
        // What was made of the log while it had them is right.
        let lacks_from = windows.get(&(key.window_start_ms / length_ms));
        if lacks_from.is_some_and(|life| seen.record.life >= *life) {
            findings.fail(Property::Incomplete, || {
                format!("{}: published without the records that the log has lost", describe(seen.key))
            });
        }
    }
}
