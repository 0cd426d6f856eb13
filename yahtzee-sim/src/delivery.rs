//! Stores and what fills them: sinks, retry processes, RETRY and QUARANTINE. What a process remembers and decides is
//! `yahtzee_core::delivery`, as in production; here are the topics, the store, the faults and the crashes.

use std::collections::BTreeMap;
use std::time::Duration;

use yahtzee_core::delivery::Deliverable;
use yahtzee_core::summary::Provenance;

use crate::broker::{Body, Broker};
use crate::failure::{Findings, Property};
use crate::mutants::Mutant;
use crate::rng::mix;
use crate::shell::ShellRules;
use crate::trace::Trace;

mod database;
mod process;
mod row;
mod store;

use database::{Database, OrphanWrite};
use process::{Process, Role};
pub(crate) use row::SimRow;
use store::put;
pub(crate) use store::{Store, StoreFault};

/// Which store each sink writes to: the second has two, which share a consumer group, as where a platform starts the
/// new process before the old one has stopped.
const STORE_OF_SINK: [usize; 3] = [0, 1, 1];
/// Stores.
pub(crate) const STORES: usize = 2;
/// Sinks.
pub(crate) const SINKS: usize = STORE_OF_SINK.len();
/// Shards of each store, each with its own partition of RETRY.
pub(crate) const SHARDS: usize = 2;
/// Rounds after which everything must have come to rest.
const ROUNDS_MAX: usize = 60;
/// Time between two of them: longer than any back-off.
const ROUND: Duration = Duration::from_secs(5);
/// Records of a step where nothing else is asked for.
const STEP_RECORDS: usize = 1 << 20;

/// How a process goes about one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) records: usize,
    pub(crate) is_reversed: bool,
    pub(crate) crashes: bool,
}

/// The surroundings of one store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    pub(crate) faults: [StoreFault; SHARDS],
    /// Some rows are refused as they are.
    pub(crate) is_picky: bool,
    /// RETRY and QUARANTINE take no record.
    pub(crate) refuses_appends: bool,
    /// Partitions of RETRY.
    pub(crate) retry: [Vec<SimRow>; SHARDS],
    pub(crate) quarantine: Vec<SimRow>,
    /// What the retry process has committed.
    retry_committed: [Committed; SHARDS],
    /// What the group of the sinks has committed.
    committed: Committed,
    /// Marks and backups of the databases of the shards.
    databases: [Database; SHARDS],
    /// Writes of dead processes that the store has not answered yet.
    orphans: Vec<OrphanWrite>,
    /// Rows written so far, by which flaky shards fail.
    asked: u64,
    /// Openings of sources so far, and writes without an answer: each writes under an id of its own.
    openings: u64,
}

/// An offset of a group, with what was committed with it.
#[derive(Clone, Debug, Default)]
struct Committed {
    offset: usize,
    metadata: String,
}

/// Everything around the stores.
pub(crate) struct Deliveries<'m> {
    mutant: &'m Mutant,
    pub(crate) stores: [Store; STORES],
    pub(crate) around: [Surroundings; STORES],
    sinks: Vec<Process>,
    retries: Vec<Process>,
    now: Duration,
    steps: u64,
    crashes: u64,
}

impl<'m> Deliveries<'m> {
    pub(crate) fn new(mutant: &'m Mutant) -> Self {
        Self {
            mutant,
            stores: Default::default(),
            around: Default::default(),
            sinks: STORE_OF_SINK.map(|_| Process::new(Role::Sink, mutant.delivery)).into(),
            retries: (0..STORES).map(|_| Process::new(Role::Retry, mutant.delivery)).collect(),
            now: Duration::ZERO,
            steps: 0,
            crashes: 0,
        }
    }

    pub(crate) fn advance(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// The processes before a store have to open their sources again; what waits in memory is still there.
    pub(crate) fn lose_connection(&mut self, store: u64) {
        let store = store as usize % STORES;
        let sinks = self.sinks.iter_mut().zip(STORE_OF_SINK).filter(|(_, of_sink)| *of_sink == store);
        sinks.for_each(|(sink, _)| sink.lose_connection());
        self.retries[store].lose_connection();
    }

    /// Breaks or repairs a shard.
    pub(crate) fn set_fault(&mut self, store: u64, shard: u64, fault: StoreFault) {
        self.around[store as usize % STORES].faults[shard as usize % SHARDS] = fault;
    }

    /// Backs up the database of a shard.
    pub(crate) fn back_up(&mut self, store: u64, shard: u64) {
        let (store, shard) = (store as usize % STORES, shard as usize % SHARDS);
        self.around[store].databases[shard].back_up(shard, &self.stores[store]);
    }

    /// Sets the database of a shard back to its backup.
    pub(crate) fn restore(&mut self, store: u64, shard: u64) {
        let (store, shard) = (store as usize % STORES, shard as usize % SHARDS);
        self.around[store].databases[shard].restore(shard, &mut self.stores[store]);
    }

    /// Lets a store refuse some rows as they are, or all RETRY and QUARANTINE records of its processes.
    pub(crate) fn set_refusals(&mut self, store: u64, is_picky: bool, refuses_appends: bool) {
        let around = &mut self.around[store as usize % STORES];
        (around.is_picky, around.refuses_appends) = (is_picky, refuses_appends);
    }

    /// Lets a sink take a step.
    pub(crate) fn sink(&mut self, sink: usize, batch: Batch, broker: &Broker, findings: &mut Findings) {
        self.step((Role::Sink, sink), batch, broker, findings);
    }

    /// Lets the retry process of a store take a step.
    pub(crate) fn retry(&mut self, store: usize, batch: Batch, broker: &Broker, findings: &mut Findings) {
        self.step((Role::Retry, store), batch, broker, findings);
    }

    fn step(&mut self, (role, index): (Role, usize), batch: Batch, broker: &Broker, findings: &mut Findings) {
        self.steps += 1;
        let (process, store) = match role {
            Role::Sink => (&mut self.sinks[index], STORE_OF_SINK[index]),
            Role::Retry => (&mut self.retries[index], index),
        };
        let mut outside = Outside {
            rows: &mut self.stores[store],
            around: &mut self.around[store],
            broker,
            mutant: self.mutant,
            findings,
            now: self.now,
            jitter: mix(self.steps),
        };
        outside.answer_orphans();
        if !process.step(batch, &mut outside) {
            self.crashes += 1;
            process.abandon(&mut outside);
            *process = Process::new(role, self.mutant.delivery);
        }
    }

    /// The end of a run. First nothing is repaired but the log, and a shard that is down must hold up nobody; then
    /// everything is, an operator requeues what was quarantined, and all must come to rest.
    pub(crate) fn settle(&mut self, broker: &Broker, findings: &mut Findings) {
        self.around.iter_mut().for_each(|around| around.refuses_appends = false);
        let mut reopened = Vec::new();
        if self.around.iter().any(|around| around.faults != <[StoreFault; SHARDS]>::default()) {
            (0..4).for_each(|_| self.round(broker, findings));
            (0..SINKS).for_each(|sink| self.check_isolation(sink, broker, findings));
        }
        for (store, around) in (0..).zip(&mut self.around) {
            (around.faults, around.is_picky) = (Default::default(), false);
            around.requeue();
            // Who restores a database starts what writes to it anew: without a further summary nobody would look.
            if around.databases.iter_mut().any(Database::was_restored) {
                reopened.push(store);
            }
        }
        reopened.into_iter().for_each(|store| self.lose_connection(store));
        let is_at_rest = |it: &Self| {
            let all = (0..STORES).map(|store| &it.around[store]);
            all.clone().all(|around| around.is_at_rest(broker)) && it.processes().all(Process::is_at_rest)
        };
        for _ in 0..ROUNDS_MAX {
            self.round(broker, findings);
            if is_at_rest(self) {
                return;
            }
        }
        for (store, around) in self.around.iter().enumerate() {
            let (retry, quarantine) = (around.retry.each_ref().map(Vec::len), around.quarantine.len());
            findings.fail(Property::Stores, || {
                format!(
                    "store {store} does not come to rest: {} of {} summaries, {:?} of {retry:?} in RETRY committed, {quarantine} in QUARANTINE",
                    around.committed.offset, broker.last_stable_offset(), around.retry_offsets(),
                )
            });
        }
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.sinks.iter().chain(&self.retries)
    }

    /// Every process takes a step, after a time in which every back-off has ended.
    fn round(&mut self, broker: &Broker, findings: &mut Findings) {
        let batch = Batch { records: STEP_RECORDS, is_reversed: false, crashes: false };
        self.now += ROUND;
        (0..SINKS).for_each(|sink| self.sink(sink, batch, broker, findings));
        (0..STORES).for_each(|store| self.retry(store, batch, broker, findings));
    }

    /// I15: a shard that does not work delays its own rows only, and those of a shard that is down wait in RETRY.
    fn check_isolation(&self, sink: usize, broker: &Broker, findings: &mut Findings) {
        let (process, around) = (&self.sinks[sink], &self.around[STORE_OF_SINK[sink]]);
        if !process.has_read_to(broker.last_stable_offset()) {
            findings.fail(Property::Stores, || format!("sink {sink} is held up: {:?}", around.faults));
        }
        let may_hold = |fault: &StoreFault| matches!(fault, StoreFault::Wrong | StoreFault::Blocked);
        if !around.faults.iter().any(may_hold) && around.committed.offset < broker.last_stable_offset() {
            findings.fail(Property::Stores, || {
                format!("commits of sink {sink} are held up: {:?}", around.faults)
            });
        }
    }

    pub(crate) fn trace(&self, trace: &mut Trace) {
        for (key, stored) in self.stores.iter().flatten() {
            trace.bytes(key);
            trace.bytes(&stored.value);
        }
        for around in &self.around {
            let retry: usize = around.retry.iter().map(Vec::len).sum();
            for number in [around.quarantine.len(), retry, around.committed.offset] {
                trace.word(number as u64);
            }
        }
        trace.word(self.crashes);
    }
}

impl Surroundings {
    /// Everything is stored and committed.
    fn is_at_rest(&self, broker: &Broker) -> bool {
        let is_drained =
            self.retry_offsets().iter().zip(&self.retry).all(|(&offset, retry)| offset == retry.len());
        is_drained && self.committed.offset == broker.last_stable_offset()
    }

    fn retry_offsets(&self) -> [usize; SHARDS] {
        self.retry_committed.each_ref().map(|committed| committed.offset)
    }

    /// An operator hands the newest of every key to the retry process, and settles it.
    fn requeue(&mut self) {
        let mut newest: BTreeMap<Vec<u8>, SimRow> = BTreeMap::new();
        for row in self.quarantine.drain(..) {
            let is_newer = |kept: &SimRow| kept.revision() < row.revision();
            if newest.get(row.key()).is_none_or(is_newer) {
                newest.insert(row.0.key.clone(), row);
            }
        }
        for row in newest.into_values() {
            self.retry[row.shard()].push(row);
        }
    }
}

/// All that a process can reach.
pub(crate) struct Outside<'a> {
    rows: &'a mut Store,
    around: &'a mut Surroundings,
    broker: &'a Broker,
    mutant: &'a Mutant,
    findings: &'a mut Findings,
    now: Duration,
    jitter: u64,
}

/// Reads what compaction has left of the topic from its beginning, as a new reader does.
pub(crate) fn read_anew(broker: &Broker, shell: &dyn ShellRules) -> Store {
    let (mut store, mut unwatched) = (Store::new(), Findings::default());
    for offset in 0..broker.last_stable_offset() {
        if let Some((key, value, provenance)) = summary_at(broker, offset) {
            put(&mut store, key, value, provenance, shell, &mut unwatched);
        }
    }
    store
}

/// The summary at an offset, if there is one that a read-committed reader sees.
fn summary_at(broker: &Broker, offset: usize) -> Option<(&[u8], &[u8], Provenance)> {
    let record = &broker.topic[offset];
    if record.is_compacted || broker.visible_from(record).is_none() {
        return None;
    }
    match &record.body {
        Body::Summary { key, value, provenance } => Some((key, value, *provenance)),
        Body::DeadLetter { .. } | Body::Late { .. } => None,
    }
}
