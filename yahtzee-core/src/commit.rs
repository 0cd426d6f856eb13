//! Fourth stage: the durable promise what need not be read again.
//!
//! Nothing outside this file decides an offset.

use std::fmt;

use crate::crc32c::crc32c;
use crate::incomplete::IncompleteWindows;
use crate::log_tail::{LogTail, RecordPrint};
use crate::lost_tail::{LostTail, add_loss};
use crate::record::Offset;
use crate::rules::Rules;
use crate::window::{Policy, Window};

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
    /// What decides which measurements a window has. `None` in commits from before it was part of them, and where it
    /// does not matter.
    pub acceptance: Option<AcceptanceSettings>,
    /// Who committed: worker index and count. Shown, never compared.
    pub owner_tag: OwnerTag,
}

/// Settings that decide which measurements a window has, and in which series. Under another value a restart would decide
/// otherwise than before, and replace finished windows by parts of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptanceSettings {
    /// [`Policy::lateness_windows`].
    pub lateness_windows: u32,
    /// [`Policy::future_windows`].
    pub future_windows: u32,
    /// [`Policy::series_max`].
    pub series_max: u64,
    /// [`Policy::series_per_owner_max`].
    pub series_per_owner_max: u64,
    /// Slots that the partitions are grouped into: under another number a predecessor is not fenced.
    pub slots: u32,
    /// CRC-32C of the names of the dimensions, each followed by a zero byte.
    pub dimensions: u32,
}

impl AcceptanceSettings {
    /// Returns the settings of a job with these dimensions.
    #[must_use]
    pub fn of(policy: &Policy, slots: u32, dimensions: &[&str]) -> Self {
        let names: Vec<u8> =
            dimensions.iter().flat_map(|name| [name.as_bytes(), b"\0"]).flatten().copied().collect();
        Self {
            lateness_windows: policy.lateness_windows,
            future_windows: policy.future_windows,
            series_max: policy.series_max as u64,
            series_per_owner_max: policy.series_per_owner_max as u64,
            slots,
            dimensions: crc32c(&names),
        }
    }
}

/// A difference between the identity of a commit and that of the running worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityMismatch {
    /// The commit belongs to another topic of the same name.
    Topic,
    /// Another number: what it is of, the number in the commit, the number now.
    Number(IdentityNumber, u64, u64),
    /// The job has other dimensions.
    Dimensions,
}

/// A number that commits belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityNumber {
    /// Partitions of the raw topic.
    Partitions,
    /// Length of a window in milliseconds.
    WindowLengthMs,
    /// Generation of the job.
    Generation,
    /// Windows behind the watermark that are accepted.
    LatenessWindows,
    /// Windows ahead of a record's stamp that are accepted.
    FutureWindows,
    /// Series of a window of a partition at most.
    SeriesMax,
    /// Series of an owner in a window at most.
    SeriesPerOwnerMax,
    /// Slots that the partitions are grouped into.
    Slots,
}

impl Identity {
    /// Returns the differences of a commit's identity from this one, the gravest first.
    #[must_use]
    pub fn mismatches(&self, committed: &Self) -> Vec<IdentityMismatch> {
        use IdentityNumber as Of;
        let mut numbers = vec![
            (Of::Partitions, committed.partition_count.into(), self.partition_count.into()),
            (Of::WindowLengthMs, committed.window_length_ms.into(), self.window_length_ms.into()),
            (Of::Generation, committed.generation.into(), self.generation.into()),
        ];
        let acceptance = committed.acceptance.zip(self.acceptance);
        if let Some((before, now)) = acceptance {
            numbers.extend([
                (Of::LatenessWindows, before.lateness_windows.into(), now.lateness_windows.into()),
                (Of::FutureWindows, before.future_windows.into(), now.future_windows.into()),
                (Of::SeriesMax, before.series_max, now.series_max),
                (Of::SeriesPerOwnerMax, before.series_per_owner_max, now.series_per_owner_max),
                (Of::Slots, before.slots.into(), now.slots.into()),
            ]);
        }
        let is_other = |&(_, before, now): &(IdentityNumber, u64, u64)| before != now;
        let numbers = numbers.into_iter().filter(is_other);
        let numbers = numbers.map(|(of, before, now)| IdentityMismatch::Number(of, before, now));
        let topic = (committed.topic_id != self.topic_id).then_some(IdentityMismatch::Topic);
        let has_others = acceptance.is_some_and(|(before, now)| before.dimensions != now.dimensions);
        let dimensions = has_others.then_some(IdentityMismatch::Dimensions);
        topic.into_iter().chain(numbers).chain(dimensions).collect()
    }
}

impl fmt::Display for IdentityMismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use IdentityNumber as Of;
        let anew =
            "or give the job a greater `generation` in `[jobs.NAME]`: it folds anew what the log keeps";
        match self {
            Self::Topic => formatter.write_str(
                "the raw topic was deleted and created again since the last commit, so offsets mean other records; give \
                 the job a greater `generation` in `[jobs.NAME]`, or move to a new topic version",
            ),
            Self::Dimensions => write!(
                formatter,
                "the job has other dimensions than at the last commit; deploy the job of before, {anew}"
            ),
            Self::Number(Of::Partitions, before, now) => write!(
                formatter,
                "the raw topic had {before} partitions at the last commit and has {now} now, so owners have moved; \
                 restore the count, or move to a new topic version"
            ),
            Self::Number(Of::Generation, before, now) => write!(
                formatter,
                "the last commit was made by generation {before} of the job, this is generation {now}; every \
                 generation needs a consumer group of its own"
            ),
            Self::Number(of, before, now) => write!(
                formatter,
                "{} was {before} at the last commit and is {now} now: finished windows would be replaced by parts; \
                 restore the value, {anew}",
                of.key()
            ),
        }
    }
}

impl IdentityNumber {
    /// Returns the key of the configuration that sets it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Partitions => "topics.partitions",
            Self::WindowLengthMs => "window_length_ms",
            Self::Generation => "generation",
            Self::LatenessWindows => "lateness_windows",
            Self::FutureWindows => "future_windows",
            Self::SeriesMax => "series_max",
            Self::SeriesPerOwnerMax => "series_per_owner_max",
            Self::Slots => "worker.slots",
        }
    }
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
/// | `tail`          | the last record below `h`, by which a restart knows the log again                 |
/// | `losses`        | what the log had lost before it was folded anew, as long as it lies in what is kept |
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
    tail: LogTail,
    losses: Vec<LostTail>,
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
        let (tail, losses) = (LogTail::Unknown, Vec::new());
        Self { replay_offset, position, watermark_ms, open, incomplete, tail, losses }
    }

    /// The same commit, of a log that ended so below its position.
    pub(crate) fn with_tail(self, tail: LogTail) -> Self {
        Self { tail, ..self }
    }

    /// The same commit, of a log that had lost this.
    pub(crate) fn with_losses(self, losses: Vec<LostTail>) -> Self {
        Self { losses, ..self }
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

    /// Returns the end of what had been read.
    #[must_use]
    pub fn tail(&self) -> LogTail {
        self.tail
    }

    /// Returns what the log had lost, as far as it was known.
    #[must_use]
    pub fn losses(&self) -> &[LostTail] {
        &self.losses
    }

    /// Returns what the log has lost in the eyes of a later generation, which finds it with other bounds: what had been lost
    /// before, and what was lost since. `found` are the first two records that the log has now where the tail was or after it; from
    /// the start on, if no record had been read.
    ///
    /// What lies below `log_start` is gone in another way, which the reader of the rest sees itself.
    #[must_use]
    pub(crate) fn losses_since(
        &self,
        (log_start, log_end): (Offset, Offset),
        found: &[RecordPrint],
    ) -> Vec<LostTail> {
        let mut losses = self.losses.clone();
        if let Some(loss) = self.loss_since((log_start, log_end), found) {
            add_loss(&mut losses, loss);
        }
        losses.retain(|loss| loss.kept_before >= log_start);
        losses
    }

    /// Returns what the log has lost since this commit, of the same topic: see [`Self::losses_since`].
    pub(crate) fn loss_since(
        &self,
        (log_start, log_end): (Offset, Offset),
        found: &[RecordPrint],
    ) -> Option<LostTail> {
        // No record lies between the tail and the position, unless it was appended afterwards.
        let appended_since = |found: Option<&RecordPrint>| {
            let since = found.map(|found| found.offset).filter(|&offset| offset < self.position);
            since.or_else(|| (self.position > log_end).then_some(log_end))
        };
        let kept_before = match self.tail {
            LogTail::EndsWith(last) if last.offset < log_start => None,
            LogTail::EndsWith(last) if last.offset < log_end => match found.split_first() {
                Some((first, others)) if *first == last => appended_since(others.first()),
                _ => Some(last.offset),
            },
            LogTail::Empty => appended_since(found.first()),
            _ => appended_since(None),
        };
        let loss = |kept_before| LostTail { watermark_ms: self.watermark_ms, kept_before, windows: None };
        kept_before.map(loss)
    }

    /// Whether this one has read further than the commit of a later generation, which knows of no loss that it would find: that one was
    /// still reading what the log keeps, or somebody has stepped back to this one since.
    pub(crate) fn tells_more_than(&self, later: &Self) -> bool {
        self.position > later.position && !LostTail::is_known_after(self.watermark_ms, &later.losses)
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

    /// Returns the same commit with what the log had lost forgotten.
    #[must_use]
    pub fn without_losses(self) -> Self {
        Self { losses: Vec::new(), ..self }
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
