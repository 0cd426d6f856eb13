//! `yahtzee quarantine`: lists summaries that a store does not take as they are, and requeues or drops them.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::Duration;
use yahtzee_runtime::output::write_error;
use yahtzee_runtime::{out, outln};

use anyhow::{Result, bail, ensure};
use clap::{Args, Subcommand};
use serde::Serialize;
use yahtzee_runtime::log::SharedLog;
use yahtzee_storage::dead_letter::FailureTally;
use yahtzee_storage::dead_letter::headers::RecordPosition;
use yahtzee_storage::dead_letter::quarantine::{self, Quarantined, SettledCounts};
use yahtzee_storage::job_topics::JobTopics;

use crate::config::Config;
use crate::jobs::plans;
use crate::process::GlobalOptions;
use crate::stores::{self, POSTGRES, topics_of};
use yahtzee_runtime::utc;

/// Time that the log may take to acknowledge the record that settles a summary.
const APPEND_DEADLINE: Duration = Duration::from_secs(30);

/// Subcommands of `yahtzee quarantine`.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// Show what waits for an operator: its id, whose it is, and why no store takes it, with a count by code
    ///
    /// Lists the newest refused revision of every summary. Show one in full with `yahtzee retry inspect ID`. A revision
    /// that a newer one has replaced in the store may still be listed: requeued, it turns out to be stale and is
    /// removed.
    List(QuarantineListOptions),
    /// Hand summaries to the retry process again, after the cause is fixed
    ///
    /// `yahtzee retry postgres` then writes them; a summary that is refused again returns here with a new id.
    Requeue(Chosen),
    /// Drop summaries: they will be missing in the store
    Drop(DropOptions),
}

/// Options of `yahtzee quarantine list`.
#[derive(Debug, Args)]
pub(crate) struct QuarantineListOptions {
    /// Only this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// Selection of quarantined summaries.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Chosen {
    /// Ids, as `yahtzee quarantine list` shows them
    #[arg(value_name = "TOPIC/PARTITION/OFFSET")]
    ids: Vec<RecordPosition>,
    /// All summaries of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// All summaries of all jobs
    #[arg(long)]
    all: bool,
}

/// Options of `yahtzee quarantine drop`.
#[derive(Debug, Args)]
pub(crate) struct DropOptions {
    #[command(flatten)]
    chosen: Chosen,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

pub(crate) fn quarantine(global: &GlobalOptions, command: &QuarantineCommand) -> Result<()> {
    let config = global.load()?;
    match command {
        QuarantineCommand::List(options) => {
            let ward = Ward::open(global, &config, options.job.as_deref())?;
            let found = quarantine::list(&*ward.log, None, &ward.topics)?;
            let listed: Vec<QuarantineListing> = found.into_iter().map(QuarantineListing::new).collect();
            match options.json {
                true => outln!("{}", serde_json::to_string_pretty(&listed)?)?,
                false => out!("{}", text(&listed))?,
            }
            Ok(())
        }
        QuarantineCommand::Requeue(chosen) => requeue(global, &config, chosen),
        QuarantineCommand::Drop(options) => give_up(global, &config, options),
    }
}

fn requeue(global: &GlobalOptions, config: &Config, chosen: &Chosen) -> Result<()> {
    let store = stores::postgres(config)?;
    let ward = Ward::open(global, config, chosen.job.as_deref())?;
    let chosen = ward.choose(chosen)?;
    let foreign = chosen.iter().find(|it| it.store != POSTGRES);
    if let Some(Quarantined { store, place, .. }) = foreign {
        bail!(
            "{place} was refused by the store `{store}`, which has no retry process; mend the cause, and publish the \
             window anew with `yahtzee replay`, or give it up with `yahtzee quarantine drop {place}`"
        );
    }
    let appender = ward.log.appender(APPEND_DEADLINE)?;
    let counts = quarantine::requeue(&*ward.log, &*appender, &*store, &ward.topics, &chosen)?;
    out!("{}", counts_text("requeued", "`yahtzee retry postgres` carries them", counts))?;
    Ok(())
}

fn give_up(global: &GlobalOptions, config: &Config, options: &DropOptions) -> Result<()> {
    let ward = Ward::open(global, config, options.chosen.job.as_deref())?;
    let chosen = ward.choose(&options.chosen)?;
    if !options.yes && !is_confirmed(chosen.len())? {
        outln!("nothing was dropped")?;
        return Ok(());
    }
    let appender = ward.log.appender(APPEND_DEADLINE)?;
    let counts = quarantine::give_up(&*ward.log, &*appender, &ward.topics, &chosen)?;
    out!("{}", counts_text("dropped", "the store goes without them", counts))?;
    Ok(())
}

/// Asks for confirmation on a terminal; without a terminal `--yes` must have been given.
fn is_confirmed(count: usize) -> Result<bool> {
    ensure!(
        std::io::stdin().is_terminal(),
        "{count} summaries would be missing in the store for ever; add --yes if that is meant"
    );
    write_error(format_args!("Give up {count} summaries for ever? [y/N] "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn counts_text(done: &str, what_follows: &str, counts: SettledCounts) -> String {
    let SettledCounts { settled, unusable, gone } = counts;
    let mut text = format!("{done}: {settled} summaries; {what_follows}\n");
    if unusable > 0 {
        text += &format!(
            "left alone: {unusable} that no shard can be found for, because key or value cannot be read; look with \
             `yahtzee retry inspect ID`, give up with `yahtzee quarantine drop ID`\n"
        );
    }
    if gone > 0 {
        text += &format!(
            "not there any more: {gone}, settled by somebody else or replaced by a newer revision; see `yahtzee \
             quarantine list`\n"
        );
    }
    text
}

/// The log and the topics of the selected jobs.
struct Ward {
    log: SharedLog,
    topics: Vec<JobTopics>,
}

impl Ward {
    fn open(global: &GlobalOptions, config: &Config, job: Option<&str>) -> Result<Self> {
        let names: Vec<String> = job.into_iter().map(str::to_owned).collect();
        let topics = topics_of(&plans(global, config, &names)?, config);
        Ok(Self { log: config.log.open_existing()?, topics })
    }

    /// Returns the selected summaries; fails if an id is not in the quarantine.
    fn choose(&self, chosen: &Chosen) -> Result<Vec<Quarantined>> {
        let mut found = quarantine::list(&*self.log, None, &self.topics)?;
        if chosen.all || chosen.job.is_some() {
            return Ok(found);
        }
        let ids: BTreeSet<String> = chosen.ids.iter().map(ToString::to_string).collect();
        found.retain(|it| ids.contains(&it.place.to_string()));
        let there: BTreeSet<String> = found.iter().map(|it| it.place.to_string()).collect();
        if let Some(missing) = ids.difference(&there).next() {
            bail!("{missing} is not in quarantine, or not any more; see `yahtzee quarantine list`");
        }
        Ok(found)
    }
}

/// A quarantined summary in the output.
#[derive(Serialize)]
struct QuarantineListing {
    id: String,
    job: String,
    store: String,
    shard: Option<String>,
    owner: Option<String>,
    dimensions: Option<Vec<String>>,
    window_start: Option<String>,
    value_bytes: usize,
    source: Option<String>,
    first_failure: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

impl QuarantineListing {
    fn new(quarantined: Quarantined) -> Self {
        let parts = quarantined.parts();
        let Quarantined { place, job, store, value_bytes, trail, .. } = quarantined;
        Self {
            id: place.to_string(),
            job,
            store,
            shard: trail.shard,
            owner: parts.as_ref().map(|parts| parts.owner.to_string()),
            window_start: parts.as_ref().map(|parts| utc::date_and_time(parts.window_start_ms)),
            dimensions: parts.map(|parts| parts.dimensions),
            value_bytes,
            source: trail.source.map(|source| source.to_string()),
            first_failure: trail.first_failure_ms.map(utc::date_and_time),
            code: trail.code,
            error: trail.error,
        }
    }
}

fn text(listed: &[QuarantineListing]) -> String {
    let (mut text, mut failures) = (String::new(), FailureTally::default());
    for QuarantineListing { id, job, store, shard, owner, dimensions, window_start, code, error, .. } in
        listed
    {
        failures.count(code.as_deref(), error.as_deref());
        let shard = shard.as_ref().map(|shard| format!("/{shard}")).unwrap_or_default();
        let whose = match (owner, dimensions, window_start) {
            (Some(owner), Some(dimensions), Some(start)) => format!("{owner} {dimensions:?} {start}"),
            _ => "a key that cannot be read".to_owned(),
        };
        let error = error.as_deref().unwrap_or("(no error was noted)");
        text += &format!("{id}\n  {job} in {store}{shard}: {whose}\n  {error}\n");
    }
    text += &format!("{} in quarantine\n", listed.len());
    for group in failures.groups() {
        text += &format!("  {group}\n");
    }
    text
}
