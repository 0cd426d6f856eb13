//! `yahtzee topics create|check`: the topics of all jobs.

use std::collections::BTreeMap;
use yahtzee_runtime::outln;

use anyhow::{Result, bail};
use clap::Subcommand;
use serde::Serialize;
use yahtzee_runtime::log::{Log, LogError, TopicSpec};
use yahtzee_runtime::topics::TopicLayout;
use yahtzee_runtime::worker::JobPlan;

use crate::jobs::plans;
use crate::process::GlobalOptions;

/// Subcommands of `yahtzee topics`.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Create the topics that are missing; existing ones are compared, never changed
    Create,
    /// Compare the topics with the configuration; exit code 1 on a difference
    Check {
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
    },
}

/// A topic compared with the configuration.
#[derive(Serialize)]
struct TopicReport {
    topic: String,
    exists: bool,
    /// Differences, each as a part of a sentence.
    differences: Vec<String>,
}

pub(crate) fn topics(global: &GlobalOptions, command: &TopicsCommand) -> Result<()> {
    let config = global.load()?;
    let wanted = specs(&plans(global, &config, &[])?, &config.layout);
    let log = match command {
        TopicsCommand::Create => config.log.open()?,
        TopicsCommand::Check { .. } => config.log.open_existing()?,
    };
    if matches!(command, TopicsCommand::Create) {
        for topic in &wanted {
            match log.create_topic(topic) {
                Ok(()) => outln!("created {} ({} partitions)", topic.name, topic.partitions)?,
                Err(LogError::TopicExists(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let compared: Vec<TopicReport> =
        wanted.iter().map(|wanted| compare(wanted, &*log)).collect::<Result<_>>()?;
    match command {
        TopicsCommand::Check { json: true } => outln!("{}", serde_json::to_string_pretty(&compared)?)?,
        TopicsCommand::Check { json: false } | TopicsCommand::Create => print(&compared)?,
    }
    match compared.iter().filter(|topic| topic.is_wrong()).count() {
        0 => Ok(()),
        wrong => bail!("{wrong} topics are not as configured"),
    }
}

/// Returns every topic of these jobs, as configured; each once, though several jobs may read it.
pub(crate) fn specs(plans: &[JobPlan], layout: &TopicLayout) -> Vec<TopicSpec> {
    let by_name = plans.iter().flat_map(|plan| plan.topics(layout)).map(|topic| (topic.name.clone(), topic));
    by_name.collect::<BTreeMap<String, TopicSpec>>().into_values().collect()
}

fn compare(wanted: &TopicSpec, log: &dyn Log) -> Result<TopicReport> {
    let found = log.describe_topic(&wanted.name)?;
    let differences = found.as_ref().map(|found| found.differences(wanted)).unwrap_or_default();
    Ok(TopicReport { topic: wanted.name.clone(), exists: found.is_some(), differences })
}

/// Prints a line per topic.
fn print(compared: &[TopicReport]) -> Result<()> {
    for TopicReport { topic, exists, differences } in compared {
        match (exists, differences.is_empty()) {
            (false, _) => outln!("differs {topic}: is missing; run `yahtzee topics create`")?,
            (true, false) => outln!("differs {topic}: {}", differences.join("; "))?,
            (true, true) => outln!("ok      {topic}")?,
        }
    }
    Ok(())
}

impl TopicReport {
    fn is_wrong(&self) -> bool {
        !self.exists || !self.differences.is_empty()
    }
}
