//! The segment files of a broker that does not run: a log that has lost its newest records.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

/// Offset and length, of which the length counts what comes behind both.
const BATCH_HEAD: usize = 12;

/// Cuts the log of a partition at the `batches`-th batch from the end of those that begin below `below`, and returns where
/// the log ends now. A log without such a batch stays as it is.
///
/// The broker must have been killed: one that has ended in order believes its indexes and checkpoints, and does not look
/// at the segment again.
pub(crate) fn cut(
    data: &Path,
    topic: &str,
    partition: Partition,
    below: Offset,
    batches: usize,
) -> Result<Option<Offset>> {
    let segment = last_segment(&data.join(format!("{topic}-{partition}")))?;
    let what = || format!("cannot cut {}", segment.display());
    let starts = batch_starts(&std::fs::read(&segment).with_context(what)?);
    let before: Vec<_> = starts.into_iter().filter(|&(offset, _)| offset < below.0).collect();
    let Some(&(offset, place)) = before.get(before.len().saturating_sub(batches.max(1))) else {
        return Ok(None);
    };
    let file = OpenOptions::new().write(true).open(&segment).with_context(what)?;
    file.set_len(place as u64).with_context(what)?;
    Ok(Some(Offset(offset)))
}

/// The segment that is written to: its name is the greatest first offset.
fn last_segment(folder: &Path) -> Result<PathBuf> {
    let what = || format!("cannot read {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(what)?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let segments = paths.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    segments.max().with_context(|| format!("{} has no segment", folder.display()))
}

/// First offset and place of each whole batch.
fn batch_starts(segment: &[u8]) -> Vec<(u64, usize)> {
    let (mut starts, mut place) = (Vec::new(), 0);
    while let Some(head) = segment.get(place..place + BATCH_HEAD) {
        let (offset, length) = head.split_at(8);
        let offset = u64::from_be_bytes(offset.try_into().expect("eight bytes were split off"));
        let length = u32::from_be_bytes(length.try_into().expect("four bytes are left"));
        let next = place + BATCH_HEAD + length as usize;
        if length == 0 || next > segment.len() {
            break;
        }
        starts.push((offset, place));
        place = next;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(offset: u64, bytes: usize) -> Vec<u8> {
        let length = u32::try_from(bytes).unwrap().to_be_bytes();
        [&offset.to_be_bytes()[..], &length, &vec![7; bytes]].concat()
    }

    #[test]
    fn a_log_is_cut_where_a_batch_begins() {
        let check = |below: u64, batches: usize, expected: Option<(u64, u64)>| {
            let data = tempfile::tempdir().unwrap();
            let folder = data.path().join("T-3");
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("00.log"), batch(0, 9)).unwrap();
            let newest = folder.join("50.log");
            std::fs::write(&newest, [batch(50, 5), batch(53, 6), batch(60, 1), vec![0; 3]].concat()).unwrap();
            let end = cut(data.path(), "T", Partition(3), Offset(below), batches).unwrap();
            assert_eq!(end, expected.map(|(offset, _)| Offset(offset)), "{below} {batches}");
            let bytes = std::fs::metadata(&newest).unwrap().len();
            assert_eq!(bytes, expected.map_or(51, |(_, bytes)| bytes), "{below} {batches}");
        };
        check(61, 1, Some((60, 35)));
        check(60, 1, Some((53, 17)));
        check(60, 2, Some((50, 0)));
        check(60, 9, Some((50, 0)));
        check(50, 1, None);
    }
}
