//! The quarantine: summaries that a store will not take as they are, until an operator has settled them.
//!
//! A record of a QUARANTINE topic has the summary's value and a [`FailureHeaders`]; its key is the name of the store, `/`,
//! and the summary's key, so that two stores do not replace each other's records. It is settled by a newer record
//! under the same key with an empty value and the header `yahtzee-settled`.

use std::collections::{BTreeMap, BTreeSet};

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_core::summary::{Provenance, Revision, SummaryKey};
use yahtzee_runtime::log::{Appender, Log, LogError, NewRecord};

use crate::dead_letter::headers::{FailureHeaders, RecordPosition, Settled};
use crate::dead_letter::records::{self, split_quarantine_key};
use crate::job_topics::JobTopics;
use crate::store::SummaryStore;
use yahtzee_runtime::log::scan::{scan, whole};

/// Maximum number of records per append.
const CHUNK: usize = 1_000;

/// A summary that waits for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its record in the QUARANTINE topic.
    pub place: RecordPosition,
    /// Name of the job.
    pub job: String,
    /// Name of the store that refused it.
    pub store: String,
    /// Key of the summary, as it was refused.
    pub key: Vec<u8>,
    /// Size of the value that is kept.
    pub value_bytes: usize,
    /// Failures because of which it is here.
    pub trail: FailureHeaders,
}

impl Quarantined {
    /// Returns the key if it can be read. A summary without one can only be dropped.
    #[must_use]
    pub fn parts(&self) -> Option<SummaryKey> {
        SummaryKey::decode(&self.key).ok()
    }
}

/// Returns the summaries of some jobs that wait for an operator, in the order of topics, partitions and offsets: of
/// every key the newest revision since it was last settled; only those of `store`, if given. Memory is bounded by the
/// keys.
///
/// The newest revision need not be the newest record: a summary that waited in RETRY can be refused after a later one.
///
/// # Errors
/// If a QUARANTINE topic does not exist or the log does not answer.
pub fn list(log: &dyn Log, store: Option<&str>, jobs: &[JobTopics]) -> Result<Vec<Quarantined>, LogError> {
    let mut found = Vec::new();
    for topics in jobs {
        let mut newest: BTreeMap<Vec<u8>, (Option<Revision>, Quarantined)> = BTreeMap::new();
        let stretches = whole(log, &topics.quarantine, &topics.all_partitions())?;
        scan(log, &topics.quarantine, &stretches, |partition, record, headers| {
            let trail = FailureHeaders::read(headers.iter());
            let Some((of_record, key)) = split_quarantine_key(record.key) else { return };
            if trail.settled.is_some() || store.is_some_and(|store| store != of_record) {
                newest.remove(record.key);
                return;
            }
            let revision = revision_of(&trail, record.value);
            if newest.get(record.key).is_some_and(|(kept, _)| is_older(revision, *kept)) {
                return;
            }
            let place =
                RecordPosition { topic: topics.quarantine.to_string(), partition, offset: record.offset };
            let (job, store) = (topics.job.to_string(), of_record.to_owned());
            let (key, value_bytes) = (key.to_vec(), record.value.len());
            let quarantined = Quarantined { place, job, store, key, value_bytes, trail };
            newest.insert(record.key.to_vec(), (revision, quarantined));
        })?;
        let mut of_job: Vec<Quarantined> = newest.into_values().map(|(_, quarantined)| quarantined).collect();
        of_job.sort_by_key(|it| (it.place.partition, it.place.offset));
        found.extend(of_job);
    }
    Ok(found)
}

/// Returns the revision from the headers, or from the value; a value that is no summary has none.
fn revision_of(trail: &FailureHeaders, value: &[u8]) -> Option<Revision> {
    let of_value = || Provenance::of_value(value).ok().map(|provenance| provenance.revision());
    trail.revision.or_else(of_value)
}

/// Returns whether the later of two records under a key is an older summary. A record without a revision counts as
/// newer.
fn is_older(later: Option<Revision>, earlier: Option<Revision>) -> bool {
    later.zip(earlier).is_some_and(|(later, earlier)| later < earlier)
}

/// Results of settling quarantined summaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettledCounts {
    /// Settled as asked.
    pub settled: u64,
    /// Summaries left alone because no shard can be determined: the key cannot be read, or the value was cut.
    pub unusable: u64,
    /// Summaries that were gone: settled by another operator, or replaced by a newer revision, which is listed
    /// separately.
    pub gone: u64,
}

/// Hands `chosen` to the retry process of `store`, with the number of attempts reset, then settles them. A crash in
/// between leaves a summary in both topics, which is harmless. For stores with a retry process only.
///
/// # Errors
/// If the log does not answer; summaries settled until then stay settled.
pub fn requeue(
    log: &dyn Log,
    appender: &dyn Appender,
    store: &dyn SummaryStore,
    jobs: &[JobTopics],
    chosen: &[Quarantined],
) -> Result<SettledCounts, LogError> {
    let shards = store.shards();
    let retry = |topics: &JobTopics, key: &[u8], value: &[u8], trail: &FailureHeaders| {
        let parts = SummaryKey::decode(key).ok()?;
        Provenance::of_value(value).ok()?;
        let shard = store.shard_of(&parts);
        let name = shards.get(shard.index()).cloned();
        let trail = FailureHeaders { shard: name, attempts: 0, ..trail.clone() };
        Some(records::retry(topics, shard, key, value, &trail))
    };
    settle(log, appender, jobs, chosen, Settled::Requeued, &retry)
}

/// Discards `chosen`.
///
/// # Errors
/// If the log does not answer; summaries settled until then stay settled.
pub fn give_up(
    log: &dyn Log,
    appender: &dyn Appender,
    jobs: &[JobTopics],
    chosen: &[Quarantined],
) -> Result<SettledCounts, LogError> {
    let nothing = |_: &JobTopics, _: &[u8], _: &[u8], _: &FailureHeaders| None;
    settle(log, appender, jobs, chosen, Settled::Dropped, &nothing)
}

/// The record that must be durable before a quarantined one may be settled.
type Before<'a> = dyn Fn(&JobTopics, &[u8], &[u8], &FailureHeaders) -> Option<NewRecord> + 'a;

fn settle(
    log: &dyn Log,
    appender: &dyn Appender,
    jobs: &[JobTopics],
    chosen: &[Quarantined],
    settled: Settled,
    before: &Before<'_>,
) -> Result<SettledCounts, LogError> {
    let mut counts = SettledCounts::default();
    for topics in jobs {
        let mut places: BTreeMap<Partition, BTreeSet<Offset>> = BTreeMap::new();
        let of_job = chosen.iter().filter(|it| it.place.topic == *topics.quarantine);
        for RecordPosition { partition, offset, .. } in of_job.map(|it| &it.place) {
            places.entry(*partition).or_default().insert(*offset);
        }
        for (partition, offsets) in places {
            let offsets: Vec<Offset> = offsets.into_iter().collect();
            for offsets in offsets.chunks(CHUNK) {
                let chunk = read(log, topics, partition, offsets, settled, before)?;
                counts.gone += offsets.len() as u64 - chunk.unusable - chunk.settlements.len() as u64;
                counts.unusable += chunk.unusable;
                counts.settled += chunk.settlements.len() as u64;
                appender.append_and_wait(&chunk.before)?;
                appender.append_and_wait(&chunk.settlements)?;
            }
        }
    }
    Ok(counts)
}

/// Records to append in order to settle some summaries.
#[derive(Default)]
struct Chunk {
    before: Vec<NewRecord>,
    settlements: Vec<NewRecord>,
    unusable: u64,
}

/// A chosen record.
struct Found {
    before: Option<NewRecord>,
    revision: Option<Revision>,
    trail: FailureHeaders,
}

/// Reads the records at `offsets`, which are in ascending order, and all after them. A record with a newer revision
/// under its key is left alone, because its settlement would also settle the newer one, which nobody has seen. Older
/// ones are settled along with it.
fn read(
    log: &dyn Log,
    topics: &JobTopics,
    partition: Partition,
    offsets: &[Offset],
    settled: Settled,
    before: &Before<'_>,
) -> Result<Chunk, LogError> {
    let mut found: BTreeMap<Vec<u8>, Found> = BTreeMap::new();
    let mut stretches = whole(log, &topics.quarantine, &[partition])?;
    for stretch in &mut stretches {
        stretch.from = offsets.first().map_or(stretch.end, |first| stretch.from.max(*first));
    }
    scan(log, &topics.quarantine, &stretches, |_, record, headers| {
        let Some((_, key)) = split_quarantine_key(record.key) else { return };
        let trail = FailureHeaders::read(headers.iter());
        let revision = revision_of(&trail, record.value);
        if offsets.binary_search(&record.offset).is_err() {
            let is_superseded = |kept: &Found| trail.settled.is_none() && is_older(revision, kept.revision);
            if !found.get(record.key).is_some_and(is_superseded) {
                found.remove(record.key);
            }
            return;
        }
        let before = before(topics, key, record.value, &trail);
        found.insert(record.key.to_vec(), Found { before, revision, trail });
    })?;
    let mut chunk = Chunk::default();
    for (key, Found { before, trail, .. }) in found {
        if before.is_none() && settled != Settled::Dropped {
            chunk.unusable += 1;
            continue;
        }
        let trail = FailureHeaders { settled: Some(settled), ..trail };
        chunk.before.extend(before);
        chunk.settlements.push(records::settlement(topics, partition, &key, &trail));
    }
    Ok(chunk)
}

#[cfg(test)]
mod tests;
