//! The databases of a run: a shard each, on both servers, made for it and dropped after it. What is done to them goes
//! through sessions of their own, not through the store.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow};
use yahtzee_core::summary::SummaryKey;
use yahtzee_runtime::config::Secret;
use yahtzee_storage::postgres::PostgresStore;
use yahtzee_storage::postgres::settings::{PostgresSettings, ShardSettings, Timeouts};
use yahtzee_storage::postgres::shard_map::{ShardKey, ShardMap};
use yahtzee_storage::store::SummaryStore;

/// Name, variable and number of shards of each server.
const SERVERS: [(&str, &str, usize); 2] =
    [(FIRST, "YAHTZEE_TEST_POSTGRES", 4), (SECOND, "YAHTZEE_TEST_POSTGRES_2", 3)];
/// The server with most of the shards; a pooler or a faulty wire stands before it.
pub(crate) const FIRST: &str = "postgres-1";
/// The server that scenarios take away.
pub(crate) const SECOND: &str = "postgres-2";
/// A pooler before the first server.
pub(crate) const POOLER: &str = "pgbouncer";
const POOLER_VARIABLE: &str = "YAHTZEE_TEST_PGBOUNCER";
const CONNECT_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Databases of this run and the role that the processes under test have there.
pub(crate) struct Databases {
    /// By number of the shard.
    pub(crate) shards: Vec<Database>,
    pub(crate) role: String,
    servers: Vec<Config>,
    map: PostgresStore,
}

/// One shard.
#[derive(Clone)]
pub(crate) struct Database {
    /// Name of the shard.
    pub(crate) name: String,
    /// Name of its server.
    pub(crate) server: &'static str,
    /// Where processes under test find it.
    pub(crate) url: String,
    /// As the server's owner.
    owner: Config,
    database: String,
}

/// A connection that is used by one thread.
pub(crate) struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut config = config.clone();
        config.connect_timeout(CONNECT_WITHIN);
        let (client, connection) = runtime.block_on(config.connect(NoTls)).context("cannot connect")?;
        runtime.spawn(connection);
        Ok(Self { runtime, client })
    }

    /// Runs statements; the rows of all of them.
    pub(crate) fn run(&self, sql: &str) -> Result<Vec<SimpleQueryRow>> {
        let messages =
            self.runtime.block_on(self.client.simple_query(sql)).with_context(|| sql.to_owned())?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// The first column of what [`Self::run`] returns.
    pub(crate) fn texts(&self, sql: &str) -> Result<Vec<String>> {
        Ok(self.run(sql)?.iter().filter_map(|row| row.get(0)).map(ToOwned::to_owned).collect())
    }
}

impl Database {
    /// A session as the server's owner.
    pub(crate) fn session(&self) -> Result<Session> {
        Session::open(&self.owner)
    }
}

/// How the environment says a server is reached.
fn server_config(variable: &str) -> Result<Config> {
    let url = std::env::var(variable).with_context(|| {
        format!("{variable} is not set; `cargo xtask chaos` starts the servers and sets it")
    })?;
    url.parse().with_context(|| format!("{variable} is no connection string"))
}

/// Host and port of a server of the environment.
fn address_of(config: &Config) -> String {
    let host = config.get_hosts().iter().find_map(|host| match host {
        Host::Tcp(name) => Some(name.clone()),
        Host::Unix(_) => None,
    });
    let port = config.get_ports().first().copied().unwrap_or(5_432);
    format!("{}:{port}", host.unwrap_or_else(|| "127.0.0.1".to_owned()))
}

/// Address of a server, or of the pooler, by its name.
pub(crate) fn address(name: &str) -> Result<String> {
    let server = SERVERS.iter().find(|(server, ..)| *server == name);
    let variable = server.map_or(POOLER_VARIABLE, |(_, variable, _)| variable);
    Ok(address_of(&server_config(variable)?))
}

impl Databases {
    /// Makes a role and empty databases. Processes reach those on the first server at `first_address`, if given.
    pub(crate) fn create(run: &str, first_address: Option<String>) -> Result<Self> {
        let role: String = run.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let (mut servers, mut shards) = (Vec::new(), Vec::new());
        for (server, variable, count) in SERVERS {
            let config = server_config(variable)?;
            let address =
                first_address.clone().filter(|_| server == FIRST).unwrap_or_else(|| address_of(&config));
            for _ in 0..count {
                let name = format!("s{}", shards.len());
                let database = format!("{role}_{name}");
                let mut owner = config.clone();
                owner.dbname(&database);
                let url = format!("postgres://{role}@{address}/{database}");
                shards.push(Database { name, server, url, owner, database });
            }
            servers.push(config);
        }
        let map = store_of(&shards)?;
        let databases = Self { shards, role, servers, map };
        databases.make()?;
        Ok(databases)
    }

    fn make(&self) -> Result<()> {
        for (config, (server, ..)) in self.servers.iter().zip(SERVERS) {
            let session = Session::open(config)?;
            session.run(&format!("CREATE ROLE {} LOGIN", self.role))?;
            for database in self.on(server) {
                session.run(&format!("CREATE DATABASE {}", database.database))?;
                session.run(&format!("GRANT CREATE ON DATABASE {} TO {}", database.database, self.role))?;
            }
        }
        Ok(())
    }

    /// The shards on a server.
    pub(crate) fn on(&self, server: &str) -> impl Iterator<Item = &Database> {
        self.shards.iter().filter(move |shard| shard.server == server)
    }

    /// Number of the shard that a summary belongs to.
    pub(crate) fn number_of(&self, key: &SummaryKey) -> usize {
        self.map.shard_of(key).index()
    }

    /// The section of the configuration file.
    pub(crate) fn config_lines(&self) -> Vec<String> {
        self.shards.iter().map(|shard| format!("{} = {:?}", shard.name, shard.url)).collect()
    }

    fn drop_all(&self) -> Result<()> {
        for (config, (server, ..)) in self.servers.iter().zip(SERVERS) {
            let session = Session::open(config)?;
            for database in self.on(server) {
                session.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", database.database))?;
            }
            session.run(&format!("DROP ROLE IF EXISTS {}", self.role))?;
        }
        Ok(())
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        if let Err(error) = self.drop_all() {
            eprintln!("chaos: the databases {}_* are left behind: {error:#}", self.role);
        }
    }
}

/// The store itself, only to ask it which shard a key belongs to.
fn store_of(shards: &[Database]) -> Result<PostgresStore> {
    let names = shards.iter().map(|shard| shard.name.clone()).collect();
    let settings =
        |shard: &Database| ShardSettings { name: shard.name.clone(), url: Secret::new(shard.url.clone()) };
    let settings = PostgresSettings {
        shards: shards.iter().map(settings).collect(),
        map: ShardMap::constant(names, ShardKey::Owner)?,
        timeouts: Timeouts::default(),
        ca_file: None,
    };
    Ok(PostgresStore::new(settings)?)
}

/// Runs statements in a shard for each table of the job: `{schema}` and `{table}` stand for quoted names.
pub(crate) fn for_each_table(database: &Database, sql: &str) -> Result<()> {
    let session = database.session()?;
    session.run(&text_for_each_table(&session, sql)?).map(drop)
}

/// The statements of [`for_each_table`].
pub(crate) fn text_for_each_table(session: &Session, sql: &str) -> Result<String> {
    let mut all = String::new();
    for row in session.run(TABLES)? {
        let (schema, table) = (row.get(0).context("a schema")?, row.get(1).context("a table")?);
        write!(all, "{};", sql.replace("{schema}", schema).replace("{table}", table))?;
    }
    ensure!(!all.is_empty(), "the shard has no tables yet");
    Ok(all)
}

/// Locks on the tables of a shard, which let nobody write there; released when dropped.
pub(crate) struct TableLocks {
    /// Its transaction ends with it.
    _holder: Session,
    watch: Session,
}

impl TableLocks {
    /// Waits until transactions that write now have ended.
    pub(crate) fn take(database: &Database) -> Result<Self> {
        let holder = database.session()?;
        let locks = text_for_each_table(&holder, "LOCK TABLE {table} IN SHARE MODE")?;
        holder.run(&format!("BEGIN; {locks}"))?;
        Ok(Self { _holder: holder, watch: database.session()? })
    }

    /// Whether somebody waits for one of them, in the middle of a transaction.
    pub(crate) fn are_waited_for(&self) -> Result<bool> {
        let waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'relation' \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        Ok(!self.watch.texts(waiting)?.is_empty())
    }
}

/// Schema and table of each day of the job, quoted, in the order of days.
pub(crate) const TABLES: &str = "SELECT quote_ident(schemaname), quote_ident(schemaname) || '.' || quote_ident(tablename) \
    FROM pg_tables WHERE schemaname ~ '^yahtzee_[0-9]{8}$' AND tablename = 'router-latency' ORDER BY 1";
