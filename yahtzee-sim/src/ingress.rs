//! Ingress: several nodes with clocks of their own, and drains that deliver a frame more than once.

use std::collections::BTreeMap;

use prost::Message;
use yahtzee_core::owner::Owner;
use yahtzee_core::record::Poison;

use crate::config::Config;
use crate::job::{Measurement, SimRecord};
use crate::ops::Op;
use crate::raw::{RawLog, RawRecord, foreign_owners, owner};
use crate::shell::{Delivery, ShellRules};

/// Nodes of the simulated ingress; their clocks differ by at most the configured skew, unless one is set wrong.
pub(crate) const NODES: usize = 3;
/// Most measurements of one frame; gives every measurement an id of its own.
const FRAME_MEASUREMENTS_MAX: u64 = 64;

/// All ingress nodes, and the drains behind them.
#[derive(Debug)]
pub(crate) struct Ingress {
    config: Config,
    rules: &'static dyn ShellRules,
    frames: BTreeMap<u64, Frame>,
    /// Last stamp of each node: stamps of a process do not go back, unless its clock was set.
    stamps_ms: [i64; NODES],
    /// How far the clock of each node is ahead of where it belongs.
    ahead_ms: [i64; NODES],
    foreign_owners: Vec<Owner>,
    /// An owner whose measurements are left out, its records only.
    pub(crate) silenced: Option<u64>,
}

#[derive(Debug)]
struct Frame {
    deliveries: u64,
    /// Measurements of each owner.
    parts: BTreeMap<u64, Vec<Measurement>>,
}

impl Ingress {
    pub(crate) fn new(config: Config, rules: &'static dyn ShellRules) -> Self {
        let foreign_owners = foreign_owners(config.partition_count());
        let (frames, stamps_ms, ahead_ms) = (BTreeMap::new(), [i64::MIN; NODES], [0; NODES]);
        Self { config, rules, frames, stamps_ms, ahead_ms, foreign_owners, silenced: None }
    }

    /// Applies the operation to the raw topic if it is one of ingress's or the log's own.
    pub(crate) fn apply(&mut self, op: &Op, logs: &mut [RawLog], now_ms: i64) {
        let log_of = |partition: u64| (partition % self.config.partitions) as usize;
        match op {
            Op::Frame { frame, owners, node, measurements } => {
                self.frame(*frame, *owners, measurements, now_ms);
                self.deliver(*frame, *node, logs, now_ms);
            }
            Op::Redeliver { frame, node } => self.deliver(*frame, *node, logs, now_ms),
            Op::Poison { partition, kind } => self.poison(log_of(*partition), *kind, logs, now_ms),
            Op::Heartbeat { partition } => self.heartbeat(log_of(*partition), logs, now_ms),
            Op::Clock { node, ahead_ms } => {
                self.ahead_ms[(node % NODES as u64) as usize] = i64::try_from(*ahead_ms).unwrap_or(0);
            }
            Op::Control { partition } => logs[log_of(*partition)].append_control(),
            Op::Hold { partition, is_held } => logs[log_of(*partition)].hold(*is_held),
            Op::Truncate { partition, permille } => logs[log_of(*partition)].truncate(*permille),
            Op::LoseTail { partition, records } => logs[log_of(*partition)].lose_tail(*records),
            Op::Recreate => logs.iter_mut().for_each(RawLog::recreate),
            _ => {}
        }
    }

    fn frame(&mut self, frame: u64, owners: (u64, u64), measurements: &[(i64, u32)], now_ms: i64) {
        let measurements =
            measurements.iter().zip(0..FRAME_MEASUREMENTS_MAX).map(|(&(ms, dimension), place)| {
                let id = frame * FRAME_MEASUREMENTS_MAX + place;
                let owner = if place % 2 == 0 { owners.0 } else { owners.1 };
                (owner, Measurement { time_ms: now_ms + ms, dimension, id })
            });
        let mut parts = BTreeMap::<u64, Vec<Measurement>>::new();
        for (owner, measurement) in measurements {
            parts.entry(owner).or_default().push(measurement);
        }
        self.frames.insert(frame, Frame { parts, deliveries: 0 });
    }

    /// Writes one raw record per owner of the frame.
    fn deliver(&mut self, number: u64, node: u64, logs: &mut [RawLog], now_ms: i64) {
        let received_ms = self.received_ms(node, now_ms);
        let Some(frame) = self.frames.get_mut(&number) else { return };
        let delivery = Delivery { frame: number, node, nth: frame.deliveries };
        frame.deliveries += 1;
        let frame = &self.frames[&number];
        let hashed_to = self.rules.partitions_hashed_to(self.config.partition_count(), number);
        for (&of_owner, measurements) in &frame.parts {
            let (frame_id, filling) = (self.rules.frame_id(delivery), self.config.filling_of(number));
            let mut record = SimRecord { frame_id, filling, ..SimRecord::default() };
            if self.silenced != Some(of_owner) {
                record.measurements.clone_from(measurements);
            }
            for measurement in &mut record.measurements {
                measurement.time_ms = self.rules.event_ms(delivery, measurement.time_ms, received_ms);
            }
            let event_ms = record.measurements.iter().map(|measurement| measurement.time_ms).max();
            let owner = owner(of_owner);
            let log = &mut logs[owner.partition(hashed_to).0 as usize % self.config.partitions as usize];
            let record = RawRecord {
                timestamp_ms: self.rules.stamp_ms(received_ms, event_ms),
                key: owner.0.to_vec(),
                value: record.encode_to_vec(),
                is_honest: true,
                appended_at_ms: now_ms,
            };
            self.append(log, record);
        }
    }

    fn heartbeat(&mut self, partition: usize, logs: &mut [RawLog], now_ms: i64) {
        let timestamp_ms = self.received_ms(0, now_ms);
        let (key, value) = (Vec::new(), Vec::new());
        let record = RawRecord { timestamp_ms, key, value, is_honest: true, appended_at_ms: now_ms };
        self.append(&mut logs[partition], record);
    }

    /// A record that must become a dead letter, for each of the reasons there are.
    fn poison(&mut self, partition: usize, kind: u64, logs: &mut [RawLog], now_ms: i64) {
        let timestamp_ms = self.received_ms(0, now_ms);
        let own = self.foreign_owners[partition];
        let foreign = self.foreign_owners[(partition + 1) % self.foreign_owners.len()];
        let mut record = RawRecord {
            timestamp_ms,
            key: own.0.to_vec(),
            value: Vec::new(),
            is_honest: false,
            appended_at_ms: now_ms,
        };
        match POISONS[(kind % POISONS.len() as u64) as usize] {
            // Without a key at all it is no heartbeat either: that has no value.
            Poison::Key => {
                record.key.truncate(if now_ms % 2 == 0 { 0 } else { 15 });
                record.value = vec![1];
            }
            Poison::Timestamp => record.timestamp_ms = -1,
            Poison::Value => record.value = vec![0xff; 3 + self.config.large_bytes as usize],
            Poison::Partition => record.key = foreign.0.to_vec(),
            Poison::Panic => {
                record.value = SimRecord { panics: true, ..SimRecord::default() }.encode_to_vec()
            }
        }
        self.append(&mut logs[partition], record);
    }

    fn received_ms(&mut self, node: u64, now_ms: i64) -> i64 {
        let node = (node % NODES as u64) as usize;
        let half_ms = self.config.timestamp_ahead_max_ms();
        let stamp_ms = now_ms + [0, half_ms, -half_ms][node] + self.ahead_ms[node];
        // A step back that the log would refuse the stamps of is followed.
        let is_step_back = self.stamps_ms[node].saturating_sub(stamp_ms) > half_ms;
        self.stamps_ms[node] = if is_step_back { stamp_ms } else { self.stamps_ms[node].max(stamp_ms) };
        self.stamps_ms[node]
    }

    /// Appends a record, if the log takes its stamp. Who sent it sends it again otherwise, perhaps through another node.
    fn append(&self, log: &mut RawLog, record: RawRecord) {
        let ahead_max_ms = self.config.timestamp_ahead_max_ms();
        if self.rules.log_takes(record.timestamp_ms, record.appended_at_ms, ahead_max_ms) {
            log.append(record);
        }
    }
}

const POISONS: [Poison; 5] =
    [Poison::Key, Poison::Timestamp, Poison::Value, Poison::Partition, Poison::Panic];
