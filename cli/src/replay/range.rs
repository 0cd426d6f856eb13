//! The range to recompute: options that `replay` and `verify` share.

use anyhow::{Result, bail, ensure};
use clap::Args;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::record::Offset;
use yahtzee_runtime::replay::{Edge, ReplayRange};
use yahtzee_runtime::worker::JobPlan;

use super::time::Moment;
use crate::config::Config;
use crate::jobs::plans;
use crate::process::GlobalOptions;

/// Selection of jobs, partitions and windows.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to recompute")]
pub(crate) struct RangeOptions {
    /// Job to recompute, repeatable; default: all
    #[arg(long = "job", value_name = "JOB")]
    jobs: Vec<String>,
    /// Only this owner's summaries; the whole partition is read all the same, since every record advances its watermark
    #[arg(long, value_name = "UUID", value_parser = parse_owner, conflicts_with = "partitions")]
    owner: Option<Owner>,
    /// Only this partition, repeatable
    #[arg(long = "partition", value_name = "N")]
    partitions: Vec<u32>,
    /// Start of the first window: a time like 2026-03-04T05:00:00Z, or back from now like -2h; default: the log's
    /// start. Reading begins as much earlier as its windows need
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = Moment::parse)]
    from: Option<Moment>,
    /// End of the last window, written as --from; default: the log's end. Reading continues until these windows are
    /// closed
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = Moment::parse)]
    to: Option<Moment>,
    /// First offset to read, of every chosen partition; windows that lack records before it are left out and listed
    #[arg(long, value_name = "OFFSET", conflicts_with = "from")]
    from_offset: Option<u64>,
    /// Offset after the last one to read; windows still open there are left out and listed
    #[arg(long, value_name = "OFFSET", conflicts_with = "to")]
    to_offset: Option<u64>,
}

/// A selection that was checked against the configuration.
pub(crate) struct Scope {
    pub(crate) plans: Vec<JobPlan>,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) owner: Option<Owner>,
    pub(crate) range: ReplayRange,
}

fn parse_owner(text: &str) -> Result<Owner, String> {
    Owner::parse(text)
        .ok_or_else(|| format!("{text:?} is not an owner: a UUID like 11111111-2222-4333-8444-555555555555"))
}

impl RangeOptions {
    /// Checks the selection.
    pub(crate) fn scope(&self, global: &GlobalOptions, config: &Config) -> Result<Scope> {
        let count = config.layout.partitions;
        let mut partitions = match self.owner {
            Some(owner) => vec![owner.partition(count)],
            None if self.partitions.is_empty() => (0..count).map(Partition).collect(),
            None => self.partitions.iter().copied().map(Partition).collect(),
        };
        partitions.sort_unstable();
        partitions.dedup();
        if let Some(beyond) = partitions.iter().find(|partition| partition.0 >= count) {
            bail!("there is no partition {beyond}: topics.partitions = {count}, they are 0 to {}", count - 1);
        }
        let range = ReplayRange {
            from: edge(self.from.as_ref(), self.from_offset),
            to: edge(self.to.as_ref(), self.to_offset),
        };
        self.check_order()?;
        Ok(Scope { plans: plans(global, config, &self.jobs)?, partitions, owner: self.owner, range })
    }

    fn check_order(&self) -> Result<()> {
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            ensure!(from.time_ms < to.time_ms, "--from {} is not before --to {}", from.written, to.written);
        }
        if let (Some(from), Some(to)) = (self.from_offset, self.to_offset) {
            ensure!(from < to, "--from-offset {from} is not before --to-offset {to}");
        }
        Ok(())
    }

    /// Returns the selection except for the jobs, as a text that is equal for a repetition.
    pub(crate) fn asked(&self) -> String {
        let mut words = Vec::new();
        let mut push =
            |name: &str, value: Option<String>| words.extend(value.map(|value| format!("--{name} {value}")));
        push("owner", self.owner.map(|owner| owner.to_string()));
        push("from", self.from.as_ref().map(|from| from.written.clone()));
        push("to", self.to.as_ref().map(|to| to.written.clone()));
        push("from-offset", self.from_offset.map(|offset| offset.to_string()));
        push("to-offset", self.to_offset.map(|offset| offset.to_string()));
        self.partitions.iter().for_each(|partition| push("partition", Some(partition.to_string())));
        words.join(" ")
    }
}

fn edge(time: Option<&Moment>, offset: Option<u64>) -> Option<Edge> {
    let offset = offset.map(|offset| Edge::Offset(Offset(offset)));
    time.map(|moment| Edge::Time(moment.time_ms)).or(offset)
}
