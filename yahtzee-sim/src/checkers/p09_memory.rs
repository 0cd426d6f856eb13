//! P9: no partition keeps more series than configured: windows that can be open, times the room of one; and their real
//! bytes stay in proportion. That no shard has more rows waiting than configured is checked at every step of a process.

use super::Evidence;
use crate::failure::{Findings, Property};

/// Bytes of a series in a window, generously: its state twice, as lists grow, its key, its places in the tables.
const SERIES_BYTES: u64 = 512;
/// Bytes of a window, and of the tables, that are there for the first series.
const WINDOW_BYTES: u64 = 4 << 10;

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    let config = &evidence.world.config;
    let bound = (config.lateness + 1 + config.future) * config.series_bound();
    let peak = evidence.world.watch.series_peak;
    if peak > bound {
        findings.fail(Property::Memory, || format!("{peak} series in one partition, {bound} configured"));
    }
    // The window that was closed last is kept for the next one.
    let bytes_bound = (bound + config.series_bound()) * SERIES_BYTES + WINDOW_BYTES;
    let bytes_peak = evidence.world.watch.bytes_peak;
    if bytes_peak > bytes_bound {
        findings
            .fail(Property::Memory, || format!("{bytes_peak} bytes in one partition, {bytes_bound} at most"));
    }
}
