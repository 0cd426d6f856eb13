//! P8: every measurement that was read is accounted for, under the outcome that the log alone decides; and every
//! record that cannot be used, and every late one where asked for, is written: where writers are fenced exactly once.

use std::collections::BTreeMap;
use std::ops::Range;

use yahtzee_core::commit::Commit;
use yahtzee_core::record::{Offset, Poison, RecordOutcome};

use super::Evidence;
use crate::broker::Body;
use crate::failure::{Findings, Property};
use crate::oracle::{Counts, Truth};
use crate::raw::RawEntry;
use crate::watch::Opened;

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    check_fates(evidence, findings);
    check_honest(evidence, findings);
    check_counted_once(evidence, findings);
    let letters = letters(evidence);
    for (&(version, partition), truth) in &evidence.truths {
        check_letters((version, partition), truth, &letters, evidence, findings);
    }
}

fn check_fates(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    for (&(version, partition, life), fates) in &evidence.world.watch.fates {
        let (key, truth) = ((version, partition), evidence.truth_of((version, partition), life));
        for (offset, fate) in fates.iter().enumerate() {
            let Some(fate) = fate else { continue };
            let found = match fate {
                RecordOutcome::Poison(reason) => Err(*reason),
                RecordOutcome::OtherLog => continue,
                RecordOutcome::Folded(outcomes) => Ok(Counts {
                    accepted: outcomes.accepted,
                    late: outcomes.late(),
                    future: outcomes.future,
                    duplicate: outcomes.duplicate,
                    capped: outcomes.capped + outcomes.incomplete,
                }),
            };
            let expected = truth.records.get(offset).copied().flatten();
            if Some(found) != expected {
                findings.fail(Property::Conservation, || {
                    format!("partition {} offset {offset}: {found:?}, expected {expected:?}", key.1)
                });
            }
        }
    }
}

/// What ingress makes of a tenant's frames is never poison.
fn check_honest(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    for (&(version, partition), truth) in &evidence.truths {
        for (offset, entry) in evidence.world.logs[partition as usize].entries.iter().enumerate() {
            let is_honest = matches!(entry, RawEntry::Record(record) if record.is_honest);
            if is_honest && matches!(truth.records[offset], Some(Err(_))) {
                findings.fail(Property::Conservation, || {
                    format!(
                        "partition {partition} offset {offset}, version {version}: an honest frame is poison"
                    )
                });
            }
        }
    }
}

/// A frame delivered any number of times, by whichever node, counts once.
fn check_counted_once(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    for ((version, partition), truth) in &evidence.truths {
        let mut ids = truth.accepted.clone();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            findings.fail(Property::Conservation, || {
                format!(
                    "partition {partition}, version {version}: measurement {} was counted twice",
                    twice[0]
                )
            });
        }
    }
}

/// What became visible about one offset.
#[derive(Debug, Default)]
struct Letters {
    /// The reason of each dead letter.
    dead: Vec<Poison>,
    late: u32,
}

fn letters(evidence: &Evidence<'_, '_>) -> BTreeMap<(u32, u32, u64), Letters> {
    let mut letters = BTreeMap::<_, Letters>::new();
    for record in &evidence.world.broker.topic {
        if evidence.world.broker.visible_from(record).is_none() {
            continue;
        }
        let key = |offset| (record.generation, record.partition, offset);
        match record.body {
            Body::DeadLetter { offset, reason } => letters.entry(key(offset)).or_default().dead.push(reason),
            Body::Late { offset } => letters.entry(key(offset)).or_default().late += 1,
            Body::Summary { .. } => {}
        }
    }
    letters
}

fn check_letters(
    key: (u32, u32),
    truth: &Truth,
    letters: &BTreeMap<(u32, u32, u64), Letters>,
    evidence: &Evidence<'_, '_>,
    findings: &mut Findings,
) {
    let (lost, has_gap) = (lost(key, evidence), has_gap(key, evidence));
    let given_anew = given_anew(key, evidence);
    let has_lost_tail = evidence.world.logs[key.1 as usize].life() > 0;
    // Who is refused writes nothing more.
    let is_refused = evidence.world.watch.refused.contains(&key);
    // A write that takes only some of what waits may be durable without a commit behind it.
    let is_once = evidence.world.config.is_topic_exact() && evidence.world.config.has_whole_writes();
    let may_repeat = !is_once || has_gap || has_forgotten(key, evidence) || has_lost_tail;
    let asks_for_late = evidence.world.config.publishes_late == 1;
    let nothing = Letters::default();
    for (offset, counts) in (0_u64..).zip(&truth.records) {
        let calls = |counts: &Option<Result<Counts, Poison>>| {
            let is_late = matches!(counts, Some(Ok(counts)) if counts.late + counts.future > 0);
            (counts.and_then(Result::err), is_late && asks_for_late)
        };
        let (expected, is_late) = calls(counts);
        // An offset that the log gave twice may have been called for by either record.
        let of_lives = evidence.lives(key).filter_map(|truth| truth.records.get(offset as usize));
        let of_lives: Vec<_> = of_lives.map(calls).collect();
        let Letters { dead, late } = letters.get(&(key.0, key.1, offset)).unwrap_or(&nothing);
        // After a gap nobody knows the watermark for a while, so what is late there is a matter of the incomplete windows.
        let is_missing = (expected.is_some() && dead.is_empty()) || (is_late && *late == 0 && !has_gap);
        let is_called = |reason: Poison| of_lives.iter().any(|called| called.0 == Some(reason));
        let is_late_called = has_gap || of_lives.iter().any(|called| called.1);
        let is_uncalled = dead.iter().any(|&reason| !is_called(reason)) || (*late > 0 && !is_late_called);
        let is_repeated = dead.len() > 1 || *late > 1;
        // By one without a stamp a log is not known again.
        let is_hidden = expected == Some(Poison::Timestamp) && contains(&given_anew, offset);
        let is_lost = is_refused || is_hidden || contains(&lost, offset);
        if (is_missing && !is_lost) || is_uncalled || (is_repeated && !may_repeat) {
            findings.fail(Property::Conservation, || {
                format!("partition {} offset {offset}: dead letters {dead:?}, {late} late records", key.1)
            });
        }
    }
}

fn contains(ranges: &[Range<u64>], offset: u64) -> bool {
    ranges.iter().any(|range| range.contains(&offset))
}

/// The incarnations of a version that have opened a partition.
fn opened<'e>(key: (u32, u32), evidence: &'e Evidence<'_, '_>) -> impl Iterator<Item = &'e Opened> {
    evidence.world.watch.opened.iter().filter(move |it| (it.generation, it.partition) == key)
}

/// Offsets that were read before a commit, and that the log had given to other records when somebody went on from there.
fn given_anew(key: (u32, u32), evidence: &Evidence<'_, '_>) -> Vec<Range<u64>> {
    let log = &evidence.world.logs[key.1 as usize];
    let range = opened(key, evidence).filter_map(|it| {
        let (offset, text) = it.committed.as_ref()?;
        let (commit, _) = Commit::read(Offset(*offset), text).ok()?;
        Some(log.shared_between(it.life_of_commit, it.life)..commit.position().0)
    });
    range.filter(|range| !range.is_empty()).collect()
}

/// Offsets that were gone before anyone with a commit behind them could read them.
fn lost(key: (u32, u32), evidence: &Evidence<'_, '_>) -> Vec<Range<u64>> {
    let range = opened(key, evidence).map(|it| {
        let committed = it.committed.as_ref();
        let commit = committed.and_then(|(offset, text)| Commit::read(Offset(*offset), text).ok());
        commit.map_or(0, |(commit, _)| commit.position().0)..it.log_start
    });
    range.filter(|range| !range.is_empty()).collect()
}

/// Whether an incarnation had no commit although there had been one.
fn has_forgotten(key: (u32, u32), evidence: &Evidence<'_, '_>) -> bool {
    opened(key, evidence).filter(|it| it.committed.is_none()).count() > 1
}

/// Whether an incarnation started behind a gap.
fn has_gap(key: (u32, u32), evidence: &Evidence<'_, '_>) -> bool {
    opened(key, evidence).any(Opened::has_gap)
}
