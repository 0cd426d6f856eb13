//! P5: once nothing fails any more, everything catches up within a few flush intervals, without a further record.
//! That every partition reaches the end it was told of is checked while the run settles.

use super::{Evidence, expect_value};
use crate::failure::{Findings, Property};
use yahtzee_core::summary::Provenance;

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    if evidence.world.watch.refusals > 0 {
        findings.fail(Property::Liveness, || {
            format!("{} partitions were refused", evidence.world.watch.refusals)
        });
    }
    let Some(version) = evidence.newest_version() else { return };
    for (key, series) in evidence.whole_series(version) {
        let found = evidence.at_rest.get(key).map(|stored| &*stored.value);
        let is_final = found
            .and_then(|value| Provenance::of_value(value).ok())
            .is_some_and(|provenance| provenance.is_final);
        let expected = series.last_value(version, is_final);
        expect_value(Property::Liveness, "at rest", key, found, expected.as_deref(), findings);
    }
}
