//! P1: the topic, where writers are fenced, and every store end bit-identical to the truth.

use std::collections::BTreeMap;

use super::{Evidence, expect_value};
use crate::delivery::read_anew;
use crate::failure::{Findings, Property};

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    check_stores(evidence, findings);
    if evidence.world.config.is_topic_exact() {
        check_topic(evidence, findings);
    }
}

fn check_stores(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    let Some(version) = evidence.newest_version() else { return };
    for (key, series) in evidence.whole_series(version) {
        let expected = series.last_value(version, true);
        for (number, store) in evidence.world.deliveries.stores.iter().enumerate() {
            let found = store.get(key).map(|stored| &*stored.value);
            let place = format!("store {number}");
            expect_value(Property::Final, &place, key, found, expected.as_deref(), findings);
        }
    }
}

/// The last record of each key and version; and, with one version, what a reader finds after compaction.
fn check_topic(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    let mut last = BTreeMap::new();
    for seen in evidence.visible() {
        last.insert((seen.record.generation, seen.key), seen.value);
    }
    let anew = read_anew(&evidence.world.broker, evidence.world.mutant.shell);
    for &version in &evidence.world.versions {
        for (key, series) in evidence.whole_series(version) {
            let expected = series.last_value(version, true);
            let found = last.get(&(version, &**key)).copied();
            expect_value(Property::Final, "topic", key, found, expected.as_deref(), findings);
            if evidence.world.versions.len() == 1 {
                let found = anew.get(key).map(|stored| &*stored.value);
                expect_value(Property::Final, "compacted topic", key, found, expected.as_deref(), findings);
            }
        }
    }
}
