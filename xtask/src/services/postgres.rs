//! PostgreSQL: two servers of the binaries that a Maven artefact carries, configured by `services/postgres/`.

pub(super) mod probe;

use std::env::consts::ARCH;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::artefacts::{fetch_as_in, files_with, run_maven, run_tool};
use super::daemon::{Server, Start};
use super::process::running_in;
use super::service_dir;
use super::settings::{self, template};
use super::state::ServiceDir;
use super::unprivileged::Unprivileged;

const TAR_HINT: &str = "install tar and xz (Debian: `apt-get install tar xz-utils`)";
const HINT: &str =
    "remove the folder `postgres` beside its own, and `cargo xtask services up postgres` fetches it again";

/// One of the servers, each with a port and data of its own.
pub(crate) struct Postgres {
    name: &'static str,
    variable: &'static str,
}

/// The server that tests make their databases on.
pub(crate) static FIRST: Postgres = Postgres { name: "postgres-1", variable: "YAHTZEE_TEST_POSTGRES" };
/// The server for those who need two, and the one to kill while others use the first.
pub(crate) static SECOND: Postgres = Postgres { name: "postgres-2", variable: "YAHTZEE_TEST_POSTGRES_2" };

impl Server for Postgres {
    fn name(&self) -> &'static str {
        self.name
    }

    fn variable(&self) -> &'static str {
        self.variable
    }

    fn locator(&self, address: SocketAddr) -> String {
        url(address)
    }

    fn hint(&self) -> &'static str {
        HINT
    }

    /// Both servers run the same binaries.
    fn fetch(&self, _dir: &ServiceDir) -> Result<()> {
        let shared = ServiceDir::lock(service_dir("postgres"))?;
        let pom = template("postgres/pom.xml");
        fetch_as_in(&pom, &shared.path().join("kit"), |folder| unpack_kit(&pom, folder))
    }

    fn prepare(&self, start: &Start<'_>) -> Result<Command> {
        let user = Unprivileged::find()?;
        user.check_runs(&program("postgres"), &[])?;
        let data = start.dir.data();
        if !data.join("PG_VERSION").exists() {
            self.create_data(start, &user)?;
        }
        let settings = start.dir.path().join("postgresql.conf");
        let port = start.port.to_string();
        settings::write(&template("postgres/postgresql.conf"), &[("PORT", &port)], &settings)?;
        user.owns(&settings)?;
        let mut postgres = Command::new(program("postgres"));
        postgres.arg("-D").arg(data).arg(format!("--config-file={}", settings.display()));
        user.runs(&mut postgres);
        Ok(postgres)
    }

    fn is_ready(&self, address: SocketAddr) -> bool {
        probe::is_ready(address)
    }

    /// A "fast shutdown": SIGTERM would wait for clients.
    fn stop_signal(&self) -> Signal {
        Signal::INT
    }

    /// Each connection has a process, which may outlive the first one for a while and holds the data. And the first
    /// one's lock file names an id that some other process may have by now, or that waits for its parent.
    fn clear_leftovers(&self, dir: &ServiceDir) -> Result<()> {
        let data = dir.data();
        loop {
            let running = running_in(&program("postgres"), &data);
            if running.is_empty() {
                break;
            }
            for process in running {
                process.kill()?;
            }
        }
        let lock = data.join("postmaster.pid");
        if !lock.exists() {
            return Ok(());
        }
        fs::remove_file(&lock).with_context(|| format!("cannot remove {}", lock.display()))
    }
}

impl Postgres {
    fn create_data(&self, start: &Start<'_>, user: &Unprivileged) -> Result<()> {
        let data = start.dir.data();
        fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        user.owns(&data)?;
        let mut initdb = Command::new(program("initdb"));
        initdb.arg("-D").arg(data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8"]);
        initdb.args(["--no-locale", "--no-sync", "--data-checksums"]);
        user.runs(&mut initdb);
        start.run_step(self, &mut initdb)
    }
}

/// The database that every server has, as its only user.
pub(super) fn url(address: SocketAddr) -> String {
    format!("postgres://postgres@{address}/postgres")
}

fn program(name: &str) -> PathBuf {
    service_dir("postgres").join("kit/bin").join(name)
}

/// The artefact is an archive with an archive in it.
fn unpack_kit(pom: &Path, folder: &Path) -> Result<()> {
    let platform = match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64v8",
        other => bail!(
            "no PostgreSQL is published for {other}: install one and set {} and {}",
            FIRST.variable,
            SECOND.variable
        ),
    };
    let platform = format!("-Dplatform={platform}");
    // Maven's notes on what it has unpacked would otherwise lie beside the pom.
    let notes = format!("-DmarkersDirectory={}", folder.join("META-INF").display());
    run_maven(pom, &["dependency:unpack-dependencies", &platform, &notes], folder)?;
    for archive in files_with("txz", folder)? {
        let mut tar = Command::new("tar");
        tar.args(["-x", "-J", "--no-same-owner", "-f"]).arg(&archive).arg("-C").arg(folder);
        run_tool(&mut tar, TAR_HINT)?;
        fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
    }
    Ok(())
}
