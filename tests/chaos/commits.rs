//! Every commit in the order in which it became visible, read from the broker's own topic of offsets.
//!
//! Commits carry the incarnation of the worker that made them, and a fenced worker's commit is in one transaction with
//! its summaries. So a zombie that gets through shows as an incarnation that commits after its successor has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use yahtzee_core::commit::Commit;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};

use crate::watch::Sight;

/// The topic of offsets. Its wire form: `OffsetCommitKey.json` and `OffsetCommitValue.json` in Apache Kafka.
pub(crate) const TOPIC: &str = "__consumer_offsets";

/// The commits of one group on one topic.
pub(crate) struct Commits {
    group: String,
    topic: String,
    partitions: BTreeMap<Partition, History>,
    /// Commits of an incarnation after those of its successor.
    pub(crate) zombies_visible: u64,
    /// Commits whose position lies before one that was committed, without the offsets having been deleted.
    pub(crate) went_back: u64,
    /// Commits that cannot be read.
    pub(crate) unreadable: u64,
}

/// The commits of one partition.
#[derive(Default)]
pub(crate) struct History {
    /// Oldest first.
    pub(crate) commits: Vec<Seen>,
    /// Windows that any commit named as having lost input.
    pub(crate) incomplete: BTreeSet<i64>,
    /// Windows up to which a commit named everything as having lost input.
    pub(crate) reaches: Vec<i64>,
    predecessors: BTreeSet<u32>,
    /// Whether the offsets were deleted after the newest commit.
    is_deleted: bool,
}

/// A commit when it was seen.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) position: Offset,
    /// Where a restart reads from: the committed offset.
    pub(crate) start: Offset,
    pub(crate) incarnation: u32,
}

/// What a worker had left to do when it was lost.
pub(crate) struct Loss {
    pub(crate) at: Instant,
    /// Its partitions, the end of each then, and whose commits do not count: the lost one's.
    pub(crate) partitions: Vec<(Partition, Offset, Option<u32>)>,
}

impl Commits {
    pub(crate) fn of(group: &str, topic: &str) -> Self {
        Self {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partitions: BTreeMap::new(),
            zombies_visible: 0,
            went_back: 0,
            unreadable: 0,
        }
    }

    pub(crate) fn history(&self, partition: Partition) -> Option<&History> {
        self.partitions.get(&partition)
    }

    /// Position of the newest commit.
    pub(crate) fn position(&self, partition: Partition) -> Option<Offset> {
        self.newest(partition).map(|commit| commit.position)
    }

    pub(crate) fn newest(&self, partition: Partition) -> Option<Seen> {
        let history = self.history(partition)?;
        history.commits.last().filter(|_| !history.is_deleted).copied()
    }

    /// When a commit of the partition was seen last.
    pub(crate) fn newest_at(&self, partition: Partition) -> Option<Instant> {
        Some(self.history(partition)?.commits.last()?.at)
    }

    /// The time from a loss until somebody else had committed, for every partition, all that was in the log then.
    pub(crate) fn recovery(&self, loss: &Loss) -> Option<Duration> {
        let each = loss.partitions.iter().map(|&(partition, end, lost)| {
            let later = self.history(partition)?.commits.iter().filter(|commit| commit.at > loss.at);
            let mut others = later.filter(|commit| Some(commit.incarnation) != lost);
            others.find(|commit| commit.position >= end).map(|commit| commit.at - loss.at)
        });
        each.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    fn committed(&mut self, partition: Partition, offset: Offset, metadata: &str) {
        let Ok((commit, identity)) = Commit::read(offset, metadata) else {
            self.unreadable += 1;
            return;
        };
        let incarnation = identity.owner_tag.incarnation;
        let history = self.partitions.entry(partition).or_default();
        if let Some(last) = history.commits.last() {
            self.went_back += u64::from(commit.position() < last.position && !history.is_deleted);
            if last.incarnation != incarnation {
                history.predecessors.insert(last.incarnation);
            }
        }
        history.is_deleted = false;
        self.zombies_visible += u64::from(history.predecessors.contains(&incarnation));
        history.incomplete.extend(commit.incomplete().windows().map(|window| window.0));
        history.reaches.extend(commit.incomplete().reach_through().map(|window| window.0));
        history.reaches.dedup();
        history.commits.push(Seen {
            at: Instant::now(),
            position: commit.position(),
            start: offset,
            incarnation,
        });
    }
}

impl Sight for Commits {
    fn see(&mut self, _: Partition, record: &LogRecord<'_>) {
        let Some((group, topic, partition)) = read_key(record.key) else { return };
        if group != self.group || topic != self.topic {
            return;
        }
        match read_value(record.value) {
            Some((offset, metadata)) => self.committed(partition, offset, metadata),
            None if record.value.is_empty() => {
                self.partitions.entry(partition).or_default().is_deleted = true;
            }
            None => self.unreadable += 1,
        }
    }
}

/// When a group has committed last, on whatever topic.
pub(crate) struct CommitTime {
    group: String,
    pub(crate) newest: Option<Instant>,
}

impl CommitTime {
    pub(crate) fn of(group: &str) -> Self {
        Self { group: group.to_owned(), newest: None }
    }
}

impl Sight for CommitTime {
    fn see(&mut self, _: Partition, record: &LogRecord<'_>) {
        if read_key(record.key).is_some_and(|(group, ..)| group == self.group) {
            self.newest = Some(Instant::now());
        }
    }
}

/// Group, topic and partition of versions 0 and 1; other versions are no commits.
fn read_key(key: &[u8]) -> Option<(&str, &str, Partition)> {
    let (version, rest) = key.split_first_chunk()?;
    if i16::from_be_bytes(*version) > 1 {
        return None;
    }
    let (group, rest) = short_text(rest)?;
    let (topic, rest) = short_text(rest)?;
    let (partition, _) = rest.split_first_chunk()?;
    Some((group, topic, Partition(u32::from_be_bytes(*partition))))
}

/// Offset and metadata of versions 3 (text with a 16-bit length) and 4 (with a varint length, one too great).
fn read_value(value: &[u8]) -> Option<(Offset, &str)> {
    let (version, rest) = value.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    let (_leader_epoch, rest) = rest.split_first_chunk::<4>()?;
    let metadata = match i16::from_be_bytes(*version) {
        3 => short_text(rest)?.0,
        4 => compact_text(rest)?,
        _ => return None,
    };
    Some((Offset(u64::from_be_bytes(*offset)), metadata))
}

fn short_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((str::from_utf8(text).ok()?, rest))
}

fn compact_text(bytes: &[u8]) -> Option<&str> {
    let (mut length, mut rest) = (0_usize, bytes);
    for shift in [0, 7, 14] {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return str::from_utf8(rest.get(..length.checked_sub(1)?)?).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use yahtzee_core::commit::{Identity, OwnerTag};
    use yahtzee_core::erased::AnyJob as _;
    use yahtzee_core::partition::{self, Start};
    use yahtzee_core::window::{Policy, Window};
    use yahtzee_jobs::errors::Errors;

    use super::*;

    fn key() -> Vec<u8> {
        [&[0, 1, 0, 1][..], b"g", &[0, 1], b"t", &[0, 0, 0, 5]].concat()
    }

    /// Value of version 3.
    fn value(position: u64, incarnation: u32) -> Vec<u8> {
        let owner_tag = OwnerTag { worker: 0, workers: 1, incarnation };
        let (generation, topic_id, partition_count, window_length_ms) = (1, [0; 16], 8, 1_000);
        let acceptance = None;
        let identity =
            Identity { generation, topic_id, partition_count, window_length_ms, acceptance, owner_tag };
        let offset = Offset(position);
        let start = Start::Time { offset, first_window: Window(0) };
        let (partition, log_start, log_end, poisoned) = (Partition(0), offset, offset, &[][..]);
        let history = partition::History { partition, start, log_start, log_end, poisoned, losses: &[] };
        let mut opened = Arc::new(Errors).open(Policy::default(), identity, history).unwrap();
        let commit = opened.core.acknowledged(0).expect("nothing waits for an acknowledgement");
        let metadata = commit.metadata(&identity);
        let length = u16::try_from(metadata.len()).unwrap().to_be_bytes();
        [&[0, 3][..], &position.to_be_bytes(), &[0; 4], &length, metadata.as_bytes(), &[0; 8]].concat()
    }

    /// Shows commits `(position, incarnation)`, 0 for a deletion, and counts zombies and steps back.
    fn check(shown: &[(u64, u32)], expected: (u64, u64)) {
        let mut commits = Commits::of("g", "t");
        for &(position, incarnation) in shown {
            let value = if incarnation == 0 { Vec::new() } else { value(position, incarnation) };
            let key = key();
            commits.see(
                Partition(0),
                &LogRecord { offset: Offset(0), timestamp_ms: 0, key: &key, value: &value },
            );
        }
        assert_eq!(commits.unreadable, 0);
        assert_eq!((commits.zombies_visible, commits.went_back), expected, "{shown:?}");
    }

    #[test]
    fn a_predecessor_that_commits_again_is_a_zombie() {
        check(&[(5, 1), (7, 1), (7, 2), (9, 3)], (0, 0));
        check(&[(5, 1), (7, 2), (8, 1)], (1, 0));
        check(&[(5, 1), (4, 2)], (0, 1));
        check(&[(5, 1), (0, 0), (4, 2), (3, 2)], (0, 1));
    }

    #[test]
    fn both_lengths_of_text_are_read() {
        assert_eq!(read_key(&key()), Some(("g", "t", Partition(5))));
        assert_eq!(short_text(&[0, 2, b'a', b'b', 9]), Some(("ab", &[9_u8][..])));
        assert_eq!(compact_text(&[3, b'a', b'b', 9]), Some("ab"));
        let long = [&[0xc9, 0x01][..], &[b'x'; 200]].concat();
        assert_eq!(compact_text(&long).map(str::len), Some(200));
        assert_eq!(compact_text(&[0]), None);
    }
}
