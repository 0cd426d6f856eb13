//! What must come out: one pass over the raw records, written from the description of the semantics and not from
//! the core.
//!
//! For each partition: the watermark is the greatest log timestamp so far. A measurement of window `w` is late if `w` lies
//! more than [`LATENESS`] windows behind the watermark's, in the future if more than [`FUTURE`] ahead of its own record's
//! stamp, a duplicate if an earlier record of the same owner and frame was accepted into `w`; else it counts.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use prost::Message;
use yahtzee_core::accumulate::{Accumulator, Distribution};
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_core::summary::SummaryKey;
use yahtzee_pipeline_proto::RecordOf;
use yahtzee_pipeline_proto::raw::{Flag, RouterRequest};
use yahtzee_pipeline_proto::summary;
use yahtzee_proto::{Provenance, SummaryEnvelope};

use crate::policy::{FUTURE, LATENESS, PARTITIONS, WINDOW_MS, window_of_ms};

/// Everything that was read, folded.
#[derive(Default)]
pub(crate) struct Oracle {
    /// Of the job that publishes.
    pub(crate) generation: u32,
    partitions: BTreeMap<Partition, PartitionFold>,
    pub(crate) counts: Counts,
}

/// Records and measurements by what becomes of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) accepted: u64,
    pub(crate) late: u64,
    pub(crate) future: u64,
    pub(crate) poison: u64,
    /// Records of which a measurement was dropped because its frame had come before.
    pub(crate) dup_frames: u64,
}

/// Whose frame, and its id.
type Frame = (Owner, Vec<u8>);

/// One partition.
#[derive(Default)]
pub(crate) struct PartitionFold {
    watermark_ms: Option<i64>,
    /// Log timestamp of each record, by offset.
    timestamps_ms: BTreeMap<u64, i64>,
    /// Frames accepted into each open window.
    frames: BTreeMap<i64, HashSet<Frame>>,
    /// First accepted offset of each window.
    first: BTreeMap<i64, u64>,
    series: BTreeMap<(i64, Vec<u8>, String), Series>,
    poison: Vec<u64>,
}

/// One process type of one app in one window.
#[derive(Default)]
struct Series {
    first_offset: u64,
    last_offset: u64,
    count: u64,
    service_ms: Vec<u64>,
    connect_ms: Vec<u64>,
    by_status: BTreeMap<u32, u64>,
    bytes: u64,
}

impl Oracle {
    /// Nothing folded yet, for a job of this generation.
    pub(crate) fn of(generation: u32) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Folds one record; to be called in offset order of each partition.
    pub(crate) fn fold(&mut self, partition: Partition, record: &LogRecord<'_>) {
        let counts = &mut self.counts;
        counts.records += 1;
        let fold = self.partitions.entry(partition).or_default();
        let watermark_ms = fold
            .watermark_ms
            .map_or(record.timestamp_ms, |watermark_ms| watermark_ms.max(record.timestamp_ms));
        fold.watermark_ms = Some(watermark_ms);
        fold.timestamps_ms.insert(record.offset.0, record.timestamp_ms);
        let open_from = window_of_ms(watermark_ms) - LATENESS;
        fold.frames = fold.frames.split_off(&open_from);
        if record.key.is_empty() && record.value.is_empty() {
            // A heartbeat of an ingress.
            return;
        }
        let owner = Owner::from_bytes(record.key).filter(|owner| owner.partition(PARTITIONS) == partition);
        let (Some(owner), Ok(message)) = (owner, RecordOf::<RouterRequest>::decode(record.value)) else {
            counts.poison += 1;
            fold.poison.push(record.offset.0);
            return;
        };
        let open_through = window_of_ms(record.timestamp_ms) + FUTURE;
        let frame = (message.frame_id.len() == 16).then(|| (owner, message.frame_id.clone()));
        let mut windows_of_this_record = HashSet::new();
        let mut is_duplicate = false;
        for request in message.measurements.iter().filter(|it| it.flags & Flag::NotARequest as u32 == 0) {
            let window = window_of_ms(request.time_us.div_euclid(1_000));
            if window < open_from {
                counts.late += 1;
            } else if window > open_through {
                counts.future += 1;
            } else if let Some(frame) = &frame
                && !windows_of_this_record.contains(&window)
                && !fold.frames.entry(window).or_default().insert(frame.clone())
            {
                is_duplicate = true;
            } else {
                windows_of_this_record.insert(window);
                counts.accepted += 1;
                fold.accept(window, record, request);
            }
        }
        counts.dup_frames += u64::from(is_duplicate);
    }

    /// The final summary of every series, as it must stand under its key.
    pub(crate) fn expected(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let series = self.partitions.values().flat_map(|fold| &fold.series);
        series.map(|(name, series)| (key_of(name), series.final_summary(self.generation))).collect()
    }

    /// Partition and offset of every record that must have become a dead letter.
    pub(crate) fn poison(&self) -> HashSet<(u32, u64)> {
        let each = self.partitions.iter();
        each.flat_map(|(partition, fold)| fold.poison.iter().map(|&offset| (partition.0, offset))).collect()
    }

    /// What is known of one partition.
    pub(crate) fn partition(&self, partition: Partition) -> Option<&PartitionFold> {
        self.partitions.get(&partition)
    }
}

impl PartitionFold {
    fn accept(&mut self, window: i64, record: &LogRecord<'_>, request: &RouterRequest) {
        self.first.entry(window).or_insert(record.offset.0);
        let name = (window, record.key.to_vec(), request.process_type.clone());
        let series = self.series.entry(name).or_default();
        if series.count == 0 {
            series.first_offset = record.offset.0;
        }
        series.last_offset = record.offset.0;
        series.count += 1;
        if let Some(status) = request.status {
            *series.by_status.entry(status).or_default() += 1;
        }
        if request.status != Some(101) {
            series.service_ms.extend(request.service_ms.map(u64::from));
        }
        series.connect_ms.extend(request.connect_ms.map(u64::from));
        series.bytes += request.bytes.unwrap_or(0);
    }

    /// The windows that a record at one of these offsets was the last to be accepted into, in any of their series.
    pub(crate) fn windows_ending_at(&self, is_meant: impl Fn(Offset) -> bool) -> BTreeSet<i64> {
        let series = self.series.iter().filter(|(_, series)| is_meant(Offset(series.last_offset)));
        series.map(|((window, ..), _)| *window).collect()
    }

    /// First window that is open before the record at `position`, or later, is read.
    pub(crate) fn open_from(&self, position: u64) -> Option<i64> {
        let watermark_ms = self.timestamps_ms.range(..position).map(|(_, &timestamp_ms)| timestamp_ms).max();
        watermark_ms.map(|watermark_ms| window_of_ms(watermark_ms) - LATENESS)
    }

    /// Offset of the first record accepted into each window, if that window ends at or after `open_from`.
    pub(crate) fn first_offsets(&self, open_from: i64) -> impl Iterator<Item = (i64, u64)> + '_ {
        self.first.range(open_from..).map(|(&window, &first)| (window, first))
    }

    /// Log timestamp of the first record at or after `offset`.
    pub(crate) fn timestamp_from(&self, offset: u64) -> Option<i64> {
        self.timestamps_ms.range(offset..).next().map(|(_, &timestamp_ms)| timestamp_ms)
    }
}

impl Series {
    fn final_summary(&self, generation: u32) -> Vec<u8> {
        let provenance = Provenance {
            generation,
            first_offset: self.first_offset,
            last_offset: self.last_offset,
            count: self.count,
            r#final: true,
        };
        let summary = summary::RouterLatency {
            service_ms: distribution(&self.service_ms),
            service_moments_ms: moments(&self.service_ms),
            connect_moments_ms: moments(&self.connect_ms),
            by_status: self.by_status.clone(),
            requests: self.by_status.values().sum(),
            bytes: self.bytes,
        };
        let envelope = SummaryEnvelope { provenance: Some(provenance) };
        [envelope.encode_to_vec(), summary.encode_to_vec()].concat()
    }
}

fn key_of((window, owner, process_type): &(i64, Vec<u8>, String)) -> Vec<u8> {
    let key = SummaryKey {
        owner: Owner::from_bytes(owner).expect("only records with an owner are accepted"),
        dimensions: vec![process_type.clone()],
        window_start_ms: window * WINDOW_MS,
        window_length_ms: WINDOW_MS as u32,
    };
    key.encode()
}

fn moments(values: &[u64]) -> Option<summary::Moments> {
    let sum_squares: u128 = values.iter().map(|&value| u128::from(value) * u128::from(value)).sum();
    Some(summary::Moments {
        count: values.len() as u64,
        sum: values.iter().sum(),
        sum_squares_high: (sum_squares >> 64) as u64,
        sum_squares_low: sum_squares as u64,
        min: *values.iter().min()?,
        max: *values.iter().max()?,
        saturated: false,
    })
}

/// The wire form of a distribution is the core's; its own tests hold it to HdrHistogram.
fn distribution(values: &[u64]) -> Option<summary::Distribution> {
    let mut distribution = Distribution::default();
    values.iter().for_each(|&value| distribution.record(value));
    let mut encoded = Vec::new();
    distribution.encode(&mut encoded);
    (!values.is_empty()).then_some(summary::Distribution { encoded })
}

#[cfg(test)]
mod tests {
    use yahtzee_core::record::Offset;

    use super::*;

    /// Folds records of one owner, `(log timestamp, frame, event times)`, and checks what was counted.
    fn check(records: &[(i64, u8, &[i64])], expected: (u64, u64, u64, u64)) {
        let owner = Owner([1; 16]);
        let mut oracle = Oracle::default();
        for (offset, &(timestamp_ms, frame, times_ms)) in (0..).zip(records) {
            let request = |&time_ms: &i64| RouterRequest { time_us: time_ms * 1_000, ..Default::default() };
            let requests = times_ms.iter().map(request).collect();
            let message =
                RecordOf { frame_id: vec![frame; 16], measurements: requests, ..Default::default() };
            let (key, value) = (&owner.0[..], message.encode_to_vec());
            let record = LogRecord { offset: Offset(offset), timestamp_ms, key, value: &value };
            oracle.fold(owner.partition(PARTITIONS), &record);
        }
        let Counts { accepted, late, future, dup_frames, .. } = oracle.counts;
        assert_eq!((accepted, late, future, dup_frames), expected, "{records:?}");
    }

    #[test]
    fn lateness_is_judged_by_the_watermark_and_the_future_by_the_record() {
        check(&[(10_000, 1, &[4_999, 5_000, 11_999, 12_000])], (2, 1, 1, 0));
        // The second record's own stamp is older than the watermark.
        check(&[(10_000, 1, &[]), (9_000, 2, &[5_000, 10_999, 11_000])], (2, 0, 1, 0));
    }

    #[test]
    fn a_frame_counts_once_per_window() {
        check(&[(10_000, 1, &[10_000, 10_001]), (10_500, 1, &[10_000, 10_001])], (2, 0, 0, 1));
        check(&[(10_000, 1, &[10_000]), (10_500, 1, &[9_000])], (2, 0, 0, 0));
    }
}
