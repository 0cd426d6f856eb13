//! What earlier generations have committed of a partition that is to be folded anew.

use crate::commit::{Commit, Identity, Unreadable};
use crate::log_tail::{LogTail, RecordPrint};
use crate::lost_tail::{LostTail, push_loss};
use crate::owner::Partition;
use crate::record::Offset;

use super::{Bounds, CommittedOffset};

/// Records that tell whether a tail is still there: itself, and the one after it.
pub const TAIL_RECORDS: usize = 2;

/// The commits by which the log is known again: the newest one that can be read, which says what was lost before, and older ones that
/// had read further. Who was still reading what the log keeps has not come as far as those before, nor has one from which somebody
/// has stepped back.
#[derive(Clone, Debug)]
pub struct EarlierCommits {
    /// The newest first.
    commits: Vec<Commit>,
    /// Of as many commits, in their order: the first records that the log has now where the tail was, if it can have any.
    tails: Vec<Vec<RecordPrint>>,
    topic: TopicThen,
    /// Whether the newest one is that of who asks, who compares its tail when it reads on from there.
    is_own: bool,
}

/// The raw topic of the newest commit, as seen from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TopicThen {
    Same,
    /// It was given more partitions since, so that the records of an owner lie in two.
    FewerPartitions,
    /// It was deleted and made anew.
    Other,
}

impl TopicThen {
    fn of(then: &Identity, now: &Identity) -> Self {
        match (then.topic_id == now.topic_id, then.partition_count == now.partition_count) {
            (false, _) => Self::Other,
            (true, false) => Self::FewerPartitions,
            (true, true) => Self::Same,
        }
    }
}

impl EarlierCommits {
    /// Reads the commits of a partition. `stored` are those of all partitions in their order, of each those of the newest generation
    /// first. `None` if none can be read. The windows that a commit with windows of another length has named are to be found anew.
    ///
    /// A partition of which nothing was committed may be one that the topic did not have then: its owners have lost what lay in
    /// another one.
    ///
    /// # Errors
    /// [`Unreadable::NewerFormat`] if one was written by a newer Yahtzee: it may tell of a loss.
    pub fn read(
        stored: &[Vec<CommittedOffset>],
        partition: Partition,
        now: &Identity,
    ) -> Result<Option<Self>, Unreadable> {
        match Self::of_one(of_partition(stored, partition), now)? {
            None => Self::of_others(stored, now),
            read => Ok(read),
        }
    }

    fn of_one(stored: &[CommittedOffset], now: &Identity) -> Result<Option<Self>, Unreadable> {
        let mut readable = Vec::new();
        for CommittedOffset { offset, metadata } in stored {
            match Commit::read(*offset, metadata) {
                Ok((commit, identity)) if identity.window_length_ms != now.window_length_ms => {
                    let losses = commit.losses().iter().map(|loss| loss.pending()).collect();
                    readable.push((commit.with_losses(losses), identity));
                }
                Ok(read) => readable.push(read),
                Err(newer @ Unreadable::NewerFormat(_)) => return Err(newer),
                Err(_) => {}
            }
        }
        let mut readable = readable.into_iter();
        let Some((newest, of_newest)) = readable.next() else { return Ok(None) };
        let of_same_topic = readable.filter(|(_, identity)| identity.topic_id == of_newest.topic_id);
        let older = of_same_topic.map(|(commit, _)| commit).filter(|older| older.tells_more_than(&newest));
        let older: Vec<Commit> = older.collect();
        let commits = [vec![newest], older].concat();
        let topic = TopicThen::of(&of_newest, now);
        Ok(Some(Self { commits, tails: Vec::new(), topic, is_own: false }))
    }

    /// Of a partition that may not have been there: whether any commit of another one is of another topic or of fewer partitions. One
    /// of now hides none before it: its generation has not come to this partition, and so has passed nothing here.
    fn of_others(stored: &[Vec<CommittedOffset>], now: &Identity) -> Result<Option<Self>, Unreadable> {
        let mut was_other = false;
        for CommittedOffset { offset, metadata } in stored.iter().flatten() {
            match Commit::read(*offset, metadata) {
                Ok((_, identity)) => was_other |= TopicThen::of(&identity, now) != TopicThen::Same,
                Err(newer @ Unreadable::NewerFormat(_)) => return Err(newer),
                Err(_) => {}
            }
        }
        // All of its records have come since, and the commits are of other ones.
        let (commits, tails, topic) = (Vec::new(), Vec::new(), TopicThen::Other);
        Ok(was_other.then_some(Self { commits, tails, topic, is_own: false }))
    }

    /// Reads the commits of earlier generations that had read further than a commit of one's own, and of what was lost since one's own
    /// does not tell. `None` if there is none.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub fn beyond(
        own: &CommittedOffset,
        stored: &[Vec<CommittedOffset>],
        partition: Partition,
        now: &Identity,
    ) -> Result<Option<Self>, Unreadable> {
        if Commit::read(own.offset, &own.metadata).is_err() {
            return Self::read(stored, partition, now);
        }
        let all = [std::slice::from_ref(own), of_partition(stored, partition)].concat();
        let read = Self::of_one(&all, now)?;
        Ok(read.filter(|read| read.commits.len() > 1).map(|read| Self { is_own: true, ..read }))
    }

    /// Returns where to look next for the end of what had been read, if the log still has such a place.
    pub fn next_tail(&mut self, bounds: &Bounds) -> Option<Offset> {
        if self.topic != TopicThen::Same {
            return None;
        }
        while let Some(commit) = self.commits.get(self.tails.len()) {
            let offset = match commit.tail() {
                _ if self.is_own && self.tails.is_empty() => None,
                LogTail::Unknown => None,
                LogTail::Empty => Some(Offset(0)),
                LogTail::EndsWith(RecordPrint { offset, .. }) => Some(offset),
            };
            let within = offset.filter(|offset| (bounds.start..bounds.end).contains(offset));
            if within.is_some() {
                return within;
            }
            self.tails.push(Vec::new());
        }
        None
    }

    /// Takes the first records that the log has from [`Self::next_tail`] on.
    pub fn take_tail(&mut self, found: Vec<RecordPrint>) {
        self.tails.push(found);
    }

    /// Returns what the log has lost, once all tails were looked for.
    #[must_use]
    pub fn losses(&self, bounds: &Bounds) -> Vec<LostTail> {
        let Bounds { start, end } = *bounds;
        let mut losses = match self.topic {
            TopicThen::Same => self.lost_by_tails(bounds),
            TopicThen::FewerPartitions => vec![everything_before(end)],
            TopicThen::Other => vec![everything_before(Offset(0))],
        };
        losses.retain(|loss| loss.kept_before >= start);
        for loss in losses.iter_mut().filter(|loss| loss.windows.is_none()) {
            loss.kept_before = loss.kept_before.min(end);
        }
        losses
    }

    fn lost_by_tails(&self, &Bounds { start, end }: &Bounds) -> Vec<LostTail> {
        // What nobody has looked for is not there.
        let tails = self.tails.iter().map(Vec::as_slice).chain(std::iter::repeat(&[][..]));
        let mut told = self.commits.iter().zip(tails);
        let Some((newest, found)) = told.next() else { return Vec::new() };
        let mut losses = match self.is_own {
            true => newest.losses().to_vec(),
            false => newest.losses_since((start, end), found),
        };
        for (older, found) in told {
            for known in older.losses() {
                if !known.is_among(&losses) {
                    // Whoever else has passed it.
                    let is_ahead = known.kept_before >= newest.position();
                    push_loss(&mut losses, if is_ahead { known.pending() } else { *known });
                }
            }
            older.loss_since((start, end), found).into_iter().for_each(|loss| push_loss(&mut losses, loss));
        }
        losses
    }
}

fn of_partition(stored: &[Vec<CommittedOffset>], partition: Partition) -> &[CommittedOffset] {
    stored.get(partition.0 as usize).map_or(&[], Vec::as_slice)
}

/// Nothing is known of what was lost, only that it lay in front of this offset.
fn everything_before(offset: Offset) -> LostTail {
    LostTail { watermark_ms: None, kept_before: offset, windows: None }
}
