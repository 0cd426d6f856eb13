//! `cargo xtask services`: one module per server, this one dispatches and prints.
//!
//! Progress goes to stderr and `export` lines to stdout, so that `eval "$(cargo xtask services up)"` works.

mod artefacts;
pub(crate) mod kafka;
mod process;
pub(crate) mod promtool;
mod state;

use std::env;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::shell;

/// Where the servers' files live unless `target/services` is good enough.
pub(crate) const SERVICES_DIR_VARIABLE: &str = "YAHTZEE_SERVICES_DIR";

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a server, or says that it is already up, and prints how tests find it
    Up {
        #[arg(default_value = "all")]
        service: Selection,
        /// Starts on the data, and if possible the ports, of the time before
        #[arg(long)]
        keep: bool,
        /// Prints one JSON object instead of `export` lines
        #[arg(long)]
        json: bool,
    },
    /// Stops a server; its data and its log stay until the next start
    Down {
        #[arg(default_value = "all")]
        service: Selection,
    },
    /// Shows what is up
    Status {
        /// Prints one JSON object instead of a line per server
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Selection {
    Kafka,
    PrometheusTools,
    All,
}

impl Selection {
    fn includes(self, service: Self) -> bool {
        self == service || self == Self::All
    }
}

/// Runs one `cargo xtask services` command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.command {
        Command::Up { service, keep, json } => up(service, keep, json),
        Command::Down { service } => down(service),
        Command::Status { json } => status(json),
    }
}

/// The folder of one server, below `$YAHTZEE_SERVICES_DIR` or `target/services`.
fn service_dir(name: &str) -> PathBuf {
    let services = env::var_os(SERVICES_DIR_VARIABLE).map(PathBuf::from);
    let services = services.unwrap_or_else(|| crate::repository_root().join("target/services"));
    std::path::absolute(&services).unwrap_or(services).join(name)
}

fn up(selection: Selection, keep: bool, json: bool) -> Result<()> {
    let mut report = Map::new();
    let mut exports = Vec::new();
    if selection.includes(Selection::Kafka) {
        let kafka = kafka::up(keep)?;
        exports.push((kafka::ADDRESS_VARIABLE, kafka.broker.bootstrap.to_string()));
        report.insert(kafka::NAME.into(), json!(kafka));
    }
    if selection.includes(Selection::PrometheusTools) {
        let promtool = promtool::fetch()?.display().to_string();
        exports.push((promtool::PATH_VARIABLE, promtool.clone()));
        report.insert(promtool::NAME.into(), json!({ "promtool": promtool }));
    }
    if json {
        println!("{:#}", Value::Object(report));
    } else {
        exports.iter().for_each(|(name, value)| println!("export {name}={}", shell::word(value)));
    }
    Ok(())
}

fn down(selection: Selection) -> Result<()> {
    if selection.includes(Selection::Kafka) {
        kafka::down()?;
    }
    if selection == Selection::PrometheusTools {
        eprintln!("prometheus-tools: programs, not a server: nothing to stop");
    }
    Ok(())
}

fn status(json: bool) -> Result<()> {
    let kafka = kafka::status()?;
    let promtool = promtool::fetched();
    if json {
        let promtool = json!({ "promtool": promtool });
        println!("{:#}", json!({ kafka::NAME: kafka, promtool::NAME: promtool }));
    } else {
        println!("{}: {kafka}", kafka::NAME);
        let promtool = promtool.map_or_else(|| "not fetched".to_owned(), |path| path.display().to_string());
        println!("{}: {promtool}", promtool::NAME);
    }
    Ok(())
}
