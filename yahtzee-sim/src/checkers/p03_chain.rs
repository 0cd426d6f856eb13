//! P3: whatever anyone writes, zombies and aborted transactions included, is the fold of a prefix of the log, named
//! by its revision. So revisions of a key form one chain, and equal revisions mean equal bytes.

use super::{Evidence, describe};
use crate::broker::Body;
use crate::failure::{Findings, Property};

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    for record in &evidence.world.broker.topic {
        let Body::Summary { key, value, provenance } = &record.body else { continue };
        let truth = &evidence.truths[&(record.generation, record.partition)];
        let series = truth.series.get(key);
        let expected = series.and_then(|series| {
            series.value_at(provenance.last_offset, record.generation, provenance.is_final)
        });
        let is_early_final = provenance.is_final
            && series.and_then(|series| series.states.last()).map(|state| state.0)
                != Some(provenance.last_offset);
        if expected.as_ref() != Some(value) || is_early_final {
            findings.fail(Property::Chain, || {
                format!(
                    "{}: {provenance:?} is no prefix of {:?}",
                    describe(key),
                    series.map(|series| &series.states)
                )
            });
        }
    }
}
