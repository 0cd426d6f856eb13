//! `yahtzee ingress`: receives log drains.

use anyhow::Result;
use yahtzee_ingress::{Heartbeats, Ingress, listen, serve};
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::{LogError, SharedLog, TopicSpec, require_topic};

use crate::jobs::plans;
use crate::opening::open_log;
use crate::process::GlobalOptions;
use crate::topics::specs;

const PART: &str = "ingress";

pub(crate) fn ingress(global: &GlobalOptions) -> Result<()> {
    let config = global.load()?;
    let topics = specs(&plans(global, &config, &[])?, &config.layout);
    let process = global.start(&config)?;
    process.health.set(PART, Condition::Starting("not opened yet".to_owned()));
    let Some(log) = open_log(&config, &process, |log| require_topics(log, &topics))? else { return Ok(()) };
    let settings = config.ingress.settings();
    tracing::info!(
        unknown_owners_max = settings.unknown_owners_max,
        body_memory_bytes = settings.body_memory_bytes,
        "bounds: owners in an hour that the configuration does not name, memory of all bodies"
    );
    if let Some(warning) = settings.open_access() {
        tracing::warn!("{warning}");
    }
    let listener = process.block_on(listen(&settings, config.ingress.listen))?;
    let tokens = config.ingress.token_table();
    let (health, stop) = (&process.health, process.stop.clone());
    let heartbeats = Heartbeats::Until(stop.clone());
    let start = Ingress::start(&*log, &config.layout, settings, tokens, heartbeats, health);
    let ingress = process.block_on(start)?;
    health.set(PART, Condition::Ready);
    process.block_on(serve(listener, ingress, async move { stop.stopped().await }))?;
    Ok(process.check_alive()?)
}

/// Fails if a topic is missing or has another partition count, which would put owners where no worker looks for them.
fn require_topics(log: &SharedLog, topics: &[TopicSpec]) -> Result<(), LogError> {
    topics.iter().try_for_each(|wanted| require_topic(&**log, wanted).map(drop))
}
