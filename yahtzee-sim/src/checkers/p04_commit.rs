//! P4: every commit `(c, h, M)` that became durable, against everything that was durable at that moment.
//!
//! I2: every record accepted into a window that is still open lies at or after `c`. I3: of every window that is not,
//! the final summaries are durable. And no incarnation takes back the position it started from.

use std::collections::BTreeMap;

use yahtzee_core::commit::Commit;
use yahtzee_core::record::Offset;
use yahtzee_core::window::Window;

use super::Evidence;
use crate::broker::{Moment, OffsetCommit};
use crate::failure::{Findings, Property};

/// When the last final summary of a window became durable; `None` while one is missing. By version, partition and its life.
type Finals = BTreeMap<(u32, u32, usize, i64), Option<Moment>>;

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    let finals = finals(evidence);
    // Per version, partition and its life, windows below this were found final at an earlier commit.
    let mut checked: BTreeMap<(u32, u32, usize), i64> = BTreeMap::new();
    for (moment, stored) in &evidence.world.broker.commits {
        let Ok((commit, _)) = Commit::read(Offset(stored.offset), &stored.metadata) else { continue };
        let open_from = open_from(&commit, evidence);
        check_position(stored, &commit, findings);
        check_watermark(stored, &commit, evidence, findings);
        check_replay_offset(stored, &commit, open_from, evidence, findings);
        let from = checked.entry((stored.generation, stored.partition, stored.life)).or_insert(i64::MIN);
        check_finals((*moment, stored), &commit, *from..open_from, evidence, &finals, findings);
        *from = (*from).max(open_from);
    }
}

fn finals(evidence: &Evidence<'_, '_>) -> Finals {
    let mut durable: BTreeMap<(u32, &[u8]), Moment> = BTreeMap::new();
    for seen in evidence.visible().filter(|seen| seen.provenance.is_final) {
        durable.entry((seen.record.generation, seen.key)).or_insert(seen.from);
    }
    let mut finals = Finals::new();
    for &(version, partition) in evidence.truths.keys() {
        for (life, truth) in evidence.lives((version, partition)).enumerate() {
            for (key, series) in &truth.series {
                let of_series = durable.get(&(version, &**key)).copied();
                let of_window = finals
                    .entry((version, partition, life, series.window))
                    .or_insert_with(|| Some(Moment::default()));
                *of_window = of_window.zip(of_series).map(|(window, series)| window.max(series));
            }
        }
    }
    finals
}

/// Oldest open window under the commit's watermark, from the definition.
fn open_from(commit: &Commit, evidence: &Evidence<'_, '_>) -> i64 {
    let policy = evidence.world.config.policy();
    let minute = |watermark_ms: i64| watermark_ms.div_euclid(i64::from(policy.length_ms));
    commit
        .watermark_ms()
        .map_or(i64::MIN, |watermark_ms| minute(watermark_ms) - i64::from(policy.lateness_windows))
}

fn check_position(stored: &OffsetCommit, commit: &Commit, findings: &mut Findings) {
    if commit.position().0 < stored.resumed_position {
        findings.fail(Property::Commit, || {
            format!("{stored:?} takes back the position {}", stored.resumed_position)
        });
    }
}

/// The watermark is the running maximum at `h`, unless a gap has hidden a part of the log from its writer.
fn check_watermark(
    stored: &OffsetCommit,
    commit: &Commit,
    evidence: &Evidence<'_, '_>,
    findings: &mut Findings,
) {
    let key = (stored.generation, stored.partition);
    let opened = &evidence.world.watch.opened;
    let has_gap = opened.iter().any(|it| (it.generation, it.partition) == key && it.has_gap());
    let last = commit.position().0.checked_sub(1).and_then(|last| usize::try_from(last).ok());
    let expected =
        last.and_then(|last| evidence.truth_of(key, stored.life).watermarks_ms.get(last).copied().flatten());
    if !has_gap && commit.watermark_ms() != expected {
        findings.fail(Property::Commit, || format!("{commit:?}: the watermark is {expected:?}"));
    }
}

fn check_replay_offset(
    stored: &OffsetCommit,
    commit: &Commit,
    open_from: i64,
    evidence: &Evidence<'_, '_>,
    findings: &mut Findings,
) {
    let key = (stored.generation, stored.partition);
    for (&window, &first) in evidence.truth_of(key, stored.life).first_accepted.range(open_from..) {
        let is_forgotten = first < stored.offset && first < commit.position().0;
        if is_forgotten
            && !commit.incomplete().covers(Window(window))
            && !evidence.is_incomplete(key.0, key.1, window)
        {
            findings.fail(Property::Commit, || {
                format!("I2: offset {first} of open window {window} lies before {commit:?}")
            });
        }
    }
}

fn check_finals(
    (moment, stored): (Moment, &OffsetCommit),
    commit: &Commit,
    windows: std::ops::Range<i64>,
    evidence: &Evidence<'_, '_>,
    finals: &Finals,
    findings: &mut Findings,
) {
    if windows.is_empty() {
        return;
    }
    let key = (stored.generation, stored.partition);
    for (&window, &first) in evidence.truth_of(key, stored.life).first_accepted.range(windows) {
        let is_durable = finals
            .get(&(key.0, key.1, stored.life, window))
            .is_none_or(|durable| durable.is_some_and(|it| it <= moment));
        if first < commit.position().0 && !is_durable && !evidence.is_incomplete(key.0, key.1, window) {
            findings.fail(Property::Commit, || {
                format!("I3: window {window} was not final when {commit:?} became durable")
            });
        }
    }
}
