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
#[derive(Clone, Debug, Default)]
pub(crate) struct RawLog {
    /// Everything ever appended; the index is the offset.
    pub(crate) entries: Vec<RawEntry>,
    /// First offset that retention has left.
    pub(crate) start: u64,
    /// Where somebody's open transaction holds back the last stable offset.
    held_at: Option<u64>,
}

impl RawLog {
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

    /// Removes a share of what is left, from the front.
    pub(crate) fn truncate(&mut self, permille: u64) {
        self.start += (self.end() - self.start) * permille.min(1_000) / 1_000;
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
