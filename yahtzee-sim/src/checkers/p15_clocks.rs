//! P15: however far a clock of ingress is ahead, a watermark is never further ahead of the true time than the log allows, so
//! that what other clocks stamp is not late for it.

use super::Evidence;
use crate::failure::{Findings, Property};
use crate::raw::RawEntry;

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    let ahead_max_ms = evidence.world.config.timestamp_ahead_max_ms();
    for (&(_, partition), truth) in &evidence.truths {
        let entries = &evidence.world.logs[partition as usize].entries;
        for (offset, (entry, watermark_ms)) in entries.iter().zip(&truth.watermarks_ms).enumerate() {
            let RawEntry::Record(record) = entry else { continue };
            if *watermark_ms > Some(record.appended_at_ms + ahead_max_ms) {
                findings.fail(Property::Clocks, || {
                    format!(
                        "partition {partition} offset {offset}: {watermark_ms:?} at {}",
                        record.appended_at_ms
                    )
                });
            }
        }
    }
}
