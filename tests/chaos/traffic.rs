//! Raw records as a seed decides them: owners, process types, late and future measurements, frames that come
//! again, stamps that go back, and bytes that are no record at all.

use std::collections::VecDeque;
use std::sync::Arc;

use prost::Message;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_pipeline_proto::RecordOf;
use yahtzee_pipeline_proto::raw::{Flag, RouterRequest};
use yahtzee_runtime::log::NewRecord;

use crate::policy::{CLOCK_SKEW_MS, FUTURE, LATENESS, PARTITIONS, WINDOW_MS};
use crate::rng::Rng;

const OWNERS: usize = 40;
const PROCESS_TYPES: [&str; 3] = ["web", "api", "admin.é"];
const STATUSES: [u32; 5] = [200, 200, 200, 404, 503];
/// A measurement comes up to this many windows after its time; beyond [`LATENESS`] it is late.
const DELAY_MAX: u64 = LATENESS as u64 + 2;
/// Frames that may come again.
const RECENT: usize = 200;

/// The input of a run.
pub(crate) struct Traffic {
    rng: Rng,
    topic: Arc<str>,
    owners: Vec<Owner>,
    recent: VecDeque<RecordOf<RouterRequest>>,
}

impl Traffic {
    pub(crate) fn new(seed: u64, topic: &str) -> Self {
        let mut rng = Rng::new(seed);
        let owners = (0..OWNERS).map(|_| Owner(rng.bytes())).collect();
        Self { rng, topic: topic.into(), owners, recent: VecDeque::new() }
    }

    /// The next record of an ingress whose clock says about `now_ms`.
    pub(crate) fn next(&mut self, now_ms: i64) -> NewRecord {
        let skew_ms = if self.rng.one_in(4) { self.rng.below(CLOCK_SKEW_MS as u64) as i64 } else { 0 };
        let timestamp_ms = now_ms - skew_ms;
        if self.rng.one_in(100) {
            return self.poison(timestamp_ms);
        }
        let again = !self.recent.is_empty() && self.rng.one_in(20);
        let mut message = if again { self.seen_before() } else { self.fresh(timestamp_ms) };
        message.recv_us = timestamp_ms * 1_000;
        let owner = Owner::from_bytes(&message.owner).expect("16 bytes were put there");
        self.record(owner, timestamp_ms, message.encode_to_vec())
    }

    /// One record without measurements per partition: its stamp moves the watermark, as a heartbeat does.
    pub(crate) fn heartbeats(&mut self, timestamp_ms: i64) -> Vec<NewRecord> {
        (0..PARTITIONS).map(|partition| self.heartbeat(Partition(partition), timestamp_ms)).collect()
    }

    fn heartbeat(&mut self, partition: Partition, timestamp_ms: i64) -> NewRecord {
        let owner = loop {
            let owner = Owner(self.rng.bytes());
            if owner.partition(PARTITIONS) == partition {
                break owner;
            }
        };
        let recv_us = timestamp_ms * 1_000;
        let message = RecordOf::<RouterRequest> { owner: owner.0.to_vec(), recv_us, ..RecordOf::default() };
        self.record(owner, timestamp_ms, message.encode_to_vec())
    }

    fn seen_before(&mut self) -> RecordOf<RouterRequest> {
        let index = self.rng.below(self.recent.len() as u64) as usize;
        self.recent[index].clone()
    }

    fn fresh(&mut self, timestamp_ms: i64) -> RecordOf<RouterRequest> {
        // The square makes the first owners the busy ones.
        let share = self.rng.below(1_000) as usize;
        let owner = self.owners[share * share * OWNERS / 1_000_000];
        let requests = (0..self.rng.between(1, 4)).map(|index| self.request(index as u32, timestamp_ms));
        let measurements = requests.collect();
        let frame_id = if self.rng.one_in(50) { Vec::new() } else { self.rng.bytes::<16>().to_vec() };
        let message = RecordOf { owner: owner.0.to_vec(), frame_id, measurements, ..RecordOf::default() };
        self.recent.push_back(message.clone());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        message
    }

    fn request(&mut self, frame_index: u32, timestamp_ms: i64) -> RouterRequest {
        let rng = &mut self.rng;
        let is_websocket = rng.one_in(50);
        let status = STATUSES[rng.below(STATUSES.len() as u64) as usize];
        let chance = |rng: &mut Rng, value: u64| (!rng.one_in(30)).then_some(value);
        RouterRequest {
            time_us: (timestamp_ms + offset_ms(rng)) * 1_000 + rng.below(1_000) as i64,
            process_type: PROCESS_TYPES[rng.below(PROCESS_TYPES.len() as u64) as usize].to_owned(),
            frame_index,
            flags: if rng.one_in(60) { Flag::NotARequest as u32 } else { 0 },
            status: (!rng.one_in(40)).then_some(if is_websocket { 101 } else { status }),
            service_ms: (!rng.one_in(30)).then(|| service_ms(rng)),
            connect_ms: (!rng.one_in(30)).then(|| rng.below(20) as u32),
            bytes: {
                let bytes = rng.below(50_000);
                chance(rng, bytes)
            },
            ..RouterRequest::default()
        }
    }

    fn poison(&mut self, timestamp_ms: i64) -> NewRecord {
        let owner = self.owners[self.rng.below(OWNERS as u64) as usize];
        let tag = self.rng.bytes::<8>();
        let valid =
            || RecordOf::<RouterRequest> { drain: tag.to_vec(), ..RecordOf::default() }.encode_to_vec();
        match self.rng.below(3) {
            0 => {
                let mut record = self.record(owner, timestamp_ms, valid());
                record.key.truncate(7);
                record
            }
            1 => {
                let mut record = self.record(owner, timestamp_ms, valid());
                record.partition.0 = (record.partition.0 + 1) % PARTITIONS;
                record
            }
            // Field number 0, which protobuf does not have.
            _ => self.record(owner, timestamp_ms, [&[0_u8][..], &tag].concat()),
        }
    }

    fn record(&self, owner: Owner, timestamp_ms: i64, value: Vec<u8>) -> NewRecord {
        NewRecord {
            topic: Arc::clone(&self.topic),
            partition: owner.partition(PARTITIONS),
            timestamp_ms,
            key: owner.0.to_vec(),
            value,
            headers: Vec::new(),
        }
    }
}

/// Event time less receive time: mostly small, sometimes up to [`DELAY_MAX`] windows, sometimes in the future.
fn offset_ms(rng: &mut Rng) -> i64 {
    let window_ms = WINDOW_MS as u64;
    match rng.below(10) {
        0..=5 => -(rng.below(window_ms) as i64),
        6..=8 => -(rng.below(DELAY_MAX * window_ms) as i64),
        _ => rng.below((FUTURE as u64 + 2) * window_ms) as i64,
    }
}

/// Mostly short, with a long tail.
fn service_ms(rng: &mut Rng) -> u32 {
    let scale = [10, 100, 1_000, 30_000][rng.below(4) as usize];
    rng.below(scale) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_the_records() {
        let records = |seed| -> Vec<NewRecord> {
            let mut traffic = Traffic::new(seed, "RAW");
            (0..500).map(|index| traffic.next(1_000_000 + index)).collect()
        };
        assert_eq!(records(7), records(7));
        assert_ne!(records(7), records(8));
    }

    #[test]
    fn a_heartbeat_lies_where_its_owner_belongs() {
        let records = Traffic::new(1, "RAW").heartbeats(5);
        let partitions: Vec<u32> = records.iter().map(|record| record.partition.0).collect();
        assert_eq!(partitions, Vec::from_iter(0..PARTITIONS));
        let belongs = |record: &NewRecord| {
            Owner::from_bytes(&record.key).map(|owner| owner.partition(PARTITIONS)) == Some(record.partition)
        };
        assert!(records.iter().all(belongs));
    }
}
