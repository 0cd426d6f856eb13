//! `yahtzee ingress`: receives log drains.

use anyhow::Result;
use yahtzee_ingress::{Heartbeats, Ingress, listen, serve};
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::{SharedLog, require_topic};

use crate::config::Config;
use crate::jobs::plans;
use crate::process::GlobalOptions;
use crate::topics::specs;

const PART: &str = "ingress";

pub(crate) fn ingress(global: &GlobalOptions) -> Result<()> {
    let (config, process) = global.start()?;
    process.health.set(PART, Condition::Starting("connecting to the log".to_owned()));
    let log = config.log.open()?;
    require_topics(global, &config, &log)?;
    let settings = config.ingress.settings();
    tracing::info!(
        unknown_owners_max = settings.unknown_owners_max,
        "bound of owners in an hour that the configuration does not name"
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
fn require_topics(global: &GlobalOptions, config: &Config, log: &SharedLog) -> Result<()> {
    let plans = plans(global, config, &[])?;
    for wanted in specs(&plans, &config.layout) {
        require_topic(&**log, &wanted)?;
    }
    Ok(())
}
