//! The raw topic as it is in the log: read along, folded by the oracle, and distinguished record by record.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_runtime::clock::wall_clock_ms;

use crate::oracle::Oracle;
use crate::policy::CLOCK_SKEW_MS;
use crate::watch::Sight;

/// Tells one record from another: a hash over all of it but its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn of(partition: Partition, timestamp_ms: i64, key: &[u8], value: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        (partition, timestamp_ms, key, value).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What the raw topic holds.
#[derive(Default)]
pub(crate) struct Raw {
    pub(crate) oracle: Oracle,
    present: HashMap<Fingerprint, u64>,
    arrived: BTreeMap<(Partition, u64), (Instant, Fingerprint)>,
    /// Records whose stamps lay further ahead of the true time than clocks may be when they were seen.
    pub(crate) stamps_ahead: u64,
}

impl Sight for Raw {
    fn see(&mut self, partition: Partition, record: &LogRecord<'_>) {
        let LogRecord { offset, timestamp_ms, key, value } = *record;
        let fingerprint = Fingerprint::of(partition, timestamp_ms, key, value);
        *self.present.entry(fingerprint).or_default() += 1;
        self.arrived.insert((partition, offset.0), (Instant::now(), fingerprint));
        self.stamps_ahead += u64::from(timestamp_ms > wall_clock_ms() + CLOCK_SKEW_MS);
        self.oracle.fold(partition, record);
    }
}

impl Raw {
    /// Nothing seen yet of what a generation of the job folds.
    pub(crate) fn of(generation: u32) -> Self {
        Self { oracle: Oracle::of(generation), ..Self::default() }
    }

    /// How many of these are not in the log, though nobody has taken them out of it.
    pub(crate) fn lost(&self, acknowledged: &[Fingerprint], taken: &[Fingerprint]) -> u64 {
        let mut wanted: HashMap<Fingerprint, u64> = HashMap::new();
        acknowledged.iter().for_each(|&fingerprint| *wanted.entry(fingerprint).or_default() += 1);
        for fingerprint in taken {
            wanted.entry(*fingerprint).and_modify(|count| *count = count.saturating_sub(1));
        }
        let present = |fingerprint| self.present.get(fingerprint).copied().unwrap_or(0);
        wanted.iter().map(|(fingerprint, &count)| count.saturating_sub(present(fingerprint))).sum()
    }

    /// When a record was there to be read.
    pub(crate) fn arrived_at(&self, partition: Partition, offset: u64) -> Option<Instant> {
        self.arrived.get(&(partition, offset)).map(|&(at, _)| at)
    }

    /// The records at these places.
    pub(crate) fn fingerprints(
        &self,
        is_meant: impl Fn(Partition, Offset) -> bool,
    ) -> impl Iterator<Item = Fingerprint> {
        let records = self.arrived.iter();
        records
            .filter(move |((partition, offset), _)| is_meant(*partition, Offset(*offset)))
            .map(|(_, (_, fingerprint))| *fingerprint)
    }
}
