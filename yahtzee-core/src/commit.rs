//! Fourth stage: the durable promise what need not be read again.
//!
//! Nothing outside this file decides an offset.

use std::fmt;

use crate::incomplete::IncompleteWindows;
use crate::record::Offset;
use crate::rules::Rules;
use crate::window::Window;

mod metadata;

pub use metadata::Unreadable;

/// The identity that commits belong to. A difference between a commit and the running worker means that the
/// commit's numbers would be misread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Version of the fold.
    pub generation: u32,
    /// Id of the raw topic; another one under the same name has other offsets.
    pub topic_id: [u8; 16],
    /// Partitions of the raw topic; with another count owners live elsewhere.
    pub partition_count: u32,
    /// Length of a window in milliseconds.
    pub window_length_ms: u32,
    /// Who committed: worker index and count. Shown, never compared.
    pub owner_tag: OwnerTag,
}

/// Who committed: index of a worker and number of workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerTag {
    /// Index of the worker, from 0.
    pub worker: u16,
    /// Number of workers.
    pub workers: u16,
    /// Differs between two processes with the same index.
    pub incarnation: u32,
}

impl fmt::Display for OwnerTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}:{:08x}", self.worker, self.workers, self.incarnation)
    }
}

/// The commit `(c, h, M)` of one partition.
///
/// | part            | meaning                                                                          |
/// |-----------------|----------------------------------------------------------------------------------|
/// | `replay_offset` | `c`: smallest first-accepted offset over all open windows, `h` if none is open   |
/// | `position`      | `h`: the next offset that had not been read                                      |
/// | `watermark_ms`  | `M`: running maximum of the log timestamps below `h`; `None` before any record    |
/// | `open`          | open windows with their first-accepted offsets: what a gap may have hit          |
/// | `incomplete`    | windows that have lost input and can still be accepted into                      |
///
/// `c` is exact: `c + 1` loses a record of an open window, and any smaller one reads what is finished. Reading
/// again from `c` with the watermark restored makes every decision as the first time: records of windows that closed
/// before `h` are late, all others of open windows lie at or after `c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    replay_offset: Offset,
    position: Offset,
    watermark_ms: Option<i64>,
    open: Vec<(Window, Offset)>,
    incomplete: IncompleteWindows,
}

impl Commit {
    /// The commit of a partition that has read up to `position` and keeps the windows `open`, oldest first.
    pub(crate) fn at<R: Rules>(
        position: Offset,
        watermark_ms: Option<i64>,
        open: Vec<(Window, Offset)>,
        incomplete: IncompleteWindows,
    ) -> Self {
        let replay_offset = R::replay_offset(position, &open);
        Self { replay_offset, position, watermark_ms, open, incomplete }
    }

    /// Returns the offset to be committed: where a restart reads on.
    #[must_use]
    pub fn replay_offset(&self) -> Offset {
        self.replay_offset
    }

    /// Returns the next offset that had not been read.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.position
    }

    /// Returns the running maximum of the log timestamps, milliseconds since 1970.
    #[must_use]
    pub fn watermark_ms(&self) -> Option<i64> {
        self.watermark_ms
    }

    /// Returns the open windows, oldest first, with the offset of the first record accepted into each.
    #[must_use]
    pub fn open(&self) -> &[(Window, Offset)] {
        &self.open
    }

    /// Returns the windows that have lost input.
    #[must_use]
    pub fn incomplete(&self) -> &IncompleteWindows {
        &self.incomplete
    }

    /// Returns the text to be stored with the offset: ASCII, below 4,096 bytes. Layout: see [`metadata`].
    #[must_use]
    pub fn metadata(&self, identity: &Identity) -> String {
        metadata::encode(self, identity)
    }

    /// Reads a stored commit back.
    ///
    /// # Errors
    /// [`Unreadable`] if the text was not written by [`Self::metadata`] for this offset.
    pub fn read(offset: Offset, text: &str) -> Result<(Self, Identity), Unreadable> {
        let (commit, identity) = metadata::decode(text)?;
        if commit.replay_offset != offset {
            return Err(Unreadable::OtherOffset { stored: offset, described: commit.replay_offset });
        }
        Ok((commit, identity))
    }
}

/// Mistakes of the simulator.
#[cfg(feature = "planted-mistakes")]
impl Commit {
    /// Returns the same commit with the watermark forgotten.
    #[must_use]
    pub fn without_watermark(self) -> Self {
        Self { watermark_ms: None, ..self }
    }

    /// Returns the same commit with the incomplete windows forgotten.
    #[must_use]
    pub fn without_incomplete(self) -> Self {
        Self { incomplete: IncompleteWindows::none(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Production;

    #[test]
    fn replay_starts_at_the_lowest_first_offset_of_any_open_window() {
        fn check(open: &[(i64, u64)], expected: u64) {
            let open = open.iter().map(|&(window, first)| (Window(window), Offset(first))).collect();
            let commit = Commit::at::<Production>(Offset(9), Some(0), open, IncompleteWindows::none());
            assert_eq!(commit.replay_offset(), Offset(expected));
        }
        check(&[], 9);
        check(&[(4, 7)], 7);
        // A younger window can have the earlier first record; the oldest window's would lose offset 2.
        check(&[(1, 3), (2, 2)], 2);
    }
}
