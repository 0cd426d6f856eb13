//! Writes one batch into the folder: each summary that is newer than its row, all of them or none.

use fjall::UserValue;
use yahtzee_core::delivery::OutcomeKind;
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
    for index in newest_by_key(batch, &mut outcomes) {
        let summary = &batch[index];
        if outcomes[index] == Outcome::Expired {
            continue;
        }
        let day = folder.create(summary.day())?;
        let row_key = row_key(summary.job, summary.key);
        outcomes[index] = outcome(day.get(&row_key)?, summary);
        if outcomes[index].kind() == OutcomeKind::Stored {
            writes.insert(&day, row_key, summary.value);
        }
    }
    let marks = marks::settle(folder.settled(), &mut writes, settling)?;
    writes.commit()?;
    Ok(WrittenBatch { outcomes, marks, is_in_doubt: false })
}

/// Compares a summary with the stored value. One that cannot be read is replaced.
fn outcome(before: Option<UserValue>, now: &Summary<'_>) -> Outcome {
    let before = before.and_then(|value| Some((Provenance::of_value(&value).ok()?, value)));
    match before {
        Some((before, value)) if now.contradicts(before.revision(), &value) => Outcome::StaleAgainstChain,
        Some((before, _)) if before.revision() >= now.revision() => Outcome::Stale,
        Some((before, _)) if !before.can_be_followed_by(&now.provenance) => Outcome::StoredAgainstChain,
        _ => Outcome::Stored,
    }
}
