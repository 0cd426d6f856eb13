//! Raw records generated from a seed: owners, process types, late and future measurements, frames delivered again,
//! timestamps that go back, and bytes that are no record.

use std::collections::VecDeque;

use prost::Message;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_pipeline_proto::RecordOf;
use yahtzee_pipeline_proto::raw::{Flag, RouterRequest};

use crate::rng::Rng;
use crate::zipf::Zipf;

const OWNERS: usize = 40;
const PROCESS_TYPES: [&str; 3] = ["web", "api", "admin.é"];
const STATUSES: [u32; 5] = [200, 200, 200, 404, 503];
/// Maximum number of windows by which measurements exceed the policy.
const BEYOND_WINDOWS: u32 = 2;
/// Number of recent frames that may be delivered again.
const RECENT: usize = 200;

/// A raw record, well-formed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostileRecord {
    /// Partition it is written to; in some unusable records not that of the owner.
    pub partition: Partition,
    /// Log timestamp, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Owner; too short in some unusable records.
    pub key: Vec<u8>,
    /// A [`RecordOf`] requests, or bytes that do not decode as one.
    pub value: Vec<u8>,
}

/// Limits of the jobs; the traffic exceeds each of them now and then.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Partitions of the raw topic.
    pub partitions: u32,
    /// Length of a window, in milliseconds.
    pub window_ms: u32,
    /// Windows behind the watermark's own that are accepted.
    pub lateness_windows: u32,
    /// Windows ahead of a record's own stamp that are accepted.
    pub future_windows: u32,
    /// Greatest difference between two timestamps made at the same time; the traffic keeps this limit.
    pub clock_skew_ms: u32,
}

/// An endless stream of raw records, some of which exceed every limit.
#[derive(Clone, Debug)]
pub struct HostileTraffic {
    rng: Rng,
    limits: Limits,
    owners: Vec<Owner>,
    busy: Zipf,
    recent: VecDeque<RecordOf<RouterRequest>>,
}

impl HostileTraffic {
    /// Creates the traffic of `seed` for jobs with these limits.
    #[must_use]
    pub fn new(seed: u64, limits: Limits) -> Self {
        let mut rng = Rng::new(seed);
        let owners = (0..OWNERS).map(|_| Owner(rng.bytes())).collect();
        Self { rng, limits, owners, busy: Zipf::new(OWNERS), recent: VecDeque::new() }
    }

    /// Returns the next record of an ingress whose clock says about `now_ms`.
    pub fn next(&mut self, now_ms: i64) -> HostileRecord {
        let skew_ms =
            if self.rng.one_in(4) { self.rng.below(self.limits.clock_skew_ms.into()) as i64 } else { 0 };
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

    /// Returns one record without measurements per partition: its stamp moves the watermark, as a heartbeat does.
    pub fn heartbeats(&mut self, timestamp_ms: i64) -> Vec<HostileRecord> {
        (0..self.limits.partitions)
            .map(|partition| self.heartbeat(Partition(partition), timestamp_ms))
            .collect()
    }

    fn heartbeat(&mut self, partition: Partition, timestamp_ms: i64) -> HostileRecord {
        let owner = loop {
            let owner = Owner(self.rng.bytes());
            if owner.partition(self.limits.partitions) == partition {
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
        let owner = self.owners[self.busy.draw(&mut self.rng)];
        let requests = (0..self.rng.from_to(1, 4)).map(|index| self.request(index as u32, timestamp_ms));
        let measurements = requests.collect();
        let frame_id = if self.rng.one_in(50) { Vec::new() } else { self.rng.bytes().to_vec() };
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
        let status = rng.pick(&STATUSES);
        let chance = |rng: &mut Rng, value: u64| (!rng.one_in(30)).then_some(value);
        RouterRequest {
            time_us: (timestamp_ms + offset_ms(self.limits, rng)) * 1_000 + rng.below(1_000) as i64,
            process_type: rng.pick(&PROCESS_TYPES).to_owned(),
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

    fn poison(&mut self, timestamp_ms: i64) -> HostileRecord {
        let owner = self.owners[self.rng.below(OWNERS as u64) as usize];
        let tag = self.rng.bits().to_be_bytes();
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
                record.partition.0 = (record.partition.0 + 1) % self.limits.partitions;
                record
            }
            // Field number 0, which protobuf does not have.
            _ => self.record(owner, timestamp_ms, [&[0_u8][..], &tag].concat()),
        }
    }

    fn record(&self, owner: Owner, timestamp_ms: i64, value: Vec<u8>) -> HostileRecord {
        HostileRecord {
            partition: owner.partition(self.limits.partitions),
            timestamp_ms,
            key: owner.0.to_vec(),
            value,
        }
    }
}

/// Draws event time less receive time: mostly small, sometimes late by up to [`BEYOND_WINDOWS`], sometimes early by as
/// much.
fn offset_ms(limits: Limits, rng: &mut Rng) -> i64 {
    let windows_ms = |windows: u32| u64::from(limits.window_ms) * u64::from(windows);
    match rng.below(10) {
        0..=5 => -(rng.below(windows_ms(1)) as i64),
        6..=8 => -(rng.below(windows_ms(limits.lateness_windows + BEYOND_WINDOWS)) as i64),
        _ => rng.below(windows_ms(limits.future_windows + BEYOND_WINDOWS)) as i64,
    }
}

/// Draws a service time: mostly short, with a long tail.
fn service_ms(rng: &mut Rng) -> u32 {
    let scale = rng.pick(&[10, 100, 1_000, 30_000]);
    rng.below(scale) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITIONS: u32 = 8;
    const LIMITS: Limits = Limits {
        partitions: PARTITIONS,
        window_ms: 1_000,
        lateness_windows: 5,
        future_windows: 1,
        clock_skew_ms: 2_000,
    };

    fn traffic(seed: u64) -> HostileTraffic {
        HostileTraffic::new(seed, LIMITS)
    }

    #[test]
    fn the_seed_decides_the_records() {
        let records = |seed| -> Vec<HostileRecord> {
            let mut traffic = traffic(seed);
            (0..500).map(|index| traffic.next(1_000_000 + index)).collect()
        };
        assert_eq!(records(7), records(7));
        assert_ne!(records(7), records(8));
    }

    #[test]
    fn a_heartbeat_lies_where_its_owner_belongs() {
        let records = traffic(1).heartbeats(5);
        let partitions: Vec<u32> = records.iter().map(|record| record.partition.0).collect();
        assert_eq!(partitions, Vec::from_iter(0..PARTITIONS));
        let belongs = |record: &HostileRecord| {
            Owner::from_bytes(&record.key).map(|owner| owner.partition(PARTITIONS)) == Some(record.partition)
        };
        assert!(records.iter().all(belongs));
    }

    /// Without records on either side of a limit, no mistake at it would be noticed.
    #[test]
    fn every_limit_is_overstepped() {
        let mut traffic = traffic(3);
        let records: Vec<HostileRecord> = (0..5_000).map(|_| traffic.next(1_000_000_000)).collect();
        let messages =
            || records.iter().filter_map(|record| RecordOf::<RouterRequest>::decode(&*record.value).ok());
        let offsets_ms: Vec<i64> = messages()
            .flat_map(|message| {
                let recv_us = message.recv_us;
                message.measurements.into_iter().map(move |request| (request.time_us - recv_us) / 1_000)
            })
            .collect();
        let windows_ms = |windows: u32| i64::from(LIMITS.window_ms) * i64::from(windows);
        let (late, early) = (windows_ms(LIMITS.lateness_windows + 1), windows_ms(LIMITS.future_windows + 1));
        assert!(
            offsets_ms.iter().any(|&offset| offset < -late)
                && offsets_ms.iter().any(|&offset| offset > early)
        );
        let mut frame_ids: Vec<Vec<u8>> = messages().map(|message| message.frame_id).collect();
        let all = frame_ids.len();
        frame_ids.sort_unstable();
        frame_ids.dedup();
        assert!(frame_ids.len() < all, "frames come again");
        assert!(records.iter().any(|record| record.key.len() != 16), "poison");
        assert!(messages().count() < records.len(), "bytes that are no message");
    }
}
