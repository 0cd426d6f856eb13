//! P6: where nothing fails, every record is visible in a summary within the flush interval and a second.

use std::collections::BTreeMap;

use super::{Evidence, describe};
use crate::failure::{Findings, Property};
use crate::raw::RawEntry;

const GRACE_MS: i64 = 1_000;

pub(super) fn check(evidence: &Evidence<'_, '_>, findings: &mut Findings) {
    let config = &evidence.world.config;
    if config.is_calm == 0 {
        return;
    }
    let limit_ms = i64::try_from(config.flush_ms).unwrap_or(i64::MAX) + GRACE_MS;
    let mut visible = BTreeMap::<_, Vec<(u64, i64)>>::new();
    for seen in evidence.visible() {
        let of_key = visible.entry((seen.record.generation, seen.key)).or_default();
        of_key.push((seen.provenance.last_offset, seen.from.at_ms));
    }
    for &version in &evidence.world.versions {
        for (key, series) in evidence.whole_series(version) {
            let seen = visible.get(&(version, &**key)).map_or(&[][..], Vec::as_slice);
            let log = &evidence.world.logs[series.partition as usize];
            for &(offset, ..) in &series.states {
                let RawEntry::Record(record) = &log.entries[offset as usize] else { continue };
                let shown_ms = seen.iter().filter(|(last, _)| *last >= offset).map(|&(_, at_ms)| at_ms).min();
                if shown_ms.is_none_or(|shown_ms| shown_ms > record.appended_at_ms + limit_ms) {
                    let appended_ms = record.appended_at_ms;
                    findings.fail(Property::Freshness, || {
                        format!("{}: offset {offset} of {appended_ms} shown at {shown_ms:?}", describe(key))
                    });
                }
            }
        }
    }
}
