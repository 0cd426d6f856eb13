//! The raw topic: partitions that keep everything for the checkers, and show workers what retention has left.

use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::record::{LogRecord, Offset};

/// What lies at one offset.
#[derive(Clone, Debug)]
pub(crate) enum RawEntry {
    /// Takes an offset and is never delivered.
    Control,
    /// A record.
    Record(RawRecord),
}

impl RawEntry {
    fn record(&self) -> Option<&RawRecord> {
        match self {
            Self::Control => None,
            Self::Record(record) => Some(record),
        }
    }
}

/// A record of the raw topic.
#[derive(Clone, Debug)]
pub(crate) struct RawRecord {
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// Made by ingress of what a tenant sent: there is no reason not to fold it.
    pub(crate) is_honest: bool,
    /// Simulated time at which it became readable.
    pub(crate) appended_at_ms: i64,
}

impl RawRecord {
    pub(crate) fn lend(&self, offset: u64) -> LogRecord<'_> {
        let Self { timestamp_ms, key, value, .. } = self;
        LogRecord { offset: Offset(offset), timestamp_ms: *timestamp_ms, key, value }
    }
}

/// One partition of the raw topic.
///
/// It begins another life whenever it loses records other than to retention: from there on it gives their offsets again.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawLog {
    /// Everything appended in this life and kept from earlier ones; the index is the offset.
    pub(crate) entries: Vec<RawEntry>,
    /// Its earlier lives, in their order.
    past: Vec<PastLife>,
    /// Which topic of its name it belongs to.
    pub(crate) topic: u8,
    /// First offset that retention has left.
    pub(crate) start: u64,
    /// Where somebody's open transaction holds back the last stable offset.
    held_at: Option<u64>,
}

/// A log as it was before it lost records.
#[derive(Clone, Debug)]
struct PastLife {
    entries: Vec<RawEntry>,
    /// End of what the next life has of it.
    kept: u64,
}

impl RawLog {
    /// Which life it is in, from 0.
    pub(crate) fn life(&self) -> usize {
        self.past.len()
    }

    /// Everything that it had in a life.
    pub(crate) fn entries_of(&self, life: usize) -> &[RawEntry] {
        self.past.get(life).map_or(&self.entries, |past| &past.entries)
    }

    /// Offsets below this one mean the same in two lives.
    pub(crate) fn shared_between(&self, earlier: usize, later: usize) -> u64 {
        self.past[earlier.min(later)..later].iter().map(|past| past.kept).min().unwrap_or(u64::MAX)
    }

    /// Whether a reader that has read up to `end` in one life finds the same records there in another: those with a stamp, others
    /// are not told apart.
    pub(crate) fn is_same_below(&self, end: u64, earlier: usize, later: usize) -> bool {
        let shared = self.shared_between(earlier, later);
        let [earlier, later] = [earlier, later].map(|life| self.entries_of(life));
        let is_long = later.len() as u64 >= end;
        let is_in_question = |(offset, _): &(u64, &RawEntry)| *offset >= shared;
        let [earlier, later] = [earlier, later].map(|entries| {
            let below = (0..end).zip(entries).filter(is_in_question);
            let records = below.filter_map(|(offset, entry)| Some(entry.record()?.lend(offset)));
            records.filter(LogRecord::has_stamp).collect::<Vec<_>>()
        });
        is_long && earlier == later
    }

    /// Loses its newest records, as many as retention has left at most.
    pub(crate) fn lose_tail(&mut self, records: u64) {
        let kept = self.end().saturating_sub(records).max(self.start);
        if kept < self.end() {
            self.begin_life(kept);
        }
    }

    /// Is deleted, and made anew under the same name.
    pub(crate) fn recreate(&mut self) {
        self.begin_life(0);
        self.start = 0;
        self.topic += 1;
    }

    fn begin_life(&mut self, kept: u64) {
        let entries = self.entries.clone();
        self.past.push(PastLife { entries, kept });
        self.entries.truncate(usize::try_from(kept).expect("simulated logs are short"));
        self.held_at = self.held_at.filter(|&held_at| held_at <= kept);
    }

    /// The high watermark.
    pub(crate) fn end(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn last_stable_offset(&self) -> u64 {
        self.held_at.unwrap_or_else(|| self.end())
    }

    pub(crate) fn append(&mut self, record: RawRecord) {
        self.entries.push(RawEntry::Record(record));
    }

    pub(crate) fn append_control(&mut self) {
        self.entries.push(RawEntry::Control);
    }

    /// Opens or ends a foreign transaction; the end leaves a control record.
    pub(crate) fn hold(&mut self, is_held: bool) {
        match (is_held, self.held_at) {
            (true, None) => self.held_at = Some(self.end()),
            (false, Some(_)) => {
                self.held_at = None;
                self.append_control();
            }
            _ => {}
        }
    }

    /// Removes a share of what is left, from the front; nothing of what was appended after a loss, which somebody notices long
    /// before retention comes to it.
    pub(crate) fn truncate(&mut self, permille: u64) {
        let start = self.start + (self.end() - self.start) * permille.min(1_000) / 1_000;
        self.start = start.min(self.shared_between(0, self.life()).max(self.start));
    }
}

/// A tenant by its number.
pub(crate) fn owner(number: u64) -> Owner {
    Owner([u8::try_from(number % 200).expect("below 200") + 1; 16])
}

/// Owners that no tenant is, one per partition.
pub(crate) fn foreign_owners(partition_count: u32) -> Vec<Owner> {
    let find = |partition| {
        let mut candidates = (0..u32::MAX).map(foreign_owner);
        candidates.find(|owner| owner.partition(partition_count) == Partition(partition))
    };
    (0..partition_count).map(|partition| find(partition).expect("some owner hashes there")).collect()
}

fn foreign_owner(number: u32) -> Owner {
    let mut bytes = [0xf0; 16];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    Owner(bytes)
}
