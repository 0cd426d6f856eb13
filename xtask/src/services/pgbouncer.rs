//! PgBouncer before the first PostgreSQL: from Debian's package, configured by `services/pgbouncer/`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::artefacts::fetch_folder;
use super::daemon::{Daemon, Server, Start};
use super::debian;
use super::postgres;
use super::service_dir;
use super::settings::{self, template};
use super::state::{self, ServiceDir};
use super::unprivileged::{Unprivileged, with_libraries};

const HINT: &str =
    "this works on Debian and its children; elsewhere install PgBouncer and set YAHTZEE_TEST_PGBOUNCER";

/// One pooler.
pub(crate) struct PgBouncer;

impl Server for PgBouncer {
    fn name(&self) -> &'static str {
        "pgbouncer"
    }

    fn variable(&self) -> &'static str {
        "YAHTZEE_TEST_PGBOUNCER"
    }

    fn locator(&self, address: SocketAddr) -> String {
        postgres::url(address)
    }

    fn needs(&self) -> Option<&'static dyn Server> {
        Some(&postgres::FIRST)
    }

    fn hint(&self) -> &'static str {
        HINT
    }

    fn fetch(&self, dir: &ServiceDir) -> Result<()> {
        if program(dir).exists() {
            return Ok(());
        }
        let mut packages = debian::libraries_of(self.name(), HINT)?;
        packages.push(self.name().to_owned());
        fetch_folder(&root(dir), |folder| debian::unpack(&packages, folder, HINT))
    }

    fn prepare(&self, start: &Start<'_>) -> Result<Command> {
        let (dir, libraries) = (start.dir, debian::library_folders(&root(start.dir)));
        let user = Unprivileged::find()?;
        user.check_runs(&program(dir), &libraries)?;
        let behind: Option<Daemon> = state::load(&service_dir(postgres::FIRST.name()))?;
        let behind =
            behind.context("it stands before PostgreSQL: `cargo xtask services up postgres` first")?;
        let values =
            [("PORT", &*start.port.to_string()), ("SERVER_PORT", &*behind.address.port().to_string())];
        let settings = dir.path().join("pgbouncer.ini");
        settings::write(&template("pgbouncer/pgbouncer.ini"), &values, &settings)?;
        user.owns(&settings)?;
        let mut pgbouncer = Command::new(program(dir));
        user.runs(with_libraries(&mut pgbouncer, &libraries)?.arg(settings));
        Ok(pgbouncer)
    }

    /// Lets a client in only if the server behind it does.
    fn is_ready(&self, address: SocketAddr) -> bool {
        postgres::probe::is_ready(address)
    }
}

fn root(dir: &ServiceDir) -> PathBuf {
    dir.path().join("root")
}

fn program(dir: &ServiceDir) -> PathBuf {
    root(dir).join("usr/sbin/pgbouncer")
}
