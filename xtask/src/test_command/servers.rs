//! The real servers of a test run: started for it, and stopped with it however it ends.

use std::env;

use anyhow::Result;

use crate::services::{kafka, promtool};

/// What the tests are told about servers. Dropping it stops what it started and nothing else.
#[derive(Default)]
pub(super) struct Servers {
    environment: Vec<(&'static str, String)>,
    kafka_started: bool,
}

impl Servers {
    /// Sees to every server that the environment does not name already.
    ///
    /// # Errors
    /// If one cannot be had.
    pub(super) fn start(&mut self) -> Result<()> {
        if !is_named(kafka::ADDRESS_VARIABLE) {
            let kafka = kafka::up(false)?;
            self.kafka_started = !kafka.already_up;
            self.environment.push((kafka::ADDRESS_VARIABLE, kafka.broker.bootstrap.to_string()));
        }
        if !is_named(promtool::PATH_VARIABLE) {
            self.environment.push((promtool::PATH_VARIABLE, promtool::fetch()?.display().to_string()));
        }
        Ok(())
    }

    /// Variables to run the tests with, on top of the environment.
    pub(super) fn environment(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.environment.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if self.kafka_started
            && let Err(error) = kafka::down()
        {
            eprintln!("error: {error:#}");
        }
    }
}

fn is_named(variable: &str) -> bool {
    let value = env::var(variable).ok().filter(|value| !value.is_empty());
    if let Some(value) = &value {
        eprintln!("using {variable}={value} from the environment");
    }
    value.is_some()
}
