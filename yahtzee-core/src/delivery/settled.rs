//! What the database of a shard has of a partition, and where reading begins if the database has lost a part of it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::record::Offset;

/// A transaction that has written summaries to the database of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteId {
    /// Who has written: an opening of a source, as long as it was told of all that it wrote. An id that no other one has, and not 0. What
    /// one writer writes, it writes knowing of what it has written before, which a process that has begun anew does not, nor one
    /// that an answer has not reached.
    pub writer: u64,
    /// Its number among the transactions of this writer in this database: greater than those before it.
    pub number: u64,
}

/// Writers of which a [`SettledMark`] keeps the last transaction.
pub const WRITERS_MAX: usize = 8;

/// How far the database of a shard has the summaries of one partition. The database keeps it and changes it in the
/// transaction that writes rows, so that both are lost together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettledMark {
    /// Everything of the shard below is settled: in the database as it is at this mark, or in RETRY or QUARANTINE.
    pub offset: Offset,
    /// Transactions that have written summaries of the partition.
    pub writes: u64,
    /// The last transaction of each of the last writers, that of the last one first; the places behind them are 0. All are 0 in marks
    /// of versions that did not keep them.
    pub writers: [WriteId; WRITERS_MAX],
}

/// What the database of a shard was known to have of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KnownMark {
    /// Nothing, or nobody has asked.
    #[default]
    Nothing,
    /// This transaction, and with it all that were before it.
    Write(WriteId),
    /// A mark of a version that did not keep the writers: so much at least.
    Numbers {
        /// See [`SettledMark::offset`].
        offset: Offset,
        /// See [`SettledMark::writes`].
        writes: u64,
    },
}

impl SettledMark {
    /// Returns what is known of a database that has this mark.
    #[must_use]
    pub fn known(&self) -> KnownMark {
        match self.writers[0] {
            WriteId { writer: 0, .. } if self.writes == 0 => KnownMark::Nothing,
            WriteId { writer: 0, .. } => KnownMark::Numbers { offset: self.offset, writes: self.writes },
            last => KnownMark::Write(last),
        }
    }

    /// Returns whether a database with this mark has lost transactions that it was known to have.
    ///
    /// It has not if it has the transaction that was its last one: a database is restored to a state that it once had. Numbers do
    /// not tell that, as whoever does not know of the loss writes as many transactions anew, to the same offsets. A writer of which
    /// the mark does not tell counts as lost: it may have been pushed out by [`WRITERS_MAX`] others, none of which has committed
    /// since, and then what they have written is read again in vain.
    #[must_use]
    pub fn is_behind(&self, known: KnownMark) -> bool {
        match known {
            KnownMark::Nothing => false,
            KnownMark::Write(WriteId { writer, number }) => {
                !self.writers.iter().any(|last| last.writer == writer && last.number >= number)
            }
            KnownMark::Numbers { offset, writes } => self.offset < offset || self.writes < writes,
        }
    }

    /// Returns the mark after the transaction `write`, below whose summaries everything is settled up to `settled`: what it settles
    /// itself does not count, as its outcomes are not known yet. `None` if the database has lost what it was known to have. Then the
    /// mark stays as it is, so that it still tells what was lost.
    #[must_use]
    pub fn after_write(&self, settled: Offset, write: WriteId, known: KnownMark) -> Option<Self> {
        if self.is_behind(known) {
            return None;
        }
        let place = self.writers.iter().position(|last| last.writer == write.writer);
        let mut writers = self.writers;
        writers[..=place.unwrap_or(WRITERS_MAX - 1)].rotate_right(1);
        // Numbers never fall, in whatever order the transactions of a writer arrive.
        let before = place.map_or(0, |_| writers[0].number);
        writers[0] = WriteId { number: write.number.max(before), ..write };
        Some(Self { offset: self.offset.max(settled), writes: self.writes + 1, writers })
    }
}

/// Maximum size of the metadata of a commit, below Kafka's own limit of 4,096 bytes.
const METADATA_BYTES_MAX: usize = 4_000;

/// First word of the metadata: what follows, and its version. The earlier ones had no writers: offset and number of writes by shard,
/// the second one a further number.
const FORMAT: &str = "settled3";
const EARLIER_FORMATS: [&str; 2] = ["settled1", "settled2"];

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
    pub by_shard: BTreeMap<String, KnownMark>,
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
        for (shard, known) in &self.by_shard {
            let shard = URL_SAFE_NO_PAD.encode(shard);
            let entry = match known {
                KnownMark::Nothing => continue,
                KnownMark::Write(WriteId { writer, number }) => {
                    format!(" {shard}:{}:{number}", URL_SAFE_NO_PAD.encode(writer.to_be_bytes()))
                }
                KnownMark::Numbers { offset, writes } => format!(" {shard}::{offset}:{writes}"),
            };
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
        let entry = match words.next()? {
            FORMAT => entry,
            earlier if EARLIER_FORMATS.contains(&earlier) => earlier_entry,
            _ => return None,
        };
        let topic_id = URL_SAFE_NO_PAD.decode(words.next()?).ok()?.try_into().ok()?;
        Some(Self { topic_id, by_shard: words.map(entry).collect::<Option<_>>()? })
    }
}

fn entry(word: &str) -> Option<(String, KnownMark)> {
    let (shard, known) = word.split_once(':')?;
    let (writer, numbers) = known.split_once(':')?;
    let known = if writer.is_empty() {
        let (offset, writes) = numbers.split_once(':')?;
        KnownMark::Numbers { offset: Offset(offset.parse().ok()?), writes: writes.parse().ok()? }
    } else {
        let writer = u64::from_be_bytes(URL_SAFE_NO_PAD.decode(writer).ok()?.try_into().ok()?);
        KnownMark::Write(WriteId { writer, number: numbers.parse().ok()? })
    };
    Some((shard_name(shard)?, known))
}

fn earlier_entry(word: &str) -> Option<(String, KnownMark)> {
    let mut parts = word.split(':');
    let shard = shard_name(parts.next()?)?;
    let mut number = || parts.next()?.parse().ok();
    Some((shard, KnownMark::Numbers { offset: Offset(number()?), writes: number()? }))
}

fn shard_name(encoded: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

/// Returns where a partition must be read from: at the commit, or at the mark of the shard that has lost most. Each
/// shard has the mark that was found in its database and what it was known to have at the commit.
///
/// What a shard has lost lies at or above its mark: everything below was settled before the database came to the state
/// that it has now.
#[must_use]
pub fn begin(committed: Offset, shards: impl IntoIterator<Item = (SettledMark, KnownMark)>) -> Offset {
    let behind = shards.into_iter().filter(|(found, known)| found.is_behind(*known));
    behind.map(|(found, _)| found.offset).fold(committed, Offset::min)
}

#[cfg(test)]
mod tests;
