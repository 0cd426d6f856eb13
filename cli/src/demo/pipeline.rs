//! The pipeline of the demo: topics, ingress, worker and sink around one embedded log.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::task::JoinHandle;
use yahtzee_core::assignment::WorkerIndex;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::SummaryKey;
use yahtzee_ingress::{Ingress, serve};
use yahtzee_runtime::log::{LogError, SharedLog};
use yahtzee_runtime::shutdown::StopSignal;
use yahtzee_runtime::worker::{JobPlan, Outside, Progress, Worker};
use yahtzee_storage::embedded::EmbeddedStore;
use yahtzee_storage::sink::{Sink, Tap};
use yahtzee_storage::store::SummaryStore;

use super::snapshot::Rows;
use crate::ingress::Heartbeats;
use crate::jobs::plans;
use crate::process::{GlobalOptions, Process, Registry};
use crate::sink::embedded_plan;
use crate::topics::specs;
use crate::{ingress, run};

/// Apps by owner: their names and, where they have one, their drain tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) by_owner: HashMap<Owner, String>,
    pub(crate) tokens: Vec<(String, Owner)>,
}

/// The running pipeline. Its parts are stopped one after the other, in the direction of the flow.
pub(crate) struct Pipeline {
    pub(crate) log: SharedLog,
    pub(crate) store: Arc<EmbeddedStore>,
    pub(crate) plans: Vec<JobPlan>,
    pub(crate) names: Names,
    pub(crate) drain_address: SocketAddr,
    pub(crate) ingress: Arc<Ingress>,
    pub(crate) ingress_stop: StopSignal,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
    pub(crate) worker: Worker,
    pub(crate) worker_stop: StopSignal,
    pub(crate) progress: Progress,
    pub(crate) sink: Sink,
    pub(crate) sink_stop: StopSignal,
    pub(crate) rows: Arc<Mutex<Rows>>,
}

impl Pipeline {
    pub(crate) fn start(
        global: &GlobalOptions,
        process: &Process,
        names: Names,
        heartbeats: Heartbeats,
    ) -> Result<Self> {
        let config = &process.config;
        let plans = plans(global, config, &[])?;
        let log = config.log.open()?;
        for topic in specs(&plans, &config.layout) {
            match log.create_topic(&topic) {
                Ok(()) | Err(LogError::TopicExists(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let store = Arc::new(EmbeddedStore::open(&config.sink.embedded_folder)?);
        let rows = Arc::new(Mutex::new(Rows::new(names.by_owner.clone())));
        let (ingress_stop, worker_stop, sink_stop) = <(StopSignal, StopSignal, StopSignal)>::default();
        let tap: Arc<Tap> = tap(global.jobs.clone(), Arc::clone(&rows));
        let plan = embedded_plan(&plans, config, Some(tap));
        let shards: Arc<dyn SummaryStore> = Arc::clone(&store) as Arc<dyn SummaryStore>;
        let sink = Sink::start(plan, &log, &shards, &process.health, &sink_stop)?;
        let outside =
            Outside { stop: worker_stop.clone(), health: process.health.clone(), ..Outside::default() };
        let progress = outside.progress.clone();
        let worker = Worker::start(plans.clone(), &log, &run::settings(config, WorkerIndex::ALONE), &outside);
        let listener = process.block_on(ingress::listen(&config.ingress))?;
        let drain_address = listener.local_addr()?;
        let ingress = ingress::open(process, &log, names.tokens.iter().cloned().collect(), heartbeats)?;
        let stop = ingress_stop.clone();
        let serving =
            process.spawn(serve(listener, Arc::clone(&ingress), async move { stop.stopped().await }));
        Ok(Self {
            log,
            store,
            plans,
            names,
            drain_address,
            ingress,
            ingress_stop,
            serving,
            worker,
            worker_stop,
            progress,
            sink,
            sink_stop,
            rows,
        })
    }

    /// Whether a part has stopped by itself.
    pub(crate) fn has_failed(&self) -> bool {
        self.worker_stop.is_stopped() || self.sink_stop.is_stopped()
    }

    /// Total of the ends of all raw topics: what the worker's positions add up to when all is read.
    pub(crate) fn raw_ends(&self, process: &Process) -> Result<HashMap<&'static str, u64>> {
        let layout = &process.config.layout;
        let partitions: Vec<_> = (0..layout.partitions).map(yahtzee_core::owner::Partition).collect();
        let end = |plan: &JobPlan| {
            let bounds = self.log.bounds(&layout.raw(plan.job.measurement()), &partitions)?;
            Ok((plan.job.name(), bounds.iter().map(|bounds| bounds.end.0).sum()))
        };
        self.plans.iter().map(end).collect()
    }
}

/// Keeps the newest figures of every app as the sink stores them.
fn tap(jobs: Registry, rows: Arc<Mutex<Rows>>) -> Arc<Tap> {
    Arc::new(move |job, key, value| {
        let read = || -> Result<_> { Ok((SummaryKey::decode(key)?, jobs.figures(job, value)?)) };
        match read() {
            Ok((key, figures)) => {
                rows.lock().unwrap_or_else(PoisonError::into_inner).update(job, &key, &figures);
            }
            Err(error) => tracing::warn!(job, %error, "a stored summary cannot be shown"),
        }
    })
}
