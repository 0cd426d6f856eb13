//! The real servers of a test run: started for it, and stopped with it however it ends.

use std::env;

use anyhow::Result;

use crate::services::daemon::{self, Server, Up};
use crate::services::{SERVERS, promtool};

/// The servers that tests are given. Dropping it stops what it started and nothing else.
#[derive(Default)]
pub(crate) struct Servers {
    environment: Vec<(&'static str, String)>,
    started: Vec<&'static dyn Server>,
}

impl Servers {
    /// Sees to every server that the environment does not name already.
    ///
    /// # Errors
    /// If one cannot be had.
    pub(super) fn start(&mut self) -> Result<()> {
        self.start_these(&SERVERS)?;
        if !is_named(promtool::PATH_VARIABLE) {
            self.environment.push((promtool::PATH_VARIABLE, promtool::fetch()?.display().to_string()));
        }
        Ok(())
    }

    /// Sees to those of `servers` that the environment does not name already.
    ///
    /// # Errors
    /// If one cannot be had.
    pub(crate) fn start_these(&mut self, servers: &[&'static dyn Server]) -> Result<()> {
        for &server in servers.iter().filter(|server| !is_named(server.variable())) {
            if let Some(needed) = server.needs() {
                self.up(needed)?;
            }
            let address = self.up(server)?.daemon.address;
            self.environment.push((server.variable(), server.locator(address)));
        }
        Ok(())
    }

    /// Variables to run the tests with, on top of the environment.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.environment.iter().map(|(name, value)| (*name, value.as_str()))
    }

    fn up(&mut self, server: &'static dyn Server) -> Result<Up> {
        let up = daemon::up(server, false)?;
        if !up.already_up {
            self.started.push(server);
        }
        Ok(up)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in self.started.drain(..).rev() {
            if let Err(error) = daemon::down(server) {
                eprintln!("error: {error:#}");
            }
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
