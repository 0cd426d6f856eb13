//! P9: no partition keeps more series than configured: windows that can be open, times the room of one; and their real
//! bytes are within what the job says of its policy. That no shard has more rows waiting than configured is checked at every step of
//! a process.

use yahtzee_core::erased::AnyJob as _;

use super::Evidence;
use crate::failure::{Findings, Property};
use crate::job::SimJob;

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    let config = &evidence.world.config;
    let bound = (config.lateness + 1 + config.future) * config.series_bound();
    let peak = evidence.world.watch.series_peak;
    if peak > bound {
        findings.fail(Property::Memory, || format!("{peak} series in one partition, {bound} configured"));
    }
    let most = SimJob { version: 1 }.state_bytes_max(&config.policy()).expect("it folds numbers");
    let bytes_bound = (most.total() - most.frames) as u64;
    let bytes_peak = evidence.world.watch.bytes_peak;
    if bytes_peak > bytes_bound {
        findings
            .fail(Property::Memory, || format!("{bytes_peak} bytes in one partition, {bytes_bound} at most"));
    }
}
