//! P10: the windows that are reported to have lost input are exactly those that did; where nobody can know, they
//! reach no further than the clocks' difference and the future bound allow. That nobody goes on with a log that has lost what
//! was read before is checked at every write.

use std::collections::BTreeSet;

use yahtzee_core::commit::Commit;
use yahtzee_core::incomplete::IncompleteWindows;
use yahtzee_core::partition::ResumeKind;
use yahtzee_core::record::Offset;
use yahtzee_core::window::Window;

use super::Evidence;
use crate::failure::{Findings, Property};
use crate::raw::RawEntry;
use crate::watch::Opened;

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    if evidence.world.config.is_calm == 1 && evidence.world.broker.forgotten > 0 {
        findings
            .fail(Property::Incomplete, || "an offset has expired although its worker was alive".to_owned());
    }
    for opened in &evidence.world.watch.opened {
        let stored = opened.committed.as_ref();
        let commit =
            stored.map(|(offset, text)| Commit::read(Offset(*offset), text).map(|(commit, _)| commit));
        // A commit that nobody can read was none of ours; here nobody but us commits.
        let is_lost = match &commit {
            None => opened.log_start > 0,
            Some(Err(_)) => false,
            Some(Ok(commit)) => opened.log_start > commit.position().0,
        };
        if is_lost != (opened.verdict == ResumeKind::Unknown) {
            findings.fail(Property::Incomplete, || format!("{opened:?}"));
        } else if is_lost {
            check_reach(opened, evidence, findings);
        } else if let Some(Ok(commit)) = commit {
            check_exact(opened, &commit, evidence, findings);
        }
    }
}

/// A gap of unknown length: everything up to what the first record after it allows, and nothing beyond.
fn check_reach(opened: &Opened, evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    let Some((first, settled)) = opened.first_record.zip(opened.settled.as_ref()) else { return };
    let log = &evidence.world.logs[opened.partition as usize];
    let RawEntry::Record(record) = &log.entries_of(opened.life)[first as usize] else { return };
    let config = &evidence.world.config;
    let latest_ms = record.timestamp_ms + i64::try_from(config.skew_ms).unwrap_or(0);
    let policy = config.policy();
    let last = Window::of_ms(latest_ms, policy.length_ms).plus(policy.future_windows);
    if settled.reach_through() != Some(last) {
        findings.fail(Property::Incomplete, || format!("{opened:?} must reach to window {}", last.0));
    }
}

/// A gap behind `h`: the open windows that had accepted a record that is gone, and those known before.
fn check_exact(opened: &Opened, commit: &Commit, evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    let policy = evidence.world.config.policy();
    let minute =
        |watermark_ms: i64| Window::of_ms(watermark_ms, policy.length_ms).minus(policy.lateness_windows);
    let open_from = commit.watermark_ms().map_or(Window(i64::MIN), minute);
    let truth = evidence.truth_of((opened.generation, opened.partition), opened.life_of_commit);
    let first_accepted = &truth.first_accepted;
    let lost = first_accepted
        .range(open_from.0..)
        .filter(|&(_, &first)| first < opened.log_start.min(commit.position().0));
    let is_new = |window: &Window| !commit.incomplete().covers(*window);
    let lost: BTreeSet<Window> = lost.map(|(&window, _)| Window(window)).filter(is_new).collect();
    let reported: BTreeSet<Window> = opened.incomplete.windows().filter(is_new).collect();
    let keeps = |known: &IncompleteWindows| {
        known.reach_through() == opened.incomplete.reach_through()
            && known.windows().all(|window| opened.incomplete.covers(window))
    };
    if lost != reported || !keeps(commit.incomplete()) {
        findings.fail(Property::Incomplete, || {
            format!("{opened:?} must report {lost:?} and {:?}", commit.incomplete())
        });
    }
}
