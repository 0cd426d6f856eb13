//! Writes one batch into the folder: each summary that is newer than its row, all of them or none.

use fjall::Keyspace;
use yahtzee_core::summary::Provenance;

use super::folder::Folder;
use super::marks;
use super::row_key::row_key;
use crate::store::{Outcome, Settling, Summary, WrittenBatch, newest_by_key};

/// Writes the batch and the marks of its partitions durably; nothing is stored if it fails.
pub(super) fn write(
    folder: &mut Folder,
    batch: &[Summary<'_>],
    settling: &[Settling],
) -> fjall::Result<WrittenBatch> {
    let floor = folder.view().floor;
    let unless_newest = |summary: &Summary<'_>| match summary.day() {
        day if day < floor => Outcome::Expired,
        _ => Outcome::Stale,
    };
    let mut outcomes: Vec<Outcome> = batch.iter().map(unless_newest).collect();
    let mut writes = folder.batch();
    for index in newest_by_key(batch) {
        let summary = &batch[index];
        if outcomes[index] == Outcome::Expired {
            continue;
        }
        let day = folder.create(summary.day())?;
        let row_key = row_key(summary.job, summary.key);
        outcomes[index] = outcome(stored(&day, &row_key)?, &summary.provenance);
        if outcomes[index] != Outcome::Stale {
            writes.insert(&day, row_key, summary.value);
        }
    }
    let marks = marks::settle(folder.settled(), &mut writes, settling)?;
    writes.commit()?;
    Ok(WrittenBatch { outcomes, marks })
}

/// Returns the provenance of the stored row; `None` if there is none or its value cannot be read.
fn stored(day: &Keyspace, row_key: &[u8]) -> fjall::Result<Option<Provenance>> {
    Ok(day.get(row_key)?.and_then(|value| Provenance::of_value(&value).ok()))
}

fn outcome(before: Option<Provenance>, now: &Provenance) -> Outcome {
    match before {
        Some(before) if before.revision() >= now.revision() => Outcome::Stale,
        Some(before) if !before.can_be_followed_by(now) => Outcome::StoredAgainstChain,
        _ => Outcome::Stored,
    }
}
