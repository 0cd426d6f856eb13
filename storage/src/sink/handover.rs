//! What the store does not take goes to RETRY or QUARANTINE, and is settled when the log has acknowledged it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use yahtzee_runtime::clock::wall_clock_ms;
use yahtzee_runtime::log::{Appender, LogError, NewRecord};
use yahtzee_runtime::shutdown::StopSignal;

use super::counting::Ends;
use super::job::{Job, Ticket};
use super::queue::Parcel;
use crate::dead_letter::headers::FailureHeaders;
use crate::dead_letter::records;
use crate::store::{Fault, Shard, SummaryStore};

/// The way to RETRY and QUARANTINE, shared by all threads of a sink.
pub(super) struct Handover {
    appender: Arc<dyn Appender>,
    jobs: Arc<[Job]>,
    store: &'static str,
    shards: Vec<String>,
    pub(super) ends: Ends,
    stop: StopSignal,
    under_way: Arc<UnderWay>,
}

/// Records that may wait for their acknowledgement, and their bytes: beyond them the sink waits for the log, on which
/// everything depends.
const RECORDS_MAX: usize = 16 * 1_024;
const BYTES_MAX: usize = 32 << 20;
/// How soon a stop is seen while waiting.
const GLANCE: Duration = Duration::from_millis(50);

/// A summary and why its shard did not take it.
pub(super) struct Refused {
    pub(super) parcel: Parcel,
    pub(super) shard: Shard,
    pub(super) fault: Fault,
}

impl Handover {
    pub(super) fn new(
        appender: Arc<dyn Appender>,
        jobs: Arc<[Job]>,
        store: &dyn SummaryStore,
        stop: &StopSignal,
    ) -> Self {
        let (store, shards) = (store.name(), store.shards());
        let ends = Ends::new(store);
        Self { appender, jobs, store, shards, ends, stop: stop.clone(), under_way: Arc::default() }
    }

    /// To RETRY: the shard does not work now.
    pub(super) fn retry(&self, refused: Vec<Refused>) {
        let record = |Refused { parcel, shard, fault }: &Refused| {
            let trail = FailureHeaders { attempts: 1, ..self.trail(parcel, *shard, fault) };
            let topics = &self.jobs[parcel.ticket.job].topics;
            records::retry(topics, *shard, &parcel.summary.key, &parcel.summary.value, &trail)
        };
        self.send(refused.iter().map(record).collect(), tickets(&refused), &self.ends.retry);
    }

    /// To QUARANTINE: no store will take it as it is.
    pub(super) fn quarantine(&self, refused: Vec<Refused>) {
        let record = |Refused { parcel, shard, fault }: &Refused| {
            let topics = &self.jobs[parcel.ticket.job].topics;
            let trail = self.trail(parcel, *shard, fault);
            records::quarantine(topics, self.store, &parcel.summary.key, &parcel.summary.value, &trail)
        };
        self.send(refused.iter().map(record).collect(), tickets(&refused), &self.ends.quarantined);
    }

    /// To QUARANTINE: it is not even a summary.
    pub(super) fn quarantine_unusable(&self, ticket: Ticket, key: &[u8], value: &[u8], reason: String) {
        let job = &self.jobs[ticket.job];
        let trail = FailureHeaders {
            store: Some(self.store.to_owned()),
            job: Some(job.topics.job.to_string()),
            source: Some(job.source(ticket)),
            first_failure_ms: Some(wall_clock_ms()),
            error: Some(reason),
            ..FailureHeaders::default()
        };
        let record = records::quarantine(&job.topics, self.store, key, value, &trail);
        self.send(vec![record], vec![ticket], &self.ends.quarantined);
    }

    /// Waits until everything is acknowledged or has failed, `time` at most.
    pub(super) fn wait_until_idle(&self, time: Duration) {
        let load = self.under_way.lock();
        let is_busy = |load: &mut Load| load.records > 0;
        drop(self.under_way.less.wait_timeout_while(load, time, is_busy));
    }

    fn trail(&self, parcel: &Parcel, shard: Shard, fault: &Fault) -> FailureHeaders {
        let job = &self.jobs[parcel.ticket.job];
        FailureHeaders {
            store: Some(self.store.to_owned()),
            job: Some(job.topics.job.to_string()),
            shard: self.shards.get(shard.index()).cloned(),
            revision: Some(parcel.summary.revision()),
            source: Some(job.source(parcel.ticket)),
            first_failure_ms: Some(wall_clock_ms()),
            attempts: 0,
            error: Some(fault.to_string()),
            settled: None,
        }
    }

    /// Appends without waiting for the acknowledgement. On failure the jobs begin again at what they have committed.
    fn send(&self, records: Vec<NewRecord>, tickets: Vec<Ticket>, count: &metrics::Counter) {
        let load = Load::of(&records);
        if records.is_empty() || !self.under_way.enter(load, &self.stop) {
            return;
        }
        let (jobs, under_way, count) = (Arc::clone(&self.jobs), Arc::clone(&self.under_way), count.clone());
        let done = move |result: Result<(), LogError>| {
            match result {
                Ok(()) => {
                    count.increment(tickets.len() as u64);
                    tickets.iter().for_each(|&ticket| jobs[ticket.job].settle(ticket));
                }
                Err(error) => tickets.iter().for_each(|&ticket| jobs[ticket.job].fail(ticket.epoch, &error)),
            }
            under_way.leave(load);
        };
        self.appender.append(&records, Box::new(done));
    }
}

fn tickets(refused: &[Refused]) -> Vec<Ticket> {
    refused.iter().map(|refused| refused.parcel.ticket).collect()
}

/// What waits for its acknowledgement.
#[derive(Default)]
struct UnderWay {
    load: Mutex<Load>,
    less: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Load {
    records: usize,
    bytes: usize,
}

impl Load {
    fn of(records: &[NewRecord]) -> Self {
        let bytes = records.iter().map(|record| record.key.len() + record.value.len()).sum();
        Self { records: records.len(), bytes }
    }

    fn is_full(self) -> bool {
        self.records >= RECORDS_MAX || self.bytes >= BYTES_MAX
    }
}

impl UnderWay {
    /// Waits for room. False where the process stops instead: then the records stay open, and come again.
    fn enter(&self, more: Load, stop: &StopSignal) -> bool {
        let mut load = self.lock();
        while load.is_full() {
            if stop.is_stopped() {
                return false;
            }
            load = self.less.wait_timeout(load, GLANCE).unwrap_or_else(PoisonError::into_inner).0;
        }
        load.records += more.records;
        load.bytes += more.bytes;
        true
    }

    fn leave(&self, less: Load) {
        let mut load = self.lock();
        load.records -= less.records;
        load.bytes -= less.bytes;
        drop(load);
        self.less.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
