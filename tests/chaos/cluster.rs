//! The broker of a run: its topics and what lies in them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use yahtzee_core::erased::AnyJob;
use yahtzee_core::job::Job as _;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_jobs::errors::Errors;
use yahtzee_runtime::log::kafka::{KafkaLog, KafkaSettings};
use yahtzee_runtime::log::{Bounds, SharedLog, TopicSpec};
use yahtzee_runtime::topics::{TopicLayout, group};
use yahtzee_storage::job_topics::JobTopics;

use crate::policy::{CLOCK_SKEW_MS, GENERATION, JOB, MEASUREMENT, PARTITIONS, SUMMARY};
use crate::scenarios::Scenario;
use crate::stores::StoreKind;
use crate::{admin, commits};

/// Names the broker.
const BROKER: &str = "YAHTZEE_TEST_KAFKA";

/// Topics of this run on a broker.
pub(crate) struct Cluster {
    pub(crate) brokers: String,
    pub(crate) log: SharedLog,
    pub(crate) layout: TopicLayout,
    /// Consumer group of the job.
    pub(crate) group: String,
    /// All that were made for the run.
    created: Vec<String>,
}

/// A broker that many runs use would come to hold more topics than its memory has room for.
impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = admin::delete_topics(&self.brokers, &self.created) {
            eprintln!("chaos: topics of {} are left behind: {error:#}", self.layout.version);
        }
    }
}

impl Cluster {
    /// Connects to the broker of the environment and creates topics that nobody has used before.
    pub(crate) fn prepare(version: &str, scenario: &Scenario) -> Result<Self> {
        let brokers = std::env::var(BROKER).with_context(|| {
            format!("{BROKER} is not set; `cargo xtask chaos` starts a broker and sets it")
        })?;
        let log: SharedLog = Arc::new(KafkaLog::connect(KafkaSettings::new(&brokers))?);
        let layout = TopicLayout {
            version: version.to_owned(),
            partitions: PARTITIONS,
            raw_retention_ms: None,
            summary_retention_ms: None,
            store_retention_ms: None,
            timestamp_ahead_max_ms: scenario.bounds_stamps.then_some(CLOCK_SKEW_MS),
            ..TopicLayout::default()
        };
        let mut specs = layout.specs(MEASUREMENT, SUMMARY, false);
        if scenario.has_ingress {
            specs.extend(topics_of_other_jobs(&layout));
        } else if scenario.store != StoreKind::Embedded {
            specs.extend(retry_topics(&layout));
        }
        let created = specs.iter().map(|spec| spec.name.clone()).collect();
        specs.iter().try_for_each(|spec| log.create_topic(spec))?;
        let group = group(JOB, GENERATION, version);
        // The first question about a group makes the broker create its topic of offsets.
        let raw = layout.raw(MEASUREMENT);
        while log.committed(&group, &raw, &[Partition(0)]).is_err()
            || log.describe_topic(commits::TOPIC)?.is_none()
        {
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Self { brokers, log, layout, group, created })
    }

    pub(crate) fn raw(&self) -> String {
        self.layout.raw(MEASUREMENT)
    }

    /// Creates the raw topic once more, after it was deleted.
    pub(crate) fn create_raw_again(&self) -> Result<()> {
        let specs = self.layout.specs(MEASUREMENT, SUMMARY, false);
        Ok(self.log.create_topic(specs.first().context("a job has a raw topic")?)?)
    }

    /// The group of another generation of the job from now on.
    pub(crate) fn raise_generation(&mut self, generation: u32) {
        self.group = group(JOB, generation, &self.layout.version);
    }

    /// Where the ingress puts what the drain posts.
    pub(crate) fn error_lines(&self) -> String {
        self.layout.raw(Errors::MEASUREMENT)
    }

    pub(crate) fn summary(&self) -> String {
        self.layout.summary(SUMMARY)
    }

    pub(crate) fn dead_letters(&self) -> String {
        self.layout.dead_letters(MEASUREMENT)
    }

    /// The topics that sink and retry process have to do with.
    pub(crate) fn topics(&self) -> JobTopics {
        JobTopics::new(JOB, SUMMARY, &self.layout)
    }

    /// First and next offset of every partition of a topic.
    pub(crate) fn bounds(&self, topic: &str) -> Result<Vec<Bounds>> {
        let description = self.log.describe_topic(topic)?.context("the topic has gone")?;
        let partitions: Vec<Partition> = (0..description.partitions).map(Partition).collect();
        Ok(self.log.bounds(topic, &partitions)?)
    }

    /// Next offset of every partition of a topic.
    pub(crate) fn ends(&self, topic: &str) -> Result<Vec<Offset>> {
        Ok(self.bounds(topic)?.into_iter().map(|bounds| bounds.end).collect())
    }
}

/// An ingress has to do with the topics of all jobs; those of ours are there.
fn topics_of_other_jobs(layout: &TopicLayout) -> Vec<TopicSpec> {
    let specs_of = |job: &Arc<dyn AnyJob>| layout.specs(job.measurement(), job.summary(), false);
    let ours: Vec<String> =
        layout.specs(MEASUREMENT, SUMMARY, false).into_iter().map(|spec| spec.name).collect();
    let all: BTreeMap<String, TopicSpec> =
        yahtzee_jobs::all().iter().flat_map(specs_of).map(|spec| (spec.name.clone(), spec)).collect();
    all.into_values().filter(|spec| !ours.contains(&spec.name)).collect()
}

/// A retry process reads the RETRY topics of all jobs; those of ours are there.
fn retry_topics(layout: &TopicLayout) -> Vec<TopicSpec> {
    let mut specs = Vec::new();
    for job in yahtzee_jobs::all().into_iter().filter(|job| job.name() != JOB) {
        let names = [layout.retry(job.summary()), layout.quarantine(job.summary())];
        let all = layout.specs(job.measurement(), job.summary(), false);
        specs.extend(all.into_iter().filter(|spec| names.contains(&spec.name)));
    }
    specs
}
