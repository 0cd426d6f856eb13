//! A database of one run on the PostgreSQL server of this machine, and what the server's processes have used.

use std::collections::BTreeMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use yahtzee_runtime::config::Secret;
use yahtzee_storage::postgres::PostgresStore;
use yahtzee_storage::postgres::settings::{PostgresSettings, ShardSettings, Timeouts};
use yahtzee_storage::postgres::shard_map::{ShardKey, ShardMap};

use super::prepared::{DAY, Entry, JOB};
use crate::sheet::{Setting, Sheet};

/// Name of the only shard.
const SHARD: &str = "0";

/// A session of the measurement's own, beside the store's.
pub(super) struct Session {
    pub(super) runtime: Runtime,
    pub(super) client: Client,
}

impl Session {
    pub(super) fn open(url: &str) -> Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let (client, connection) = runtime.block_on(tokio_postgres::connect(url, NoTls))?;
        runtime.spawn(connection);
        Ok(Self { runtime, client })
    }

    /// Runs statements; the first column of what they return, as text.
    pub(super) fn run(&self, sql: &str) -> Result<Vec<String>> {
        let messages =
            self.runtime.block_on(self.client.simple_query(sql)).with_context(|| sql.to_owned())?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        Ok(rows.collect())
    }

    fn one(&self, sql: &str) -> Result<String> {
        self.run(sql)?.pop().with_context(|| format!("no row: {sql}"))
    }
}

/// Dropped with everything in it at the end of the run.
pub(super) struct Database {
    pub(super) url: String,
    name: String,
    server: String,
    pub(super) session: Session,
}

impl Database {
    /// A new database on the server of this run.
    pub(super) fn create(setting: &Setting) -> Result<Self> {
        let server = setting.postgres.clone().context("a case on PostgreSQL needs a server")?;
        let (place, _) = server
            .rsplit_once('/')
            .context("the server must be given as postgres://user@host:port/database")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let name = format!("bench_{}_{}", std::process::id(), now.as_nanos());
        Session::open(&server)?.run(&format!("CREATE DATABASE {name}"))?;
        let url = format!("{place}/{name}");
        Ok(Self { session: Session::open(&url)?, url, name, server })
    }

    /// A store with this database as its only shard.
    pub(super) fn store(&self) -> Result<PostgresStore> {
        let shard = ShardSettings { name: SHARD.to_owned(), url: Secret::new(self.url.clone()) };
        Ok(PostgresStore::new(PostgresSettings {
            shards: vec![shard],
            map: ShardMap::constant(vec![SHARD.to_owned()], ShardKey::Owner)?,
            timeouts: Timeouts::default(),
            ca_file: None,
        })?)
    }

    /// The table that all rows go to.
    pub(super) fn table() -> String {
        format!("yahtzee_{}.\"{JOB}\"", DAY.to_string().replace('-', ""))
    }

    /// Compares number of rows and sums over them with what must be stored.
    pub(super) fn check_rows<'a>(
        &self,
        sheet: &mut Sheet,
        stored: impl IntoIterator<Item = &'a Entry>,
    ) -> Result<()> {
        let (mut rows, mut counts, mut offsets) = (0_u64, 0, 0);
        for entry in stored {
            rows += 1;
            counts += entry.provenance.count;
            offsets += entry.provenance.last_offset;
        }
        let sql = format!(
            "SELECT concat_ws(' ', count(*), sum(count), sum(last_offset), count(*) FILTER (WHERE chain = 2)) FROM {}",
            Self::table()
        );
        sheet.check(
            "rows, sums of counts and of offsets, broken chains",
            self.session.one(&sql)?,
            format!("{rows} {counts} {offsets} 0"),
        );
        Ok(())
    }

    /// What the newest session of a store and the whole server have used so far.
    pub(super) fn counters(&self) -> Result<Counters> {
        let pid = self.session.one(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'yahtzee%' \
             AND datname = current_database() ORDER BY backend_start DESC LIMIT 1",
        )?;
        let backend = pid.parse()?;
        let wal = self.session.one("SELECT pg_current_wal_lsn() - '0/0'")?;
        Ok(Counters { backend, cpu_ns: family_cpu_ns(backend)?, wal_bytes: wal.parse()? })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let dropped = Session::open(&self.server)
            .and_then(|session| session.run(&format!("DROP DATABASE {} WITH (FORCE)", self.name)));
        if let Err(error) = dropped {
            eprintln!("{} is left on the server: {error:#}", self.name);
        }
    }
}

/// Counters of a server.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    backend: u32,
    /// CPU time of each process of the server that lives, in nanoseconds.
    cpu_ns: BTreeMap<u32, u64>,
    wal_bytes: u64,
}

/// What a server has used between two looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// CPU time of the session that writes, in nanoseconds.
    pub(super) backend_ns: u64,
    /// CPU time of all processes of the server that live at the end.
    pub(super) server_ns: u64,
    /// Growth of the write-ahead log.
    pub(super) wal_bytes: u64,
}

impl Counters {
    /// What was used since.
    pub(super) fn since(&self, before: &Self) -> Usage {
        let used =
            |(pid, now): (&u32, &u64)| now.saturating_sub(before.cpu_ns.get(pid).copied().unwrap_or(0));
        Usage {
            backend_ns: self.cpu_ns.get_key_value(&self.backend).map_or(0, used),
            server_ns: self.cpu_ns.iter().map(used).sum(),
            wal_bytes: self.wal_bytes.saturating_sub(before.wal_bytes),
        }
    }
}

/// CPU time of a process with one thread: the first number of `schedstat`, see `sched-stats` of Linux.
fn cpu_ns(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/schedstat");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("{path}: the server must run on this machine, under the same kernel"))?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

/// CPU time of the parent of a process and of all its children that live.
fn family_cpu_ns(pid: u32) -> Result<BTreeMap<u32, u64>> {
    let parent = parent_of(pid).with_context(|| format!("process {pid} has no parent"))?;
    ensure!(parent > 1, "process {pid} is not the child of a server");
    let mut family = BTreeMap::from([(parent, cpu_ns(parent)?)]);
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has just ended counts no more.
        if parent_of(child) == Some(parent)
            && let Ok(ns) = cpu_ns(child)
        {
            family.insert(child, ns);
        }
    }
    Ok(family)
}

/// The fourth field of `stat` of proc(5); the second, in parentheses, may contain anything.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}
