//! `yahtzee ingress`: receives log drains.

use anyhow::{Result, anyhow};
use yahtzee_core::owner::Owner;
use yahtzee_ingress::{Heartbeats, Ingress, Settings, TokenTable, listen, serve};
use yahtzee_runtime::config::{Config, IngressConfig};
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::SharedLog;

use crate::jobs::plans;
use crate::process::GlobalOptions;
use crate::topics::specs;

const PART: &str = "ingress";

pub(crate) fn ingress(global: &GlobalOptions) -> Result<()> {
    let (config, process) = global.start()?;
    process.health.set(PART, Condition::Starting("connecting to the log".to_owned()));
    let log = config.log.open()?;
    require_topics(global, &config, &log)?;
    let settings = settings(&config.ingress);
    let listener = process.block_on(listen(&settings, config.ingress.listen))?;
    let tokens = tokens(&config.ingress)?;
    let start = Ingress::start(&*log, &config.layout, settings, tokens, Heartbeats::On);
    let ingress = process.block_on(start)?;
    process.health.set(PART, Condition::Ready);
    let stop = process.stop.clone();
    process.block_on(serve(listener, ingress, async move { stop.stopped().await }))?;
    Ok(())
}

pub(crate) fn settings(config: &IngressConfig) -> Settings {
    Settings {
        credentials: config.credentials.iter().map(|secret| secret.reveal().to_owned()).collect(),
        max_body_bytes: config.body_bytes_max,
        ack_budget: config.ack_budget,
        ..Settings::default()
    }
}

fn tokens(config: &IngressConfig) -> Result<TokenTable> {
    let owner = |(token, owner): (&String, &String)| {
        let parsed = Owner::parse(owner);
        let owner = parsed.ok_or_else(|| anyhow!("ingress.tokens: {owner:?} of {token} is not a UUID"))?;
        Ok((token.clone(), owner))
    };
    let pairs: Result<Vec<(String, Owner)>> = config.tokens.iter().map(owner).collect();
    Ok(pairs?.into_iter().collect())
}

/// A missing topic, or one with another partition count, would put owners where no worker looks for them.
fn require_topics(global: &GlobalOptions, config: &Config, log: &SharedLog) -> Result<()> {
    let plans = plans(global, config, &[])?;
    for wanted in specs(&plans, &config.layout) {
        let found = log.describe_topic(&wanted.name)?;
        let found =
            found.ok_or_else(|| anyhow!("topic {} is missing; run `yahtzee topics create`", wanted.name))?;
        if found.partitions != wanted.partitions {
            return Err(anyhow!("topic {} {}", wanted.name, found.differences(&wanted).swap_remove(0)));
        }
    }
    Ok(())
}
