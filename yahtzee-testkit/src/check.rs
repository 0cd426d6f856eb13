//! The laws that the promises need of a job.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use yahtzee_core::accumulate::Accumulator;
use yahtzee_core::job::Job;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{JOB_FIELDS_FROM, reserved_field};

use crate::Bench;
use crate::crash::{RecordingStep, crash_everywhere_shared};
use crate::record_value::RecordValue;

/// Bytes of a record that are damaged one by one.
const DAMAGED_BYTES: usize = 200;

/// Holds a job to its laws on these raw records, all received in one minute:
///
/// - *order*: the summaries do not depend on the order of the records, and with it of their offsets (a
///   [`TopK`](yahtzee_core::accumulate::TopK) of more values than it counts draws others from other offsets: keep within them here);
/// - *merge*: accumulators of two halves, merged, give the summary of the whole;
/// - *round trip*: an accumulator that is encoded and decoded gives the same summary;
/// - *replay*: a crash at any write leaves the same bytes;
/// - *poison*: damaged records are refused or folded, never a panic;
/// - *fields*: the summary message has no field below 16, with which the job could forge its own revision.
///
/// # Panics
/// If a law is broken; the text names it.
pub fn check_job<J: Job>(job: J, records: &[(Owner, impl RecordValue)]) {
    assert!(!records.is_empty(), "{}: there is nothing to check without a record", J::NAME);
    let reserved = reserved_field::<J::Summary>();
    assert!(
        reserved.is_none(),
        "{}: a summary's fields start at {JOB_FIELDS_FROM}, found {reserved:?}",
        J::NAME
    );
    let job = Arc::new(job);
    check_order(&job, records);
    check_merge(&job, records);
    check_poison(&job, records);
    check_replay(&job, records);
}

/// Summaries without their provenance, by key.
type Bodies = BTreeMap<Vec<u8>, Vec<u8>>;

fn fed<J: Job>(job: &Arc<J>, records: &[(Owner, impl RecordValue)]) -> Bench<J> {
    let bench = Bench::with(Arc::clone(job), None, 2);
    records.iter().fold(bench, |bench, (owner, record)| bench.feed(*owner, record))
}

fn bodies<J: Job>(bench: &Bench<J>) -> Bodies {
    let series = bench.cores().flat_map(|core| core.series().collect::<Vec<_>>());
    series.map(|(key, accumulator)| (key.encode(), bench.summary_of(accumulator))).collect()
}

fn check_order<J: Job>(job: &Arc<J>, records: &[(Owner, impl RecordValue)]) {
    let in_order = bodies(&fed(job, records));
    assert!(!in_order.is_empty(), "{}: none of the records was accepted", J::NAME);
    let mut reversed = records.to_vec();
    reversed.reverse();
    let mut rotated = records.to_vec();
    rotated.rotate_left(records.len() / 2);
    let (even, odd): (Vec<_>, Vec<_>) =
        records.iter().cloned().enumerate().partition(|(index, _)| index % 2 == 0);
    let dealt: Vec<_> = odd.into_iter().chain(even).map(|(_, record)| record).collect();
    for shuffled in [reversed, rotated, dealt] {
        assert!(
            bodies(&fed(job, &shuffled)) == in_order,
            "{}: the order of records changes a summary",
            J::NAME
        );
    }
}

fn check_merge<J: Job>(job: &Arc<J>, records: &[(Owner, impl RecordValue)]) {
    let whole = bodies(&fed(job, records));
    for middle in [0, 1, records.len() / 2, records.len()] {
        let (left, right) = records.split_at(middle.min(records.len()));
        let mut merged: BTreeMap<Vec<u8>, J::Accumulator> = BTreeMap::new();
        for half in [fed(job, left), fed(job, right)] {
            for (key, accumulator) in half.cores().flat_map(|core| core.series().collect::<Vec<_>>()) {
                merged.entry(key.encode()).or_default().merge(&passed_on::<J>(accumulator));
            }
        }
        let merged: Bodies = merged
            .iter()
            .map(|(key, accumulator)| (key.clone(), job.summarize(accumulator).encode_to_vec()))
            .collect();
        assert!(merged == whole, "{}: halves split at {middle}, merged, differ from the whole", J::NAME);
    }
}

/// Returns the accumulator as another process would get it.
fn passed_on<J: Job>(accumulator: &J::Accumulator) -> J::Accumulator {
    let mut bytes = Vec::new();
    accumulator.encode(&mut bytes);
    let decoded = J::Accumulator::decode(&bytes);
    decoded.unwrap_or_else(|error| panic!("{}: an encoded accumulator cannot be read: {error}", J::NAME))
}

fn check_poison<J: Job>(job: &Arc<J>, records: &[(Owner, impl RecordValue)]) {
    for (owner, record) in records {
        let bytes = record.value();
        let mut bench = Bench::with(Arc::clone(job), None, 1);
        for place in 0..bytes.len().min(DAMAGED_BYTES) {
            let mut damaged = bytes.clone();
            damaged[place] = damaged[place].wrapping_add(0x55);
            bench = bench.feed_bytes(&owner.0, &bytes[..place]).feed_bytes(&owner.0, &damaged);
        }
        let _ = bench.advance_minutes(60);
    }
}

fn check_replay<J: Job>(job: &Arc<J>, records: &[(Owner, impl RecordValue)]) {
    let mut recording = Vec::new();
    for (index, (owner, record)) in records.iter().enumerate() {
        recording.push(RecordingStep::Feed(*owner, record.clone()));
        if index % 3 == 2 {
            recording.push(RecordingStep::Flush);
        }
        if index % 7 == 6 {
            recording.push(RecordingStep::AdvanceMinutes(1));
        }
    }
    crash_everywhere_shared(job, 2, &recording);
}
