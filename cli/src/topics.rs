//! `yahtzee topics create|check`: the topics of all jobs.

use std::collections::BTreeMap;
use yahtzee_runtime::outln;

use anyhow::{Result, bail};
use clap::Subcommand;
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
    Check,
}

pub(crate) fn topics(global: &GlobalOptions, command: &TopicsCommand) -> Result<()> {
    let config = global.load()?;
    let wanted = specs(&plans(global, &config, &[])?, &config.layout);
    let log = match command {
        TopicsCommand::Create => config.log.open()?,
        TopicsCommand::Check => config.log.open_existing()?,
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
    check(&wanted, &*log)
}

/// Returns every topic of these jobs, as configured; each once, though several jobs may read it.
pub(crate) fn specs(plans: &[JobPlan], layout: &TopicLayout) -> Vec<TopicSpec> {
    let by_name = plans.iter().flat_map(|plan| plan.topics(layout)).map(|topic| (topic.name.clone(), topic));
    by_name.collect::<BTreeMap<String, TopicSpec>>().into_values().collect()
}

/// Prints a line per topic and fails if one is missing or different.
fn check(topics: &[TopicSpec], log: &dyn Log) -> Result<()> {
    let mut wrong = 0;
    for wanted in topics {
        let differences = match log.describe_topic(&wanted.name)? {
            Some(found) => found.differences(wanted),
            None => vec!["is missing; run `yahtzee topics create`".to_owned()],
        };
        match differences.is_empty() {
            true => outln!("ok      {}", wanted.name)?,
            false => {
                wrong += 1;
                outln!("differs {}: {}", wanted.name, differences.join("; "))?;
            }
        }
    }
    if wrong > 0 {
        bail!("{wrong} topics are not as configured");
    }
    Ok(())
}
