//! Target of a replay: none, a topic of its own, or the summary topic as a new generation.

use anyhow::{Result, bail, ensure};
use clap::Args;
use yahtzee_runtime::log::{Log, LogError, TopicSpec, require_topic};
use yahtzee_runtime::topics::TopicLayout;
use yahtzee_runtime::worker::JobPlan;

use crate::config::Config;
use crate::jobs::plans;
use crate::process::GlobalOptions;

/// Options that choose the target; exactly one is required.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct TargetOptions {
    /// Publish nothing; only count records, windows and summaries per partition
    #[arg(long)]
    dry_run: bool,
    /// Publish into this topic, created if missing with the settings of the summary topic: the same keys and bytes, for
    /// comparing. Needs one --job, since keys do not name their job
    #[arg(long, value_name = "TOPIC")]
    into: Option<String>,
    /// Publish into the summary topic, as generation G: sinks prefer it to what workers have published. G must be
    /// greater than the job's generation, and the next release of the job must be greater than G
    #[arg(long, value_name = "G")]
    as_generation: Option<u32>,
}

/// Target of a replay.
pub(super) enum ReplayTarget {
    /// Publishes nothing.
    DryRun,
    /// Publishes into a topic of its own.
    Shadow(String),
    /// Publishes into the summary topic, as this generation.
    Generation(u32),
}

impl TargetOptions {
    /// Checks the options and returns the target.
    pub(super) fn target(
        &self,
        global: &GlobalOptions,
        config: &Config,
        chosen: &[JobPlan],
    ) -> Result<ReplayTarget> {
        if let Some(topic) = &self.into {
            ensure!(
                chosen.len() == 1,
                "--into takes one job, because keys do not name theirs; choose one with --job and a topic for each"
            );
            if belongs_to_pipeline(topic, &config.layout, &plans(global, config, &[])?) {
                bail!(
                    "{topic} is a topic of the pipeline; choose another name for --into, as in SHADOW.{topic}"
                );
            }
            return Ok(ReplayTarget::Shadow(topic.clone()));
        }
        let Some(generation) = self.as_generation else { return Ok(ReplayTarget::DryRun) };
        for plan in chosen {
            let (name, current) = (plan.job.name(), plan.generation);
            ensure!(
                generation > current,
                "job {name} is at generation {current}, so sinks would not prefer generation {generation}; choose \
                 --as-generation {} or more",
                current.saturating_add(1)
            );
        }
        Ok(ReplayTarget::Generation(generation))
    }
}

fn belongs_to_pipeline(topic: &str, layout: &TopicLayout, plans: &[JobPlan]) -> bool {
    let specs = plans.iter().flat_map(|plan| layout.specs(plan.job.measurement(), plan.job.summary(), true));
    specs.map(|spec| spec.name).any(|name| topic == name)
}

impl ReplayTarget {
    /// Returns whether anything is published.
    pub(super) fn publishes(&self) -> bool {
        !matches!(self, Self::DryRun)
    }

    /// Returns the default id of a replay.
    pub(super) fn id(&self) -> String {
        match self {
            Self::DryRun => "dry-run".to_owned(),
            Self::Shadow(topic) => topic.clone(),
            Self::Generation(generation) => format!("g{generation}"),
        }
    }

    /// Returns the option that chose this target.
    pub(super) fn asked(&self) -> String {
        match self {
            Self::DryRun => "--dry-run".to_owned(),
            Self::Shadow(topic) => format!("--into {topic}"),
            Self::Generation(generation) => format!("--as-generation {generation}"),
        }
    }

    /// Returns the generation that its summaries carry.
    pub(super) fn generation(&self, plan: &JobPlan) -> u32 {
        match self {
            Self::DryRun | Self::Shadow(_) => plan.generation,
            Self::Generation(generation) => *generation,
        }
    }

    /// Returns the topic of its summaries.
    pub(super) fn topic(&self, layout: &TopicLayout, plan: &JobPlan) -> Option<String> {
        match self {
            Self::DryRun => None,
            Self::Shadow(topic) => Some(topic.clone()),
            Self::Generation(_) => Some(layout.summary(plan.job.summary())),
        }
    }

    /// Creates a shadow topic, and refuses topics that cannot take the summaries.
    pub(super) fn create(&self, config: &Config, plans: &[JobPlan], log: &dyn Log) -> Result<()> {
        for plan in plans {
            let Some(name) = self.topic(&config.layout, plan) else { return Ok(()) };
            let wanted = TopicSpec { name, ..summary_spec(&config.layout, plan) };
            if let Self::Shadow(_) = self {
                match log.create_topic(&wanted) {
                    Ok(()) | Err(LogError::TopicExists(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let found = require_topic(log, &wanted)?;
            if found.cleanup != wanted.cleanup {
                bail!("topic {} {}", wanted.name, found.differences(&wanted).swap_remove(0));
            }
        }
        Ok(())
    }
}

fn summary_spec(layout: &TopicLayout, plan: &JobPlan) -> TopicSpec {
    let summary = layout.summary(plan.job.summary());
    let mut specs = plan.topics(layout).into_iter();
    specs.find(|spec| spec.name == summary).expect("a job has a summary topic")
}
