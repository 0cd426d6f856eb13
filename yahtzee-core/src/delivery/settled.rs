//! What the database of a shard has of a partition, and where reading begins if the database has lost a part of it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::record::Offset;

/// One opening of a source, as marks name it: no two that write to one database may have the same. 31 bits, as a mark is kept in
/// a signed integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkWriter(u32);

impl MarkWriter {
    /// Creates a writer from a random number.
    #[must_use]
    pub fn new(random: u64) -> Self {
        // None has the number 0: that is the writer of marks of a version that did not tell writers apart.
        let number = random % u64::from(i32::MAX.unsigned_abs());
        Self(u32::try_from(number).expect("a remainder is less than its divisor") + 1)
    }

    /// Returns the number of the first transaction of a partition, if it is of this writer: see [`SettledMark::writes`].
    #[must_use]
    pub fn first_write(self) -> u64 {
        self.write_after(0)
    }

    fn write_after(self, before: u64) -> u64 {
        u64::from(self.0) << 32 | (before + 1) & u64::from(u32::MAX)
    }
}

/// How far the database of a shard has the summaries of one partition. The database keeps it and changes it in the
/// transaction that writes rows, so that both are lost together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettledMark {
    /// Everything of the shard below is settled: in the database as it is at this mark, or in RETRY or QUARANTINE.
    pub offset: Offset,
    /// Newest transaction that has written summaries of the partition: its writer in the upper half, in the lower half how many
    /// there were.
    pub writes: u64,
}

impl SettledMark {
    fn writer(self) -> MarkWriter {
        MarkWriter((self.writes >> 32) as u32)
    }

    /// Returns whether a database with this mark may have lost transactions that it had at the mark `known`.
    ///
    /// Their number grows with every transaction, also where a record that waits for RETRY holds the offset back, and a writer that
    /// finds less than it knew moves no mark any more. So a greater number of the writer that is known tells that nothing was lost.
    /// What another writer has made may have come after what is known, or in its place.
    #[must_use]
    pub fn is_behind(self, known: Self) -> bool {
        self.writer() != known.writer() || self.offset < known.offset || self.writes < known.writes
    }

    /// Returns the mark after a transaction of `writer` with summaries of the partition, below whose records everything up to
    /// `settled` is settled already; `None` if the database may have lost what it had at the mark `known`. Then the mark stays as it
    /// is, so that it still tells what was lost.
    #[must_use]
    pub fn after_write(self, settled: Offset, known: Self, writer: MarkWriter) -> Option<Self> {
        // The writer has made several transactions and has not heard of the first one yet.
        let is_own = self.writer() == writer && known.writer() != writer;
        let is_refused = known != Self::default() && !is_own && self.is_behind(known);
        let moved = Self { offset: self.offset.max(settled), writes: writer.write_after(self.writes) };
        (!is_refused).then_some(moved)
    }
}

/// Maximum size of the metadata of a commit, below Kafka's own limit of 4,096 bytes.
const METADATA_BYTES_MAX: usize = 4_000;

/// First word of the metadata: what follows, and its version.
const FORMAT: &str = "settled1";

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
        for (shard, SettledMark { offset, writes }) in &self.by_shard {
            let entry = format!(" {}:{offset}:{writes}", URL_SAFE_NO_PAD.encode(shard));
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
        if words.next() != Some(FORMAT) {
            return None;
        }
        let topic_id = URL_SAFE_NO_PAD.decode(words.next()?).ok()?.try_into().ok()?;
        Some(Self { topic_id, by_shard: words.map(entry).collect::<Option<_>>()? })
    }
}

fn entry(word: &str) -> Option<(String, SettledMark)> {
    let mut parts = word.split(':');
    let shard = String::from_utf8(URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok()?;
    let mut number = || parts.next()?.parse().ok();
    let mark = SettledMark { offset: Offset(number()?), writes: number()? };
    parts.next().is_none().then_some((shard, mark))
}

/// Returns where a partition must be read from: at the commit, or at the mark of the shard that has lost most. Each
/// shard has the mark that was found in its database and the one that it had at the commit.
///
/// What a shard has lost lies at or above its mark: everything below was settled before the database came to the state
/// that it has now. So one whose mark lies at the commit or beyond has lost nothing that was committed.
#[must_use]
pub fn begin(committed: Offset, shards: impl IntoIterator<Item = (SettledMark, SettledMark)>) -> Offset {
    let behind = shards.into_iter().filter(|(found, known)| found.is_behind(*known));
    behind.map(|(found, _)| found.offset).fold(committed, Offset::min)
}

#[cfg(test)]
mod tests;
