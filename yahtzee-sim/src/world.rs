//! The world: everything there is, and how an operation changes it.

use std::collections::BTreeMap;

use yahtzee_core::assignment::{WorkerIndex, slots_of};

use crate::broker::Broker;
use crate::config::Config;
use crate::delivery::{Batch, Deliveries, SINKS, STORES};
use crate::ingress::Ingress;
use crate::mutants::Mutant;
use crate::ops::{Fault, Op};
use crate::raw::RawLog;
use crate::slot::{Holder, Outside, Slot};
use crate::watch::Watch;

/// Simulated time starts here, in window lengths.
const START_WINDOWS: u64 = 1_000;
/// Steps after which a process that still has something to do is interrupted.
const TURN_STEPS_MAX: usize = 2_000;
/// The same where a write may be a single effect, which takes several steps.
const TURN_STEPS_OF_SMALL_WRITES_MAX: usize = 4_000;
/// Records of a batch where nothing else is asked for.
const TURN_RECORDS: usize = 64;

/// A worker process.
struct Process {
    slots: Vec<Slot>,
}

/// See the module.
pub(crate) struct World<'m> {
    pub(crate) config: Config,
    pub(crate) mutant: &'m Mutant,
    pub(crate) now_ms: i64,
    pub(crate) logs: Vec<RawLog>,
    pub(crate) broker: Broker,
    pub(crate) deliveries: Deliveries<'m>,
    pub(crate) watch: Watch,
    ingress: Ingress,
    processes: BTreeMap<u64, Process>,
    /// Versions of the fold that have run.
    pub(crate) versions: Vec<u32>,
}

impl<'m> World<'m> {
    pub(crate) fn new(config: Config, mutant: &'m Mutant) -> Self {
        Self {
            config,
            mutant,
            now_ms: start_ms(&config),
            logs: vec![RawLog::default(); config.partition_count() as usize],
            broker: Broker::default(),
            deliveries: Deliveries::new(mutant),
            watch: Watch::default(),
            ingress: Ingress::new(config, mutant.shell),
            processes: BTreeMap::new(),
            versions: Vec::new(),
        }
    }

    /// Applies one operation; one that does not apply changes nothing.
    pub(crate) fn apply(&mut self, op: &Op) {
        self.broker.now_ms = self.now_ms;
        match *op {
            Op::Advance { ms } => {
                self.advance(ms);
            }
            // Without its commits a partition would rightly be anybody's.
            Op::Expire { .. } if self.config.other_setting > 0 || self.config.loses_logs > 0 => {}
            Op::Expire { partition, generation } => {
                let partition = u32::try_from(partition % self.config.partitions).unwrap_or(0);
                self.broker.expire(u32::try_from(generation).unwrap_or(0), partition);
            }
            Op::Recreate => {
                self.broker.delete_raw_topic();
                self.ingress.apply(op, &mut self.logs, self.now_ms);
            }
            Op::Foreign { is_there } => self.broker.has_foreign_subscriber = is_there,
            Op::Restart => {
                self.broker.network.clear();
                for process in self.processes() {
                    self.with_slots(process, |slots, outside| {
                        slots.iter_mut().for_each(|slot| slot.lose_connection(outside));
                    });
                }
                (0..STORES).for_each(|store| self.deliveries.lose_connection(store as u64));
            }
            Op::Deliver { nth } => self.deliver(nth),
            Op::Start { process, generation, index, count } => self.start(process, generation, index, count),
            Op::Kill { process } => {
                self.watch.crashes += u64::from(self.processes.remove(&process).is_some());
            }
            Op::Drain { process } => self.with_slots(process, |slots, outside| {
                slots.iter_mut().for_each(|slot| slot.drain(outside));
            }),
            Op::Step { process, slot, records, fault } => self.with_slots(process, |slots, outside| {
                let count = slots.len().max(1) as u64;
                if let Some(slot) = slots.get_mut((slot % count) as usize) {
                    slot.step(usize::try_from(records).unwrap_or(1), fault, outside);
                }
            }),
            Op::Turn { process } => self.with_slots(process, |slots, outside| {
                slots.iter_mut().for_each(|slot| turn(slot, outside));
            }),
            Op::Compact { permille } => self.compact(permille),
            Op::Sink { sink, records, is_reversed, crashes } => {
                let records = usize::try_from(records).unwrap_or(1);
                let batch = Batch { records, is_reversed, crashes };
                let sink = (sink % SINKS as u64) as usize;
                self.deliveries.sink(sink, batch, &self.broker, &mut self.watch.findings);
            }
            Op::Retry { store, records, crashes } => {
                let records = usize::try_from(records).unwrap_or(1);
                let batch = Batch { records, is_reversed: false, crashes };
                let store = (store % STORES as u64) as usize;
                self.deliveries.retry(store, batch, &self.broker, &mut self.watch.findings);
            }
            Op::Reopen { store } => self.deliveries.lose_connection(store),
            Op::Shard { store, shard, fault } => self.deliveries.set_fault(store, shard, fault),
            Op::Backup { store, shard } => self.deliveries.back_up(store, shard),
            Op::Restore { store, shard } => self.deliveries.restore(store, shard),
            Op::Refuse { store, is_picky, refuses_appends } => {
                self.deliveries.set_refusals(store, is_picky, refuses_appends);
            }
            _ => self.ingress.apply(op, &mut self.logs, self.now_ms),
        }
    }

    fn advance(&mut self, ms: u64) {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        self.now_ms = self.now_ms.saturating_add(signed(ms));
        self.broker.now_ms = self.now_ms;
        self.deliveries.advance(ms);
        self.broker.time_out_transactions(signed(self.config.transaction_timeout_ms));
        if self.config.offset_retention_ms > 0 {
            self.broker.expire_old(signed(self.config.offset_retention_ms));
        }
    }

    fn with_slots(&mut self, process: u64, each: impl FnOnce(&mut [Slot], &mut Outside<'_>)) {
        let Some(process) = self.processes.get_mut(&process) else { return };
        let mut outside = Outside {
            config: &self.config,
            mutant: self.mutant,
            broker: &mut self.broker,
            logs: &self.logs,
            watch: &mut self.watch,
        };
        each(&mut process.slots, &mut outside);
    }

    fn start(&mut self, process: u64, generation: u64, index: u64, count: u64) {
        let small = |number: u64| u32::try_from(number).unwrap_or(0);
        let Ok(worker) = WorkerIndex::new(small(index), small(count)) else { return };
        let version = small(generation);
        let holder = Holder { process, version, index, count, started_ms: self.now_ms };
        let has_commit = |partition| self.broker.committed(version, partition).is_some();
        let is_last = process >= crate::settle::LAST_PROCESSES;
        let config = match !is_last && (0..self.config.partition_count()).all(has_commit) {
            true => self.config.of_process(process),
            false => self.config,
        };
        let slots = slots_of(worker, config.slot_count());
        let topic = self.logs[0].topic;
        let slots = slots.map(|slot| Slot::new(slot, holder, &config, topic, self.mutant)).collect();
        self.processes.insert(process, Process { slots });
        if !self.versions.contains(&version) {
            self.versions.push(version);
        }
    }

    fn deliver(&mut self, nth: u64) {
        if !self.broker.network.is_empty() {
            let index = nth as usize % self.broker.network.len();
            let request = self.broker.network.remove(index);
            self.broker.apply(request);
        }
    }

    /// Compaction waits for no sink, however far it lags.
    fn compact(&mut self, permille: u64) {
        if self.mutant.shell.compacts_summaries(self.config.is_topic_exact()) {
            let end = self.broker.topic.len() as u64 * permille.min(1_000) / 1_000;
            self.broker
                .compact(end as usize, |key, generation| self.mutant.shell.record_key(key, generation));
        }
    }

    /// Numbers of the processes that are there.
    pub(crate) fn processes(&self) -> Vec<u64> {
        self.processes.keys().copied().collect()
    }

    /// Whether every partition of a process is read up to the end that it was told of.
    pub(crate) fn caught_up(&self, process: u64) -> Vec<(u32, bool)> {
        let slots = self.processes.get(&process).into_iter().flat_map(|process| &process.slots);
        slots.flat_map(Slot::caught_up).collect()
    }

    /// Hash of everything that happened.
    pub(crate) fn trace_hash(&self) -> u64 {
        let mut trace = self.broker.trace;
        self.deliveries.trace(&mut trace);
        for number in [self.watch.records, self.watch.crashes, self.watch.zombies, self.now_ms.unsigned_abs()]
        {
            trace.word(number);
        }
        for log in &self.logs {
            trace.word(log.end());
            trace.word(log.start);
            trace.word(log.life() as u64);
        }
        trace.hash()
    }
}

fn turn(slot: &mut Slot, outside: &mut Outside<'_>) {
    let has_small_writes = outside.config.write_bytes_max > 0;
    let steps_max = if has_small_writes { TURN_STEPS_OF_SMALL_WRITES_MAX } else { TURN_STEPS_MAX };
    for _ in 0..steps_max {
        if slot.is_idle(outside) {
            return;
        }
        slot.step(TURN_RECORDS, Fault::None, outside);
    }
}

/// When simulated time starts.
pub(crate) fn start_ms(config: &Config) -> i64 {
    i64::try_from(START_WINDOWS * config.length_ms).expect("drawn far below 2^63")
}
