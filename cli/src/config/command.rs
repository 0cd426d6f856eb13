//! `yahtzee config`: prints an example to start from, and checks a configuration.

use anyhow::Result;
use clap::Subcommand;
use yahtzee_runtime::{out, outln};

use crate::process::GlobalOptions;

/// The example file; a test reads it with the strict parser.
const EXAMPLE: &str = include_str!("../../../yahtzee.example.toml");

/// Subcommands of `yahtzee config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print an example with every key, its default and its meaning
    Example,
    /// Check the configuration file and the environment, and print the values in force
    ///
    /// What this accepts every process starts with, as far as it is not up to the log and the stores.
    Check {
        /// The worker whose memory is checked, as `run --worker` takes it
        #[arg(long, value_name = "INDEX/COUNT")]
        worker: Option<String>,
    },
}

pub(crate) fn config(global: &GlobalOptions, command: &ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Example => out!("{EXAMPLE}")?,
        ConfigCommand::Check { worker } => {
            let config = global.load()?;
            super::acceptance::check(global, &config, worker.as_deref())?;
            let origin =
                global.file().map_or_else(|| "defaults alone".to_owned(), |file| file.display().to_string());
            outln!("ok: {origin}")?;
            outln!("{config:#?}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use yahtzee_runtime::config::Environment;

    use super::*;
    use crate::config::Config;

    fn global() -> GlobalOptions {
        GlobalOptions { config: None, jobs: yahtzee_jobs::all().into() }
    }

    /// The example as it is, and with every commented key switched on, is a valid configuration.
    #[test]
    fn the_example_is_read_by_the_strict_parser() {
        Config::parse(EXAMPLE, "example", &Environment::new()).unwrap();
        let everything: Vec<&str> =
            EXAMPLE.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect();
        let config = Config::parse(&everything.join("\n"), "example", &Environment::new()).unwrap();
        crate::jobs::plans(&global(), &config, &[]).unwrap();
    }

    /// The example contains every key of every section: the names are taken from an error message of the parser.
    #[test]
    fn the_example_names_every_key() {
        let sections = [
            "log",
            "log.embedded",
            "log.kafka",
            "topics",
            "worker",
            "jobs.errors",
            "ingress",
            "sink",
            "sink.delivery",
            "sink.retry",
            "sink.embedded",
            "sink.postgres",
            "admin",
            "logging",
        ];
        let in_example: BTreeSet<&str> = EXAMPLE
            .lines()
            .filter_map(|line| line.trim_start_matches("#: ").split_once(" = ").map(|(key, _)| key))
            .collect();
        for section in sections {
            let text = format!("[{section}]\nno-such-key = 1");
            let error = Config::parse(&text, "x", &Environment::new()).unwrap_err().to_string();
            let expected = error.split_once("expected").expect("the error lists the known keys").1;
            for key in expected.split('`').skip(1).step_by(2) {
                let is_section = EXAMPLE.contains(&format!("[{section}.{key}"));
                assert!(is_section || in_example.contains(key), "{section}.{key} is not in the example");
            }
        }
    }
}
