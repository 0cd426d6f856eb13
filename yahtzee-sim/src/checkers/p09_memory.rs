//! P9: no partition keeps more series than configured: windows that can be open, times the room of one. That no shard
//! has more rows waiting than configured is checked at every step of a process.

use super::Evidence;
use crate::failure::{Findings, Property};

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    let on_the_way = &evidence.world.watch.findings.failures;
    findings.failures.extend(on_the_way.iter().filter(|it| it.property == Property::Memory).cloned());
    let config = &evidence.world.config;
    let bound = (config.lateness + 1 + config.future) * config.series_bound();
    let peak = evidence.world.watch.series_peak;
    if peak > bound {
        findings.fail(Property::Memory, || format!("{peak} series in one partition, {bound} configured"));
    }
}
