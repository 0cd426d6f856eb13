//! P11: a store behind the revision guard ends the same whether one sink feeds it or two, in whatever order, with
//! restarts. That no stored revision ever decreases is checked at every write. The retry loop is not simulated.

use super::{Evidence, describe};
use crate::failure::{Findings, Property};

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    let found =
        evidence.world.watch.findings.failures.iter().filter(|failure| failure.property == Property::Stores);
    findings.failures.extend(found.cloned());
    let [one, two] = &evidence.world.sinks.stores;
    let differing = one.iter().find(|(key, stored)| two.get(*key) != Some(*stored));
    let missing = two.keys().find(|key| !one.contains_key(*key));
    if let Some(key) = differing.map(|(key, _)| key).or(missing) {
        findings.fail(Property::Stores, || format!("{}: the stores differ", describe(key)));
    }
}
