//! `yahtzee demo`: the configuration of the demo; the rest is the crate `yahtzee-demo`.

use anyhow::Result;
use yahtzee_core::assignment::WorkerIndex;
use yahtzee_demo::DemoSettings;
use yahtzee_runtime::config::{Environment, process_environment};

use crate::config::Config;
use crate::jobs::plans;
use crate::process::GlobalOptions;
use crate::run;

/// Settings that differ from the defaults: small topics, and local addresses on free ports.
const CONFIGURATION: &str = "
    [topics]
    partitions = 8
    [worker]
    slots = 2
    [ingress]
    listen = '127.0.0.1:0'
    [admin]
    listen = '127.0.0.1:0'
    [logging]
    filter = 'warn'
";

pub(crate) fn demo(global: &GlobalOptions, options: &yahtzee_demo::DemoOptions) -> Result<()> {
    yahtzee_demo::demo(settings(global)?, options)
}

/// Reads the demo's configuration. Variables of the form `YAHTZEE_SECTION__KEY` apply, those of a platform do not.
fn settings(global: &GlobalOptions) -> Result<DemoSettings> {
    let mut text = CONFIGURATION.to_owned();
    for job in global.jobs.all() {
        text += &format!("\n[jobs.{}]\nflush_interval_ms = 1000\n", job.name());
    }
    let mut own: Environment = process_environment();
    own.retain(|name, _| name.starts_with("YAHTZEE_"));
    let config = Config::parse(&text, "(demo)", &own)?;
    let mut worker = run::settings(&config, WorkerIndex::ALONE);
    // The folder of the demo's log belongs to this process: nobody can have taken over.
    worker.pause_max = None;
    Ok(DemoSettings {
        plans: plans(global, &config, &[])?,
        worker,
        ingress: config.ingress.settings(),
        drain: config.ingress.listen,
        admin: config.admin,
        log_format: config.log_format,
        log_filter: config.log_filter,
        layout: config.layout,
    })
}
