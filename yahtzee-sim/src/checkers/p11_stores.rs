//! P11: a store behind the revision guard ends the same whether one sink feeds it or two, in whatever order, with
//! restarts, outages and RETRY between. That no stored revision ever decreases (I14) is checked at every write; that a
//! shard that does not work delays its own rows only (I15), that only what is poison is in QUARANTINE, and that
//! everything comes to rest (I16), while the run settles.

use super::{Evidence, describe};
use crate::failure::{Findings, Property};

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    let [one, two] = &evidence.world.deliveries.stores;
    let differing = one.iter().find(|(key, stored)| two.get(*key) != Some(*stored));
    let missing = two.keys().find(|key| !one.contains_key(*key));
    if let Some(key) = differing.map(|(key, _)| key).or(missing) {
        findings.fail(Property::Stores, || format!("{}: the stores differ", describe(key)));
    }
}
