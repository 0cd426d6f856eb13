//! The promises, each with a checker of its own: functions of what was observed and of the truth.

use std::collections::BTreeMap;

use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_core::window::Window;

use crate::broker::{Body, Moment, OutRecord};
use crate::delivery::Store;
use crate::failure::{Failure, Findings, Property};
use crate::oracle::{SeriesTruth, Truth, fold};
use crate::world::World;

mod p01_final;
mod p02_no_dip;
mod p03_chain;
mod p04_commit;
mod p05_liveness;
mod p06_freshness;
pub(crate) mod p07_isolation;
mod p08_conservation;
mod p09_memory;
mod p10_incomplete;
mod p10_losses;
mod p11_stores;
pub(crate) mod p14_interleaving;
mod p15_clocks;

/// What the checkers look at.
pub(crate) struct Evidence<'w, 'm> {
    pub(crate) world: &'w World<'m>,
    /// By version of the fold and partition.
    pub(crate) truths: BTreeMap<(u32, u32), Truth>,
    /// The same of earlier lives of the partition.
    past_truths: BTreeMap<(u32, u32, usize), Truth>,
    /// The first store as it was when everything had come to rest, before the last windows were closed.
    pub(crate) at_rest: Store,
}

/// A summary that a read-committed reader could see.
pub(crate) struct Seen<'e> {
    pub(crate) record: &'e OutRecord,
    pub(crate) key: &'e [u8],
    pub(crate) value: &'e [u8],
    pub(crate) provenance: Provenance,
    pub(crate) from: Moment,
}

impl<'w, 'm> Evidence<'w, 'm> {
    pub(crate) fn of(world: &'w World<'m>, at_rest: Store) -> Self {
        let (policy, partitions) = (world.config.policy(), world.config.partition_count());
        let (mut truths, mut past_truths) = (BTreeMap::new(), BTreeMap::new());
        for &version in &world.versions {
            for (partition, log) in (0..).zip(&world.logs) {
                let truth = |life| fold(log.entries_of(life), partition, partitions, &policy, version);
                truths.insert((version, partition), truth(log.life()));
                past_truths.extend((0..log.life()).map(|life| ((version, partition, life), truth(life))));
            }
        }
        Self { world, truths, past_truths, at_rest }
    }

    /// The truth of a partition as it was in one of its lives.
    pub(crate) fn truth_of(&self, (version, partition): (u32, u32), life: usize) -> &Truth {
        let past = self.past_truths.get(&(version, partition, life));
        past.unwrap_or_else(|| &self.truths[&(version, partition)])
    }

    /// The truths of all lives of a partition.
    pub(crate) fn lives(&self, key: (u32, u32)) -> impl Iterator<Item = &Truth> {
        (0..=self.world.logs[key.1 as usize].life()).map(move |life| self.truth_of(key, life))
    }

    /// Every summary that became visible, in the order of the topic.
    pub(crate) fn visible(&self) -> impl Iterator<Item = Seen<'_>> {
        self.world.broker.topic.iter().filter_map(|record| {
            let Body::Summary { key, value, provenance } = &record.body else { return None };
            let from = self.world.broker.visible_from(record)?;
            Some(Seen { record, key, value, provenance: *provenance, from })
        })
    }

    /// Every series of a version of which no window was reported to have lost input, in partitions that were not refused.
    pub(crate) fn whole_series(&self, version: u32) -> impl Iterator<Item = (&Vec<u8>, &SeriesTruth)> {
        let of_version = self.truths.range((version, 0)..=(version, u32::MAX));
        let all = of_version.flat_map(|(_, truth)| &truth.series);
        let refused = &self.world.watch.refused;
        all.filter(move |(_, series)| {
            let is_refused = refused.contains(&(version, series.partition));
            !is_refused && !self.is_incomplete(version, series.partition, series.window)
        })
    }

    pub(crate) fn is_incomplete(&self, version: u32, partition: u32, window: i64) -> bool {
        self.world.watch.is_incomplete(version, partition, Window(window))
    }

    /// The newest version of the fold, whose summaries the stores keep.
    pub(crate) fn newest_version(&self) -> Option<u32> {
        self.world.versions.iter().copied().max()
    }
}

/// Runs all checkers that look at one run, and adds what was found while it went on.
pub(crate) fn check_all(evidence: &Evidence<'_, '_>) -> Vec<Failure> {
    let mut findings = evidence.world.watch.findings.clone();
    p01_final::check(evidence, &mut findings);
    p02_no_dip::check(evidence, &mut findings);
    p03_chain::check(evidence, &mut findings);
    p04_commit::check(evidence, &mut findings);
    p05_liveness::check(evidence, &mut findings);
    p06_freshness::check(evidence, &mut findings);
    p08_conservation::check(evidence, &mut findings);
    p09_memory::check(evidence, &mut findings);
    p10_incomplete::check(evidence, &mut findings);
    p10_losses::check(evidence, &mut findings);
    p11_stores::check(evidence, &mut findings);
    p15_clocks::check(evidence, &mut findings);
    findings.failures
}

/// A readable name of a summary key.
pub(crate) fn describe(key: &[u8]) -> String {
    SummaryKey::decode(key).map_or_else(
        |_| format!("{key:?}"),
        |key| {
            let window = key.window_start_ms / i64::from(key.window_length_ms.max(1));
            format!("owner {} {} window {window}", key.owner.0[0], key.dimensions.join(" "))
        },
    )
}

/// Compares what was found under a key with what is expected there.
pub(crate) fn expect_value(
    property: Property,
    place: &str,
    key: &[u8],
    found: Option<&[u8]>,
    expected: Option<&[u8]>,
    findings: &mut Findings,
) {
    if found != expected {
        let read = |value: Option<&[u8]>| value.map(|value| Provenance::of_value(value).ok());
        findings.fail(property, || {
            format!("{place}, {}: {:?}, expected {:?}", describe(key), read(found), read(expected))
        });
    }
}
