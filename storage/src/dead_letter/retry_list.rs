//! Reports on RETRY for operators: an overview by shard, and one record in full.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};

use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_runtime::log::{Headers, Log, LogError};
use yahtzee_runtime::topics::QUARANTINE_PREFIX;

use crate::dead_letter::headers::{FailureHeaders, RecordPosition};
use crate::dead_letter::records::split_quarantine_key;
use crate::dead_letter::{FailureGroup, FailureTally};
use crate::job_topics::{JobTopics, retry_group};
use yahtzee_runtime::log::scan::{OffsetRange, scan, uncommitted};

/// What waits for one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardWaiting {
    /// Number of records.
    pub records: u64,
    /// Number of different summaries among them, by job and key.
    pub keys: u64,
    /// Time of the earliest first failure, milliseconds since 1970.
    pub first_failure_ms: Option<i64>,
    /// Why they wait, by the codes of their failures, the most frequent first.
    pub failures: Vec<FailureGroup>,
}

/// Returns the records that wait for the shards of `store`: those between the commits of the retry process and the
/// ends, by name of the shard in their headers (empty if they have none).
///
/// # Errors
/// If a RETRY topic does not exist or the log does not answer.
pub fn list(
    log: &dyn Log,
    store: &str,
    version: &str,
    jobs: &[JobTopics],
) -> Result<BTreeMap<String, ShardWaiting>, LogError> {
    let group = retry_group(store, version);
    let mut tallies: BTreeMap<String, RetryTally> = BTreeMap::new();
    for topics in jobs {
        let stretches = uncommitted(log, &group, &topics.retry, &topics.all_partitions())?;
        scan(log, &topics.retry, &stretches, |_, record, headers| {
            let trail = FailureHeaders::read(headers.iter());
            if trail.store.as_deref().is_none_or(|of_record| of_record == store) {
                let shard = trail.shard.clone().unwrap_or_default();
                tallies.entry(shard).or_default().count(&topics.job, record.key, &trail);
            }
        })?;
    }
    Ok(tallies.into_iter().map(|(shard, tally)| (shard, tally.total())).collect())
}

/// Counts of one shard. Keys are kept as hashes: a collision in 64 bits makes the count one too small.
#[derive(Default)]
struct RetryTally {
    records: u64,
    keys: HashSet<u64>,
    first_failure_ms: Option<i64>,
    failures: FailureTally,
}

impl RetryTally {
    fn count(&mut self, job: &str, key: &[u8], trail: &FailureHeaders) {
        self.records += 1;
        let mut hasher = DefaultHasher::new();
        (job, key).hash(&mut hasher);
        self.keys.insert(hasher.finish());
        self.first_failure_ms = [self.first_failure_ms, trail.first_failure_ms].into_iter().flatten().min();
        self.failures.count_headers(trail);
    }

    fn total(self) -> ShardWaiting {
        ShardWaiting {
            records: self.records,
            keys: self.keys.len() as u64,
            first_failure_ms: self.first_failure_ms,
            failures: self.failures.groups(),
        }
    }
}

/// One record of RETRY or QUARANTINE in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Its timestamp, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Key of the summary.
    pub key: Vec<u8>,
    /// Value of the summary.
    pub value: Vec<u8>,
    /// The key, if it can be read.
    pub parts: Option<SummaryKey>,
    /// The value's provenance, revision included, if it can be read.
    pub provenance: Option<Provenance>,
    /// The parsed headers.
    pub trail: FailureHeaders,
    /// All headers unparsed, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Reads the record at a place of a RETRY or QUARANTINE topic; returns `None` if there is none (any more).
///
/// # Errors
/// If the topic does not exist or the log does not answer.
pub fn inspect(log: &dyn Log, place: &RecordPosition) -> Result<Option<Inspected>, LogError> {
    let bounds = log.bounds(&place.topic, &[place.partition])?;
    if bounds.iter().any(|bounds| !(bounds.start..bounds.end).contains(&place.offset)) {
        return Ok(None);
    }
    let end = Offset(place.offset.0 + 1);
    let stretch = OffsetRange { partition: place.partition, from: place.offset, end };
    let mut found = None;
    scan(log, &place.topic, &[stretch], |_, record, headers| {
        found = Some(inspected(&place.topic, record, headers));
    })?;
    Ok(found)
}

fn inspected(topic: &str, record: LogRecord<'_>, headers: Headers<'_>) -> Inspected {
    let in_quarantine =
        topic.starts_with(QUARANTINE_PREFIX).then(|| split_quarantine_key(record.key)).flatten();
    let key = in_quarantine.map_or(record.key, |(_, key)| key);
    Inspected {
        timestamp_ms: record.timestamp_ms,
        key: key.to_vec(),
        value: record.value.to_vec(),
        parts: SummaryKey::decode(key).ok(),
        provenance: Provenance::of_value(record.value).ok(),
        trail: FailureHeaders::read(headers.iter()),
        headers: headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
    }
}
