//! `yahtzee config`: prints an example to start from, and checks a configuration.

use anyhow::Result;
use clap::Subcommand;
use yahtzee_runtime::config::written;
use yahtzee_runtime::{out, outln};

use super::{Config, ConfigFile};
use crate::jobs::plans;
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
    /// What this accepts every process starts with, as far as it is not up to the log and the stores. The values are
    /// printed as a configuration file that says all of them, `(hidden)` in the place of secrets.
    Check {
        /// The worker whose memory is checked, as `run --worker` takes it
        #[arg(long, value_name = "INDEX/COUNT")]
        worker: Option<String>,
        /// Print the values as one JSON document instead
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn config(global: &GlobalOptions, command: &ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Example => out!("{EXAMPLE}")?,
        ConfigCommand::Check { worker, json } => {
            let config = global.load()?;
            super::acceptance::check(global, &config, worker.as_deref())?;
            let values = in_force(global, &config)?;
            if *json {
                outln!("{}", serde_json::to_string_pretty(&values)?)?;
                return Ok(());
            }
            let origin =
                global.file().map_or_else(|| "defaults alone".to_owned(), |file| file.display().to_string());
            outln!("# ok: {origin}")?;
            out!("{}", written(&values)?)?;
        }
    }
    Ok(())
}

/// Returns the sections with every key that has a value, those of all jobs included.
fn in_force(global: &GlobalOptions, config: &Config) -> Result<ConfigFile> {
    let mut values = config.sections.clone();
    values.sink = values.sink.in_force(&config.sink);
    for plan in plans(global, config, &[])? {
        let section = values.jobs.entry(plan.job.name().to_owned()).or_default();
        *section = section.with_policy(&plan.policy);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use yahtzee_runtime::config::Environment;

    use super::*;

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
        plans(&global(), &config, &[]).unwrap();
    }

    fn printed(text: &str, variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let config = Config::parse(text, "test.toml", &variables).unwrap();
        written(&in_force(&global(), &config).unwrap()).unwrap()
    }

    /// What is printed is a file that means the same, without any variable of the environment.
    #[test]
    fn the_values_in_force_are_printed_as_a_file_that_sets_them() {
        fn check(text: &str, variables: &[(&str, &str)], lines: &[&str]) {
            let first = printed(text, variables);
            for line in lines {
                assert!(first.lines().any(|found| found == *line), "{line:?} is missing in: {first}");
            }
            assert_eq!(printed(&first, &[]), first, "{text}");
        }
        check("", &[], &["[log.embedded]", "slots = 8", "[jobs.router-latency]", "window_length_ms = 60000"]);
        check("[topics]\nraw_retention_hours = 7", &[], &["raw_retention_hours = 7"]);
        check("", &[("PORT", "5000")], &["listen = \"0.0.0.0:5000\""]);
        check("", &[("YAHTZEE_WORKER__SLOTS", "4")], &["slots = 4"]);
        check("", &[("KAFKA_URL", "kafka://a:1,b:2")], &["kind = \"kafka\"", "brokers = \"a:1,b:2\""]);
        check("[jobs.errors]\ngeneration = 9\nlateness_windows = 3", &[], &["generation = 9"]);
        check("[sink.retry]\nspan_max = 7", &[], &["span_max = 7", "batch_max = 1024"]);
        let map = "[sink.postgres.shards]\none = 'env:ONE'\n[[sink.postgres.map]]\nshards = ['one']\n\
                   [[sink.postgres.map]]\nfrom = '2026-12-01'\nshards = ['one']\nkey = 'owner-and-process-type'";
        let mapped = printed(map, &[("ONE", "postgres://h/one")]);
        for line in ["one = \"env:ONE\"", "from = \"2026-12-01\"", "key = \"owner-and-process-type\""] {
            assert!(mapped.lines().any(|found| found == line), "{line:?} is missing in: {mapped}");
        }
    }

    /// The example shows every key with its default: they are the values in force where nothing is configured.
    #[test]
    fn what_is_printed_of_the_defaults_is_what_the_example_shows() {
        fn check(example: &Value, printed: &Value, path: &str) {
            match (example, printed) {
                (Value::Object(example), Value::Object(printed)) => {
                    for (key, value) in example {
                        let path = format!("{path}.{key}");
                        let found = printed.get(key).unwrap_or_else(|| panic!("{path} is not printed"));
                        check(value, found, &path);
                    }
                }
                _ => assert_eq!(printed, example, "{path}"),
            }
        }
        let file = |kind: &str| {
            let text = EXAMPLE.replace("kind = \"embedded\"", &format!("kind = \"{kind}\""));
            let config = Config::parse(&text, "example", &Environment::new()).unwrap();
            (serde_json::to_value(&config.sections).unwrap(), config)
        };
        let (example, _) = file("embedded");
        let defaults = Config::parse("", "defaults", &Environment::new()).unwrap();
        check(&example, &serde_json::to_value(in_force(&global(), &defaults).unwrap()).unwrap(), "");
        let (example, config) = file("kafka");
        check(
            &example["log"],
            &serde_json::to_value(in_force(&global(), &config).unwrap()).unwrap()["log"],
            "log",
        );
    }

    #[test]
    fn no_secret_is_printed() {
        let kafka = "[log]\nkind = 'kafka'\n[log.kafka]\nca_pem = 'hush'\nclient_cert_pem = 'hush'\nclient_key_pem = 'hush'\n\
                     [log.kafka.properties]\n'sasl.password' = 'hush'";
        let postgres = "[sink.postgres.shards]\none = 'postgres://user:hush@h/one'\ntwo = 'env:TWO'";
        let ingress = "[ingress]\ncredentials = [{ secret = 'user:hush', apps = ['*'] }]";
        let check = |text: &str, expected: usize| {
            let printed = printed(text, &[("TWO", "postgres://user:hush@h/two")]);
            assert!(!printed.contains("hush"), "{printed}");
            assert_eq!(printed.matches("\"(hidden)\"").count(), expected, "{printed}");
        };
        check(kafka, 4);
        check(postgres, 1);
        check(ingress, 1);
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
