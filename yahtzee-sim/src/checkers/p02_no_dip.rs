//! P2: where writers are fenced, a reader of the topic never sees a summary go backwards. What the stores show is
//! checked as they are written.

use std::collections::BTreeMap;

use super::{Evidence, describe};
use crate::failure::{Findings, Property};

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    if !evidence.world.config.is_topic_exact() {
        return;
    }
    let mut last = BTreeMap::new();
    for seen in evidence.visible() {
        let Some(before) = last.insert((seen.record.generation, seen.key, seen.record.life), seen.provenance)
        else {
            continue;
        };
        if seen.provenance.revision() < before.revision() || seen.provenance.count < before.count {
            findings.fail(Property::NoDip, || {
                format!("{}: {:?} after {before:?}", describe(seen.key), seen.provenance)
            });
        }
    }
}
