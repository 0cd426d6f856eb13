//! P3: whatever anyone writes, zombies and aborted transactions included, is the fold of a prefix of the log, named
//! by its revision. So revisions of a key form one chain, and equal revisions mean equal bytes. Of a log that has lost
//! records, it is the fold of a prefix as it was in one of its lives.

use super::{Evidence, describe};
use crate::broker::Body;
use crate::failure::{Findings, Property};

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    for record in &evidence.world.broker.topic {
        let Body::Summary { key, value, provenance } = &record.body else { continue };
        let of_partition = (record.generation, record.partition);
        let mut series = evidence.lives(of_partition).filter_map(|truth| truth.series.get(key));
        let is_prefix = series.any(|series| {
            let last = series.states.last().map(|state| state.0);
            let is_early_final = provenance.is_final && last != Some(provenance.last_offset);
            let expected = series.value_at(provenance.last_offset, record.generation, provenance.is_final);
            expected.as_ref() == Some(value) && !is_early_final
        });
        if !is_prefix {
            let series = evidence.truths[&of_partition].series.get(key);
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
