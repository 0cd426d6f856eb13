//! Creates stores and the topics that feed them, from the configuration.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use yahtzee_runtime::worker::JobPlan;
use yahtzee_storage::delivery::{DeliveryPlan, DeliveryRole};
use yahtzee_storage::embedded::EmbeddedStore;
use yahtzee_storage::job_topics::JobTopics;
use yahtzee_storage::postgres::PostgresStore;
use yahtzee_storage::store::{Shard, SummaryStore};

use crate::config::Config;

/// Name of the store that has a retry process.
pub(crate) const POSTGRES: &str = "postgres";

/// A store on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreName {
    /// The store in a folder, `sink.embedded.folder`
    Embedded,
    /// The databases of `[sink.postgres.shards]`
    Postgres,
}

/// Opens a store that a sink has written: the one of this name, else PostgreSQL if the configuration has a shard, else
/// the embedded one.
pub(crate) fn existing(config: &Config, name: Option<StoreName>) -> Result<Arc<dyn SummaryStore>> {
    let has_shard = !config.sink.postgres.shards.is_empty();
    let configured = if has_shard { StoreName::Postgres } else { StoreName::Embedded };
    match name.unwrap_or(configured) {
        StoreName::Postgres => postgres(config),
        StoreName::Embedded => Ok(Arc::new(EmbeddedStore::open_existing(&config.sink.embedded_folder)?)),
    }
}

/// Returns the topics that carry the summaries of these jobs.
pub(crate) fn topics_of(plans: &[JobPlan], config: &Config) -> Vec<JobTopics> {
    plans.iter().map(|plan| job_topics(plan, config)).collect()
}

/// Returns the topics that carry the summaries of a job.
pub(crate) fn job_topics(plan: &JobPlan, config: &Config) -> JobTopics {
    JobTopics::new(plan.job.name(), plan.job.summary(), &config.layout)
}

/// Returns the plan of a retry process: for one shard, or for all.
pub(crate) fn retry_plan(plans: &[JobPlan], config: &Config, shard: Option<Shard>) -> DeliveryPlan {
    DeliveryPlan {
        jobs: topics_of(plans, config),
        version: config.layout.version.clone(),
        role: DeliveryRole::Retry { shard },
        settings: config.sink.retry,
        observer: None,
    }
}

/// Creates the PostgreSQL store of the configuration. Connects to nothing.
pub(crate) fn postgres(config: &Config) -> Result<Arc<dyn SummaryStore>> {
    if config.sink.postgres.shards.is_empty() {
        bail!(
            "the configuration has no PostgreSQL shard; write into its file (`--config`, else `yahtzee.toml`):\n\n\
             [sink.postgres.shards]\nshard0 = \"postgres://USER:PASSWORD@HOST:5432/DATABASE\"\n\n\
             or shard0 = \"env:DATABASE_URL\" to take it from the environment; `yahtzee config example` shows all keys"
        );
    }
    let settings = config.sink.postgres.settings().context("[[sink.postgres.map]]")?;
    Ok(Arc::new(PostgresStore::new(settings).context("[sink.postgres]")?))
}

/// Returns the shard of this name.
pub(crate) fn shard_named(store: &dyn SummaryStore, name: &str) -> Result<Shard> {
    let shards = store.shards();
    let number = (0..).zip(&shards).find(|(_, shard)| *shard == name).map(|(number, _)| Shard(number));
    number.ok_or_else(|| no_such_shard(name, shards))
}

/// Returns the error for an unknown shard, which names those that exist.
pub(crate) fn no_such_shard(name: &str, shards: impl IntoIterator<Item = String>) -> anyhow::Error {
    let names: Vec<String> = shards.into_iter().collect();
    anyhow!("there is no shard `{name}`; the shards are {}", names.join(", "))
}
