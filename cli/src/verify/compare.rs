//! Compares two sets of summaries, key by key and byte by byte.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, Revision, SummaryKey};
use yahtzee_core::window::Window;
use yahtzee_runtime::replay::{ReplaySpan, ReplayTally};

use super::found::FoundSummaries;

/// Values by key, in wire form.
pub(super) type ComparedSummaries = BTreeMap<Vec<u8>, Vec<u8>>;

/// The summaries that a recomputation covers.
pub(super) struct Comparable {
    pub(super) span: ReplaySpan,
    pub(super) owner: Option<Owner>,
    pub(super) length_ms: u32,
    /// First window that is not final; `None` if open ones are compared too.
    pub(super) open_from: Option<Window>,
    pub(super) tally: ReplayTally,
}

impl Comparable {
    /// Returns whether a summary of this key must equal the recomputed one.
    pub(super) fn covers(&self, key: &SummaryKey) -> bool {
        let window = Window::of_ms(key.window_start_ms, key.window_length_ms);
        let ReplayTally { incomplete_through, incomplete, .. } = &self.tally;
        key.window_length_ms == self.length_ms
            && self.owner.is_none_or(|owner| owner == key.owner)
            && self.span.wants(window)
            && incomplete_through.is_none_or(|last| window > last)
            && !incomplete.contains(&window)
            && self.open_from.is_none_or(|open_from| window < open_from)
    }
}

/// Way in which a summary that was found differs from the recomputed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// None was found.
    Missing,
    /// The same revision with other bytes.
    Different,
    /// A revision before the recomputed one.
    Older,
    /// A revision after the recomputed one.
    Newer,
    /// None was recomputed.
    Extra,
    /// Several values of one revision were found.
    Ambiguous,
    /// Bytes that are no summary were found.
    Unreadable,
}

/// One summary that is not as recomputed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    pub(super) key: Vec<u8>,
    pub(super) expected: Option<Revision>,
    pub(super) found: Option<Revision>,
}

/// Result of a comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct JobComparison {
    pub(super) equal: u64,
    pub(super) differences: Vec<Difference>,
}

/// Compares what was found with what was recomputed.
pub(super) fn compare(expected: &ComparedSummaries, found: &FoundSummaries) -> JobComparison {
    let mut outcome = JobComparison::default();
    for (key, value) in expected {
        match kind_of(value, found.newest.get(key)) {
            Some(kind) => outcome.differ(kind, key, Some(value), found.newest.get(key)),
            None => outcome.equal += 1,
        }
    }
    let extra = found.newest.iter().filter(|(key, _)| !expected.contains_key(*key));
    extra.for_each(|(key, value)| outcome.differ(Kind::Extra, key, None, Some(value)));
    for key in &found.ambiguous {
        outcome.differ(Kind::Ambiguous, key, expected.get(key), found.newest.get(key));
    }
    for key in &found.unreadable {
        outcome.differ(Kind::Unreadable, key, expected.get(key), None);
    }
    outcome
}

fn kind_of(expected: &[u8], found: Option<&Vec<u8>>) -> Option<Kind> {
    let Some(found) = found else { return Some(Kind::Missing) };
    if expected == found.as_slice() {
        return None;
    }
    Some(match revision(found).cmp(&revision(expected)) {
        Ordering::Less => Kind::Older,
        Ordering::Equal => Kind::Different,
        Ordering::Greater => Kind::Newer,
    })
}

fn revision(value: &[u8]) -> Option<Revision> {
    Provenance::of_value(value).ok().map(|provenance| provenance.revision())
}

impl JobComparison {
    fn differ(&mut self, kind: Kind, key: &[u8], expected: Option<&Vec<u8>>, found: Option<&Vec<u8>>) {
        let of = |value: Option<&Vec<u8>>| value.and_then(|value| revision(value));
        let (expected, found) = (of(expected), of(found));
        self.differences.push(Difference { kind, key: key.to_vec(), expected, found });
    }
}

#[cfg(test)]
mod tests {
    use yahtzee_pipeline_proto::summary;

    use super::*;

    fn value(generation: u32, last_offset: u64, is_final: bool, occurrences: u64) -> Vec<u8> {
        let provenance = Provenance { generation, first_offset: 0, last_offset, count: 1, is_final };
        provenance.join(&summary::Errors { occurrences })
    }

    #[test]
    fn every_way_to_differ_has_its_name() {
        fn check(expected: Option<Vec<u8>>, found: Option<Vec<u8>>, kind: Option<Kind>) {
            let only =
                |value: Option<Vec<u8>>| value.into_iter().map(|value| (b"key".to_vec(), value)).collect();
            let found = FoundSummaries { newest: only(found), ..FoundSummaries::default() };
            let outcome = compare(&only(expected), &found);
            assert_eq!(outcome.differences.first().map(|difference| difference.kind), kind);
            assert_eq!(outcome.equal + outcome.differences.len() as u64, 1);
        }
        let expected = value(2, 9, true, 5);
        check(Some(expected.clone()), Some(expected.clone()), None);
        check(Some(expected.clone()), None, Some(Kind::Missing));
        check(None, Some(expected.clone()), Some(Kind::Extra));
        check(Some(expected.clone()), Some(value(2, 9, true, 6)), Some(Kind::Different));
        check(Some(expected.clone()), Some(value(2, 9, false, 5)), Some(Kind::Older));
        check(Some(expected.clone()), Some(value(1, 10, true, 5)), Some(Kind::Older));
        check(Some(expected.clone()), Some(value(2, 10, true, 5)), Some(Kind::Newer));
        check(Some(expected), Some(value(3, 0, false, 5)), Some(Kind::Newer));
    }
}
