//! `cargo xtask services`: one module per server, `daemon` for what they share; this one dispatches and prints.
//!
//! Progress goes to stderr and `export` lines to stdout, so that `eval "$(cargo xtask services up)"` works.

mod artefacts;
pub(crate) mod daemon;
mod debian;
mod kafka;
mod pgbouncer;
mod postgres;
mod process;
pub(crate) mod promtool;
mod settings;
mod state;
mod unprivileged;

use std::env;
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::shell;
use daemon::Server;

/// Where the servers' files live unless `target/services` is good enough.
pub(crate) const SERVICES_DIR_VARIABLE: &str = "YAHTZEE_SERVICES_DIR";

/// Every server, after those that it needs.
pub(crate) static SERVERS: [&dyn Server; 4] =
    [&kafka::Kafka, &postgres::FIRST, &postgres::SECOND, &pgbouncer::PgBouncer];

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
        /// Starts a server that was killed or died on the data it had
        #[arg(long)]
        keep: bool,
        /// Prints one JSON object instead of `export` lines
        #[arg(long)]
        json: bool,
    },
    /// Stops a server and removes its data; its log stays until the next start
    Down {
        #[arg(default_value = "all")]
        service: Selection,
    },
    /// Kills every process of a server, as a crash would
    Kill {
        #[arg(value_parser = server_by_name())]
        server: &'static dyn Server,
    },
    /// Starts a server that was killed or died, on the same data and port
    Start {
        #[arg(value_parser = server_by_name())]
        server: &'static dyn Server,
    },
    /// Shows what is up
    Status {
        /// Prints one JSON object instead of a line per server
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Selection {
    Kafka,
    /// Both PostgreSQL servers
    Postgres,
    /// PgBouncer, and the PostgreSQL server behind it
    Pgbouncer,
    PrometheusTools,
    All,
}

impl Selection {
    /// The servers that are meant, in the order to start them.
    fn servers(self) -> &'static [&'static dyn Server] {
        match self {
            Self::Kafka => &SERVERS[..1],
            Self::Postgres => &SERVERS[1..3],
            Self::Pgbouncer => &SERVERS[3..],
            Self::PrometheusTools => &[],
            Self::All => &SERVERS,
        }
    }

    fn includes_promtool(self) -> bool {
        matches!(self, Self::PrometheusTools | Self::All)
    }
}

/// Runs one `cargo xtask services` command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.command {
        Command::Up { service, keep, json } => up(service, keep, json),
        Command::Down { service } => down(service),
        Command::Kill { server } => daemon::kill(server),
        Command::Start { server } => start(server),
        Command::Status { json } => status(json),
    }
}

/// The folder of one server, below `$YAHTZEE_SERVICES_DIR` or `target/services`.
fn service_dir(name: &str) -> PathBuf {
    let services = env::var_os(SERVICES_DIR_VARIABLE).map(PathBuf::from);
    let services = services.unwrap_or_else(|| crate::repository_root().join("target/services"));
    std::path::absolute(&services).unwrap_or(services).join(name)
}

fn server_by_name() -> impl TypedValueParser<Value = &'static dyn Server> {
    let names = SERVERS.iter().map(|server| server.name());
    PossibleValuesParser::new(names).map(|name| {
        let server = SERVERS.iter().find(|server| server.name() == name);
        *server.expect("only names of servers are possible")
    })
}

fn up(selection: Selection, keep: bool, json: bool) -> Result<()> {
    let mut report = Map::new();
    let mut exports = Vec::new();
    for server in to_start(selection.servers()) {
        let up = daemon::up(server, keep)?;
        exports.push((server.variable(), server.locator(up.daemon.address)));
        report.insert(server.name().into(), json!(up));
    }
    if selection.includes_promtool() {
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
    to_stop(selection.servers()).try_for_each(daemon::down)?;
    if selection == Selection::PrometheusTools {
        eprintln!("prometheus-tools: programs, not a server: nothing to stop");
    }
    Ok(())
}

fn start(server: &dyn Server) -> Result<()> {
    let up = daemon::start_again(server)?;
    println!("export {}={}", server.variable(), shell::word(&server.locator(up.daemon.address)));
    Ok(())
}

/// `wanted` and what it needs, in the order to start them.
fn to_start(wanted: &[&dyn Server]) -> impl Iterator<Item = &'static dyn Server> {
    let is_needed = |name| wanted.iter().filter_map(|it| it.needs()).any(|it| it.name() == name);
    SERVERS.into_iter().filter(move |server| is_one_of(*server, wanted) || is_needed(server.name()))
}

/// `wanted` and what is of no use without it, in the order to stop them.
fn to_stop(wanted: &[&dyn Server]) -> impl Iterator<Item = &'static dyn Server> {
    let needs = |server: &dyn Server| server.needs().is_some_and(|needed| is_one_of(needed, wanted));
    SERVERS.into_iter().rev().filter(move |server| is_one_of(*server, wanted) || needs(*server))
}

fn is_one_of(server: &dyn Server, servers: &[&dyn Server]) -> bool {
    servers.iter().any(|it| it.name() == server.name())
}

fn status(json: bool) -> Result<()> {
    let servers: Vec<_> = SERVERS.iter().map(|server| daemon::status(*server)).collect::<Result<_>>()?;
    let promtool = promtool::fetched();
    if json {
        let servers = servers.iter().map(|status| (status.name.to_owned(), json!(status.state)));
        let mut report: Map<_, _> = servers.collect();
        report.insert(promtool::NAME.into(), json!({ "promtool": promtool }));
        println!("{:#}", Value::Object(report));
    } else {
        servers.iter().for_each(|status| println!("{status}"));
        let promtool = promtool.map_or_else(|| "not fetched".to_owned(), |path| path.display().to_string());
        println!("{}: {promtool}", promtool::NAME);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(servers: impl Iterator<Item = &'static dyn Server>) -> Vec<&'static str> {
        servers.map(Server::name).collect()
    }

    #[test]
    fn a_pooler_comes_after_its_server_and_goes_before_it() {
        let check = |selection: Selection, started: &[&str], stopped: &[&str]| {
            assert_eq!(names(to_start(selection.servers())), started, "start {selection:?}");
            assert_eq!(names(to_stop(selection.servers())), stopped, "stop {selection:?}");
        };
        check(Selection::Kafka, &["kafka"], &["kafka"]);
        check(Selection::Postgres, &["postgres-1", "postgres-2"], &["pgbouncer", "postgres-2", "postgres-1"]);
        check(Selection::Pgbouncer, &["postgres-1", "pgbouncer"], &["pgbouncer"]);
        check(Selection::PrometheusTools, &[], &[]);
        let all = ["kafka", "postgres-1", "postgres-2", "pgbouncer"];
        check(Selection::All, &all, &["pgbouncer", "postgres-2", "postgres-1", "kafka"]);
    }
}
