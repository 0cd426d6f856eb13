//! The pipeline of the demo: topics, ingress, worker and sink around one embedded log.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use yahtzee_core::job::Figures;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::summary::SummaryKey;
use yahtzee_ingress::{Heartbeats, Ingress, listen, serve};
use yahtzee_runtime::log::embedded::EmbeddedLog;
use yahtzee_runtime::log::{LogError, SharedLog};
use yahtzee_runtime::process::Process;
use yahtzee_runtime::shutdown::StopSignal;
use yahtzee_runtime::topics::TopicLayout;
use yahtzee_runtime::worker::{JobPlan, ProcessContext, Progress, Worker};
use yahtzee_storage::delivery::{DeliveryPlan, DeliveryRole, DeliverySettings, DeliveryTask, StoredObserver};
use yahtzee_storage::embedded::EmbeddedStore;
use yahtzee_storage::job_topics::JobTopics;
use yahtzee_storage::store::SummaryStore;

use crate::DemoSettings;
use crate::snapshot::AppRows;

/// Apps by owner: their names and, if they have one, their drain tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppNames {
    pub(crate) by_owner: HashMap<Owner, String>,
    pub(crate) tokens: Vec<(String, Owner)>,
}

/// The running pipeline. Its parts are stopped one after the other, in the direction of the flow.
pub(crate) struct RunningPipeline {
    pub(crate) log: SharedLog,
    pub(crate) store: Arc<EmbeddedStore>,
    pub(crate) layout: TopicLayout,
    pub(crate) plans: Vec<JobPlan>,
    pub(crate) names: AppNames,
    pub(crate) drain_address: SocketAddr,
    pub(crate) ingress: Arc<Ingress>,
    pub(crate) ingress_stop: StopSignal,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
    pub(crate) worker: Worker,
    pub(crate) worker_stop: StopSignal,
    pub(crate) progress: Progress,
    pub(crate) sink: DeliveryTask,
    pub(crate) sink_stop: StopSignal,
    pub(crate) rows: Arc<Mutex<AppRows>>,
}

impl RunningPipeline {
    pub(crate) fn start(
        settings: DemoSettings,
        folder: &Path,
        process: &Process,
        names: AppNames,
        is_recording: bool,
    ) -> Result<Self> {
        let DemoSettings { plans, layout, worker, ingress, drain, .. } = settings;
        let log: SharedLog = Arc::new(EmbeddedLog::open(&folder.join("log"))?);
        for topic in plans.iter().flat_map(|plan| plan.topics(&layout)) {
            match log.create_topic(&topic) {
                Ok(()) | Err(LogError::TopicExists(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let store = Arc::new(EmbeddedStore::open(&folder.join("store"))?);
        let rows = Arc::new(Mutex::new(AppRows::new(names.by_owner.clone())));
        let (ingress_stop, worker_stop, sink_stop) = <(StopSignal, StopSignal, StopSignal)>::default();
        let plan = DeliveryPlan {
            jobs: plans.iter().map(|plan| job_topics(plan, &layout)).collect(),
            version: layout.version.clone(),
            // The one shard of the embedded store is in this process, so that nothing waits in RETRY.
            role: DeliveryRole::Sink { has_retry: false },
            settings: DeliverySettings::of_sink(),
            observer: Some(observer(plans.clone(), Arc::clone(&rows))),
        };
        let shards: Arc<dyn SummaryStore> = Arc::clone(&store) as Arc<dyn SummaryStore>;
        let sink = DeliveryTask::start(plan, &log, &shards, &process.health, &sink_stop)?;
        let context = ProcessContext {
            stop: worker_stop.clone(),
            health: process.health.clone(),
            ..ProcessContext::default()
        };
        let progress = context.progress.clone();
        let worker = Worker::start(plans.clone(), &log, &worker, &context);
        let listener = process.block_on(listen(&ingress, drain))?;
        let drain_address = listener.local_addr()?;
        let tokens = names.tokens.iter().cloned().collect();
        let stop = ingress_stop.clone();
        let heartbeats = if is_recording { Heartbeats::Off } else { Heartbeats::Until(stop.clone()) };
        let start = Ingress::start(&*log, &layout, ingress, tokens, heartbeats, &process.health);
        let ingress = process.block_on(start)?;
        let serving =
            process.spawn(serve(listener, Arc::clone(&ingress), async move { stop.stopped().await }));
        Ok(Self {
            log,
            store,
            layout,
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

    /// Returns whether a part has stopped by itself.
    pub(crate) fn has_failed(&self) -> bool {
        self.worker_stop.is_stopped() || self.sink_stop.is_stopped()
    }

    /// Returns, by job, the sum of the ends of its raw topic's partitions: what the worker's positions add up to when
    /// everything is read.
    pub(crate) fn raw_ends(&self) -> Result<HashMap<&'static str, u64>> {
        let layout = &self.layout;
        let partitions: Vec<_> = (0..layout.partitions).map(Partition).collect();
        let end = |plan: &JobPlan| {
            let bounds = self.log.bounds(&layout.raw(plan.job.measurement()), &partitions)?;
            Ok((plan.job.name(), bounds.iter().map(|bounds| bounds.end.0).sum()))
        };
        self.plans.iter().map(end).collect()
    }
}

/// Returns the topics that carry the summaries of a job.
pub(crate) fn job_topics(plan: &JobPlan, layout: &TopicLayout) -> JobTopics {
    JobTopics::new(plan.job.name(), plan.job.summary(), layout)
}

/// Returns the figures of a summary value of the job of this name.
pub(crate) fn figures(plans: &[JobPlan], job: &str, value: &[u8]) -> Result<Figures> {
    let plan = plans.iter().find(|plan| plan.job.name() == job);
    let plan = plan.with_context(|| format!("this command was built without job `{job}`"))?;
    Ok(plan.job.figures(value)?)
}

/// Returns an observer of the sink that keeps the newest figures of every app.
fn observer(plans: Vec<JobPlan>, rows: Arc<Mutex<AppRows>>) -> Arc<StoredObserver> {
    Arc::new(move |job, key, value| {
        let read = || -> Result<_> { Ok((SummaryKey::decode(key)?, figures(&plans, job, value)?)) };
        match read() {
            Ok((key, figures)) => {
                rows.lock().unwrap_or_else(PoisonError::into_inner).update(job, &key, &figures);
            }
            Err(error) => tracing::warn!(job, %error, "a stored summary cannot be shown"),
        }
    })
}
