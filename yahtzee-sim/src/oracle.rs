//! The truth: one batch pass over a whole partition, written from the rules alone and sharing nothing with the core
//! but the types of records and keys.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::record::Poison;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_core::window::Policy;

use crate::job::{SimRecord, SimValue, digest_of, dimension_name};
use crate::raw::{RawEntry, RawRecord};

/// A series of one window, as it grew.
#[derive(Debug, Default)]
pub(crate) struct SeriesTruth {
    pub(crate) window: i64,
    pub(crate) partition: u32,
    /// After each record that changed it: offset, measurements, digest.
    pub(crate) states: Vec<(u64, u64, u64)>,
}

/// What must become of one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) late: u64,
    pub(crate) future: u64,
    pub(crate) duplicate: u64,
    pub(crate) capped: u64,
}

/// The truth about one partition.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// By the summary key's bytes.
    pub(crate) series: BTreeMap<Vec<u8>, SeriesTruth>,
    /// Offset of the first record accepted into each window.
    pub(crate) first_accepted: BTreeMap<i64, u64>,
    /// By offset: `None` for control records, an error for dead letters.
    pub(crate) records: Vec<Option<Result<Counts, Poison>>>,
    /// Ids of accepted measurements.
    pub(crate) accepted: Vec<u64>,
    /// By offset: the watermark after it.
    pub(crate) watermarks_ms: Vec<Option<i64>>,
}

/// What a window remembers besides its series.
#[derive(Default)]
struct Kept {
    frames: BTreeSet<(Owner, Vec<u8>)>,
    series: BTreeSet<(Owner, String)>,
    /// Series that owners opened who had their shares already.
    beyond_shares: usize,
}

/// Folds a whole partition.
pub(crate) fn fold(
    log: &[RawEntry],
    partition: u32,
    partitions: u32,
    policy: &Policy,
    version: u32,
) -> Truth {
    let mut truth = Truth::default();
    let (mut watermark_ms, mut kept) = (None, BTreeMap::<i64, Kept>::new());
    let minute = |time_ms: i64| time_ms.div_euclid(i64::from(policy.length_ms));
    for (offset, entry) in log.iter().enumerate() {
        let record = match entry {
            RawEntry::Control => None,
            RawEntry::Record(record) => Some(record),
        };
        if let Some(record) = record.filter(|record| record.timestamp_ms >= 0) {
            watermark_ms = watermark_ms.max(Some(record.timestamp_ms));
        }
        truth.watermarks_ms.push(watermark_ms);
        let counts = record.map(|record| {
            if record.key.is_empty() && record.value.is_empty() {
                return Ok(Counts::default());
            }
            let (owner, message) = readable(record, partition, partitions)?;
            let open_from =
                minute(watermark_ms.ok_or(Poison::Timestamp)?) - i64::from(policy.lateness_windows);
            let open_through = minute(record.timestamp_ms) + i64::from(policy.future_windows);
            let (mut counts, mut entered) = (Counts::default(), BTreeSet::new());
            for measurement in &message.measurements {
                let window = minute(measurement.time_ms);
                let kept = kept.entry(window).or_default();
                let frame = (owner, message.frame_id.clone());
                if window < open_from {
                    counts.late += 1;
                } else if window > open_through {
                    counts.future += 1;
                } else if kept.frames.contains(&frame) && !entered.contains(&window) {
                    counts.duplicate += 1;
                } else {
                    entered.insert(window);
                    kept.frames.insert(frame);
                    truth.first_accepted.entry(window).or_insert(offset as u64);
                    match series_of(owner, dimension_name(measurement.dimension), kept, policy) {
                        None => counts.capped += 1,
                        Some(name) => {
                            counts.accepted += 1;
                            truth.accepted.push(measurement.id);
                            let key = key_of(owner, name, window, policy);
                            let series = truth.series.entry(key).or_default();
                            (series.window, series.partition) = (window, partition);
                            series.add(offset as u64, digest_of(measurement.id, version));
                        }
                    }
                }
            }
            Ok(counts)
        });
        truth.records.push(counts);
    }
    truth
}

/// Owner and message of a record that is no dead letter.
fn readable(record: &RawRecord, partition: u32, partitions: u32) -> Result<(Owner, SimRecord), Poison> {
    let owner = Owner::from_bytes(&record.key).ok_or(Poison::Key)?;
    let message = SimRecord::decode(&*record.value).map_err(|_| Poison::Value)?;
    if record.timestamp_ms < 0 {
        Err(Poison::Timestamp)
    } else if owner.partition(partitions) != Partition(partition) {
        Err(Poison::Partition)
    } else if message.panics {
        Err(Poison::Panic)
    } else {
        Ok((owner, message))
    }
}

/// The series that takes a measurement: its own while there is room, then the owner's `other`, then none.
fn series_of(owner: Owner, name: String, kept: &mut Kept, policy: &Policy) -> Option<String> {
    let of_owner = kept.series.iter().filter(|(known, _)| *known == owner).count();
    let total = kept.series.len();
    let is_room = |name: &String, has_room: bool| has_room || kept.series.contains(&(owner, name.clone()));
    let other = "(other)".to_owned();
    let is_beyond = of_owner >= 1 && of_owner >= policy.series_per_owner_max / 32;
    let is_fair = !is_beyond || kept.beyond_shares < policy.series_max / 2;
    let has_room = total < policy.series_max && of_owner < policy.series_per_owner_max && is_fair;
    let name = if is_room(&name, has_room) {
        let is_new = !kept.series.contains(&(owner, name.clone()));
        kept.beyond_shares += usize::from(is_new && is_beyond);
        name
    } else if is_room(&other, total < policy.series_max + policy.series_max / 8 + 1) {
        other
    } else {
        return None;
    };
    kept.series.insert((owner, name.clone()));
    Some(name)
}

fn key_of(owner: Owner, dimension: String, window: i64, policy: &Policy) -> Vec<u8> {
    let window_start_ms = window * i64::from(policy.length_ms);
    SummaryKey { owner, dimensions: vec![dimension], window_start_ms, window_length_ms: policy.length_ms }
        .encode()
}

impl SeriesTruth {
    fn add(&mut self, offset: u64, hash: u64) {
        let (last, count, digest) = self.states.last().copied().unwrap_or((u64::MAX, 0, 0));
        if last == offset {
            self.states.pop();
        }
        self.states.push((offset, count + 1, digest.wrapping_add(hash)));
    }

    /// The value after the record at `last_offset`, if that one changed it.
    pub(crate) fn value_at(&self, last_offset: u64, generation: u32, is_final: bool) -> Option<Vec<u8>> {
        let index = self.states.binary_search_by_key(&last_offset, |&(offset, ..)| offset).ok()?;
        let first_offset = self.states.first()?.0;
        let (last_offset, count, digest) = self.states[index];
        let provenance = Provenance { generation, first_offset, last_offset, count, is_final };
        Some(SimValue { provenance: Some(provenance), digest }.encode_to_vec())
    }

    /// The last value of all.
    pub(crate) fn last_value(&self, generation: u32, is_final: bool) -> Option<Vec<u8>> {
        self.value_at(self.states.last()?.0, generation, is_final)
    }
}
