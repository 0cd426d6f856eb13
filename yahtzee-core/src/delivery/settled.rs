//! What the database of a shard has of a partition, and where reading begins if the database has lost a part of it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::record::Offset;

/// How far the database of a shard has the summaries of one partition. The database keeps it and changes it in the
/// transaction that writes rows, so that both are lost together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettledMark {
    /// Everything of the shard below is settled: in the database as it is at this mark, or in RETRY or QUARANTINE.
    pub offset: Offset,
    /// Transactions that have written summaries of the partition.
    pub writes: u64,
    /// Offset after the last summary that a transaction has written; 0 in marks of versions that did not keep it.
    pub written_end: Offset,
}

impl SettledMark {
    /// Returns whether a database with this mark has lost transactions that it had at the mark `known`.
    ///
    /// All numbers only grow. `writes` grows with every transaction, also where a record that waits for RETRY holds the
    /// offset back; the offset tells a database that has lost transactions and had as many new ones since. Of two processes of one
    /// group one may have noticed and written as many transactions anew: until it has come as far as the other one had, `written_end`
    /// tells that one.
    #[must_use]
    pub fn is_behind(self, known: Self) -> bool {
        self.offset < known.offset || self.writes < known.writes || self.written_end < known.written_end
    }

    /// Returns the mark after a transaction with summaries of the partition; `None` if the database has lost what it had at
    /// the mark `known`. Then the mark stays as it is, so that it still tells what was lost.
    #[must_use]
    pub fn after_write(self, WriteRange { settled, end }: WriteRange, known: Self) -> Option<Self> {
        let moved = Self {
            offset: self.offset.max(settled),
            writes: self.writes + 1,
            written_end: self.written_end.max(end),
        };
        (!self.is_behind(known)).then_some(moved)
    }
}

/// Where the summaries of a transaction lie in their partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteRange {
    /// Everything below is settled already: the transaction itself is not counted, as its outcomes are not known yet.
    pub settled: Offset,
    /// Offset after the last summary of the transaction.
    pub end: Offset,
}

/// Maximum size of the metadata of a commit, below Kafka's own limit of 4,096 bytes.
const METADATA_BYTES_MAX: usize = 4_000;

/// First word of the metadata: what follows, and its version. Marks of the first one have no `written_end`.
const FORMAT: &str = "settled2";
const FORMAT_1: &str = "settled1";

/// The marks that the shards were known to have when a commit was made.
///
/// They make idle shards harmless: a shard is compared with what it had at the commit, not with the commit, so one
/// without new summaries holds nothing back, and no mark needs to be written for its sake. A shard without a mark here
/// had no row of the partition, or the commit is of a version that kept no marks: it counts as being at the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommittedMarks {
    /// Id of the topic that the offsets belong to.
    pub topic_id: [u8; 16],
    /// Marks by the name of the shard.
    pub by_shard: BTreeMap<String, SettledMark>,
}

impl CommittedMarks {
    /// Returns the metadata of a commit, in ASCII. Beyond its limit, which a hundred shards do not reach, shards are
    /// left out: see [`Self::left_out`].
    #[must_use]
    pub fn metadata(&self) -> String {
        self.encode().0
    }

    /// Returns the number of shards that [`Self::metadata`] has no room for. What a restored database of theirs has lost is not
    /// noticed.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.encode().1
    }

    fn encode(&self) -> (String, usize) {
        let (mut text, mut left_out) = (format!("{FORMAT} {}", URL_SAFE_NO_PAD.encode(self.topic_id)), 0);
        for (shard, SettledMark { offset, writes, written_end }) in &self.by_shard {
            let entry = format!(" {}:{offset}:{writes}:{written_end}", URL_SAFE_NO_PAD.encode(shard));
            if text.len() + entry.len() <= METADATA_BYTES_MAX {
                text += &entry;
            } else {
                left_out += 1;
            }
        }
        (text, left_out)
    }

    /// Reads the metadata of a commit; `None` if it has no marks.
    #[must_use]
    pub fn read(metadata: &str) -> Option<Self> {
        let mut words = metadata.split(' ');
        let has_written_end = match words.next()? {
            FORMAT => true,
            FORMAT_1 => false,
            _ => return None,
        };
        let topic_id = URL_SAFE_NO_PAD.decode(words.next()?).ok()?.try_into().ok()?;
        Some(Self {
            topic_id,
            by_shard: words.map(|word| entry(word, has_written_end)).collect::<Option<_>>()?,
        })
    }
}

fn entry(word: &str, has_written_end: bool) -> Option<(String, SettledMark)> {
    let mut parts = word.split(':');
    let shard = String::from_utf8(URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok()?;
    let mut number = || parts.next()?.parse().ok();
    let mark = SettledMark {
        offset: Offset(number()?),
        writes: number()?,
        written_end: Offset(if has_written_end { number()? } else { 0 }),
    };
    parts.next().is_none().then_some((shard, mark))
}

/// Returns where a partition must be read from: at the commit, or at the mark of the shard that has lost most. Each
/// shard has the mark that was found in its database and the one that it had at the commit.
///
/// What a shard has lost lies at or above its mark: everything below was settled before the database came to the state
/// that it has now.
#[must_use]
pub fn begin(committed: Offset, shards: impl IntoIterator<Item = (SettledMark, SettledMark)>) -> Offset {
    let behind = shards.into_iter().filter(|(found, known)| found.is_behind(*known));
    behind.map(|(found, _)| found.offset).fold(committed, Offset::min)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark(offset: u64, writes: u64) -> SettledMark {
        written_to(offset, writes, 0)
    }

    fn written_to(offset: u64, writes: u64, written_end: u64) -> SettledMark {
        SettledMark { offset: Offset(offset), writes, written_end: Offset(written_end) }
    }

    proptest! {
        #[test]
        fn marks_are_read_as_they_were_written(
            topic_id: [u8; 16],
            shards in prop::collection::btree_map(".{0,12}", any::<[u64; 3]>(), 0..20),
        ) {
            let by_shard = shards.into_iter().map(|(name, [offset, writes, end])| (name, written_to(offset, writes, end))).collect();
            let marks = CommittedMarks { topic_id, by_shard };
            let metadata = marks.metadata();
            prop_assert!(metadata.is_ascii() && metadata.len() < 4_096);
            prop_assert_eq!(CommittedMarks::read(&metadata), Some(marks));
        }

        #[test]
        fn marks_of_the_first_format_are_read(topic_id: [u8; 16], offset: u64, writes: u64) {
            let id = URL_SAFE_NO_PAD.encode(topic_id);
            let shard = URL_SAFE_NO_PAD.encode("shard");
            let read = CommittedMarks::read(&format!("settled1 {id} {shard}:{offset}:{writes}"));
            let by_shard = BTreeMap::from([("shard".to_owned(), mark(offset, writes))]);
            prop_assert_eq!(read, Some(CommittedMarks { topic_id, by_shard }));
        }

        #[test]
        fn foreign_metadata_has_no_marks(metadata in ".{0,40}") {
            prop_assert_eq!(CommittedMarks::read(&metadata), None);
        }

        /// A database that writes the records of one partition in batches, each with the mark that delivery gives it, and
        /// is set back to an earlier state, whatever has gone elsewhere meanwhile.
        #[test]
        fn nothing_that_a_restored_database_has_lost_lies_below_the_beginning(
            batches in prop::collection::vec((1..5_u64, prop::option::weighted(0.2, Just(()))), 1..30),
            point: prop::sample::Index,
        ) {
            // The states after each transaction, with the records that are in them.
            let (mut states, mut position, mut rows) = (vec![(mark(0, 0), 0)], 0, 0);
            for (records, elsewhere) in batches {
                if elsewhere.is_none() {
                    let (before, _) = states[states.len() - 1];
                    rows = position + records;
                    states.push((written_to(position, before.writes + 1, rows), rows));
                }
                position += records;
            }
            let (known, _) = states[states.len() - 1];
            let (found, has_rows_below) = states[point.index(states.len())];
            let begin = begin(Offset(position), [(found, known)]);
            prop_assert_eq!(begin < Offset(position), found != known);
            prop_assert!(has_rows_below == rows || begin <= Offset(has_rows_below));
        }
    }

    #[test]
    fn a_write_moves_the_mark_unless_the_database_is_behind() {
        fn check(
            found: SettledMark,
            (settled, end): (u64, u64),
            known: SettledMark,
            expected: Option<SettledMark>,
        ) {
            let range = WriteRange { settled: Offset(settled), end: Offset(end) };
            assert_eq!(found.after_write(range, known), expected, "{found:?}");
        }
        check(mark(0, 0), (7, 9), mark(0, 0), Some(written_to(7, 1, 9)));
        check(written_to(9, 4, 20), (7, 12), written_to(9, 4, 20), Some(written_to(9, 5, 20)));
        check(mark(9, 4), (12, 14), mark(9, 5), None);
        check(mark(9, 9), (12, 14), mark(10, 5), None);
        check(written_to(9, 4, 20), (12, 30), written_to(9, 4, 21), None);
        // Known from a version that did not keep it.
        check(written_to(9, 4, 20), (12, 30), mark(9, 4), Some(written_to(12, 5, 30)));
    }

    #[test]
    fn a_shard_holds_the_beginning_back_only_while_it_is_behind() {
        fn check(shards: &[(SettledMark, SettledMark)], expected: u64) {
            assert_eq!(begin(Offset(90), shards.iter().copied()), Offset(expected), "{shards:?}");
        }
        check(&[], 90);
        // Idle for long.
        check(&[(mark(10, 3), mark(10, 3)), (mark(80, 7), mark(80, 7))], 90);
        // Written to after the commit.
        check(&[(mark(88, 9), mark(80, 7))], 90);
        // Restored, or empty; of several the one that has lost most counts.
        check(&[(mark(60, 5), mark(80, 7)), (mark(10, 3), mark(10, 3))], 60);
        check(&[(mark(60, 5), mark(80, 7)), (mark(0, 0), mark(10, 3))], 0);
        // A record that waited for RETRY has held the offset back.
        check(&[(mark(10, 3), mark(10, 4))], 10);
        // As many transactions since, of a sink that knew nothing.
        check(&[(mark(50, 9), mark(80, 7))], 50);
        // Or of one that has read again and has not come as far.
        check(&[(written_to(10, 4, 40), written_to(10, 4, 70))], 10);
    }

    #[test]
    fn shards_beyond_the_limit_are_left_out() {
        let shard = |number: u32| {
            (format!("shard-with-a-long-name-{number}"), written_to(u64::MAX, u64::MAX, u64::MAX))
        };
        let marks = CommittedMarks { topic_id: [7; 16], by_shard: (0..1_000).map(shard).collect() };
        let read = CommittedMarks::read(&marks.metadata()).unwrap();
        assert!(marks.metadata().len() <= METADATA_BYTES_MAX && !read.by_shard.is_empty());
        assert!(read.by_shard.iter().all(|(name, mark)| marks.by_shard[name] == *mark));
        assert_eq!(read.by_shard.len() + marks.left_out(), 1_000);
        assert_eq!(read.left_out(), 0);
    }
}
