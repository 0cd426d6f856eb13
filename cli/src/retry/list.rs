//! `yahtzee retry list`: shows how many summaries wait for each shard, since when, and why.

use std::collections::BTreeMap;
use yahtzee_runtime::{out, outln};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use yahtzee_runtime::log::Log;
use yahtzee_storage::dead_letter::FailureGroup;
use yahtzee_storage::dead_letter::headers::RecordPosition;
use yahtzee_storage::dead_letter::retry_list::{self, ShardWaiting};
use yahtzee_storage::job_topics::{JobTopics, retry_group};

use crate::config::Config;
use crate::jobs::plans;
use crate::process::GlobalOptions;
use crate::stores::{POSTGRES, no_such_shard, topics_of};
use yahtzee_runtime::utc;

/// Errors of one shard that are shown as text.
const ERRORS_SHOWN: usize = 5;

/// Show what waits for each shard: how much, since when, and its errors by code
///
/// Counts the records between the offsets that `yahtzee retry postgres` has committed and the ends of the RETRY topics.
/// Only reads; connects to no database.
#[derive(Debug, Args)]
pub(crate) struct RetryListOptions {
    /// Only this shard
    #[arg(long, value_name = "NAME")]
    shard: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// Summaries that wait for all shards.
#[derive(Serialize)]
struct WaitingReport {
    store: &'static str,
    shards: Vec<ShardReport>,
    partitions: Vec<WaitingInPartition>,
}

/// Summaries that wait for one shard.
#[derive(Serialize)]
struct ShardReport {
    shard: String,
    records: u64,
    summaries: u64,
    first_failure: Option<String>,
    /// By code, or by text where there is none; the most frequent first.
    errors: Vec<ErrorReport>,
    #[serde(skip)]
    failures: Vec<FailureGroup>,
}

#[derive(Serialize)]
struct ErrorReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Text of one of them.
    error: String,
    records: u64,
}

/// Partition in which summaries wait.
#[derive(Serialize)]
struct WaitingInPartition {
    /// Place of the next record to be written.
    next: String,
    offsets: u64,
}

pub(super) fn list(global: &GlobalOptions, options: &RetryListOptions) -> Result<()> {
    let config = global.load()?;
    let topics = topics_of(&plans(global, &config, &[])?, &config);
    let log = config.log.open_existing()?;
    let mut shards = retry_list::list(&*log, POSTGRES, &config.layout.version, &topics)?;
    if let Some(name) = &options.shard {
        keep(&mut shards, name, &config)?;
    }
    let report = WaitingReport {
        store: POSTGRES,
        shards: shards.into_iter().map(ShardReport::new).collect(),
        partitions: partitions(&*log, &config, &topics)?,
    };
    match options.json {
        true => outln!("{}", serde_json::to_string_pretty(&report)?)?,
        false => out!("{}", report.text())?,
    }
    Ok(())
}

/// Keeps only one shard; fails unless it is configured or summaries wait for it.
fn keep(shards: &mut BTreeMap<String, ShardWaiting>, name: &str, config: &Config) -> Result<()> {
    let configured = config.sink.postgres.shards.iter().map(|(name, _)| name.clone());
    let known: Vec<String> = configured.chain(shards.keys().cloned()).collect();
    if !known.iter().any(|known| known == name) {
        return Err(no_such_shard(name, known));
    }
    shards.retain(|shard, _| shard == name);
    Ok(())
}

/// Returns the partitions of RETRY topics in which summaries wait.
fn partitions(log: &dyn Log, config: &Config, topics: &[JobTopics]) -> Result<Vec<WaitingInPartition>> {
    let group = retry_group(POSTGRES, &config.layout.version);
    let mut reports = Vec::new();
    for topics in topics {
        let partitions = topics.all_partitions();
        let committed = log.committed(&group, &topics.retry, &partitions)?;
        let bounds = log.bounds(&topics.retry, &partitions)?;
        for ((partition, committed), bounds) in partitions.into_iter().zip(committed).zip(bounds) {
            let offset = committed.map_or(bounds.start, |committed| committed.offset.max(bounds.start));
            if offset < bounds.end {
                let next = RecordPosition { topic: topics.retry.to_string(), partition, offset }.to_string();
                reports.push(WaitingInPartition { next, offsets: bounds.end.0 - offset.0 });
            }
        }
    }
    Ok(reports)
}

impl ShardReport {
    fn new((shard, waiting): (String, ShardWaiting)) -> Self {
        let ShardWaiting { records, keys, first_failure_ms, failures } = waiting;
        let error = |group: &FailureGroup| {
            let FailureGroup { code, example, records } = group.clone();
            ErrorReport { code, error: example, records }
        };
        Self {
            shard,
            records,
            summaries: keys,
            first_failure: first_failure_ms.map(utc::date_and_time),
            errors: failures.iter().map(error).collect(),
            failures,
        }
    }

    fn text(&self) -> String {
        let Self { shard, records, summaries, first_failure, failures, .. } = self;
        let shard = if shard.is_empty() { "(none)" } else { shard };
        let since = first_failure.as_deref().unwrap_or("unknown");
        let first = failures.first().map(ToString::to_string).unwrap_or_default();
        let mut text = format!("{shard:<15} {records:>9} {summaries:>11}  {since:<24}  {first}\n");
        for group in failures.iter().take(ERRORS_SHOWN).skip(1) {
            text += &format!("{:<65}{group}\n", "");
        }
        if let Some(further) = failures.len().checked_sub(ERRORS_SHOWN).filter(|further| *further > 0) {
            text += &format!("{:<65}and {further} further errors: see --json\n", "");
        }
        text
    }
}

impl WaitingReport {
    fn text(&self) -> String {
        if self.shards.is_empty() {
            return "nothing waits in RETRY\n".to_owned();
        }
        let mut text =
            "shard             records   summaries  first failure             errors, with one example each\n"
                .to_owned();
        self.shards.iter().for_each(|shard| text += &shard.text());
        if let Some(WaitingInPartition { next, .. }) = self.partitions.first() {
            text += &format!(
                "\n`yahtzee retry postgres` carries them; look at one with `yahtzee retry inspect {next}`\n"
            );
        }
        text
    }
}
