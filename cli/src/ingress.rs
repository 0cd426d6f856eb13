//! `yahtzee ingress`: receives log drains.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use yahtzee_core::owner::Owner;
use yahtzee_ingress::{Ingress, LogWriter, Settings, TokenTable, serve};
use yahtzee_runtime::clock::wall_clock_us;
use yahtzee_runtime::config::{Config, IngressConfig};
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::SharedLog;

use crate::jobs::plans;
use crate::process::{GlobalOptions, Process};
use crate::topics::specs;

/// Deliveries between the HTTP service and the log; a full queue is answered with 503.
const QUEUE_DELIVERIES: usize = 1_024;
const PART: &str = "ingress";

pub(crate) fn ingress(global: &GlobalOptions) -> Result<()> {
    let process = Process::start(global)?;
    process.health.set(PART, Condition::Starting("connecting to the log".to_owned()));
    let log = process.config.log.open()?;
    require_topics(global, &process.config, &log)?;
    let listener = process.block_on(listen(&process.config.ingress))?;
    let tokens = tokens(&process.config.ingress)?;
    let ingress = open(&process, &log, tokens, Heartbeats::On)?;
    process.health.set(PART, Condition::Ready);
    let stop = process.stop.clone();
    process.block_on(serve(listener, ingress, async move { stop.stopped().await }))?;
    Ok(())
}

/// Whether every partition gets the present time now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heartbeats {
    On,
    /// For recordings, which keep their own time.
    Off,
}

/// The service, with a task that writes its deliveries to the log.
pub(crate) fn open(
    process: &Process,
    log: &SharedLog,
    tokens: TokenTable,
    heartbeats: Heartbeats,
) -> Result<Arc<Ingress>> {
    let config = &process.config.ingress;
    let appender = log.appender(config.ack_budget)?;
    let (queue, deliveries) = mpsc::channel(QUEUE_DELIVERIES);
    let clock = (heartbeats == Heartbeats::On).then_some(wall_clock_us as fn() -> i64);
    process.spawn(LogWriter::new(appender, &process.config.layout).run(deliveries, clock));
    Ok(Ingress::new(settings(config), tokens, queue, Box::new(wall_clock_us)))
}

/// Binds the drain address, which must not be open to the world without credentials.
pub(crate) async fn listen(config: &IngressConfig) -> Result<TcpListener> {
    settings(config).validate(config.listen)?;
    TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}; set `ingress.listen`", config.listen))
}

fn settings(config: &IngressConfig) -> Settings {
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
